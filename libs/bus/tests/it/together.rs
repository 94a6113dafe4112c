//! Messages that are stored together, in atomic batches.

use anyhow::{Context, Result};
use async_nats::jetstream::stream::Config;
use futures_util::StreamExt;
use mailmesh_bus::{Bus, BusSettings, Outgoing, PublishError, PublishReceipt};

use crate::world::{bus, bus_with, left, outgoing, plain_client, settings, url};

const SUBJECT: &str = "mail.received.support";

fn numbered(range: std::ops::Range<usize>, body: &[u8]) -> Vec<Outgoing> {
    let each = range.map(|number| outgoing(SUBJECT, &number.to_string(), body));
    each.collect()
}

fn sequences(answers: Vec<Result<PublishReceipt, PublishError>>) -> Result<Vec<u64>> {
    let each = answers.into_iter().map(|answer| Ok(answer?.sequence));
    each.collect()
}

/// Changes the stream behind our back.
async fn change(settings: &BusSettings, change: impl Fn(&mut Config)) -> Result<()> {
    let jetstream = async_nats::jetstream::new(plain_client().await?);
    let stream = jetstream.get_stream(format!("{}_EVENTS", settings.prefix));
    let mut config = stream.await?.cached_info().config.clone();
    change(&mut config);
    jetstream.update_stream(config).await?;
    Ok(())
}

async fn stored_in_a_batch(bus: &Bus) -> Result<usize> {
    let stored = bus.read_back(SUBJECT, 0)?.collect_all().await?;
    let in_a_batch = stored.iter().filter(|stored| {
        let mut names = stored.headers.iter().map(|(name, _)| name);
        names.any(|name| name == "Nats-Batch-Id")
    });
    Ok(in_a_batch.count())
}

#[tokio::test]
async fn many_are_stored_in_batches_and_each_knows_its_place() -> Result<()> {
    let bus = bus().await?;

    let answers = bus.publish_all(numbered(0..450, b"x")).await;

    assert_eq!(sequences(answers)?, (1..=450).collect::<Vec<u64>>());
    assert_eq!(stored_in_a_batch(&bus).await?, 450);
    Ok(())
}

#[tokio::test]
async fn few_go_one_by_one() -> Result<()> {
    let bus = bus().await?;

    let answers = bus.publish_all(numbered(0..15, b"x")).await;

    assert_eq!(sequences(answers)?.len(), 15);
    assert_eq!(stored_in_a_batch(&bus).await?, 0);
    Ok(())
}

#[tokio::test]
async fn repeated_among_new_ones_are_told_apart() -> Result<()> {
    let settings = settings(&url()?);
    let bus = bus_with(&settings).await?;
    sequences(bus.publish_all(numbered(0..40, b"x")).await)?;

    let answers = bus.publish_all(numbered(20..60, b"x")).await;

    let (repeated, new) = answers.split_at(20);
    for (answer, sequence) in repeated.iter().zip(21..) {
        let published = answer.as_ref().ok().context("refused")?;
        assert!(published.is_duplicate);
        assert_eq!(published.sequence, sequence);
    }
    for (answer, sequence) in new.iter().zip(41..) {
        let published = answer.as_ref().ok().context("refused")?;
        assert!(!published.is_duplicate);
        assert_eq!(published.sequence, sequence);
    }
    assert_eq!(left(&settings, "EVENTS").await?, 60);
    Ok(())
}

#[tokio::test]
async fn message_twice_in_one_call_is_stored_once() -> Result<()> {
    let settings = settings(&url()?);
    let bus = bus_with(&settings).await?;
    let mut messages = numbered(0..30, b"x");
    messages.extend(numbered(7..8, b"x"));

    let answers = bus.publish_all(messages).await;

    let twice = answers.last().and_then(|answer| answer.as_ref().ok());
    assert!(twice.is_some_and(|twice| twice.is_duplicate), "{answers:?}");
    assert_eq!(left(&settings, "EVENTS").await?, 30);
    Ok(())
}

