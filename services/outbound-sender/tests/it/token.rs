//! Mail of an account whose access token is refused.

use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use mailmesh_bus::Subscription;
use mailmesh_domain::{
    Authorisation, ClientConfigurationId, Clock, GrantId, GrantState, Key, SystemClock, Verdict,
};
use mailmesh_events::Problem;
use mailmesh_events::token::RefreshToken;
use mailmesh_sandbox::GrantRequest;
use mailmesh_secrets::SecretString;
use mailmesh_store::account::Account;
use mailmesh_store::client_configuration::{self, ClientConfiguration};
use mailmesh_store::grant::{self, Grant, NewTokens};

use crate::world::{World, quick, send_body};

fn client() -> Result<ClientConfiguration> {
    let now = SystemClock.now();
    Ok(ClientConfiguration {
        id: ClientConfigurationId::generate(&SystemClock),
        key: Key::try_new("sandbox")?,
        name: "Sandbox".to_owned(),
        profile: "generic".to_owned(),
        client_id: "client".to_owned(),
        client_secret: None,
        token_endpoint_auth: None,
        issuer: None,
        authorize_url: None,
        token_url: None,
        userinfo_url: None,
        jwks_url: None,
        revocation_url: None,
        scopes: Vec::new(),
        identity_claim: None,
        extra_authorize_parameters: std::collections::BTreeMap::new(),
        ca_pem: None,
        is_inbound: true,
        is_outbound: true,
        refusal: None,
        created_at: now,
        updated_at: now,
    })
}

fn token(world: &World, key: &str) -> SecretString {
    let set = world.sandbox.tokens().issue(&GrantRequest {
        address: format!("{key}@sandbox.test"),
        client_id: "client".to_owned(),
        scopes: vec!["mail".to_owned(), "smtp".to_owned()],
        offline: true,
    });
    SecretString::from(set.access_token)
}

/// Stores an account with a grant whose token the server does not know.
async fn add_stale_account(world: &World) -> Result<(Account, GrantId)> {
    let client = client()?;
    let id = GrantId::generate(&SystemClock);
    let now = SystemClock.now();
    let sealed = world
        .keys
        .sealing_key()
        .seal(&SecretString::from("stale"), &Grant::access_context(id))?;
    let grant = Grant {
        id,
        client_configuration_id: client.id,
        subject: "one".to_owned(),
        address: None,
        scopes: Vec::new(),
        state: GrantState::Active,
        problem: None,
        access_token: sealed,
        refresh_token: None,
        generation: 1,
        access_expires_at: now + Duration::from_hours(1),
        refresh_due_at: now + Duration::from_hours(1),
        refresh_expires_at: None,
        failures: 0,
    };
    let mut account = world.password_account("one", 2)?;
    account.authorisation = Authorisation::OAuth2;
    account.password = None;
    account.client_configuration_id = Some(client.id);
    account.grant_id = Some(id);
    let mut tx = world.connections.database.begin().await?;
    client_configuration::insert(&mut tx, &client).await?;
    grant::save_sign_in(&mut tx, &grant, now).await?;
    mailmesh_store::account::insert(&mut tx, &account).await?;
    tx.commit().await?;
    Ok((account, id))
}

/// Does what `token-refresh` does: waits to be asked, stores a token, tells of it.
async fn refresh(
    world: &World,
    asked: &mut Subscription,
    id: GrantId,
    token: &SecretString,
) -> Result<i64> {
    let refused = loop {
        let hint = asked
            .next()
            .await
            .ok_or_else(|| anyhow::anyhow!("no ask"))?;
        let request: RefreshToken = serde_json::from_slice(&hint.payload)?;
        let mut tx = world.connections.database.begin().await?;
        let grants = grant::list_by_ids(&mut tx, &[id]).await?;
        if grants.first().map(|grant| grant.generation) == Some(request.refused_generation) {
            break request.refused_generation;
        }
    };
    record(world, id, refused, token).await?;
    Ok(refused)
}

async fn record(world: &World, id: GrantId, refused: i64, token: &SecretString) -> Result<()> {
    let now = SystemClock.now();
    let sealing = world.keys.sealing_key();
    let tokens = NewTokens {
        access_token: sealing.seal(token, &Grant::access_context(id))?,
        refresh_token: None,
        access_expires_at: now + Duration::from_hours(1),
        refresh_due_at: now + Duration::from_hours(1),
        refresh_expires_at: None,
    };
    let mut tx = world.connections.database.begin().await?;
    grant::record_refresh(&mut tx, id, refused, &tokens, now).await?;
    tx.commit().await?;
    let subject = format!("token.refreshed.{id}");
    world.publish(&subject, Bytes::from_static(b"{}")).await?;
    Ok(())
}

/// Returns the generations that were asked about and not yet read.
async fn asked_so_far(world: &World, asked: &mut Subscription) -> Result<Vec<i64>> {
    let end = RefreshToken {
        grant_id: GrantId::generate(&SystemClock),
        refused_generation: -1,
    };
    let body = Bytes::from(serde_json::to_vec(&end)?);
    let bus = &world.connections.bus;
    bus.publish_core("token.refresh", &[], body).await?;
    let mut generations = Vec::new();
    while let Some(hint) = asked.next().await {
        let request: RefreshToken = serde_json::from_slice(&hint.payload)?;
        if request.grant_id == end.grant_id {
            break;
        }
        generations.push(request.refused_generation);
    }
    Ok(generations)
}

