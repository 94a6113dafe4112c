//! Refresh tokens and client secrets go nowhere but where they came from.

use std::time::Duration;

use anyhow::{Context, Result};
use mailmesh_domain::{AccountState, Clock, GrantState, MustAct};
use mailmesh_sandbox::Personality;
use mailmesh_store::client_configuration;
use mailmesh_store::grant::{self, Grant};

use crate::world::World;

const ELSEWHERE: &str = "https://other.example.test";

async fn save_with_origin(world: &World, grant: &Grant, origin: Option<&str>) -> Result<()> {
    let grant = Grant {
        token_origin: origin.map(str::to_owned),
        ..grant.clone()
    };
    world.base.save_grant(&grant).await
}

#[tokio::test]
async fn a_refresh_token_goes_to_no_other_origin_than_it_came_from() -> Result<()> {
    let world = World::new(Personality::Standard).await?;
    let grant = world.grant("alice").await?;
    save_with_origin(&world, &grant, Some(ELSEWHERE)).await?;
    let replica = world.start().await?;

    world.advance(51);
    let suspended = world
        .until("a suspension", &grant, |grant| {
            grant.state == GrantState::Suspended
        })
        .await?;

    assert_eq!(world.refreshes(&grant), (0, 0));
    assert_eq!(world.sandbox.oauth_counters().token_requests, 0);
    assert_eq!(
        suspended.account_state(),
        Some(AccountState::SignInRequired)
    );
    world
        .base
        .published("account.sign_in_required.alice", 1)
        .await?;
    assert!(world.reload_client().await?.refusal.is_none());
    replica.stop().await
}

#[tokio::test]
async fn the_first_use_binds_grant_and_client_to_the_token_endpoint() -> Result<()> {
    let world = World::new(Personality::Standard).await?;
    let grant = world.grant("alice").await?;
    let replica = world.start().await?;

    world.advance(51);
    let refreshed = world
        .until("a new token", &grant, |grant| grant.generation == 2)
        .await?;

    let issuer = &world.sandbox.addresses().issuer;
    let origin = refreshed.token_origin.context("no origin")?;
    assert!(issuer.starts_with(&origin), "{issuer} {origin}");
    assert_eq!(world.reload_client().await?.token_origin, Some(origin));
    replica.stop().await
}

#[tokio::test]
async fn a_token_endpoint_that_moved_is_asked_only_once_an_administrator_has_confirmed()
-> Result<()> {
    let world = World::new(Personality::Standard).await?;
    let grant = world.grant("alice").await?;
    let mut client = world.reload_client().await?;
    client.token_origin = Some(ELSEWHERE.to_owned());
    let mut tx = world.base.begin().await?;
    client_configuration::update(&mut tx, &client).await?;
    tx.commit().await?;
    let replica = world.start().await?;

    world.advance(51);
    world
        .until("a suspension", &grant, |grant| {
            grant.state == GrantState::Suspended
        })
        .await?;
    let refusal = world.reload_client().await?.refusal.context("no refusal")?;
    assert_eq!(refusal.must_act, MustAct::Administrator);
    assert!(refusal.action.contains("store the client secret again"));
    assert_eq!(world.sandbox.oauth_counters().token_requests, 0);

    // As the administration does with a new secret.
    world.clock.advance(Duration::from_secs(1));
    client.token_origin = None;
    client.updated_at = world.clock.now();
    let mut tx = world.base.begin().await?;
    client_configuration::update(&mut tx, &client).await?;
    tx.commit().await?;
    world
        .until("a new token", &grant, |grant| grant.generation == 2)
        .await?;
    replica.stop().await
}

#[tokio::test]
async fn grants_are_looked_at_once_their_clients_urls_were_changed() -> Result<()> {
    let world = World::new(Personality::Standard).await?;
    let grant = world.grant("alice").await?;
    let replica = world.start().await?;

    // As the administration does with another URL: of this grant nobody knows where it came from.
    let mut tx = world.base.begin().await?;
    grant::recheck_origins(&mut tx, world.client.id, world.clock.now()).await?;
    tx.commit().await?;

    world
        .until("a suspension", &grant, |grant| {
            grant.state == GrantState::Suspended
        })
        .await?;
    assert_eq!(world.refreshes(&grant), (0, 0));
    replica.stop().await
}
