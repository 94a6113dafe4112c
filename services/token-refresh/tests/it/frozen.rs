//! A replica that freezes with a refresh in hand, and wakes after another has done it.

use std::time::Duration;

use anyhow::Result;
use mailmesh_domain::{Clock, GrantState};
use mailmesh_sandbox::{Fault, Personality};
use mailmesh_store::grant::Grant;
use mailmesh_testkit::eventually;

use crate::world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replica_that_was_frozen_writes_nothing_over_what_its_successor_stored() -> Result<()> {
    let world = World::new(Personality::Standard).await?;
    let grant = world.grant("alice").await?;
    world.fail_refreshes(Some(1), Fault::Stall { seconds: None })?;
    let first = world.start_freezable();
    eventually("the first one has asked the provider", async || {
        world.ask(&grant, 1).await?;
        let faults = world.sandbox.faults().list();
        anyhow::ensure!(faults.iter().any(|fault| fault.taken > 0), "{faults:?}");
        anyhow::Ok(())
    })
    .await?;

    let frozen = first.freeze().await?;
    // As the claim of a refresh that takes too long, once the database has answered for long enough.
    let due = Grant {
        refresh_due_at: world.clock.now() - Duration::from_mins(1),
        ..grant.clone()
    };
    world.base.save_grant(&due).await?;
    let second = world.start().await?;
    let successor = world
        .until("a new token", &grant, |grant| grant.generation == 2)
        .await?;
    // The first one is told that the refresh token which it sent is spent.
    world.sandbox.faults().clear();
    frozen.thaw();
    first.stop().await?;

    let after = world.base.grant(grant.id).await?;
    assert_eq!((after.generation, after.state), (2, GrantState::Active));
    assert_eq!((after.failures, &after.problem), (0, &None));
    assert_eq!(world.base.opened(&after)?, world.base.opened(&successor)?);
    for event in [
        format!("token.refresh_failed.{}", grant.id),
        "account.sign_in_required.alice".to_owned(),
        "account.failing.alice".to_owned(),
    ] {
        world.base.published(&event, 0).await?;
    }
    second.stop().await
}