#[tokio::test]
async fn stream_that_fills_up_takes_what_fits() -> Result<()> {
    let mut settings = settings(&url()?);
    settings.streams.events_max_bytes = 64 * 1024;
    let bus = bus_with(&settings).await?;

    let answers = bus.publish_all(numbered(0..40, &[b'x'; 4 * 1024])).await;

    let stored = answers.iter().filter(|answer| answer.is_ok()).count();
    assert!((10..16).contains(&stored), "{stored}: {answers:?}");
    for error in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        assert!(error.is_full() && !error.may_be_stored(), "{error:?}");
    }
    assert_eq!(left(&settings, "EVENTS").await?, stored as u64);
    Ok(())
}

#[tokio::test]
async fn nothing_of_a_stale_owners_batch_is_stored() -> Result<()> {
    let settings = settings(&url()?);
    let bus = bus_with(&settings).await?;
    let old = bus.take_fence("support").await?;
    let before = bus.publish_fenced_all(&old, numbered(0..40, b"x")).await;
    sequences(before)?;
    let new = bus.take_fence("support").await?;

    let late = bus.publish_fenced_all(&old, numbered(40..80, b"x")).await;
    let fresh = bus.publish_fenced_all(&new, numbered(40..80, b"x")).await;

    for answer in &late {
        let is_fenced = answer.as_ref().is_err_and(PublishError::is_fenced);
        assert!(is_fenced, "{answer:?}");
    }
    for answer in fresh {
        assert!(!answer?.is_duplicate);
    }
    assert_eq!(stored_in_a_batch(&bus).await?, 80);
    Ok(())
}

#[tokio::test]
async fn one_bad_message_does_not_hold_up_its_neighbours() -> Result<()> {
    let settings = settings(&url()?);
    let bus = bus_with(&settings).await?;
    let mut messages = numbered(0..40, b"x");
    let bad = messages.get_mut(20).context("20")?;
    bad.headers = vec![("ce-source".to_owned(), "a\r\nb".to_owned())];

    let answers = bus.publish_all(messages).await;

    for (number, answer) in answers.iter().enumerate() {
        let is_bad = matches!(answer, Err(PublishError::BadHeader { .. }));
        assert_eq!(is_bad, number == 20, "{number}: {answer:?}");
    }
    assert_eq!(left(&settings, "EVENTS").await?, 39);
    Ok(())
}

#[tokio::test]
async fn each_message_of_a_batch_is_heard() -> Result<()> {
    let settings = settings(&url()?);
    let bus = bus_with(&settings).await?;
    let client = plain_client().await?;
    let bare = format!("{}.mail.received", settings.prefix);
    let mut heard = client.subscribe(bare).await?;
    client.flush().await?;
    let messages = (0..100).map(|n| outgoing(SUBJECT, &n.to_string(), n.to_string().as_bytes()));

    sequences(bus.publish_all(messages.collect()).await)?;

    for number in 0..100 {
        let message = heard.next().await.context("subscription ended")?;
        assert_eq!(message.payload, number.to_string().as_bytes());
    }
    Ok(())
}

#[tokio::test]
async fn stream_without_batches_takes_each_by_itself_until_it_is_changed() -> Result<()> {
    let settings = settings(&url()?);
    let bus = bus_with(&settings).await?;
    change(&settings, |config| config.allow_atomic_publish = false).await?;

    let answers = bus.publish_all(numbered(0..40, b"x")).await;
    let again = bus.publish_all(numbered(40..80, b"x")).await;

    assert_eq!(sequences(answers)?, (1..=40).collect::<Vec<u64>>());
    assert_eq!(sequences(again)?, (41..=80).collect::<Vec<u64>>());
    assert_eq!(stored_in_a_batch(&bus).await?, 0);

    // As a process does at its start.
    let next = bus_with(&settings).await?;
    sequences(next.publish_all(numbered(80..120, b"x")).await)?;
    assert_eq!(stored_in_a_batch(&next).await?, 40);
    Ok(())
}
