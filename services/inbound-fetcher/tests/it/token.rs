//! Access tokens that end or are refused: the account waits, asks, and goes on by itself.

use std::collections::BTreeMap;

use anyhow::{Context, Result, anyhow};
use mailmesh_bus::Subscription;
use mailmesh_domain::{
    AccountState, Authorisation, ClientConfigurationId, Clock as _, GrantId, GrantState, Key,
    SystemClock,
};
use mailmesh_events::Event as _;
use mailmesh_events::account::AccountSignInRequired;
use mailmesh_events::token::{RefreshToken, TokenRefreshed};
use mailmesh_sandbox::GrantRequest;
use mailmesh_secrets::SecretString;
use mailmesh_store::account::Account;
use mailmesh_store::client_configuration::{self, ClientConfiguration};
use mailmesh_store::grant::{self, Grant};
use mailmesh_testkit::eventually;
use time::Duration;

use crate::world::{ALICE, World, mail};

struct Consent {
    id: GrantId,
    client: ClientConfigurationId,
}

async fn consent(world: &World) -> Result<Consent> {
    let now = SystemClock.now();
    let client = ClientConfiguration {
        id: ClientConfigurationId::generate(&SystemClock),
        key: Key::try_new("sandbox")?,
        name: "Sandbox".to_owned(),
        profile: "custom".to_owned(),
        client_id: "test".to_owned(),
        client_secret: None,
        token_endpoint_auth: None,
        issuer: Some("https://id.example.com".to_owned()),
        authorize_url: None,
        token_url: None,
        userinfo_url: None,
        jwks_url: None,
        revocation_url: None,
        scopes: vec!["mail".to_owned()],
        identity_claim: None,
        extra_authorize_parameters: BTreeMap::new(),
        ca_pem: None,
        is_inbound: true,
        is_outbound: false,
        refusal: None,
        created_at: now,
        updated_at: now,
    };
    let mut tx = world.connections.database.begin().await?;
    client_configuration::insert(&mut tx, &client).await?;
    tx.commit().await?;
    Ok(Consent {
        id: GrantId::generate(&SystemClock),
        client: client.id,
    })
}

fn issue(world: &World) -> String {
    let scopes = [
        "https://mail.google.com/",
        "https://outlook.office.com/IMAP.AccessAsUser.All",
    ];
    let request = GrantRequest {
        address: ALICE.to_owned(),
        client_id: "test".to_owned(),
        scopes: scopes.map(str::to_owned).into(),
        offline: false,
    };
    world.sandbox.tokens().issue(&request).access_token
}

/// Stores an access token as token-refresh or auth-callback would.
async fn store(world: &World, consent: &Consent, generation: i64, token: &str) -> Result<()> {
    let now = SystemClock.now();
    let place = Grant::access_context(consent.id);
    let sealed = world
        .keys
        .sealing_key()
        .seal(&SecretString::from(token), &place);
    let grant = Grant {
        id: consent.id,
        client_configuration_id: consent.client,
        subject: "alice".to_owned(),
        address: Some(ALICE.to_owned()),
        scopes: Vec::new(),
        state: GrantState::Active,
        problem: None,
        access_token: sealed.map_err(|_| anyhow!("not sealed"))?,
        refresh_token: None,
        generation,
        access_expires_at: now + Duration::hours(1),
        refresh_due_at: now + Duration::minutes(50),
        refresh_expires_at: None,
        failures: 0,
    };
    let mut tx = world.connections.database.begin().await?;
    grant::save_sign_in(&mut tx, &grant, now).await?;
    Ok(tx.commit().await?)
}

