//! Mail of an account whose access token is refused.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use mailmesh_domain::{Clock as _, FailureCause, GrantId, GrantState, SystemClock};
use mailmesh_events::account::AccountAuthenticated;
use mailmesh_events::token::{TokenRefreshFailed, TokenRefreshed};
use mailmesh_events::{Event, Problem};
use mailmesh_sandbox::{Fault, FaultRule, GrantRequest};
use mailmesh_store::account::{self, Account};
use mailmesh_store::grant::{self, Grant, NewTokens};
use mailmesh_testkit::{RefreshRequests, use_grant};

use crate::world::{World, send_body};

const ADDRESS: &str = "one@sandbox.test";
/// Within this no poll of a grant is due: those come each 10 s, and each minute once a person is waited for.
const NO_POLL: Duration = Duration::from_secs(8);

fn token(world: &World) -> String {
    let request = GrantRequest {
        address: ADDRESS.to_owned(),
        client_id: "client".to_owned(),
        scopes: vec!["mail".to_owned(), "smtp".to_owned()],
        offline: true,
    };
    world.sandbox.tokens().issue(&request).access_token
}

/// Stores an account with a grant whose token the server does not know.
async fn add_stale_account(world: &World) -> Result<(Account, GrantId)> {
    let base = &world.base;
    let client = base.client_row("client")?;
    base.insert_client(&client).await?;
    let id = GrantId::generate(&SystemClock);
    let grant = base.grant_row(id, client.id, ADDRESS, "stale")?;
    base.save_grant(&grant).await?;
    let mut account = world.password_account("one", 2)?;
    use_grant(&mut account, client.id, id);
    base.insert_account(&account).await?;
    Ok((account, id))
}

/// Does what `token-refresh` does: waits to be asked, stores a token, tells of it.
async fn refresh(
    world: &World,
    asked: &mut RefreshRequests,
    id: GrantId,
    token: &str,
) -> Result<i64> {
    loop {
        let refused = asked.next().await?.refused_generation;
        if world.base.grant(id).await?.generation == refused {
            record(world, id, refused, token).await?;
            return Ok(refused);
        }
    }
}

async fn record(world: &World, id: GrantId, refused: i64, token: &str) -> Result<()> {
    let now = SystemClock.now();
    let tokens = NewTokens {
        scopes: None,
        token_origin: "https://id.test".to_owned(),
        access_token: world.base.seal(token, &Grant::access_context(id))?,
        refresh_token: None,
        access_expires_at: now + Duration::from_hours(1),
        refresh_due_at: now + Duration::from_hours(1),
        refresh_expires_at: None,
    };
    let mut tx = world.base.begin().await?;
    grant::record_refresh(&mut tx, id, refused, &tokens, now).await?;
    tx.commit().await?;
    let event = TokenRefreshed {
        grant_id: id,
        generation: refused + 1,
        expires_at: tokens.access_expires_at,
    };
    let subject = format!("token.refreshed.{id}");
    world.publish(&subject, serde_json::to_vec(&event)?).await?;
    Ok(())
}

#[tokio::test]
async fn refused_token_defers_mail_without_an_attempt_until_it_is_refreshed() -> Result<()> {
    let mut world = World::new().await?;
    let (_, grant) = add_stale_account(&world).await?;
    let mut asked = RefreshRequests::subscribe(&world.base.bus).await?;
    world.start_sender().await?;

    world
        .publish("mail.send", send_body("one", "a@elsewhere.test", "x"))
        .await?;
    let deferred = world.event("mail.deferred").await?;
    let token = token(&world);
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
    let mut asked = RefreshRequests::subscribe(&world.base.bus).await?;
    world.start_sender().await?;

    world
        .publish("mail.send", send_body("one", "a@elsewhere.test", "x"))
        .await?;
    for _ in 0..2 {
        refresh(&world, &mut asked, grant, "bad as well").await?;
    }
    let required = world.event("account.sign_in_required").await?;
    let token = token(&world);
    record(&world, grant, 3, &token).await?;
    let recovered = world.event("account.recovered").await?;
    let sent = world.event("mail.sent").await?;

    assert_eq!(required["problem"]["kind"], "needs_sign_in");
    assert_eq!(required["problem"]["must_act"], "administrator");
    assert_eq!(required["problem"]["also_must_act"], "mailbox_owner");
    let action = required["problem"]["action"].as_str();
    assert!(
        action.is_some_and(|text| text.contains("scopes")),
        "{required}"
    );
    assert_eq!(recovered["was"], "sign_in_required");
    assert_eq!(sent["attempts"], 1);
    let asked = asked.so_far().await?;
    assert!(!asked.contains(&3), "a token nobody can use was asked for");
    world.forget("mail.deferred").await?;
    world.finish().await
}

