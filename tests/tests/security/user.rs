use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, ensure};
use async_nats::{Client, ConnectOptions, Event, Message, Subscriber};
use futures_util::StreamExt;
use mailmesh_testkit::eventually;
use serde_json::Value;

use crate::locked::{Servers, inbox};

/// A client that keeps what the server refuses it.
pub(crate) struct User {
    pub(crate) client: Client,
    pub(crate) refusals: Arc<Mutex<Vec<String>>>,
    prefix: String,
}

impl User {
    pub(crate) async fn connect(servers: &Servers, user: &str) -> anyhow::Result<Self> {
        let refusals = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&refusals);
        let url = servers.url(user);
        let (password, _) = url.rsplit_once('@').context("no user")?;
        let (_, password) = password.rsplit_once(':').context("no password")?;
        let client = ConnectOptions::new()
            .user_and_password(user.to_owned(), password.to_owned())
            .custom_inbox_prefix(inbox(user))
            .request_timeout(Some(Duration::from_secs(5)))
            .event_callback(move |event| {
                if let Event::ServerError(error) = event {
                    kept.lock().unwrap().push(error.to_string().to_lowercase());
                }
                std::future::ready(())
            })
            .connect(servers.nats.url())
            .await?;
        Ok(Self {
            client,
            refusals,
            prefix: servers.address.bus.prefix.clone(),
        })
    }

    pub(crate) fn subject(&self, subject: &str) -> String {
        if subject.starts_with(['$', '_']) {
            subject.replace("<p>", &self.prefix)
        } else {
            format!("{}.{subject}", self.prefix)
        }
    }

    pub(crate) fn stream(&self, name: &str) -> String {
        format!("{}_{name}", self.prefix)
    }

    /// Asks a consumer for a message.
    pub(crate) async fn pull(&self, address: &str, request: &str) -> anyhow::Result<Message> {
        let mut answers = self.pull_many(address, request).await?;
        next(&mut answers).await
    }

    /// Asks a consumer for messages. They come on their own subjects, so a plain request would not know them for its answers.
    pub(crate) async fn pull_many(
        &self,
        address: &str,
        request: &str,
    ) -> anyhow::Result<Subscriber> {
        let inbox = self.client.new_inbox();
        let answers = self.client.subscribe(inbox.clone()).await?;
        let request = request.to_owned().into();
        let address = address.to_owned();
        self.client
            .publish_with_reply(address, inbox, request)
            .await?;
        Ok(answers)
    }

    /// Tries to publish and to subscribe, and returns what of it was refused.
    pub(crate) async fn refused(
        &self,
        publish: &[&str],
        subscribe: &[&str],
    ) -> anyhow::Result<Vec<String>> {
        for subject in publish {
            let subject = self.subject(subject);
            self.client.publish(subject, "x".into()).await?;
        }
        for subject in subscribe {
            self.client.subscribe(self.subject(subject)).await?;
        }
        let seen = self.take_refusals().await?;
        let is_seen = |kind: &str, subject: &str| {
            let quoted = format!("\"{}\"", self.subject(subject).to_lowercase());
            seen.iter()
                .any(|text| text.contains(kind) && text.contains(&quoted))
        };
        let published = publish.iter().filter(|each| is_seen("publish", each));
        let subscribed = subscribe
            .iter()
            .filter(|each| is_seen("subscription", each));
        Ok(published
            .chain(subscribed)
            .map(|each| (*each).to_owned())
            .collect())
    }

    /// Returns what was refused up to now.
    pub(crate) async fn take_refusals(&self) -> anyhow::Result<Vec<String>> {
        // Refusals come in order: this one is the last.
        self.client.publish("end.of.it", "".into()).await?;
        self.client.flush().await?;
        let seen = eventually("the last refusal comes", async || {
            let refusals = self.refusals.lock().unwrap();
            let is_end = refusals.iter().any(|text| text.contains("end.of.it"));
            is_end.then(|| refusals.clone()).ok_or("none yet")
        });
        let seen = seen.await?;
        self.refusals.lock().unwrap().clear();
        Ok(seen)
    }
}

/// Returns the next message, which must come soon.
pub(crate) async fn next(messages: &mut Subscriber) -> anyhow::Result<Message> {
    let message = tokio::time::timeout(Duration::from_secs(20), messages.next()).await;
    message
        .context("nothing came")?
        .context("the subscription ended")
}

/// Returns what the JetStream API answers.
pub(crate) async fn ask(client: &Client, address: &str, body: &Value) -> anyhow::Result<Value> {
    let request = client.request(address.to_owned(), body.to_string().into());
    let answer = request.await.with_context(|| address.to_owned())?;
    let answer: Value = serde_json::from_slice(&answer.payload)?;
    ensure!(answer.get("error").is_none(), "{address}: {answer}");
    Ok(answer)
}
