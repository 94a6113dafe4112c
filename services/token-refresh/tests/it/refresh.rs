use std::time::Duration;

use anyhow::Result;
use mailmesh_events::token::TokenRefreshed;
use mailmesh_sandbox::Personality;

use crate::world::World;

#[tokio::test]
async fn a_grant_is_refreshed_before_its_token_ends() -> Result<()> {
    let world = World::new(Personality::Standard).await?;
    let grant = world.grant("alice").await?;
    let replica = world.start().await?;

    world.advance(51);
    let refreshed = world
        .until("a new token", &grant, |grant| grant.generation == 2)
        .await?;

    let (old, new) = (world.base.opened(&grant)?, world.base.opened(&refreshed)?);
    assert!(world.sandbox.tokens().check_access(&new.access).is_ok());
    assert!(new.refresh.is_some());
    assert_ne!(new.refresh, old.refresh, "the rotated token is stored");
    assert!(refreshed.refresh_due_at > grant.access_expires_at - time::Duration::minutes(5));
    let key = grant.id.to_string();
    world
        .base
        .published(&format!("token.refreshed.{key}"), 1)
        .await?;
    let event: TokenRefreshed = world.base.first_event(&key).await?;
    assert_eq!((event.grant_id, event.generation), (grant.id, 2));
    replica.stop().await
}

#[tokio::test]
async fn two_replicas_refresh_more_grants_than_fit_once_each() -> Result<()> {
    let world = World::new(Personality::Standard).await?;
    let mut grants = Vec::new();
    for number in 0..60 {
        grants.push(world.grant(&format!("user{number}")).await?);
    }
    let replicas = [world.start().await?, world.start().await?];

    world.advance(51);
    for grant in &grants {
        world
            .until("a new token", grant, |grant| grant.generation == 2)
            .await?;
    }

    for grant in &grants {
        assert_eq!(world.refreshes(grant), (1, 0), "{}", grant.subject);
    }
    for replica in replicas {
        replica.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_refused_token_is_replaced_at_once_and_only_once() -> Result<()> {
    let world = World::new(Personality::Standard).await?;
    let grant = world.grant("alice").await?;
    let replica = world.start().await?;

    world.ask(&grant, 1).await?;
    world
        .until("a new token", &grant, |grant| grant.generation == 2)
        .await?;
    world.clock.advance(Duration::from_secs(30));
    world.ask(&grant, 1).await?;
    world.ask(&grant, 2).await?;
    world
        .until("a newer token", &grant, |grant| grant.generation == 3)
        .await?;

    assert_eq!(world.refreshes(&grant), (2, 0));
    world
        .base
        .published(&format!("token.refreshed.{}", grant.id), 2)
        .await?;
    replica.stop().await
}

#[tokio::test]
async fn a_provider_that_keeps_its_refresh_token_costs_none() -> Result<()> {
    let world = World::new(Personality::Google).await?;
    let grant = world.grant("alice").await?;
    let replica = world.start().await?;

    world.ask(&grant, 1).await?;
    let refreshed = world
        .until("a new token", &grant, |grant| grant.generation == 2)
        .await?;

    let (old, new) = (world.base.opened(&grant)?, world.base.opened(&refreshed)?);
    assert!(new.refresh.is_some());
    assert_eq!(new.refresh, old.refresh);
    replica.stop().await
}
