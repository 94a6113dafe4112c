use anyhow::Result;
use mailmesh_testkit::{TestServers, eventually};

use super::servers::{Scratch, start_nats, start_postgres};
use super::world::{World, event, run};

/// Commits `count` events, by turns for two accounts.
async fn commit(world: &World, from: usize, count: usize) -> Result<()> {
    for number in from..from + count {
        let account = if number % 2 == 0 { "even" } else { "odd" };
        world.commit(&[event(account, &number.to_string())]).await?;
    }
    Ok(())
}

async fn assert_all_stored(world: &World, count: usize) -> Result<()> {
    for (account, first) in [("even", 0), ("odd", 1)] {
        let wanted: Vec<String> = (first..count).step_by(2).map(|n| n.to_string()).collect();
        let stored = world.stored(account).await?;
        anyhow::ensure!(stored == wanted, "{account}: {stored:?}");
    }
    Ok(())
}

#[tokio::test]
async fn nothing_is_lost_and_order_is_kept_when_nats_is_killed() -> Result<()> {
    let scratch = Scratch::new("nats")?;
    let mut nats = start_nats(&scratch).await?;
    let postgres = TestServers::shared().await?.fresh_database().await?;
    let world = World::at(&nats.url(), postgres).await?;
    let (relay, handle) = world.relay();
    let running = run(relay);
    commit(&world, 0, 50).await?;
    handle.wake();
    eventually("the first are stored", async || {
        anyhow::ensure!(!world.stored("even").await?.is_empty());
        Ok(())
    })
    .await?;

    // In the middle of a burst.
    let (committed, ()) = tokio::join!(commit(&world, 50, 200), async {
        handle.wake();
        nats.kill().await;
    });
    committed?;
    assert!(world.waiting().await? > 0);
    nats.restart().await?;
    commit(&world, 250, 50).await?;

    world.until_empty().await?;
    running.stop().await?;
    assert_all_stored(&world, 300).await?;
    Ok(())
}

#[tokio::test]
async fn relaying_goes_on_after_postgres_was_killed() -> Result<()> {
    let scratch = Scratch::new("postgres")?;
    let mut postgres = start_postgres(&scratch).await?;
    let nats_url = TestServers::shared().await?.nats_url();
    let world = World::at(nats_url, postgres.url()).await?;
    let (relay, _handle) = world.relay();
    commit(&world, 0, 20).await?;
    let running = run(relay);

    postgres.kill().await;
    postgres.restart().await?;
    eventually("commits work again", async || {
        world.commit(&[event("even", "20")]).await
    })
    .await?;

    world.until_empty().await?;
    running.stop().await?;
    assert_all_stored(&world, 21).await?;
    Ok(())
}

#[tokio::test]
async fn stopping_does_not_wait_for_a_dead_server() -> Result<()> {
    let scratch = Scratch::new("nats-dead")?;
    let mut nats = start_nats(&scratch).await?;
    let postgres = TestServers::shared().await?.fresh_database().await?;
    let world = World::at(&nats.url(), postgres).await?;
    let (relay, _handle) = world.relay();
    nats.kill().await;
    commit(&world, 0, 10).await?;
    let running = run(relay);

    running.stop().await?;

    assert_eq!(world.waiting().await?, 10);
    Ok(())
}
