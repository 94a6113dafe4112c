//! Outages that outlast the time for which the server recognises a repeated message id.

use anyhow::{Result, ensure};
use mailmesh_accounts::{Relay, RelayError};
use mailmesh_bus::{Bus, BusSettings, Outgoing};
use mailmesh_store::replica;
use mailmesh_testkit::{TestServers, eventually};

use super::proxy::Proxy;
use super::world::{SOURCE, World, event, run};

async fn world() -> Result<World> {
    let servers = TestServers::shared().await?;
    World::with_window(servers.nats_url(), servers.fresh_database().await?, 1).await
}

fn probe(id: &str) -> Outgoing {
    let probe = event("probe", id);
    Outgoing {
        subject: probe.subject,
        message_id: probe.id,
        headers: probe.headers,
        payload: probe.payload.into(),
    }
}

/// Waits until the server has forgotten the ids of what is stored by now.
async fn until_forgotten(world: &World) -> Result<()> {
    let mut number = 0;
    world.bus.publish(probe("p0")).await?;
    eventually("the server forgets a message id", async || {
        let again = world.bus.publish(probe("p0")).await?;
        number += 1;
        ensure!(!again.is_duplicate, "known after {number} questions");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn event_whose_answer_was_lost_is_stored_once_after_any_outage() -> Result<()> {
    let world = world().await?;
    let proxy = Proxy::before(TestServers::shared().await?.nats_url()).await?;
    let bus = Bus::connect(&BusSettings {
        url: proxy.url().to_owned(),
        ..world.settings.clone()
    })
    .await?;
    let (relay, _handle) = Relay::new(
        world.database.clone(),
        bus,
        world.replica,
        SOURCE.to_owned(),
    );
    let ids: Vec<String> = (0..40).map(|number| format!("e{number}")).collect();
    let events: Vec<_> = ids.iter().map(|id| event("support", id)).collect();
    world.commit_as(world.replica, &events).await?;

    proxy.mute(true);
    let error = relay.flush_once().await.unwrap_err();
    assert!(matches!(error, RelayError::Publish(_)), "{error:?}");
    assert_eq!(world.stored("support").await?, ids, "the server had them");
    until_forgotten(&world).await?;
    proxy.mute(false);
    proxy.cut();
    world.commit(&[event("support", "later")]).await?;
    eventually("the outbox is relayed", async || relay.flush_once().await).await?;

    let stored = world.stored("support").await?;
    assert_eq!(stored[..40], ids);
    assert_eq!(stored[40..], ["later"]);
    assert_eq!(world.waiting().await?, 0);
    Ok(())
}

#[tokio::test]
async fn event_of_a_dead_replica_is_stored_once_after_any_outage() -> Result<()> {
    let world = world().await?;
    let (dead, living) = (super::world::replica(), super::world::replica());
    world
        .commit_as(dead, &[event("dead", "d1"), event("dead", "d2")])
        .await?;
    let published = event("dead", "d1");
    let published = Outgoing {
        subject: published.subject,
        message_id: published.id,
        headers: published.headers,
        payload: published.payload.into(),
    };
    world.bus.publish(published).await?;
    until_forgotten(&world).await?;
    let mut tx = world.database.begin().await?;
    replica::beat(&mut tx, living, "admin").await?;
    tx.commit().await?;

    let (relay, _handle) = world.relay_of(living);
    let running = run(relay);
    world.until_empty().await?;
    running.stop().await?;

    assert_eq!(world.stored("dead").await?, ["d1", "d2"]);
    Ok(())
}
