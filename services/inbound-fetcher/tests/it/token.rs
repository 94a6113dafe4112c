//! Access tokens that end or are refused: the account waits, asks, and goes on by itself.

use anyhow::Result;
use mailmesh_domain::{
    AccountState, ClientConfigurationId, Clock as _, FailureCause, GrantId, GrantState, Protocol,
    SystemClock,
};
use mailmesh_events::account::AccountSignInRequired;
use mailmesh_events::token::TokenRefreshed;
use mailmesh_events::{Event as _, Problem};
use mailmesh_sandbox::GrantRequest;
use mailmesh_store::account::Account;
use mailmesh_store::client_configuration::ClientConfiguration;
use mailmesh_store::grant::{self, Grant};
use mailmesh_testkit::{RefreshRequests, eventually, use_grant};
use time::Duration;

use crate::world::{ALICE, World, mail, over_each_protocol};

over_each_protocol! {
    refused_token_is_asked_for_and_the_account_goes_on_with_the_next,
    fresh_tokens_that_are_refused_too_need_a_sign_in,
}

struct Consent {
    id: GrantId,
    client: ClientConfigurationId,
}

async fn consent(world: &World) -> Result<Consent> {
    let client = ClientConfiguration {
        issuer: Some("https://id.example.com".to_owned()),
        scopes: vec!["mail".to_owned()],
        is_outbound: false,
        ..world.base.client_row("test")?
    };
    world.base.insert_client(&client).await?;
    Ok(Consent {
        id: GrantId::generate(&SystemClock),
        client: client.id,
    })
}

fn issue(world: &World) -> String {
    let scopes = [
        "https://mail.google.com/",
        "https://outlook.office.com/IMAP.AccessAsUser.All",
        "https://outlook.office.com/POP.AccessAsUser.All",
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
    let grant = Grant {
        generation,
        ..world
            .base
            .grant_row(consent.id, consent.client, ALICE, token)?
    };
    world.base.save_grant(&grant).await
}

fn with_grant(account: &mut Account, consent: &Consent) {
    use_grant(account, consent.client, consent.id);
}

async fn refused_token_is_asked_for_and_the_account_goes_on_with_the_next(
    protocol: Protocol,
) -> Result<()> {
    let world = World::over(protocol).await?;
    let consent = consent(&world).await?;
    store(&world, &consent, 1, &issue(&world)).await?;
    let account = world
        .account("support", |account| with_grant(account, &consent))
        .await?;
    let replica = world.start().await?;
    world.deliver(mail(1))?;
    world.mails("support", 1).await?;
    let mut asked = RefreshRequests::subscribe(&world.base.bus).await?;

    world.sandbox.tokens().expire_access(ALICE);
    world.sandbox.mail().expire_sessions(ALICE)?;
    world.deliver(mail(2))?;
    let request = asked.next().await?;
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
            .base
            .events::<AccountSignInRequired>("support")
            .await?
            .is_empty()
    );
    world.finish(replica).await
}

async fn fresh_tokens_that_are_refused_too_need_a_sign_in(protocol: Protocol) -> Result<()> {
    let world = World::over(protocol).await?;
    let consent = consent(&world).await?;
    store(&world, &consent, 1, "not a token").await?;
    let account = world
        .account("support", |account| with_grant(account, &consent))
        .await?;
    world.deliver(mail(1))?;
    let mut asked = RefreshRequests::subscribe(&world.base.bus).await?;
    let replica = world.start().await?;

    for generation in 2..=3 {
        while asked.next().await?.refused_generation != generation - 1 {}
        store(&world, &consent, generation, "not a token either").await?;
    }
    let _told: AccountSignInRequired = world.base.first_event("support").await?;
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
    let asked = asked.so_far().await?;
    assert!(!asked.contains(&3), "a token nobody can use was asked for");
    world.finish(replica).await
}

/// Says that the grant cannot be refreshed until the client is accepted again.
async fn suspend(world: &World, consent: &Consent) -> Result<()> {
    let grant = world.base.grant(consent.id).await?;
    let cause = FailureCause::CertificateAuthority;
    let problem = Problem::new("The client's secret is wrong.", cause);
    let now = SystemClock.now();
    let (state, due_at) = (GrantState::Suspended, now + Duration::hours(1));
    let mut tx = world.base.begin().await?;
    grant::record_failure(&mut tx, &grant, state, &problem, due_at, now).await?;
    Ok(tx.commit().await?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn account_of_a_suspended_grant_goes_on_without_a_hint() -> Result<()> {
    let world = World::new().await?;
    let consent = consent(&world).await?;
    store(&world, &consent, 1, &issue(&world)).await?;
    world
        .account("support", |account| with_grant(account, &consent))
        .await?;
    let replica = world.start().await?;
    world.deliver(mail(1))?;
    world.mails("support", 1).await?;
    suspend(&world, &consent).await?;
    world.sandbox.tokens().expire_access(ALICE);
    world.sandbox.mail().expire_sessions(ALICE)?;
    world.deliver(mail(2))?;
    eventually("the account waits", async || {
        let counters = world.sandbox.mail().counters();
        let is_out = counters.imap_refused > 0 && counters.imap_connections == 0;
        anyhow::ensure!(is_out, "{counters:?}");
        anyhow::Ok(())
    })
    .await?;

    // The secret was corrected; nobody hears of the token that came then.
    store(&world, &consent, 2, &issue(&world)).await?;

    world.mails("support", 2).await?;
    world.finish(replica).await
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
    let mut tx = world.base.begin().await?;
    let now = SystemClock.now();
    mailmesh_store::account::attach_grant(&mut tx, account.id, consent.id, now).await?;
    tx.commit().await?;

    world.mails("support", 1).await?;
    world.becomes(&account, AccountState::Active).await?;
    world.finish(replica).await
}

async fn announce(world: &World, consent: &Consent, generation: i64) -> Result<()> {
    let event = TokenRefreshed {
        grant_id: consent.id,
        generation,
        expires_at: SystemClock.now() + Duration::hours(1),
    };
    let payload = serde_json::to_vec(&event)?;
    let bus = &world.base.bus;
    Ok(bus
        .publish_core(TokenRefreshed::NAME, &[], payload.into())
        .await?)
}
