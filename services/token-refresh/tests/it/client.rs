use std::time::Duration;

use anyhow::Result;
use mailmesh_domain::{Clock, GrantState};
use mailmesh_sandbox::{ClientSettings, Fault, Personality};
use mailmesh_store::client_configuration;

use crate::world::{CLIENT_ID, CLIENT_SECRET, World};

async fn store_secret(world: &World, secret: &str) -> Result<()> {
    let mut client = world.reload_client().await?;
    client.client_secret = world.base.seal_client_secret(client.id, secret)?;
    world.clock.advance(Duration::from_secs(1));
    client.updated_at = world.clock.now();
    let mut tx = world.base.begin().await?;
    client_configuration::update(&mut tx, &client).await?;
    Ok(tx.commit().await?)
}

#[tokio::test]
async fn a_refused_client_is_told_once_and_its_grants_go_on_when_it_is_corrected() -> Result<()> {
    let world = World::new(Personality::Microsoft).await?;
    let mut grants = Vec::new();
    for name in ["alice", "bob", "carol"] {
        grants.push(world.grant(name).await?);
    }
    store_secret(&world, "wrong").await?;
    let replica = world.start().await?;

    world.advance(51);
    for grant in &grants {
        world
            .until("a suspension", grant, |grant| {
                grant.state == GrantState::Suspended
            })
            .await?;
    }
    world.base.published("client.refused.sandbox", 1).await?;
    world
        .base
        .published("account.sign_in_required.alice", 0)
        .await?;
    let refusal = world.reload_client().await?.refusal.expect("a refusal");
    assert_eq!(refusal.code.as_deref(), Some("AADSTS7000215"));

    store_secret(&world, CLIENT_SECRET).await?;
    for grant in &grants {
        world
            .until("a new token", grant, |grant| {
                grant.state == GrantState::Active && grant.generation == 2
            })
            .await?;
    }

    assert!(world.reload_client().await?.refusal.is_none());
    world.base.published("account.recovered.carol", 1).await?;
    world
        .base
        .published("account.recovered.carol-out", 1)
        .await?;
    world.base.published("client.refused.sandbox", 1).await?;
    replica.stop().await
}

#[tokio::test]
async fn a_client_that_is_accepted_again_by_itself_is_found_by_the_probe() -> Result<()> {
    let world = World::new(Personality::Standard).await?;
    let grant = world.grant("alice").await?;
    world.sandbox.register_client(ClientSettings {
        client_id: CLIENT_ID.to_owned(),
        client_secret: "another".to_owned(),
        redirect_uris: Vec::new(),
    })?;
    let replica = world.start().await?;

    world.ask(&grant, 1).await?;
    world
        .until("a suspension", &grant, |grant| {
            grant.state == GrantState::Suspended
        })
        .await?;
    world.sandbox.register_client(ClientSettings {
        client_id: CLIENT_ID.to_owned(),
        client_secret: CLIENT_SECRET.to_owned(),
        redirect_uris: Vec::new(),
    })?;
    world.advance(17);
    world
        .until("a new token", &grant, |grant| {
            grant.state == GrantState::Active && grant.generation == 2
        })
        .await?;

    assert!(world.reload_client().await?.refusal.is_none());
    replica.stop().await
}

#[tokio::test]
async fn a_client_that_hangs_delays_no_other_grant_for_ever() -> Result<()> {
    let world = World::new(Personality::Standard).await?;
    let [slow, quick] = [world.grant("slow").await?, world.grant("quick").await?];
    world.sandbox.faults().add(mailmesh_sandbox::FaultRule {
        address: Some(slow.subject.clone()),
        ..mailmesh_sandbox::FaultRule::once("oauth.token.refresh", Fault::Stall { seconds: None })
    })?;
    let replica = world.start().await?;

    world.advance(51);
    world
        .until("the quick one's token", &quick, |grant| {
            grant.generation == 2
        })
        .await?;
    assert_eq!(world.base.grant(slow.id).await?.generation, 1);
    world.sandbox.faults().clear();
    world
        .until("the slow one's token", &slow, |grant| grant.generation == 2)
        .await?;

    replica.stop().await
}
