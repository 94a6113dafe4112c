//! A replica that lacks a key harms nobody, and goes on once it has it.

use anyhow::{Context, Result};
use mailmesh_domain::{GrantState, MustAct};
use mailmesh_events::Problem;
use mailmesh_sandbox::Personality;
use mailmesh_secrets::{OpeningKeys, SecretString};
use mailmesh_store::RowSecret;
use mailmesh_store::client_configuration::{self, ClientConfiguration};
use mailmesh_store::grant::Grant;

use crate::world::{CLIENT_SECRET, World};

/// Waits for the failure of a replica that lacks a key, and makes sure that it harmed nothing.
async fn fail(world: &World, grant: &Grant) -> Result<Problem> {
    let replica = world.start().await?;
    world.ask(grant, 1).await?;
    let failed = world
        .until("a failure", grant, |grant| grant.failures == 1)
        .await?;
    replica.stop().await?;

    assert_eq!((failed.state, failed.generation), (GrantState::Active, 1));
    assert!(world.reload_client().await?.refusal.is_none());
    assert!(world.base.stored("client.refused.mesh").await?.is_empty());
    assert_eq!(world.refreshes(grant), (0, 0));
    failed.problem.context("no problem")
}

async fn refresh(world: &World, grant: &Grant) -> Result<()> {
    let replica = world.start().await?;
    world.advance(1);
    world
        .until("a new token", grant, |grant| grant.generation == 2)
        .await?;
    replica.stop().await
}

#[tokio::test]
async fn a_refresh_token_of_another_key_waits_for_it() -> Result<()> {
    let mut world = World::new(Personality::Standard).await?;
    let grant = world.grant("alice").await?;
    let good = std::mem::replace(&mut world.base.keys, OpeningKeys::generate()?);

    let problem = fail(&world, &grant).await?;
    world.base.keys = good;
    refresh(&world, &grant).await?;

    assert_eq!(problem.must_act, MustAct::Administrator);
    assert!(problem.action.contains("key"), "{problem:?}");
    Ok(())
}

#[tokio::test]
async fn a_client_secret_of_another_key_is_no_refusal_of_the_client() -> Result<()> {
    let mut world = World::new(Personality::Standard).await?;
    let grant = world.grant("alice").await?;
    let other = OpeningKeys::generate()?;
    let context = ClientConfiguration::secret_context(world.client.id);
    let secret = SecretString::from(CLIENT_SECRET);
    let client = ClientConfiguration {
        client_secret: RowSecret::Sealed(other.sealing_key().seal(&secret, &context)?),
        ..world.client.clone()
    };
    let mut tx = world.base.begin().await?;
    client_configuration::update(&mut tx, &client).await?;
    tx.commit().await?;

    let problem = fail(&world, &grant).await?;
    let both = [world.base.keys.to_file_text()?, other.to_file_text()?];
    let both = both.map(|text| mailmesh_secrets::ExposeSecret::expose_secret(&text).to_owned());
    world.base.keys = OpeningKeys::parse(&SecretString::from(both.concat()))?;
    refresh(&world, &grant).await?;

    assert_eq!(problem.must_act, MustAct::Administrator);
    assert!(problem.what.contains("client secret"), "{problem:?}");
    assert!(problem.action.contains("key"), "{problem:?}");
    Ok(())
}
