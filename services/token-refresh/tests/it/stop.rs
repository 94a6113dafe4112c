use anyhow::Result;
use mailmesh_sandbox::{Fault, Personality};
use mailmesh_testkit::eventually;

use crate::world::World;

#[tokio::test]
async fn no_refresh_begins_after_the_stop() -> Result<()> {
    let world = World::new(Personality::Standard).await?;
    let grant = world.grant("alice").await?;
    world.fail_at("oauth.discovery", None, Fault::Stall { seconds: None })?;
    let replica = world.start().await?;
    world.ask(&grant, 1).await?;
    eventually("discovery is under way", async || {
        let faults = world.sandbox.faults().list();
        faults.iter().any(|fault| fault.taken == 1)
    })
    .await?;

    replica.ask_to_stop();
    world.sandbox.faults().clear();
    replica.stop().await?;
    let asked = world.sandbox.oauth_counters().token_requests;
    let next = world.start().await?;
    world
        .until("a token by way of the next", &grant, |grant| {
            grant.generation == 2
        })
        .await?;

    assert_eq!((asked, world.refreshes(&grant)), (0, (1, 0)));
    next.stop().await
}

#[tokio::test]
async fn a_refresh_that_has_begun_is_stored_before_the_end() -> Result<()> {
    let world = World::new(Personality::Standard).await?;
    let grant = world.grant("alice").await?;
    world.fail_at("oauth.after_token", Some(1), Fault::Stall { seconds: None })?;
    let replica = world.start().await?;
    world.ask(&grant, 1).await?;
    eventually("the provider has rotated", async || {
        world.refreshes(&grant) == (1, 0)
    })
    .await?;

    replica.ask_to_stop();
    world.sandbox.faults().clear();
    replica.stop().await?;

    assert_eq!(world.base.grant(grant.id).await?.generation, 2);
    Ok(())
}
