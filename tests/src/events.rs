use std::collections::BTreeMap;

use anyhow::{Context, bail};
use async_nats::jetstream::stream::{DirectGetErrorKind, Stream};
use async_nats::jetstream::{self, message::StreamMessage};
use mailmesh_testkit::eventually;
use serde_json::Value;

/// The streams of a mesh.
const STREAMS: [&str; 4] = ["EVENTS", "MAIL_SEND", "DEAD_LETTERS", "MAIL_RAW"];

/// Everything that the mesh has published, read from the stream itself.
#[derive(Debug)]
pub struct Events {
    jetstream: jetstream::Context,
    prefix: String,
    stream: Stream,
    next: u64,
    seen: Vec<SeenEvent>,
}

/// One published event.
#[derive(Debug, Clone)]
pub struct SeenEvent {
    /// Such as `mail.received`.
    pub name: String,
    /// The account's key, or the grant's id.
    pub key: String,
    /// The CloudEvents id.
    pub id: String,
    /// The body.
    pub data: Value,
}

impl SeenEvent {
    /// Returns a text field of the body; empty when there is none.
    pub fn text(&self, field: &str) -> &str {
        self.data
            .get(field)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }
}

impl Events {
    /// Connects; the streams must be there.
    ///
    /// # Errors
    ///
    /// Fails when NATS does not answer.
    pub async fn connect(nats_url: &str, prefix: &str) -> anyhow::Result<Self> {
        let mut options = async_nats::ConnectOptions::new().retry_on_initial_connect();
        let mut url = url::Url::parse(nats_url)?;
        // async-nats reads the user in an address and does not use it.
        if let Some(password) = url.password() {
            options = options.user_and_password(url.username().to_owned(), password.to_owned());
            let without = url.set_username("").and_then(|()| url.set_password(None));
            without.map_err(|()| anyhow::anyhow!("an address without a host"))?;
        }
        let client = options.connect(url.as_str()).await?;
        let jetstream = jetstream::new(client);
        let stream = jetstream.get_stream(format!("{prefix}_EVENTS")).await?;
        Ok(Self {
            jetstream,
            prefix: prefix.to_owned(),
            stream,
            next: 1,
            seen: Vec::new(),
        })
    }

    /// Reads what came since the last look and returns all events so far.
    ///
    /// # Errors
    ///
    /// Fails when NATS does not answer.
    pub async fn all(&mut self) -> anyhow::Result<&[SeenEvent]> {
        while let Some(message) = next(&self.stream, self.next).await? {
            self.next = message.sequence + 1;
            self.seen.extend(self.seen_event(&message)?);
        }
        Ok(&self.seen)
    }

    /// Returns the events of one name so far, of one account if a key is given.
    ///
    /// # Errors
    ///
    /// Fails when NATS does not answer.
    pub async fn named(&mut self, name: &str, key: Option<&str>) -> anyhow::Result<Vec<SeenEvent>> {
        let all = self.all().await?;
        let is_meant =
            |event: &&SeenEvent| event.name == name && key.is_none_or(|key| event.key == key);
        Ok(all.iter().filter(is_meant).cloned().collect())
    }

    /// Waits until there are at least `count` events of one name, and returns them.
    ///
    /// # Errors
    ///
    /// Says how many there are when the time is over.
    pub async fn wait(
        &mut self,
        name: &str,
        key: Option<&str>,
        count: usize,
    ) -> anyhow::Result<Vec<SeenEvent>> {
        let what = format!("{count} × {name}");
        eventually(&what, async || {
            let found = self.named(name, key).await?;
            if found.len() < count {
                let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
                for event in &self.seen {
                    *counts.entry(&event.name).or_default() += 1;
                }
                bail!("{} of them; all events: {counts:?}", found.len());
            }
            Ok(found)
        })
        .await
    }

    /// Returns how many messages a stream holds.
    ///
    /// # Errors
    ///
    /// Fails when NATS does not answer.
    pub async fn count(&self, stream: &str) -> anyhow::Result<u64> {
        let mut stream = self.stream(stream).await?;
        Ok(stream.info().await?.state.messages)
    }

    /// Deletes a stream, as somebody may do by mistake; what it held was seen.
    ///
    /// # Errors
    ///
    /// Fails when NATS does not answer.
    pub async fn delete_stream(&mut self, name: &str) -> anyhow::Result<()> {
        let name = format!("{}_{name}", self.prefix);
        self.jetstream.delete_stream(name).await?;
        self.next = 1;
        Ok(())
    }

    /// Returns every message of every stream: headers and body as one text, with its place.
    ///
    /// # Errors
    ///
    /// Fails when NATS does not answer.
    pub async fn everything(&self) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
        let mut everything = Vec::new();
        for name in STREAMS {
            let stream = self.stream(name).await?;
            let mut sequence = 1;
            while let Some(message) = next(&stream, sequence).await? {
                sequence = message.sequence + 1;
                let place = format!("{name} {} {}", message.sequence, message.subject);
                let mut bytes = format!("{:?}\n", message.headers).into_bytes();
                bytes.extend_from_slice(&message.payload);
                everything.push((place, bytes));
            }
        }
        Ok(everything)
    }

    /// Removes the streams of this mesh: the server may outlive the tests.
    ///
    /// # Errors
    ///
    /// Fails when NATS does not answer.
    pub async fn delete_streams(&self) -> anyhow::Result<()> {
        for name in STREAMS {
            let name = format!("{}_{name}", self.prefix);
            self.jetstream.delete_stream(name).await?;
        }
        Ok(())
    }

    async fn stream(&self, name: &str) -> anyhow::Result<Stream> {
        let name = format!("{}_{name}", self.prefix);
        Ok(self.jetstream.get_stream(name).await?)
    }

    fn seen_event(&self, message: &StreamMessage) -> anyhow::Result<Option<SeenEvent>> {
        let subject = message.subject.as_str();
        let subject = subject
            .strip_prefix(&format!("{}.", self.prefix))
            .with_context(|| format!("{subject} lacks the prefix"))?;
        // A fence has one token less.
        let Some((name, key)) = subject
            .rsplit_once('.')
            .filter(|(name, _)| name.contains('.'))
        else {
            return Ok(None);
        };
        let id = message.headers.get("ce-id").map(ToString::to_string);
        Ok(Some(SeenEvent {
            name: name.to_owned(),
            key: key.to_owned(),
            id: id.with_context(|| format!("{subject} has no ce-id"))?,
            data: serde_json::from_slice(&message.payload)?,
        }))
    }
}

/// Returns the first message at or after a sequence.
async fn next(stream: &Stream, sequence: u64) -> anyhow::Result<Option<StreamMessage>> {
    match stream
        .direct_get_next_for_subject(">", Some(sequence))
        .await
    {
        Ok(message) => Ok(Some(message)),
        Err(error) if error.kind() == DirectGetErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}