#[tokio::test]
async fn refused_token_defers_mail_without_an_attempt_until_it_is_refreshed() -> Result<()> {
    let mut world = World::new().await?;
    let (_, grant) = add_stale_account(&world).await?;
    let mut asked = world
        .connections
        .bus
        .subscribe("token.refresh", None)
        .await?;
    world.start_sender(quick()).await?;

    world
        .publish("mail.send", send_body("one", "a@elsewhere.test", "x"))
        .await?;
    let deferred = world.event("mail.deferred").await?;
    let token = token(&world, "one");
    let refused = refresh(&world, &mut asked, grant, &token).await?;
    let sent = world.event("mail.sent").await?;

    assert_eq!(refused, 1);
    assert_eq!(deferred["attempts"], 0);
    assert_eq!(deferred["problem"]["kind"], "transient");
    assert_eq!(sent["attempts"], 1);
    assert_eq!(world.mail(&sent).await?.failures, 0);
    world.finish().await
}

#[tokio::test]
async fn two_fresh_tokens_refused_ask_for_a_sign_in_and_mail_survives_it() -> Result<()> {
    let mut world = World::new().await?;
    let (_, grant) = add_stale_account(&world).await?;
    let mut asked = world
        .connections
        .bus
        .subscribe("token.refresh", None)
        .await?;
    world.start_sender(quick()).await?;

    world
        .publish("mail.send", send_body("one", "a@elsewhere.test", "x"))
        .await?;
    for _ in 0..2 {
        let bad = SecretString::from("bad as well");
        refresh(&world, &mut asked, grant, &bad).await?;
    }
    let required = world.event("account.sign_in_required").await?;
    let token = token(&world, "one");
    record(&world, grant, 3, &token).await?;
    let recovered = world.event("account.recovered").await?;
    let sent = world.event("mail.sent").await?;

    assert_eq!(required["problem"]["kind"], "needs_sign_in");
    assert_eq!(recovered["was"], "sign_in_required");
    assert_eq!(sent["attempts"], 1);
    let asked = asked_so_far(&world, &mut asked).await?;
    assert!(!asked.contains(&3), "a token nobody can use was asked for");
    world.forget("mail.deferred").await?;
    world.finish().await
}

async fn load(world: &World, id: GrantId) -> Result<Grant> {
    let mut tx = world.connections.database.begin().await?;
    let mut grants = grant::list_by_ids(&mut tx, &[id]).await?;
    tx.commit().await?;
    grants.pop().ok_or_else(|| anyhow::anyhow!("no such grant"))
}

/// Does what `token-refresh` does when the provider ends a consent.
async fn end_consent(world: &World, id: GrantId) -> Result<()> {
    let grant = load(world, id).await?;
    let problem = Problem::new("The provider says no", Verdict::needs_sign_in());
    let (state, now) = (GrantState::SignInRequired, SystemClock.now());
    let mut tx = world.connections.database.begin().await?;
    let done = grant::record_failure(&mut tx, &grant, state, &problem, now, now).await?;
    tx.commit().await?;
    anyhow::ensure!(done, "the grant was not changed");
    Ok(())
}

/// Does what `auth-callback` does when a person consents.
async fn sign_in(world: &World, account: &Account, id: GrantId) -> Result<()> {
    let mut grant = load(world, id).await?;
    grant.generation += 1;
    let sealing = world.keys.sealing_key();
    let token = token(world, "one");
    grant.access_token = sealing.seal(&token, &Grant::access_context(id))?;
    let now = SystemClock.now();
    let mut tx = world.connections.database.begin().await?;
    grant::save_sign_in(&mut tx, &grant, now).await?;
    mailmesh_store::account::attach_grant(&mut tx, account.id, id, now).await?;
    tx.commit().await?;
    Ok(())
}

#[tokio::test]
async fn mail_that_waited_goes_out_once_a_person_has_signed_in() -> Result<()> {
    let mut world = World::new().await?;
    let (account, grant) = add_stale_account(&world).await?;
    end_consent(&world, grant).await?;
    world.start_sender(quick()).await?;
    world
        .publish("mail.send", send_body("one", "a@elsewhere.test", "x"))
        .await?;
    let deferred = world.event("mail.deferred").await?;

    sign_in(&world, &account, grant).await?;
    world
        .publish("account.authenticated.one", Bytes::from_static(b"{}"))
        .await?;
    let sent = world.event("mail.sent").await?;

    assert_eq!(deferred["problem"]["kind"], "needs_sign_in");
    assert_eq!(sent["attempts"], 1);
    world.forget("account.authenticated").await?;
    world.finish().await
}

#[tokio::test]
async fn mail_that_waited_goes_out_at_the_replica_that_takes_over_after_a_sign_in() -> Result<()> {
    let mut world = World::new().await?;
    let (account, grant) = add_stale_account(&world).await?;
    end_consent(&world, grant).await?;
    let first = world.start_sender(quick()).await?;
    world
        .publish("mail.send", send_body("one", "a@elsewhere.test", "x"))
        .await?;
    world.event("mail.deferred").await?;

    first.cancel();
    sign_in(&world, &account, grant).await?;
    world.start_sender(quick()).await?;
    let sent = world.event("mail.sent").await?;

    assert_eq!(sent["attempts"], 1);
    // An event whose row was not yet deleted is published again; the stream knows it.
    world.forget("mail.deferred").await?;
    world.finish().await
}
