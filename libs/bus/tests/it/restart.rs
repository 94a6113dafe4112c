use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use mailmesh_bus::{ConsumerSettings, PublishError, StreamKind};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::consume::Scripted;
use crate::world::{background, bus_with, eventually, outgoing, settings, start_own};

#[tokio::test]
async fn nothing_is_lost_or_doubled_when_the_server_is_killed() -> Result<()> {
    let mut server = start_own("killed").await?;
    let settings = settings(&server.url());
    let bus = bus_with(&settings).await?;
    let publisher = bus.clone();
    let (progress_sender, mut progress) = mpsc::channel(1_000);
    let publishing = background(async move {
        let mut acknowledged = Vec::new();
        for round in 0..200 {
            let ids: Vec<String> = (0..20).map(|n| format!("{round}-{n}")).collect();
            let batch = ids
                .iter()
                .map(|id| outgoing("mail.received.a", id, id.as_bytes()));
            let answers = publisher.publish_all(batch.collect()).await;
            for (id, answer) in ids.into_iter().zip(answers) {
                match answer {
                    Ok(_) => acknowledged.push(id),
                    Err(error) if error.is_retryable() => {}
                    Err(error) => return Err(error),
                }
            }
            if progress_sender.send(round).await.is_err() {
                break;
            }
        }
        Ok(acknowledged)
    });
    while progress.recv().await.context("publishing ended")? < 40 {}

    server.kill().await;
    server.restart().await?;

    let acknowledged = publishing.finish().await??;
    let stored = bus.read_back("mail.received.a", 0)?.collect_all().await?;
    let stored: HashSet<String> = stored
        .iter()
        .map(|stored| String::from_utf8_lossy(&stored.payload).into_owned())
        .collect();
    let lost: Vec<&String> = acknowledged
        .iter()
        .filter(|id| !stored.contains(*id))
        .collect();
    assert!(lost.is_empty(), "{} lost: {lost:?}", lost.len());
    assert!(acknowledged.len() >= 800, "{}", acknowledged.len());
    assert_eq!(bus.health().reconnects, 1);

    // Published again, as after an answer that never came, what is stored is not doubled.
    let again = (0..200).flat_map(|round| (0..20).map(move |n| format!("{round}-{n}")));
    let again = again.map(|id| outgoing("mail.received.a", &id, id.as_bytes()));
    for answer in bus.publish_all(again.collect()).await {
        answer?;
    }
    let whole = bus.read_back("mail.received.a", 0)?.collect_all().await?;
    let different: HashSet<_> = whole.iter().map(|stored| &stored.payload).collect();
    assert_eq!((whole.len(), different.len()), (4_000, 4_000));
    Ok(())
}

#[tokio::test]
async fn publish_without_a_server_is_not_sent_rather_than_unknown() -> Result<()> {
    let mut server = start_own("gone").await?;
    let bus = bus_with(&settings(&server.url())).await?;
    server.kill().await;
    eventually("the loss is noticed", async || {
        Ok((!bus.health().is_connected).then_some(()))
    })
    .await?;

    let refused = bus.publish(outgoing("mail.received.a", "1", b"x")).await;

    assert!(
        matches!(refused, Err(PublishError::NotSent { .. })),
        "{refused:?}"
    );
    assert!(bus.check().await.is_err());
    Ok(())
}

#[tokio::test]
async fn consumer_goes_on_after_the_server_was_killed() -> Result<()> {
    let mut server = start_own("consumed").await?;
    let bus = bus_with(&settings(&server.url())).await?;
    let (seen_sender, mut seen) = mpsc::channel(1_000);
    let stop = CancellationToken::new();
    let (of, token) = (bus.clone(), stop.clone());
    let consumer = ConsumerSettings::new(StreamKind::MailSend, &["mail.send"]);
    let handler = Arc::new(Scripted { seen: seen_sender });
    let task = background(async move { of.consume(handler, consumer, token).await });
    bus.publish(outgoing("mail.send", "before", b"before"))
        .await?;
    seen.recv().await.context("before")?;

    server.kill().await;
    server.restart().await?;
    eventually("the bus is back", async || {
        Ok(bus.check().await.is_ok().then_some(()))
    })
    .await?;
    bus.publish(outgoing("mail.send", "after", b"after"))
        .await?;

    loop {
        let next = tokio::time::timeout(Duration::from_secs(10), seen.recv()).await;
        if next
            .context("nothing in 10 s")?
            .context("after")?
            .payload
            .as_ref()
            == b"after"
        {
            break;
        }
    }
    stop.cancel();
    task.finish().await??;
    Ok(())
}

#[tokio::test]
async fn closed_bus_has_written_everything_and_ends_its_subscriptions() -> Result<()> {
    let server = start_own("closed").await?;
    let settings = settings(&server.url());
    let (bus, other) = (bus_with(&settings).await?, bus_with(&settings).await?);
    let mut ours = bus.subscribe("token.refresh", None).await?;
    let mut theirs = other.subscribe("token.refresh", None).await?;
    eventually("both hear", async || {
        bus.publish_core("token.refresh", &[], "hint".into())
            .await?;
        let both = async { (ours.next().await, theirs.next().await) };
        let heard = tokio::time::timeout(Duration::from_millis(100), both).await;
        Ok(heard.ok())
    })
    .await?;

    bus.publish_core("token.refresh", &[], "last".into())
        .await?;
    bus.close().await;

    let heard = async {
        while theirs.next().await.context("the other is open")?.payload != "last" {}
        while ours.next().await.is_some() {}
        anyhow::Ok(())
    };
    tokio::time::timeout(Duration::from_secs(10), heard).await??;
    assert!(!bus.health().is_connected);
    let refused = bus.publish(outgoing("mail.received.a", "1", b"x")).await;
    assert!(
        matches!(refused, Err(PublishError::NotSent { .. })),
        "{refused:?}"
    );
    Ok(())
}
