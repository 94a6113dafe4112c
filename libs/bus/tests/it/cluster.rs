use std::collections::HashSet;
use std::time::Duration;

use anyhow::{Context, Result};
use mailmesh_bus::{Bus, BusSettings, PublishError};
use mailmesh_embedded::{Nats, free_port};

use crate::world::{eventually, outgoing, settings, start_with};

/// Three servers; streams are kept by all of them.
async fn cluster(name: &str) -> Result<(Vec<Nats>, BusSettings)> {
    let ports = [free_port(), free_port(), free_port()];
    let mut servers = Vec::new();
    for index in 0..ports.len() {
        servers.push(start_member(name, index, &ports).await?);
    }
    let urls: Vec<String> = servers.iter().map(Nats::url).collect();
    let mut settings = settings(&urls.join(","));
    settings.streams.replicas = 3;
    Ok((servers, settings))
}

async fn start_member(name: &str, index: usize, ports: &[u16; 3]) -> Result<Nats> {
    let routes = ports
        .map(|port| format!("\"nats://127.0.0.1:{port}\""))
        .join(", ");
    let port = ports.get(index).context("a cluster of three")?;
    let config = format!(
        "cluster {{ name: \"{name}\", listen: \"127.0.0.1:{port}\", routes: [{routes}] }}\n"
    );
    start_with(&format!("{name}-{index}"), &config).await
}

async fn bus_of(settings: &BusSettings) -> Result<Bus> {
    let bus = Bus::connect(settings).await?;
    eventually("the cluster keeps streams", async || {
        Ok(bus.ensure_streams().await.is_ok().then_some(()))
    })
    .await?;
    Ok(bus)
}

#[tokio::test]
async fn many_fenced_publishes_pass_in_a_cluster() -> Result<()> {
    let (_servers, settings) = cluster("pipelined").await?;
    let bus = bus_of(&settings).await?;
    let fence = bus.take_fence("support").await?;
    let many = (0..500).map(|n| outgoing("mail.received.support", &n.to_string(), b"x"));

    let answers = bus.publish_fenced_all(&fence, many.collect()).await;

    let refused: Vec<String> = answers
        .iter()
        .filter_map(|answer| answer.as_ref().err())
        .map(|error| format!("{error:?}"))
        .collect();
    assert!(
        refused.is_empty(),
        "{} refused, first {:?}",
        refused.len(),
        refused.first()
    );
    let stored = bus.read_back("mail.received.support", 0)?;
    let batches: HashSet<String> = stored
        .collect_all()
        .await?
        .into_iter()
        .flat_map(|stored| stored.headers)
        .filter_map(|(name, value)| (name == "Nats-Batch-Id").then_some(value))
        .collect();
    assert_eq!(batches.len(), 3, "500 in batches of at most 200");
    Ok(())
}

#[tokio::test]
async fn stale_owner_is_refused_in_a_cluster() -> Result<()> {
    let (mut servers, settings) = cluster("stale").await?;
    let bus = bus_of(&settings).await?;
    let old = bus.take_fence("support").await?;
    let events = |from: usize| {
        let many =
            (from..from + 50).map(|n| outgoing("mail.received.support", &n.to_string(), b"x"));
        many.collect::<Vec<_>>()
    };

    // The new owner comes while the old one publishes.
    let (answers, new) = tokio::join!(
        bus.publish_fenced_all(&old, events(0)),
        eventually("the fence is taken", async || Ok(bus
            .take_fence("support")
            .await
            .ok()))
    );
    let new = new?;
    let late = bus.publish_fenced_all(&old, events(50)).await;

    let stored = answers.iter().take_while(|answer| answer.is_ok()).count();
    for answer in answers.iter().skip(stored).chain(&late) {
        assert!(
            answer.as_ref().is_err_and(PublishError::is_fenced),
            "{answer:?}"
        );
    }
    // Also when a server has gone: whoever reads back sees all that the old owner stored.
    if let Some(server) = servers.first_mut() {
        server.kill().await;
    }
    let again = eventually("the fence is taken without the server", async || {
        Ok(bus.take_fence("support").await.ok())
    })
    .await?;
    assert!(again.token() > new.token());
    let found = eventually("the rest of the cluster answers", async || {
        let reading = bus.read_back("mail.received.support", 0)?;
        Ok(reading.collect_all().await.ok())
    })
    .await?;
    assert_eq!(found.len(), stored);
    Ok(())
}

#[tokio::test]
async fn start_waits_for_a_cluster_that_has_no_leader_yet() -> Result<()> {
    let ports = [free_port(), free_port(), free_port()];
    let first = start_member("election", 0, &ports).await?;
    let mut settings = settings(&first.url());
    settings.streams.replicas = 3;
    settings.connect_wait_seconds = 60;
    let bus = Bus::connect(&settings).await?;
    // Alone it has no majority, and answers nothing.
    let alone = tokio::time::timeout(Duration::from_secs(1), bus.ensure_streams()).await;
    assert!(!matches!(alone, Ok(Ok(()))), "{alone:?}");

    let (ready, others) = tokio::join!(bus.await_streams(), async {
        let second = start_member("election", 1, &ports).await?;
        let third = start_member("election", 2, &ports).await?;
        anyhow::Ok([second, third])
    });

    let _others = others?;
    ready?;
    bus.publish(outgoing("mail.received.a", "1", b"x")).await?;
    Ok(())
}
