use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use mailmesh_testkit::eventually;

use super::world::{World, event, run};

#[tokio::test]
async fn a_wake_up_does_not_wait_for_the_timer() -> Result<()> {
    let world = World::new().await?;
    let (relay, handle) = world.relay();
    let running = run(relay);
    let started = Instant::now();

    for number in 1..=20 {
        world
            .commit(&[event("support", &number.to_string())])
            .await?;
        handle.wake();
        eventually("it is stored", async || {
            let stored = world.stored("support").await?.len();
            ensure!(stored == number, "{stored} are stored");
            Ok(())
        })
        .await?;
    }

    // By the timer alone each would have taken a second.
    let took = started.elapsed();
    assert!(took < Duration::from_secs(15), "{took:?}");
    running.stop().await
}

#[tokio::test]
async fn rows_are_found_without_a_wake_up() -> Result<()> {
    let world = World::new().await?;
    let (relay, _handle) = world.relay();
    let running = run(relay);

    world.commit(&[event("support", "e1")]).await?;

    world.until_empty().await?;
    running.stop().await?;
    assert_eq!(world.stored("support").await?, ["e1"]);
    Ok(())
}

#[tokio::test]
async fn what_is_left_is_published_at_the_end() -> Result<()> {
    let world = World::new().await?;
    let (relay, _handle) = world.relay();
    let ids: Vec<String> = (0..40).map(|number| number.to_string()).collect();
    let events: Vec<_> = ids.iter().map(|id| event("support", id)).collect();
    let running = run(relay);
    world.commit_as(world.replica, &events).await?;

    running.stop().await?;

    assert_eq!(world.stored("support").await?, ids);
    assert_eq!(world.waiting().await?, 0);
    Ok(())
}
