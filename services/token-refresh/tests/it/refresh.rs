use anyhow::Result;
use mailmesh_events::decode_event;
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

    let [access, refresh] = world.opened(&refreshed)?;
    let [_, old_refresh] = world.opened(&grant)?;
    assert!(world.sandbox.tokens().check_access(&access).is_ok());
    assert_ne!(refresh, old_refresh, "the rotated token is stored");
    assert!(refreshed.refresh_due_at > grant.access_expires_at - time::Duration::minutes(5));
    let events = world
        .events(&format!("token.refreshed.{}", grant.id), 1)
        .await?;
    let event = decode_event::<TokenRefreshed>(&Vec::new(), &events[0])?.data;
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
    world.ask(&grant, 1).await?;
    world.ask(&grant, 2).await?;
    world
        .until("a newer token", &grant, |grant| grant.generation == 3)
        .await?;

    assert_eq!(world.refreshes(&grant), (2, 0));
    world
        .events(&format!("token.refreshed.{}", grant.id), 2)
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

    assert_eq!(world.opened(&refreshed)?[1], world.opened(&grant)?[1]);
    replica.stop().await
}
