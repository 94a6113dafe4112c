//! One `UID FETCH` of everything, its bodies published to a bare stream without waiting: each by itself, or in atomic batches.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use async_nats::header::{
    HeaderMap, NATS_BATCH_COMMIT, NATS_BATCH_COMMIT_FINAL, NATS_BATCH_ID, NATS_BATCH_SEQUENCE,
};
use async_nats::jetstream;
use async_nats::jetstream::context::PublishAckFuture;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::Config;
use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::tls::connect;
use crate::provider::Provider;

/// As many as the mesh puts into one.
const BATCH: usize = 200;

/// How the bodies are published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Publishing {
    OneByOne,
    InBatches,
}

/// Fetches and publishes all mails of a mailbox; returns how many there were and how long it took.
pub(crate) async fn fetch_and_publish(
    provider: &Provider,
    nats_url: &str,
    address: &str,
    publishing: Publishing,
) -> anyhow::Result<(usize, Duration)> {
    let client = async_nats::connect(nats_url).await?;
    let context = jetstream::new(client);
    context
        .create_stream(Config {
            name: "LIMIT".to_owned(),
            subjects: vec!["limit.*".to_owned()],
            allow_atomic_publish: true,
            ..Config::default()
        })
        .await?;
    let mut reader = Reader {
        stream: connect(provider.imap_port(), provider.ca_pem()).await?,
        buffer: BytesMut::with_capacity(1024 * 1024),
    };
    reader.line().await?;
    reader
        .command(&format!("a LOGIN {address} password"))
        .await?;
    reader.command("b SELECT INBOX").await?;

    let started = Instant::now();
    reader
        .write("c UID FETCH 1:* (UID BODY.PEEK[])\r\n")
        .await?;
    let mut publisher = Publisher {
        context: context.clone(),
        publishing,
        count: 0,
        acks: Vec::new(),
    };
    // One is held back, since the last of a batch says so.
    let mut held = reader.body("c ").await?;
    while let Some(body) = held {
        held = reader.body("c ").await?;
        publisher.publish(body, held.is_none()).await?;
    }
    let count = publisher.count;
    for ack in publisher.acks {
        ack.await?;
    }
    let took = started.elapsed();
    context.delete_stream("LIMIT").await?;
    Ok((count, took))
}

struct Publisher {
    context: jetstream::Context,
    publishing: Publishing,
    count: usize,
    acks: Vec<PublishAckFuture>,
}

impl Publisher {
    async fn publish(&mut self, body: Bytes, is_last: bool) -> anyhow::Result<()> {
        let subject = format!("limit.{}", self.count);
        let (batch, place) = (self.count / BATCH, self.count % BATCH + 1);
        self.count += 1;
        if self.publishing == Publishing::OneByOne {
            self.acks.push(self.context.publish(subject, body).await?);
            return Ok(());
        }
        let mut headers = HeaderMap::new();
        headers.insert(NATS_BATCH_ID, format!("limit-{batch}"));
        headers.insert(NATS_BATCH_SEQUENCE, place.to_string());
        if place < BATCH && !is_last {
            let client = self.context.client();
            client.publish_with_headers(subject, headers, body).await?;
            return Ok(());
        }
        headers.insert(NATS_BATCH_COMMIT, NATS_BATCH_COMMIT_FINAL);
        let message = PublishMessage::build().headers(headers).payload(body);
        let ack = self.context.send_publish(subject, message).await?;
        self.acks.push(ack);
        Ok(())
    }
}

struct Reader {
    stream: TlsStream<TcpStream>,
    buffer: BytesMut,
}

impl Reader {
    async fn write(&mut self, text: &str) -> anyhow::Result<()> {
        self.stream.write_all(text.as_bytes()).await?;
        Ok(self.stream.flush().await?)
    }

    async fn command(&mut self, command: &str) -> anyhow::Result<()> {
        self.write(&format!("{command}\r\n")).await?;
        let tag = command.split(' ').next().context("a tag")?.to_owned() + " ";
        loop {
            let line = self.line().await?;
            if let Some(status) = line.strip_prefix(&tag) {
                ensure!(status.starts_with("OK"), "{line}");
                return Ok(());
            }
        }
    }

    /// Returns the next literal, or none at the tagged reply.
    async fn body(&mut self, tag: &str) -> anyhow::Result<Option<Bytes>> {
        loop {
            let line = self.line().await?;
            if line.starts_with(tag) {
                return Ok(None);
            }
            let length = line
                .rsplit_once('{')
                .and_then(|(_, rest)| rest.strip_suffix('}'));
            if let Some(length) = length {
                return Ok(Some(self.take(length.parse()?).await?));
            }
        }
    }

    async fn line(&mut self) -> anyhow::Result<String> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                let line = self.buffer.split_to(end);
                self.buffer.advance(2);
                return Ok(String::from_utf8_lossy(&line).into_owned());
            }
            self.fill().await?;
        }
    }

    async fn take(&mut self, length: usize) -> anyhow::Result<Bytes> {
        while self.buffer.len() < length {
            self.fill().await?;
        }
        Ok(self.buffer.split_to(length).freeze())
    }

    async fn fill(&mut self) -> anyhow::Result<()> {
        self.buffer.reserve(256 * 1024);
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            bail!("the server closed the connection");
        }
        Ok(())
    }
}
