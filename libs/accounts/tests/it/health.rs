//! A replica's health comes from its work: writes, and streams that take messages.

use anyhow::Result;
use mailmesh_accounts::HealthError;
use mailmesh_bus::BusFault;
use mailmesh_testkit::eventually;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::world::World;

#[tokio::test]
async fn replica_is_not_ready_while_postgres_takes_no_writes() -> Result<()> {
    let world = World::with_accounts(1).await?;
    let (replica, membership) = world.join().await?;
    let health = membership.health();
    let stop = CancellationToken::new();
    let mut running = JoinSet::new();
    running.spawn(membership.run(stop.clone()));
    health.check()?;

    world.base.set_read_only(true).await?;
    // Sessions that stand stay as they are; the work opens others.
    world.base.execute(END_SESSIONS).await?;
    eventually("the replica is not ready", async || match health.check() {
        Err(HealthError::NotWritten(_)) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await?;
    world.base.set_read_only(false).await?;

    eventually("the replica is ready again", async || health.check()).await?;
    let mut tx = replica.database.begin().await?;
    mailmesh_store::replica::beat(&mut tx, replica.id, "inbound-fetcher").await?;
    tx.commit().await?;
    stop.cancel();
    running.join_next().await.transpose()?;
    Ok(())
}

const END_SESSIONS: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE datname = current_database() AND application_name = 'mailmesh'";

#[tokio::test]
async fn replica_is_not_ready_while_a_stream_that_it_needs_is_full() -> Result<()> {
    let world = World::with_streams(|streams| streams.events_max_bytes = 64 * 1024).await?;
    let (_replica, membership) = world.join().await?;
    let health = membership.health();
    let stop = CancellationToken::new();
    let mut running = JoinSet::new();
    running.spawn(membership.run(stop.clone()));
    let body = vec![b'x'; 40 * 1024];
    world.base.publish("mail.sent.a", &[], body.clone()).await?;
    let full = world.base.publish("mail.sent.a", &[], body).await;
    assert!(full.is_err());

    eventually("the replica is not ready", async || match health.check() {
        Err(HealthError::Bus(BusFault::StreamFull { stream: "EVENTS" })) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await?;

    stop.cancel();
    running.join_next().await.transpose()?;
    Ok(())
}