#[tokio::test]
async fn retry_that_falls_due_during_a_refresh_goes_out_once_the_token_is_there() -> Result<()> {
    let mut world = World::new().await?;
    let (_, grant) = add_stale_account(&world).await?;
    record(&world, grant, 1, &token(&world)).await?;
    let mut asked = RefreshRequests::subscribe(&world.base.bus).await?;
    let text = "535 5.7.3 Authentication unsuccessful".to_owned();
    let faults = world.sandbox.faults();
    faults.add(FaultRule::once("smtp.mail", Fault::Cut))?;
    faults.add(FaultRule {
        after: 1,
        ..FaultRule::once("smtp.auth", Fault::Reply { text })
    })?;
    world.start_sender().await?;

    world
        .publish("mail.send", send_body("one", "a@elsewhere.test", "x"))
        .await?;
    world.event("mail.deferred").await?;
    let fresh = token(&world);
    refresh(&world, &mut asked, grant, &fresh).await?;
    let sent = world.event("mail.sent").await?;

    assert_eq!(world.mail(&sent).await?.failures, 1);
    world.forget("mail.deferred").await?;
    world.finish().await
}

/// Does what `token-refresh` does when the provider ends a consent.
async fn end_consent(world: &World, id: GrantId) -> Result<()> {
    let grant = world.base.grant(id).await?;
    let problem = Problem::new("The provider says no", FailureCause::GrantDead);
    let (state, now) = (GrantState::SignInRequired, SystemClock.now());
    let mut tx = world.base.begin().await?;
    let done = grant::record_failure(&mut tx, &grant, state, &problem, now, now).await?;
    tx.commit().await?;
    ensure!(done, "the grant was not changed");
    Ok(())
}

/// Does what `auth-callback` does when a person consents.
async fn sign_in(world: &World, account: &Account, id: GrantId) -> Result<()> {
    let mut grant = world.base.grant(id).await?;
    grant.generation += 1;
    let context = Grant::access_context(id);
    grant.access_token = world.base.seal(&token(world), &context)?;
    let now = SystemClock.now();
    let mut tx = world.base.begin().await?;
    grant::save_sign_in(&mut tx, &grant, now).await?;
    account::attach_grant(&mut tx, account.id, id, now).await?;
    tx.commit().await?;
    Ok(())
}

#[tokio::test]
async fn mail_that_waited_goes_out_once_a_person_has_signed_in() -> Result<()> {
    let mut world = World::new().await?;
    let (account, grant) = add_stale_account(&world).await?;
    end_consent(&world, grant).await?;
    world.start_sender().await?;
    world
        .publish("mail.send", send_body("one", "a@elsewhere.test", "x"))
        .await?;
    let deferred = world.event("mail.deferred").await?;

    sign_in(&world, &account, grant).await?;
    let event = AccountAuthenticated {
        account: account.key,
        scopes: Vec::new(),
    };
    let body = serde_json::to_vec(&event)?;
    world.publish("account.authenticated.one", body).await?;
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
    world.start_sender().await?;
    world
        .publish("mail.send", send_body("one", "a@elsewhere.test", "x"))
        .await?;
    world.event("mail.deferred").await?;

    world.stop_senders();
    sign_in(&world, &account, grant).await?;
    world.start_sender().await?;
    let sent = world.event("mail.sent").await?;

    assert_eq!(sent["attempts"], 1);
    // An event whose row was not yet deleted is published again; the stream knows it.
    world.forget("mail.deferred").await?;
    world.finish().await
}

