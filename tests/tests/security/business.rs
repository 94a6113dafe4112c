use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use async_nats::{Client, ConnectOptions, Event, Message};
use futures_util::StreamExt;
use mailmesh_bus::Bus;
use mailmesh_testkit::eventually;
use serde_json::json;

use crate::locked::{CLIENTS, DESK, OPERATOR, Servers, inbox};

/// A client that keeps what the server refuses it.
struct User {
    client: Client,
    refusals: Arc<Mutex<Vec<String>>>,
    prefix: String,
}

impl User {
    async fn connect(servers: &Servers, user: &str) -> anyhow::Result<Self> {
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

    fn subject(&self, subject: &str) -> String {
        if subject.starts_with(['$', '_']) {
            subject.replace("<p>", &self.prefix)
        } else {
            format!("{}.{subject}", self.prefix)
        }
    }

    /// Asks a consumer for a message. It comes on its own subject, so a plain request would not know it for its answer.
    async fn pull(&self, address: &str, request: &str) -> anyhow::Result<Message> {
        let inbox = self.client.new_inbox();
        let mut answers = self.client.subscribe(inbox.clone()).await?;
        let request = request.to_owned().into();
        let address = address.to_owned();
        self.client
            .publish_with_reply(address, inbox, request)
            .await?;
        let answer = tokio::time::timeout(Duration::from_secs(20), answers.next()).await;
        answer
            .context("no answer")?
            .context("the subscription ended")
    }

    /// Tries to publish and to subscribe, and returns what of it was refused.
    async fn refused(&self, publish: &[&str], subscribe: &[&str]) -> anyhow::Result<Vec<String>> {
        for subject in publish {
            let subject = self.subject(subject);
            self.client.publish(subject, "x".into()).await?;
        }
        for subject in subscribe {
            self.client.subscribe(self.subject(subject)).await?;
        }
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
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_business_system_sends_from_its_account_and_does_nothing_else() {
    let servers = Servers::start().await.unwrap();
    let bus = Bus::connect(&servers.address.bus).await.unwrap();
    bus.ensure_streams().await.unwrap();
    let desk = User::connect(&servers, DESK).await.unwrap();

    let not_published = [
        "mail.send",
        "mail.send.other-out",
        "mail.cancel.other-out",
        "mail.received.support",
        "mail.sent.support-out",
        "token.refreshed.x",
        "token.refresh",
        "fence.support",
        "raw.x.0",
        "dead_letter.x",
        "outbound.due",
        "_INBOX_outbound-sender.x",
        "$JS.API.STREAM.CREATE.desk",
        "$JS.API.STREAM.DELETE.<p>_EVENTS",
        "$JS.API.STREAM.PURGE.<p>_MAIL_SEND",
        "$JS.API.STREAM.UPDATE.<p>_EVENTS",
        "$JS.API.STREAM.MSG.DELETE.<p>_EVENTS",
        "$JS.API.STREAM.MSG.GET.<p>_EVENTS",
        "$JS.API.STREAM.INFO.<p>_EVENTS",
        "$JS.API.DIRECT.GET.<p>_EVENTS",
        "$JS.API.DIRECT.GET.<p>_MAIL_RAW.<p>.raw.x.0",
        "$JS.API.CONSUMER.CREATE.<p>_EVENTS.desk",
        "$JS.API.CONSUMER.DURABLE.CREATE.<p>_EVENTS.desk",
        "$JS.API.CONSUMER.DELETE.<p>_EVENTS.other",
        "$JS.API.CONSUMER.MSG.NEXT.<p>_EVENTS.other",
        "$JS.API.CONSUMER.MSG.NEXT.<p>_MAIL_SEND.outbound-sender-send-mail",
        "$JS.ACK.<p>_MAIL_SEND.outbound-sender-send-mail.1.1.1.1.0",
        "$JS.ACK._.hash.<p>_MAIL_SEND.outbound-sender-send-mail.1.1.1.1.0",
        "$JS.ACK.<p>_EVENTS.other.1.1.1.1.0",
    ];
    let not_subscribed = [
        "mail.received",
        "mail.received.other",
        "mail.send.support-out",
        "mail.send.>",
        "raw.>",
        "_INBOX.>",
        "_INBOX_admin.>",
        "_INBOX_clients.>",
        "$JS.API.>",
        "$SYS.>",
    ];
    let refused = desk.refused(&not_published, &not_subscribed).await.unwrap();
    assert_eq!(refused, [&not_published[..], &not_subscribed[..]].concat());

    let may_publish = ["mail.send.support-out", "mail.cancel.support-out"];
    let may_subscribe = [
        "mail.received.support",
        "mail.sent.support-out",
        "_INBOX_desk.x",
    ];
    let refused = desk.refused(&may_publish, &may_subscribe).await.unwrap();
    assert_eq!(refused, Vec::<String>::new());
    let everything = bus.read_back("mail.received.support", 0).unwrap();
    assert!(everything.collect_all().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn systems_that_may_use_every_account_still_publish_no_events_and_touch_no_streams() {
    let servers = Servers::start().await.unwrap();
    let bus = Bus::connect(&servers.address.bus).await.unwrap();
    bus.ensure_streams().await.unwrap();
    let clients = User::connect(&servers, CLIENTS).await.unwrap();

    let not_published = [
        "mail.received.support",
        "mail.sent.a",
        "account.changed.a",
        "token.refreshed.x",
        "token.refresh",
        "fence.support",
        "raw.x.0",
        "_INBOX_admin.x",
        "$JS.API.STREAM.CREATE.mine",
        "$JS.API.STREAM.DELETE.<p>_EVENTS",
        "$JS.API.STREAM.PURGE.<p>_EVENTS",
        "$JS.API.STREAM.UPDATE.<p>_EVENTS",
        "$JS.API.STREAM.MSG.DELETE.<p>_MAIL_SEND",
        "$JS.API.CONSUMER.CREATE.<p>_MAIL_SEND.outbound-sender-send-mail",
        "$JS.API.CONSUMER.DELETE.<p>_MAIL_SEND.outbound-sender-send-mail",
        "$JS.API.CONSUMER.MSG.NEXT.<p>_MAIL_SEND.outbound-sender-send-mail",
        "$JS.ACK.<p>_MAIL_SEND.outbound-sender-send-mail.1.1.1.1.0",
    ];
    let not_subscribed = ["mail.send", "mail.send.a", "raw.x.0", "_INBOX_admin.>", ">"];
    let refused = clients
        .refused(&not_published, &not_subscribed)
        .await
        .unwrap();
    assert_eq!(refused, [&not_published[..], &not_subscribed[..]].concat());

    let may_publish = ["mail.send", "mail.send.a", "mail.cancel", "mail.cancel.a"];
    let may_subscribe = ["mail.received", "mail.received.*", "mail.sent"];
    let refused = clients.refused(&may_publish, &may_subscribe).await.unwrap();
    assert_eq!(refused, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_business_system_reads_with_the_consumer_that_an_operator_made() -> anyhow::Result<()> {
    let servers = Servers::start().await?;
    let bus = Bus::connect(&servers.address.bus).await?;
    bus.ensure_streams().await?;
    let prefix = servers.address.bus.prefix.clone();
    let (stream, filter) = (
        format!("{prefix}_EVENTS"),
        format!("{prefix}.mail.received.support"),
    );
    let operator = User::connect(&servers, OPERATOR).await?;
    let consumer = json!({
        "stream_name": stream,
        "config": {
            "durable_name": DESK, "filter_subject": filter, "ack_policy": "explicit", "ack_wait": 1_000_000_000
        },
    });
    let create = format!("$JS.API.CONSUMER.CREATE.{stream}.{DESK}.{filter}");
    let made = operator
        .client
        .request(create, consumer.to_string().into())
        .await?;
    assert!(
        !String::from_utf8_lossy(&made.payload).contains("error"),
        "{made:?}"
    );
    for account in ["support", "other"] {
        let outgoing = mailmesh_bus::Outgoing {
            subject: format!("mail.received.{account}"),
            payload: account.to_owned().into(),
            ..mailmesh_bus::Outgoing::default()
        };
        bus.publish(outgoing).await?;
    }

    let desk = User::connect(&servers, DESK).await?;
    let next = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{DESK}");
    let message = desk.pull(&next, "").await?;
    assert_eq!(&message.payload[..], b"support");
    let reply = message.reply.context("no reply subject")?;
    // Confirmed: so the acknowledgement was let through.
    desk.client
        .request(reply, "+ACK".into())
        .await
        .with_context(|| format!("ack: {:?}", desk.refusals))?;
    let none = desk.pull(&next, r#"{"batch":1,"no_wait":true}"#).await?;
    assert_eq!(
        none.status.map(|status| status.as_u16()),
        Some(404),
        "{none:?}"
    );
    assert!(desk.refusals.lock().unwrap().is_empty());
    Ok(())
}
