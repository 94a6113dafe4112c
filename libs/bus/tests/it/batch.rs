use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, anyhow};
use mailmesh_bus::{ConsumerSettings, Delivery, Handler, HandlerError, StreamKind};
use tokio_util::sync::CancellationToken;

use crate::world::{background, bus_with, eventually, left, outgoing, settings, url};

/// Notes the sizes of its batches; refuses what says so.
#[derive(Default)]
struct Gatherer {
    sizes: Mutex<Vec<usize>>,
    retried: AtomicUsize,
    repeated: AtomicUsize,
}

impl Handler for Gatherer {
    const CONSUMER: &'static str = "gatherer";

    type Prepared = Vec<Delivery>;

    async fn prepare(&self, deliveries: Vec<Delivery>) -> Vec<Delivery> {
        deliveries
    }

    async fn finish(&self, deliveries: Vec<Delivery>) -> Vec<Result<(), HandlerError>> {
        let repeated = deliveries.iter().filter(|delivery| delivery.attempt > 1);
        self.repeated.fetch_add(repeated.count(), Ordering::SeqCst);
        self.sizes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(deliveries.len());
        // As long as a transaction takes, so that the next batch can gather.
        tokio::time::sleep(Duration::from_millis(5)).await;
        let answer = |delivery: Delivery| match delivery.payload.as_ref() {
            b"bad" => Err(HandlerError::dead_letter("bad", anyhow!("as it says"))),
            b"retry once" if delivery.attempt == 1 => {
                self.retried.fetch_add(1, Ordering::SeqCst);
                Err(HandlerError::retry(anyhow!("not yet")).after(Duration::from_millis(10)))
            }
            b"panic once" => {
                assert!(delivery.attempt > 1, "as it says");
                Ok(())
            }
            _ => Ok(()),
        };
        deliveries.into_iter().map(answer).collect()
    }
}

fn consumer(max_in_hand: usize) -> ConsumerSettings {
    ConsumerSettings {
        max_in_hand,
        retry_delays: vec![Duration::from_millis(10)],
        ..ConsumerSettings::new(StreamKind::MailSend, &["mail.send", "mail.send.*"])
    }
}

#[tokio::test]
async fn batches_gather_what_has_come_and_never_exceed_their_bound() -> Result<()> {
    let settings = settings(&url()?);
    let bus = bus_with(&settings).await?;
    let many = (0..1_000).map(|n| outgoing("mail.send", &n.to_string(), b"fine"));
    for answer in bus.publish_all(many.collect()).await {
        answer?;
    }

    let gatherer = Arc::new(Gatherer::default());
    run_until_empty(&settings, &bus, &gatherer, 100).await?;

    let sizes = gatherer.sizes.lock().expect("no panic holds it").clone();
    assert_eq!(sizes.iter().sum::<usize>(), 1_000);
    assert!(sizes.iter().all(|&size| size <= 100), "{sizes:?}");
    assert!(sizes.len() < 100, "{sizes:?}");
    Ok(())
}

#[tokio::test]
async fn request_that_has_brought_all_its_messages_ends_no_other() -> Result<()> {
    let settings = settings(&url()?);
    let bus = bus_with(&settings).await?;
    let gatherer = Arc::new(Gatherer::default());
    let stop = CancellationToken::new();
    let (of, token, handler) = (bus.clone(), stop.clone(), Arc::clone(&gatherer));
    let task = background(async move { of.consume(handler, consumer(16), token).await });
    for chunk in 0..100 {
        let many = (0..20).map(|n| outgoing("mail.send", &format!("{chunk}-{n}"), b"fine"));
        for answer in bus.publish_all(many.collect()).await {
            answer?;
        }
    }
    eventually("all are handled", async || {
        Ok((left(&settings, "MAIL_SEND").await? == 0).then_some(()))
    })
    .await?;
    stop.cancel();
    task.finish().await??;

    let total: usize = gatherer
        .sizes
        .lock()
        .expect("no panic holds it")
        .iter()
        .sum();
    assert_eq!(total, 2_000);
    assert_eq!(gatherer.repeated.load(Ordering::SeqCst), 0);
    Ok(())
}

