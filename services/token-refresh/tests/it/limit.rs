//! What keeps refreshes apart, whatever providers and consumers say.

use std::time::{Duration, Instant};

use anyhow::Result;
use mailmesh_domain::{Clock, GrantId};
use mailmesh_sandbox::{Fault, Personality};
use mailmesh_store::grant::{self, Grant};

use crate::world::World;

#[tokio::test]
async fn a_token_that_is_over_as_it_comes_is_refreshed_once_a_minute() -> Result<()> {
    let world = World::new(Personality::Standard).await?;
    let [grant, other] = [world.grant("alice").await?, world.grant("bob").await?];
    let text = r#"{"access_token":"at","token_type":"Bearer","expires_in":0}"#;
    let fault = Fault::Reply {
        text: text.to_owned(),
    };
    world.fail_refreshes(None, fault)?;
    let replica = world.start().await?;

    world.ask(&grant, 1).await?;
    world
        .until("a token", &grant, |grant| grant.generation == 2)
        .await?;
    world.clock.advance(Duration::from_secs(59));
    world.ask(&other, 1).await?;
    world
        .until("the other's token", &other, |grant| grant.generation == 2)
        .await?;
    let within = world.base.grant(grant.id).await?.generation;
    world.clock.advance(Duration::from_secs(1));
    world
        .until("the next", &grant, |grant| grant.generation == 3)
        .await?;

    assert_eq!(within, 2);
    replica.stop().await
}

#[tokio::test]
async fn a_new_refresh_token_does_not_inherit_the_end_of_the_old_one() -> Result<()> {
    let world = World::new(Personality::Standard).await?;
    let mut grant = world.grant("alice").await?;
    grant.refresh_expires_at = Some(world.clock.now() + Duration::from_mins(10));
    world.base.save_grant(&grant).await?;
    let replica = world.start().await?;

    world.ask(&grant, 1).await?;
    let refreshed = world
        .until("a new token", &grant, |grant| grant.generation == 2)
        .await?;

    assert_eq!(refreshed.refresh_expires_at, None);
    assert!(refreshed.refresh_due_at > world.clock.now() + Duration::from_mins(50));
    replica.stop().await
}

#[tokio::test]
async fn a_token_that_is_refused_as_soon_as_it_comes_is_not_replaced_at_once() -> Result<()> {
    let world = World::new(Personality::Standard).await?;
    let [grant, other] = [world.grant("alice").await?, world.grant("bob").await?];
    let replica = world.start().await?;

    world.ask(&grant, 1).await?;
    world
        .until("a new token", &grant, |grant| grant.generation == 2)
        .await?;
    world.clock.advance(Duration::from_secs(29));
    world.ask(&grant, 2).await?;
    world.ask(&other, 1).await?;
    world
        .until("the other's token", &other, |grant| grant.generation == 2)
        .await?;
    let within = world.refreshes(&grant);
    world.clock.advance(Duration::from_secs(1));
    world.ask(&grant, 2).await?;
    world
        .until("the next", &grant, |grant| grant.generation == 3)
        .await?;

    assert_eq!((within, world.refreshes(&grant)), ((1, 0), (2, 0)));
    replica.stop().await
}

#[tokio::test]
async fn provider_that_hangs_delays_no_other_however_many_are_due_there() -> Result<()> {
    let world = World::new(Personality::Standard).await?;
    // Takes connections, and never answers.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let hanging = world.client_at("hanging", silent.local_addr()?).await?;
    let now = world.clock.now();
    let mut tx = world.base.begin().await?;
    for number in 0..500 {
        let id = GrantId::generate(&*world.clock);
        let address = format!("h{number}@sandbox.test");
        let grant = Grant {
            client_configuration_id: hanging,
            refresh_due_at: now - Duration::from_hours(1),
            ..world.new_grant(id, &address, 1)?
        };
        grant::save_sign_in(&mut tx, &grant, now).await?;
    }
    tx.commit().await?;
    let mut healthy = Vec::new();
    for name in ["alice", "bob"] {
        healthy.push(world.grant(name).await?);
    }
    let replica = world.start().await?;

    let begun = Instant::now();
    for round in 1..=3 {
        for grant in &healthy {
            world.ask(grant, round).await?;
            world
                .until("a new token", grant, |grant| grant.generation == round + 1)
                .await?;
        }
        world.clock.advance(Duration::from_secs(31));
    }

    // One refresh that hangs takes twenty seconds.
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(12), "{took:?}");
    replica.stop().await
}