#[tokio::test]
async fn grant_that_waits_for_a_person_is_used_while_its_access_token_works() -> Result<()> {
    let mut world = World::new().await?;
    let (_, grant) = add_stale_account(&world).await?;
    record(&world, grant, 1, &token(&world)).await?;
    end_consent(&world, grant).await?;
    world.start_sender().await?;

    world
        .publish("mail.send", send_body("one", "a@elsewhere.test", "x"))
        .await?;
    let sent = world.event("mail.sent").await?;

    assert_eq!(sent["attempts"], 1);
    world.forget("token.refreshed").await?;
    world.finish().await
}

/// An event that another account of the grant causes.
async fn publish_of_grant<E: Event + serde::Serialize>(world: &World, event: &E) -> Result<()> {
    let subject = format!("{}.{}", E::NAME, event.key());
    world.publish(&subject, serde_json::to_vec(event)?).await?;
    Ok(())
}

#[tokio::test]
async fn mail_that_waits_for_a_token_is_told_at_once_that_none_will_come() -> Result<()> {
    let mut world = World::new().await?;
    let (_, grant) = add_stale_account(&world).await?;
    world.start_sender().await?;
    world
        .publish("mail.send", send_body("one", "a@elsewhere.test", "x"))
        .await?;
    let waiting = world.event("mail.deferred").await?;

    end_consent(&world, grant).await?;
    let failed = TokenRefreshFailed {
        grant_id: grant,
        generation: 1,
        accounts: Vec::new(),
        problem: Problem::new("The provider says no", FailureCause::GrantDead),
    };
    let told_at = Instant::now();
    publish_of_grant(&world, &failed).await?;
    let refused = world.event("mail.deferred").await?;

    assert_eq!(waiting["problem"]["kind"], "transient");
    assert_eq!(refused["problem"]["kind"], "needs_sign_in");
    assert!(told_at.elapsed() < NO_POLL, "{:?}", told_at.elapsed());
    world.finish().await
}

#[tokio::test]
async fn sign_in_by_another_account_of_the_grant_lets_mail_go_at_once() -> Result<()> {
    let mut world = World::new().await?;
    let (_, id) = add_stale_account(&world).await?;
    end_consent(&world, id).await?;
    expire(&world, id).await?;
    world.start_sender().await?;
    world
        .publish("mail.send", send_body("one", "a@elsewhere.test", "x"))
        .await?;
    let waiting = world.event("mail.deferred").await?;

    let mut grant = world.base.grant(id).await?;
    grant.generation += 1;
    grant.state = GrantState::Active;
    grant.access_expires_at = SystemClock.now() + Duration::from_hours(1);
    grant.access_token = world
        .base
        .seal(&token(&world), &Grant::access_context(id))?;
    world.base.save_grant(&grant).await?;
    let refreshed = TokenRefreshed {
        grant_id: id,
        generation: grant.generation,
        expires_at: grant.access_expires_at,
    };
    let told_at = Instant::now();
    publish_of_grant(&world, &refreshed).await?;
    world.event("mail.sent").await?;

    assert_eq!(waiting["problem"]["kind"], "needs_sign_in");
    assert!(told_at.elapsed() < NO_POLL, "{:?}", told_at.elapsed());
    world.finish().await
}

/// Has the access token of a grant end.
async fn expire(world: &World, id: GrantId) -> Result<()> {
    let statement = format!(
        "UPDATE grants SET access_expires_at = now() - interval '1 minute' WHERE grant_id = '{id}'"
    );
    world.base.execute(&statement).await
}