#[tokio::test]
async fn large_messages_come_in_batches_that_fit_the_memory() -> Result<()> {
    let mut settings = settings(&url()?);
    settings.streams.mail_send_max_bytes = 100_000_000;
    let bus = bus_with(&settings).await?;
    let large = vec![b'x'; 900_000];
    let many = (0..60).map(|n| outgoing("mail.send", &n.to_string(), &large));
    for answer in bus.publish_all(many.collect()).await {
        answer?;
    }

    let gatherer = Arc::new(Gatherer::default());
    run_until_empty(&settings, &bus, &gatherer, 256).await?;

    let sizes = gatherer.sizes.lock().expect("no panic holds it").clone();
    assert_eq!(sizes.iter().sum::<usize>(), 60);
    assert!(sizes.iter().all(|&size| size <= 37), "{sizes:?}");
    Ok(())
}

#[tokio::test]
async fn batch_is_bounded_in_bytes_and_a_larger_message_comes_alone() -> Result<()> {
    let mut settings = settings(&url()?);
    settings.streams.mail_send_max_bytes = 100_000_000;
    let bus = bus_with(&settings).await?;
    let bodies = [vec![b'x'; 100_000], vec![b'x'; 900_000]];
    let many = (0..60).map(|n| outgoing("mail.send", &n.to_string(), &bodies[n / 10 % 2]));
    for answer in bus.publish_all(many.collect()).await {
        answer?;
    }

    let gatherer = Arc::new(Gatherer::default());
    let tight = ConsumerSettings {
        max_batch_bytes: 400_000,
        ..consumer(256)
    };
    let began = tokio::time::Instant::now();
    run_with(&settings, &bus, &gatherer, tight).await?;

    let sizes = gatherer.sizes.lock().expect("no panic holds it").clone();
    assert_eq!(sizes.iter().sum::<usize>(), 60);
    assert!(sizes.iter().all(|&size| size <= 4), "{sizes:?}");
    assert_eq!(gatherer.repeated.load(Ordering::SeqCst), 0);
    assert!(began.elapsed() < Duration::from_secs(10), "it stood still");
    Ok(())
}

#[tokio::test]
async fn each_message_of_a_batch_has_its_own_fate() -> Result<()> {
    let settings = settings(&url()?);
    let bus = bus_with(&settings).await?;
    let bodies = ["fine", "bad", "retry once", "fine too"];
    let many = bodies
        .iter()
        .map(|body| outgoing("mail.send", body, body.as_bytes()));
    for answer in bus.publish_all(many.collect()).await {
        answer?;
    }

    let gatherer = Arc::new(Gatherer::default());
    run_until_empty(&settings, &bus, &gatherer, 10).await?;

    assert_eq!(gatherer.retried.load(Ordering::SeqCst), 1);
    assert_eq!(left(&settings, "DEAD_LETTERS").await?, 1);
    Ok(())
}

#[tokio::test]
async fn panic_in_a_batch_brings_all_of_it_again() -> Result<()> {
    let settings = settings(&url()?);
    let bus = bus_with(&settings).await?;
    let bodies = ["fine", "panic once"];
    let many = bodies
        .iter()
        .map(|body| outgoing("mail.send", body, body.as_bytes()));
    for answer in bus.publish_all(many.collect()).await {
        answer?;
    }

    let gatherer = Arc::new(Gatherer::default());
    run_until_empty(&settings, &bus, &gatherer, 10).await?;

    assert_eq!(left(&settings, "DEAD_LETTERS").await?, 0);
    Ok(())
}

#[tokio::test]
async fn message_is_handed_over_at_once_without_waiting_for_others() -> Result<()> {
    let settings = settings(&url()?);
    let bus = bus_with(&settings).await?;
    let gatherer = Arc::new(Gatherer::default());
    let stop = CancellationToken::new();
    let (of, token, handler) = (bus.clone(), stop.clone(), Arc::clone(&gatherer));
    let task = background(async move { of.consume(handler, consumer(100), token).await });
    bus.publish(outgoing("mail.send", "warm-up", b"fine"))
        .await?;
    eventually("the loop runs", async || {
        Ok((left(&settings, "MAIL_SEND").await? == 0).then_some(()))
    })
    .await?;

    let started = std::time::Instant::now();
    bus.publish(outgoing("mail.send", "alone", b"fine")).await?;
    eventually("the second batch came", async || {
        Ok((gatherer.sizes.lock().expect("no panic holds it").len() == 2).then_some(()))
    })
    .await?;

    assert!(
        started.elapsed() < Duration::from_secs(2),
        "{:?}",
        started.elapsed()
    );
    stop.cancel();
    task.finish().await??;
    Ok(())
}

