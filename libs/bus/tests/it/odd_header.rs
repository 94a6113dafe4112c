//! Messages whose headers the NATS client cannot read, as any other client may publish them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use mailmesh_bus::{
    Bus, BusSettings, ConsumerSettings, Delivery, Handler, HandlerError, StreamKind,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::world::{background, bus_with, eventually, left, outgoing, plain_client, settings, url};

/// What comes behind a bad message on the same connection may wait this long, once.
const ACK_WAIT: Duration = Duration::from_secs(5);

const BARE_CR: &[u8] = b"NATS/1.0\r\nnote: a\rb\r\n\r\n";
const NO_COLON: &[u8] = b"NATS/1.0\r\nnote: a\r\nb\r\n\r\n";
const SPACE_IN_NAME: &[u8] = b"NATS/1.0\r\nmy note: a\r\n\r\n";
const NOT_UTF8: &[u8] = b"NATS/1.0\r\nnote: \xff\r\n\r\n";

/// Publishes as a client does that does not look at what it sends.
async fn publish_raw(server: &str, subject: &[u8], headers: &[u8], payload: &[u8]) -> Result<()> {
    let address = server.trim_start_matches("nats://");
    let mut socket = TcpStream::connect(address).await?;
    let mut wire = b"CONNECT {\"headers\":true,\"verbose\":false}\r\nHPUB ".to_vec();
    wire.extend_from_slice(subject);
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

    type Prepared = Vec<Delivery>;

    async fn prepare(&self, deliveries: Vec<Delivery>) -> Vec<Delivery> {
        deliveries
    }

    async fn finish(&self, deliveries: Vec<Delivery>) -> Vec<Result<(), HandlerError>> {
        deliveries
            .iter()
            .map(|delivery| {
                self.count(delivery);
                Ok(())
            })
            .collect()
    }
}

fn consumer() -> ConsumerSettings {
    ConsumerSettings {
        ack_wait: ACK_WAIT,
        work_timeout: Duration::from_secs(1),
        ..ConsumerSettings::new(StreamKind::MailSend, &["mail.send", "mail.send.*"])
    }
}

/// Publishes some good messages, as the bus does.
async fn publish_good(bus: &Bus, bodies: &[&str]) -> Result<()> {
    for body in bodies {
        bus.publish(outgoing("mail.send.support", body, body.as_bytes()))
            .await?;
    }
    Ok(())
}

async fn publish_bad(settings: &BusSettings, headers: &[u8], body: &str) -> Result<()> {
    let before = left(settings, "MAIL_SEND").await?;
    let subject = format!("{}.mail.send.support", settings.prefix);
    publish_raw(&url()?, subject.as_bytes(), headers, body.as_bytes()).await?;
    eventually("it is stored", async || {
        Ok((left(settings, "MAIL_SEND").await? > before).then_some(()))
    })
    .await
}

async fn all_gone(settings: &BusSettings) -> Result<()> {
    eventually("all are handled", async || {
        Ok((left(settings, "MAIL_SEND").await? == 0).then_some(()))
    })
    .await
}