fn with_grant(account: &mut Account, consent: &Consent) {
    account.authorisation = Authorisation::OAuth2;
    account.password = None;
    account.client_configuration_id = Some(consent.client);
    account.grant_id = Some(consent.id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_token_is_asked_for_and_the_account_goes_on_with_the_next() -> Result<()> {
    let world = World::new().await?;
    let consent = consent(&world).await?;
    store(&world, &consent, 1, &issue(&world)).await?;
    let account = world
        .account("support", |account| with_grant(account, &consent))
        .await?;
    let replica = world.start().await?;
    world.deliver(mail(1))?;
    world.mails("support", 1).await?;
    let mut asked = world
        .connections
        .bus
        .subscribe("token.refresh", None)
        .await?;

    world.sandbox.tokens().expire_access(ALICE);
    world.sandbox.mail().expire_sessions(ALICE)?;
    world.deliver(mail(2))?;
    let hint = asked.next().await.context("the subscription is open")?;
    let request: RefreshToken = serde_json::from_slice(&hint.payload)?;
    assert_eq!(
        (request.grant_id, request.refused_generation),
        (consent.id, 1)
    );
    // No hint is sent: the look into the database finds the new generation.
    store(&world, &consent, 2, &issue(&world)).await?;

    world.mails("support", 2).await?;
    assert_eq!(world.state(&account).await?, AccountState::Active);
    assert!(
        world
            .events::<AccountSignInRequired>("support")
            .await?
            .is_empty()
    );
    world.finish(replica).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fresh_tokens_that_are_refused_too_need_a_sign_in() -> Result<()> {
    let world = World::new().await?;
    let consent = consent(&world).await?;
    store(&world, &consent, 1, "not a token").await?;
    let account = world
        .account("support", |account| with_grant(account, &consent))
        .await?;
    world.deliver(mail(1))?;
    let mut asked = world
        .connections
        .bus
        .subscribe("token.refresh", None)
        .await?;
    let replica = world.start().await?;

    for generation in 2..=3 {
        loop {
            let hint = asked.next().await.context("the subscription is open")?;
            let request: RefreshToken = serde_json::from_slice(&hint.payload)?;
            if request.refused_generation == generation - 1 {
                break;
            }
        }
        store(&world, &consent, generation, "not a token either").await?;
    }
    let _told: AccountSignInRequired = world.first("support").await?;
    assert_eq!(world.state(&account).await?, AccountState::SignInRequired);
    // A person signs in; the event wakes the account at once.
    store(&world, &consent, 4, &issue(&world)).await?;
    announce(&world, &consent, 4).await?;

    world.mails("support", 1).await?;
    eventually("the account has recovered", async || {
        let state = world.state(&account).await?;
        anyhow::ensure!(state == AccountState::Active, "{state}");
        anyhow::Ok(())
    })
    .await?;
    let asked = asked_so_far(&world, &mut asked).await?;
    assert!(!asked.contains(&3), "a token nobody can use was asked for");
    world.finish(replica).await
}

/// Returns the generations that were asked about and not yet read.
async fn asked_so_far(world: &World, asked: &mut Subscription) -> Result<Vec<i64>> {
    let end = RefreshToken {
        grant_id: GrantId::generate(&SystemClock),
        refused_generation: -1,
    };
    let body = serde_json::to_vec(&end)?.into();
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn account_without_a_grant_waits_for_its_first_sign_in() -> Result<()> {
    let world = World::new().await?;
    let consent = consent(&world).await?;
    let account = world
        .account("support", |account| {
            with_grant(account, &consent);
            account.grant_id = None;
        })
        .await?;
    world.deliver(mail(1))?;
    let replica = world.start().await?;
    assert_eq!(world.state(&account).await?, AccountState::SignInNeeded);

    store(&world, &consent, 1, &issue(&world)).await?;
    let mut tx = world.connections.database.begin().await?;
    let now = SystemClock.now();
    mailmesh_store::account::attach_grant(&mut tx, account.id, consent.id, now).await?;
    tx.commit().await?;

    world.mails("support", 1).await?;
    assert_eq!(world.state(&account).await?, AccountState::Active);
    world.finish(replica).await
}

async fn announce(world: &World, consent: &Consent, generation: i64) -> Result<()> {
    let event = TokenRefreshed {
        grant_id: consent.id,
        generation,
        expires_at: SystemClock.now() + Duration::hours(1),
    };
    let payload = serde_json::to_vec(&event)?;
    let bus = &world.connections.bus;
    Ok(bus
        .publish_core(TokenRefreshed::NAME, &[], payload.into())
        .await?)
}