/// Has each first batch wait until the second is prepared; notes in which order they are finished.
#[derive(Default)]
struct Overtaken {
    is_second_prepared: CancellationToken,
    finished: Mutex<Vec<u64>>,
}

impl Handler for Overtaken {
    const CONSUMER: &'static str = "overtaken";

    type Prepared = Vec<Delivery>;

    async fn prepare(&self, deliveries: Vec<Delivery>) -> Vec<Delivery> {
        match deliveries.first().map(|delivery| delivery.stream_sequence) {
            Some(1) => self.is_second_prepared.cancelled().await,
            _ => self.is_second_prepared.cancel(),
        }
        deliveries
    }

    async fn finish(&self, deliveries: Vec<Delivery>) -> Vec<Result<(), HandlerError>> {
        let mut finished = self.finished.lock().unwrap_or_else(PoisonError::into_inner);
        finished.extend(deliveries.iter().map(|delivery| delivery.stream_sequence));
        deliveries.iter().map(|_| Ok(())).collect()
    }
}

#[tokio::test]
async fn batch_is_prepared_beside_the_one_before_and_finished_after_it() -> Result<()> {
    let settings = settings(&url()?);
    let bus = bus_with(&settings).await?;
    for body in ["first", "second", "third"] {
        bus.publish(outgoing("mail.send", body, b"fine")).await?;
    }

    let overtaken = Arc::new(Overtaken::default());
    run_until_empty(&settings, &bus, &overtaken, 1).await?;

    let finished = overtaken.finished.lock().expect("no panic holds it");
    assert_eq!(*finished, [1, 2, 3]);
    Ok(())
}

/// Finishes each batch in a little more than half of its time.
#[derive(Default)]
struct Unhurried {
    attempts: Mutex<Vec<u32>>,
}

impl Handler for Unhurried {
    const CONSUMER: &'static str = "unhurried";

    type Prepared = Vec<Delivery>;

    async fn prepare(&self, deliveries: Vec<Delivery>) -> Vec<Delivery> {
        deliveries
    }

    async fn finish(&self, deliveries: Vec<Delivery>) -> Vec<Result<(), HandlerError>> {
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        attempts.extend(deliveries.iter().map(|delivery| delivery.attempt));
        deliveries.iter().map(|_| Ok(())).collect()
    }
}

#[tokio::test]
async fn time_that_a_batch_waits_for_the_one_before_is_not_taken_from_its_own() -> Result<()> {
    let settings = settings(&url()?);
    let bus = bus_with(&settings).await?;
    for body in ["first", "second", "third"] {
        bus.publish(outgoing("mail.send", body, b"fine")).await?;
    }
    let unhurried = Arc::new(Unhurried::default());
    let tight = ConsumerSettings {
        work_timeout: Duration::from_secs(2),
        ..consumer(1)
    };

    run_with(&settings, &bus, &unhurried, tight).await?;

    let attempts = unhurried.attempts.lock().expect("no panic holds it");
    assert_eq!(*attempts, [1, 1, 1]);
    Ok(())
}

async fn run_until_empty<H: Handler>(
    settings: &mailmesh_bus::BusSettings,
    bus: &mailmesh_bus::Bus,
    handler: &Arc<H>,
    most: usize,
) -> Result<()> {
    run_with(settings, bus, handler, consumer(most)).await
}

async fn run_with<H: Handler>(
    settings: &mailmesh_bus::BusSettings,
    bus: &mailmesh_bus::Bus,
    handler: &Arc<H>,
    consumer: ConsumerSettings,
) -> Result<()> {
    let stop = CancellationToken::new();
    let (of, token, handler) = (bus.clone(), stop.clone(), Arc::clone(handler));
    let task = background(async move { of.consume(handler, consumer, token).await });
    eventually("all are handled", async || {
        Ok((left(settings, "MAIL_SEND").await? == 0).then_some(()))
    })
    .await?;
    stop.cancel();
    Ok(task.finish().await??)
}