/// Runs a consumer over good, bad, good; checks that the good ones are handled and the bad one is a dead letter.
async fn bad_one_becomes_a_dead_letter(headers: &[u8], reason: &str) -> Result<()> {
    let settings = settings(&url()?);
    let bus = bus_with(&settings).await?;
    publish_good(&bus, &["before 1", "before 2"]).await?;
    publish_bad(&settings, headers, "bad").await?;
    publish_good(&bus, &["behind 1", "behind 2"]).await?;
    let mut hints = bus.subscribe("mail.received", None).await?;
    let counter = Arc::new(Counter::default());
    let stop = CancellationToken::new();
    let (of, token, handler) = (bus.clone(), stop.clone(), Arc::clone(&counter));
    let started = Instant::now();
    let task = background(async move { of.consume(handler, consumer(), token).await });

    all_gone(&settings).await?;
    assert!(started.elapsed() < 2 * ACK_WAIT, "{:?}", started.elapsed());
    publish_good(&bus, &["later"]).await?;
    all_gone(&settings).await?;
    stop.cancel();
    task.finish().await??;

    let once = ["before 1", "before 2", "behind 1", "behind 2", "later"];
    let once: BTreeMap<String, usize> = once.map(|body| (body.to_owned(), 1)).into();
    assert_eq!(counter.seen(), once);
    assert_eq!(left(&settings, "DEAD_LETTERS").await?, 1);
    let jetstream = async_nats::jetstream::new(plain_client().await?);
    let letters = jetstream
        .get_stream(format!("{}_DEAD_LETTERS", settings.prefix))
        .await?;
    let letter = letters.get_raw_message(1).await?;
    assert_eq!(letter.payload.as_ref(), b"bad");
    let header = |name: &str| letter.headers.get(name).map(ToString::to_string);
    assert_eq!(header("Mailmesh-Reason").as_deref(), Some(reason));
    assert_eq!(header("Mailmesh-Consumer").as_deref(), Some("counter"));
    assert_eq!(header("Mailmesh-Stream").as_deref(), Some("MAIL_SEND"));
    assert_eq!(header("Mailmesh-Sequence").as_deref(), Some("3"));
    assert_eq!(
        header("Mailmesh-Subject").as_deref(),
        Some("mail.send.support")
    );
    // What else shares the bus has noticed nothing.
    bus.publish(outgoing("mail.received.a", "1", b"event"))
        .await?;
    let hint = hints.next().await.context("heard")?;
    assert_eq!(hint.payload.as_ref(), b"event");
    assert_eq!(bus.health().reconnects, 0);
    Ok(())
}

