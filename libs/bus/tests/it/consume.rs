use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use mailmesh_bus::{
    Bus, ConsumeError, ConsumerSettings, Delivery, Handler, HandlerError, StreamKind,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::world::{
    Background, background, bus, bus_with, eventually, left, outgoing, plain_client, settings, url,
};

/// Does what the body says, and tells what it saw.
pub(crate) struct Scripted {
    pub(crate) seen: mpsc::Sender<Delivery>,
}

impl Handler for Scripted {
    const CONSUMER: &'static str = "scripted";

    type Prepared = Vec<Delivery>;

    async fn prepare(&self, deliveries: Vec<Delivery>) -> Vec<Delivery> {
        deliveries
    }

    async fn finish(&self, deliveries: Vec<Delivery>) -> Vec<Result<(), HandlerError>> {
        let mut results = Vec::new();
        for delivery in deliveries {
            results.push(self.handle(delivery).await);
        }
        results
    }
}

impl Scripted {
    async fn handle(&self, delivery: Delivery) -> Result<(), HandlerError> {
        let body = String::from_utf8_lossy(&delivery.payload).into_owned();
        let attempt = delivery.attempt;
        drop(self.seen.send(delivery).await);
        match body.as_str() {
            "retry once" if attempt == 1 => {
                Err(HandlerError::retry(anyhow!("not yet")).after(Duration::from_millis(10)))
            }
            "never" => Err(HandlerError::retry(anyhow!("never")).after(Duration::from_millis(10))),
            "bad" => Err(HandlerError::dead_letter(
                "cannot be read",
                anyhow!("line 1"),
            )),
            "panic once" => {
                assert!(attempt > 1, "as the body says");
                Ok(())
            }
            "hang once" if attempt == 1 => {
                std::future::pending::<()>().await;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

struct Running {
    stop: CancellationToken,
    seen: mpsc::Receiver<Delivery>,
    task: Background<Result<(), ConsumeError>>,
}

impl Running {
    async fn next(&mut self) -> Result<Delivery> {
        let seen = tokio::time::timeout(Duration::from_secs(20), self.seen.recv()).await;
        seen.context("nothing came in 20 s")?
            .context("the handler is gone")
    }

    async fn finish(self) -> Result<()> {
        self.stop.cancel();
        Ok(self.task.finish().await??)
    }
}

fn quick() -> ConsumerSettings {
    ConsumerSettings {
        max_attempts: 3,
        retry_delays: vec![Duration::from_millis(10)],
        ..ConsumerSettings::new(StreamKind::MailSend, &["mail.send", "mail.send.*"])
    }
}

fn run(bus: &Bus, settings: ConsumerSettings) -> Running {
    let (seen_sender, seen) = mpsc::channel(10_000);
    let stop = CancellationToken::new();
    let (bus, token) = (bus.clone(), stop.clone());
    let handler = Arc::new(Scripted { seen: seen_sender });
    let task = background(async move { bus.consume(handler, settings, token).await });
    Running { stop, seen, task }
}

async fn send(bus: &Bus, body: &str) -> Result<()> {
    bus.publish(outgoing("mail.send.support", body, body.as_bytes()))
        .await?;
    Ok(())
}

#[tokio::test]
async fn handled_message_leaves_the_work_queue() -> Result<()> {
    let settings = settings(&url()?);
    let bus = bus_with(&settings).await?;
    let mut running = run(&bus, quick());
    send(&bus, "fine").await?;

    let seen = running.next().await?;

    assert_eq!(seen.subject, "mail.send.support");
    assert_eq!((seen.attempt, seen.stream_sequence), (1, 1));
    running.finish().await?;
    assert_eq!(left(&settings, "MAIL_SEND").await?, 0);
    Ok(())
}

#[tokio::test]
async fn retry_comes_again_and_then_leaves() -> Result<()> {
    let settings = settings(&url()?);
    let bus = bus_with(&settings).await?;
    let mut running = run(&bus, quick());
    send(&bus, "retry once").await?;

    assert_eq!(running.next().await?.attempt, 1);
    assert_eq!(running.next().await?.attempt, 2);

    running.finish().await?;
    assert_eq!(left(&settings, "MAIL_SEND").await?, 0);
    assert_eq!(left(&settings, "DEAD_LETTERS").await?, 0);
    Ok(())
}

#[tokio::test]
async fn dead_letters_of_a_stream_that_was_made_anew_are_kept_beside_earlier_ones() -> Result<()> {
    let settings = settings(&url()?);
    let bus = bus_with(&settings).await?;
    let jetstream = async_nats::jetstream::new(plain_client().await?);
    for id in ["one", "two"] {
        let mut running = run(&bus, quick());
        let mut message = outgoing("mail.send.support", id, b"bad");
        message.headers = vec![("ce-id".to_owned(), id.to_owned())];
        let published = bus.publish(message).await?;
        assert_eq!(published.sequence, 1);
        running.next().await?;
        running.finish().await?;

        jetstream
            .delete_stream(format!("{}_MAIL_SEND", settings.prefix))
            .await?;
        bus.ensure_streams().await?;
    }

    assert_eq!(left(&settings, "DEAD_LETTERS").await?, 2);
    Ok(())
}

#[tokio::test]
async fn dead_letter_is_kept_with_its_reason() -> Result<()> {
    let settings = settings(&url()?);
    let bus = bus_with(&settings).await?;
    let mut running = run(&bus, quick());
    let mut message = outgoing("mail.send.support", "bad", b"bad");
    message.headers = vec![("ce-type".to_owned(), "mail.send.v1".to_owned())];
    bus.publish(message).await?;

    running.next().await?;
    running.finish().await?;

    assert_eq!(left(&settings, "MAIL_SEND").await?, 0);
    let jetstream = async_nats::jetstream::new(plain_client().await?);
    let stream = jetstream
        .get_stream(format!("{}_DEAD_LETTERS", settings.prefix))
        .await?;
    let letter = stream.get_raw_message(1).await?;
    let header = |name: &str| letter.headers.get(name).map(ToString::to_string);
    assert_eq!(
        letter.subject.to_string(),
        format!("{}.dead_letter.scripted", settings.prefix)
    );
    assert_eq!(
        header("Mailmesh-Reason").as_deref(),
        Some("cannot be read: line 1")
    );
    assert_eq!(header("Mailmesh-Stream").as_deref(), Some("MAIL_SEND"));
    assert_eq!(header("Mailmesh-Sequence").as_deref(), Some("1"));
    assert_eq!(
        header("Mailmesh-Subject").as_deref(),
        Some("mail.send.support")
    );
    assert_eq!(header("ce-type").as_deref(), Some("mail.send.v1"));
    assert_eq!(letter.payload.as_ref(), b"bad");
    Ok(())
}

#[tokio::test]
async fn fenced_event_can_become_a_dead_letter() -> Result<()> {
    let settings = settings(&url()?);
    let bus = bus_with(&settings).await?;
    let fence = bus.take_fence("a").await?;
    let events = ConsumerSettings {
        stream: StreamKind::Events,
        filters: vec!["mail.received.*".to_owned()],
        ..quick()
    };
    let mut running = run(&bus, events);
    for answer in bus
        .publish_fenced_all(&fence, vec![outgoing("mail.received.a", "1", b"bad")])
        .await
    {
        answer?;
    }

    running.next().await?;
    running.finish().await?;

    assert_eq!(left(&settings, "DEAD_LETTERS").await?, 1);
    Ok(())
}

#[tokio::test]
async fn last_attempt_becomes_a_dead_letter() -> Result<()> {
    let settings = settings(&url()?);
    let bus = bus_with(&settings).await?;
    let mut running = run(&bus, quick());
    send(&bus, "never").await?;

    let mut lasts = Vec::new();
    for _ in 0..3 {
        lasts.push(running.next().await?.is_last_attempt);
    }
    running.finish().await?;

    assert_eq!(lasts, [false, false, true]);
    assert_eq!(left(&settings, "MAIL_SEND").await?, 0);
    assert_eq!(left(&settings, "DEAD_LETTERS").await?, 1);
    Ok(())
}

#[tokio::test]
async fn panic_counts_as_a_retry_and_stops_nobody_else() -> Result<()> {
    let settings = settings(&url()?);
    let bus = bus_with(&settings).await?;
    let mut running = run(&bus, quick());
    send(&bus, "panic once").await?;

    assert_eq!(running.next().await?.attempt, 1);
    assert_eq!(running.next().await?.attempt, 2);
    send(&bus, "fine").await?;
    running.next().await?;

    running.finish().await?;
    assert_eq!(left(&settings, "MAIL_SEND").await?, 0);
    Ok(())
}

#[tokio::test]
async fn work_that_hangs_is_given_up_and_tried_again() -> Result<()> {
    let settings = settings(&url()?);
    let bus = bus_with(&settings).await?;
    let short = ConsumerSettings {
        work_timeout: Duration::from_millis(300),
        ..quick()
    };
    let mut running = run(&bus, short);
    send(&bus, "hang once").await?;

    assert_eq!(running.next().await?.attempt, 1);
    assert_eq!(running.next().await?.attempt, 2);

    running.finish().await
}

/// Takes its time over each batch.
#[derive(Default)]
struct Slow {
    started: AtomicUsize,
    largest_batch: AtomicUsize,
    in_hand: AtomicUsize,
    most_in_hand: AtomicUsize,
}

impl Slow {
    fn new() -> Arc<Self> {
        Arc::default()
    }
}

impl Handler for Slow {
    const CONSUMER: &'static str = "slow";

    type Prepared = Vec<Delivery>;

    async fn prepare(&self, deliveries: Vec<Delivery>) -> Vec<Delivery> {
        let count = deliveries.len();
        self.started.fetch_add(count, Ordering::SeqCst);
        self.largest_batch.fetch_max(count, Ordering::SeqCst);
        let in_hand = self.in_hand.fetch_add(count, Ordering::SeqCst) + count;
        self.most_in_hand.fetch_max(in_hand, Ordering::SeqCst);
        deliveries
    }

    async fn finish(&self, deliveries: Vec<Delivery>) -> Vec<Result<(), HandlerError>> {
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        self.in_hand.fetch_sub(deliveries.len(), Ordering::SeqCst);
        deliveries.iter().map(|_| Ok(())).collect()
    }
}

#[tokio::test]
async fn long_work_is_not_given_to_a_second_worker_and_never_exceeds_its_bound() -> Result<()> {
    let settings = settings(&url()?);
    let bus = bus_with(&settings).await?;
    let slow = Slow::new();
    // The ack wait is shorter than the last message waits for its turn, but not than the work on two batches.
    let long = ConsumerSettings {
        max_in_hand: 3,
        ack_wait: Duration::from_secs(4),
        work_timeout: Duration::from_secs(2),
        ..quick()
    };
    let refused = ConsumerSettings {
        ack_wait: Duration::from_secs(3),
        ..long.clone()
    };
    let stop = CancellationToken::new();
    let shorter = bus.consume(Arc::clone(&slow), refused, stop.clone()).await;
    assert!(
        matches!(shorter, Err(ConsumeError::AckWait { .. })),
        "{shorter:?}"
    );
    for number in 0..9 {
        send(&bus, &format!("fine {number}")).await?;
    }

    let (of, token, handler) = (bus.clone(), stop.clone(), Arc::clone(&slow));
    let task = background(async move { of.consume(handler, long, token).await });
    eventually("all are handled", async || {
        Ok((left(&settings, "MAIL_SEND").await? == 0).then_some(()))
    })
    .await?;
    stop.cancel();
    task.finish().await??;

    assert_eq!(slow.started.load(Ordering::SeqCst), 9);
    assert_eq!(slow.largest_batch.load(Ordering::SeqCst), 3);
    let most_in_hand = slow.most_in_hand.load(Ordering::SeqCst);
    assert!((4..=6).contains(&most_in_hand), "{most_in_hand}");
    Ok(())
}

#[tokio::test]
async fn stop_finishes_what_is_in_hand() -> Result<()> {
    let settings = settings(&url()?);
    let bus = bus_with(&settings).await?;
    let slow = Slow::new();
    let stop = CancellationToken::new();
    let (of, token, handler) = (bus.clone(), stop.clone(), Arc::clone(&slow));
    let task = background(async move { of.consume(handler, quick(), token).await });
    send(&bus, "fine").await?;
    eventually("work has begun", async || {
        Ok((slow.started.load(Ordering::SeqCst) == 1).then_some(()))
    })
    .await?;

    stop.cancel();
    task.finish().await??;

    assert_eq!(slow.in_hand.load(Ordering::SeqCst), 0);
    assert_eq!(left(&settings, "MAIL_SEND").await?, 0);
    Ok(())
}

#[tokio::test]
async fn many_messages_are_each_handled_once() -> Result<()> {
    let settings = settings(&url()?);
    let bus = bus_with(&settings).await?;
    let mut running = run(&bus, quick());
    let many = (0..3_000).map(|n| outgoing("mail.send", &n.to_string(), b"fine"));
    for answer in bus.publish_all(many.collect()).await {
        answer?;
    }

    let mut sequences = Vec::new();
    for _ in 0..3_000 {
        sequences.push(running.next().await?.stream_sequence);
    }
    running.finish().await?;

    sequences.sort_unstable();
    sequences.dedup();
    assert_eq!(sequences.len(), 3_000);
    assert_eq!(left(&settings, "MAIL_SEND").await?, 0);
    Ok(())
}

#[tokio::test]
async fn message_that_took_the_process_down_too_often_is_not_handled_again() -> Result<()> {
    use futures_util::StreamExt;
    let settings = settings(&url()?);
    let bus = bus_with(&settings).await?;
    run(&bus, quick()).finish().await?;
    send(&bus, "fine").await?;
    let jetstream = async_nats::jetstream::new(plain_client().await?);
    let stream = format!("{}_MAIL_SEND", settings.prefix);
    let consumer: async_nats::jetstream::consumer::PullConsumer = jetstream
        .get_consumer_from_stream("scripted", stream)
        .await?;
    // As three processes that took it and died.
    for _ in 0..3 {
        let mut batch = consumer
            .batch()
            .max_messages(1)
            .expires(Duration::from_secs(10))
            .messages()
            .await?;
        let message = batch.next().await.context("delivered")?;
        let message = message.map_err(|error| anyhow!("{error}"))?;
        let nak = async_nats::jetstream::AckKind::Nak(None);
        message
            .ack_with(nak)
            .await
            .map_err(|error| anyhow!("{error}"))?;
    }

    let mut running = run(&bus, quick());
    eventually("it is a dead letter", async || {
        Ok((left(&settings, "DEAD_LETTERS").await? == 1).then_some(()))
    })
    .await?;

    assert!(running.seen.try_recv().is_err());
    running.finish().await?;
    assert_eq!(left(&settings, "MAIL_SEND").await?, 0);
    Ok(())
}

#[tokio::test]
async fn two_replicas_share_the_work() -> Result<()> {
    let settings = settings(&url()?);
    let (left_bus, right_bus) = (bus_with(&settings).await?, bus_with(&settings).await?);
    let slow = ConsumerSettings {
        max_in_hand: 2,
        ..quick()
    };
    let (mut left_run, mut right_run) = (run(&left_bus, slow.clone()), run(&right_bus, slow));
    let many = (0..200).map(|n| outgoing("mail.send", &n.to_string(), b"fine"));
    for answer in left_bus.publish_all(many.collect()).await {
        answer?;
    }
    eventually("all are handled", async || {
        Ok((left(&settings, "MAIL_SEND").await? == 0).then_some(()))
    })
    .await?;

    let mut counts = [0, 0];
    for (count, running) in counts.iter_mut().zip([&mut left_run, &mut right_run]) {
        while running.seen.try_recv().is_ok() {
            *count += 1;
        }
    }
    assert_eq!(counts[0] + counts[1], 200, "{counts:?}");
    assert!(counts.iter().all(|&count| count > 0), "{counts:?}");
    left_run.finish().await?;
    right_run.finish().await
}

#[tokio::test]
async fn deleted_consumer_is_made_again() -> Result<()> {
    let settings = settings(&url()?);
    let bus = bus_with(&settings).await?;
    let mut running = run(&bus, quick());
    send(&bus, "fine 1").await?;
    running.next().await?;

    let jetstream = async_nats::jetstream::new(plain_client().await?);
    let stream = jetstream
        .get_stream(format!("{}_MAIL_SEND", settings.prefix))
        .await?;
    stream.delete_consumer("scripted").await?;
    send(&bus, "fine 2").await?;

    running.next().await?;
    running.finish().await
}

#[tokio::test]
async fn second_consumer_of_the_same_work_is_refused() -> Result<()> {
    let bus = bus().await?;
    let mut running = run(&bus, quick());
    send(&bus, "fine").await?;
    running.next().await?;

    let second = bus
        .consume(Slow::new(), quick(), CancellationToken::new())
        .await;

    assert!(
        matches!(second, Err(ConsumeError::Refused { .. })),
        "{second:?}"
    );
    running.finish().await
}

#[tokio::test]
async fn consumer_goes_on_when_it_or_its_stream_was_deleted() -> Result<()> {
    let settings = settings(&url()?);
    let bus = bus_with(&settings).await?;
    let mut running = run(&bus, quick());
    send(&bus, "fine").await?;
    running.next().await?;
    let jetstream = async_nats::jetstream::new(plain_client().await?);
    let name = format!("{}_MAIL_SEND", settings.prefix);

    let stream = jetstream.get_stream(&name).await?;
    let consumer = <Scripted as Handler>::CONSUMER;
    stream.delete_consumer(consumer).await?;
    send(&bus, "after the consumer").await?;
    assert_eq!(running.next().await?.stream_sequence, 2);

    jetstream.delete_stream(&name).await?;
    assert_eq!(bus.find_fault(&StreamKind::ALL).await, None);
    send(&bus, "after the stream").await?;
    assert_eq!(running.next().await?.stream_sequence, 1);
    running.finish().await
}
