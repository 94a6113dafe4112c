//! Messages whose headers the NATS client cannot read, as any other client may publish them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use mailmesh_bus::{BusSettings, ConsumerSettings, Delivery, Handler, HandlerError, StreamKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::world::{background, bus_with, eventually, outgoing, plain_client, settings, url};

const BARE_CR: &[u8] = b"NATS/1.0\r\nnote: a\rb\r\n\r\n";

/// Publishes as a client does that does not look at what it sends.
async fn publish_raw(server: &str, subject: &str, headers: &[u8], payload: &[u8]) -> Result<()> {
    let address = server.trim_start_matches("nats://");
    let mut socket = TcpStream::connect(address).await?;
    let mut wire = b"CONNECT {\"headers\":true,\"verbose\":false}\r\nHPUB ".to_vec();
    wire.extend_from_slice(subject.as_bytes());
    let total = headers.len() + payload.len();
    wire.extend_from_slice(format!(" {} {total}\r\n", headers.len()).as_bytes());
    wire.extend_from_slice(headers);
    wire.extend_from_slice(payload);
    wire.extend_from_slice(b"\r\nPING\r\n");
    socket.write_all(&wire).await?;
    let mut heard = Vec::new();
    let mut part = [0; 4096];
    while !heard.windows(4).any(|window| window == b"PONG") {
        let count = socket.read(&mut part).await?;
        anyhow::ensure!(count > 0, "the server hung up");
        heard.extend_from_slice(part.get(..count).unwrap_or_default());
    }
    Ok(())
}

/// Counts how often it has seen each body.
#[derive(Default)]
struct Counter {
    seen: Mutex<BTreeMap<String, usize>>,
}

impl Counter {
    fn count(&self, delivery: &Delivery) {
        let body = String::from_utf8_lossy(&delivery.payload).into_owned();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        *seen.entry(body).or_default() += 1;
    }

    fn seen(&self) -> BTreeMap<String, usize> {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Handler for Counter {
    const CONSUMER: &'static str = "counter";

    async fn handle(&self, delivery: Delivery) -> Result<(), HandlerError> {
        self.count(&delivery);
        Ok(())
    }
}

fn consumer() -> ConsumerSettings {
    ConsumerSettings::new(StreamKind::MailSend, &["mail.send", "mail.send.*"])
}

async fn publish_bad(settings: &BusSettings, headers: &[u8], body: &str) -> Result<()> {
    let before = left(settings, "MAIL_SEND").await?;
    let subject = format!("{}.mail.send.support", settings.prefix);
    publish_raw(&url()?, &subject, headers, body.as_bytes()).await?;
    eventually("it is stored", async || {
        Ok((left(settings, "MAIL_SEND").await? > before).then_some(()))
    })
    .await
}

async fn left(settings: &BusSettings, stream: &str) -> Result<u64> {
    let jetstream = async_nats::jetstream::new(plain_client().await?);
    let stream = jetstream
        .get_stream(format!("{}_{stream}", settings.prefix))
        .await?;
    Ok(stream.cached_info().state.messages)
}

async fn all_gone(settings: &BusSettings) -> Result<()> {
    eventually("all are handled", async || {
        Ok((left(settings, "MAIL_SEND").await? == 0).then_some(()))
    })
    .await
}

#[tokio::test]
async fn message_that_looks_like_a_status_is_handled() -> Result<()> {
    let settings = settings(&url()?);
    let bus = bus_with(&settings).await?;
    publish_bad(&settings, b"NATS/1.0 100 Idle\r\n\r\n", "status").await?;
    let counter = Arc::new(Counter::default());
    let stop = CancellationToken::new();
    let (of, token, handler) = (bus.clone(), stop.clone(), Arc::clone(&counter));
    let task = background(async move { of.consume(handler, consumer(), token).await });

    all_gone(&settings).await?;
    stop.cancel();
    task.finish().await??;

    assert_eq!(counter.seen(), BTreeMap::from([("status".to_owned(), 1)]));
    Ok(())
}

#[tokio::test]
async fn bus_whose_client_has_ended_makes_a_new_one() -> Result<()> {
    let settings = settings(&url()?);
    let bus = bus_with(&settings).await?;
    let mut hints = bus.subscribe("token.refresh", None).await?;
    bus.flush().await?;
    let subject = format!("{}.token.refresh", settings.prefix);
    publish_raw(&url()?, &subject, BARE_CR, b"bad").await?;
    eventually("the end is noticed", async || {
        Ok((!bus.health().is_connected).then_some(()))
    })
    .await?;

    bus.publish(outgoing("mail.received.a", "1", b"event"))
        .await?;

    bus.check().await?;
    assert_eq!(bus.health().reconnects, 1);
    let heard = eventually("hints are heard again", async || {
        bus.publish_core("token.refresh", &[], "good".into())
            .await?;
        let heard = tokio::time::timeout(Duration::from_millis(100), hints.next()).await;
        Ok(heard.ok().flatten())
    })
    .await?;
    assert_eq!(heard.payload.as_ref(), b"good");
    Ok(())
}