#[tokio::test]
async fn bus_whose_client_has_ended_makes_a_new_one() -> Result<()> {
    let settings = settings(&url()?);
    let bus = bus_with(&settings).await?;
    let mut hints = bus.subscribe("token.refresh", None).await?;
    let subject = format!("{}.token.refresh", settings.prefix);
    eventually("the client ends", async || {
        publish_raw(&url()?, subject.as_bytes(), BARE_CR, b"bad").await?;
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

#[tokio::test]
async fn bare_carriage_return_in_a_value_stops_nobody() -> Result<()> {
    bad_one_becomes_a_dead_letter(BARE_CR, "cannot be read: a header value holds a line break")
        .await
}

#[tokio::test]
async fn header_line_without_a_colon_stops_nobody() -> Result<()> {
    bad_one_becomes_a_dead_letter(NO_COLON, "cannot be read: a header line has no colon").await
}

#[tokio::test]
async fn header_name_with_a_space_stops_nobody() -> Result<()> {
    bad_one_becomes_a_dead_letter(
        SPACE_IN_NAME,
        "cannot be read: a header name holds a space or a control character, or is not ASCII",
    )
    .await
}

#[tokio::test]
async fn header_that_is_not_utf8_stops_nobody() -> Result<()> {
    bad_one_becomes_a_dead_letter(NOT_UTF8, "cannot be read: the headers are not UTF-8").await
}

#[tokio::test]
async fn many_bad_ones_cost_the_good_ones_one_ack_wait() -> Result<()> {
    let settings = settings(&url()?);
    let bus = bus_with(&settings).await?;
    let subject = format!("{}.mail.send.support", settings.prefix);
    let kinds = [BARE_CR, NO_COLON, SPACE_IN_NAME, NOT_UTF8];
    for part in 0..40 {
        let many = (0..20).map(|n| outgoing("mail.send", &format!("{part}-{n}"), b"good"));
        for answer in bus.publish_all(many.collect()).await {
            answer?;
        }
        let headers = kinds.get(part % 4).copied().unwrap_or(BARE_CR);
        publish_raw(
            &url()?,
            subject.as_bytes(),
            headers,
            format!("bad {part}").as_bytes(),
        )
        .await?;
    }
    let counter = Arc::new(Counter::default());
    let stop = CancellationToken::new();
    let mut replicas = Vec::new();
    let started = Instant::now();
    for of in [bus.clone(), Bus::connect(&settings).await?] {
        let (token, handler) = (stop.clone(), Arc::clone(&counter));
        let few = ConsumerSettings {
            max_in_hand: 50,
            ..consumer()
        };
        replicas.push(background(
            async move { of.consume(handler, few, token).await },
        ));
    }

    all_gone(&settings).await?;
    assert!(started.elapsed() < 2 * ACK_WAIT, "{:?}", started.elapsed());
    stop.cancel();
    for replica in replicas {
        replica.finish().await??;
    }

    assert_eq!(counter.seen(), BTreeMap::from([("good".to_owned(), 800)]));
    assert_eq!(left(&settings, "DEAD_LETTERS").await?, 40);
    Ok(())
}

/// What the bus thinks of header blocks is what the client makes of them: a message is looked at only after the client
/// has failed, and one that is wrongly taken for readable would stay.
#[tokio::test]
async fn bus_and_client_agree_on_what_can_be_read() -> Result<()> {
    let settings = settings(&url()?);
    let bus = bus_with(&settings).await?;
    let counter = Arc::new(Counter::default());
    let stop = CancellationToken::new();
    let (of, token, handler) = (bus.clone(), stop.clone(), Arc::clone(&counter));
    let task = background(async move { of.consume(handler, consumer(), token).await });

    let readable: [(&[u8], &[u8]); 10] = [
        (b"a", b"NATS/1.0\r\n\r\n"),
        (b"a", b"NATS/1.0\r\nNats-Msg-Id:1\r\n:\r\nempty:\r\n\r\n"),
        (b"a", b"NATS/1.0\r\nfolded: a\r\n b\r\n\tc\r\n\r\n"),
        (b"a", b"NATS/1.0\r\nbreak-in-the-end: a\r\r\n\r\n"),
        (b"a", b"NATS/1.0\nbare: line feeds\n\n"),
        (b"a", b"NATS/1.0 503\r\n\r\n"),
        (b"a", b"NATS/1.0 409 Message Size Exceeds MaxBytes\r\n\r\n"),
        (b"a", b"NATS/1.0\r\nnul: a\0b\r\nword: \xc3\xa4\r\n\r\n"),
        (b"a", b"NATS/1.0"),
        (b"b\xc3\xbcro", b"NATS/1.0\r\n\r\n"),
    ];
    let unreadable: [(&[u8], &[u8]); 9] = [
        (b"a", b"note: a\r\n\r\n"),
        (b"a", b"\r\n"),
        (b"a", b"NATS/1.0\r\nnote: a\nb\r\n\r\n"),
        (b"a", b"NATS/1.0\r\n \r\n\r\n"),
        (b"a", b"NATS/1.0\r\nnote : a\r\n\r\n"),
        (b"a", b"NATS/1.0\r\nn\xc3\xb6te: a\r\n\r\n"),
        (b"a", b"NATS/1.0\r\nnote: a\r\r\n b\r\n\r\n"),
        (b"a\xff", b"NATS/1.0\r\n\r\n"),
        (b"a\xc2\xa0b", b"NATS/1.0\r\n\r\n"),
    ];
    let (mut read, mut buried) = (0, 0);
    let all = readable.iter().map(|sample| (sample, true));
    let all = all.chain(unreadable.iter().map(|sample| (sample, false)));
    for ((token, headers), is_readable) in all {
        let shown = String::from_utf8_lossy(headers);
        let subject = [settings.prefix.as_bytes(), b".mail.send.", token].concat();
        publish_raw(&url()?, &subject, headers, b"sample").await?;
        if is_readable {
            read += 1;
        } else {
            buried += 1;
        }
        eventually(&format!("it is settled: {shown:?}"), async || {
            let seen = counter.seen().values().sum::<usize>();
            let letters = left(&settings, "DEAD_LETTERS").await?;
            let is_gone = left(&settings, "MAIL_SEND").await? == 0;
            Ok((is_gone && seen == read && letters == buried).then_some(()))
        })
        .await?;
    }
    stop.cancel();
    task.finish().await??;
    Ok(())
}
