use std::time::Duration;

use anyhow::{Context, Result};
use mailmesh_domain::{ApiKeyId, Clock as _, FailureCause, GrantState, Protocol};
use mailmesh_events::Problem;
use mailmesh_sandbox::{Fault, FaultRule, Personality, Visitor};
use mailmesh_store::Tx;
use mailmesh_store::account::{self, Account};
use mailmesh_store::grant::{self, Grant};
use mailmesh_testkit::eventually;

use crate::world::{ALICE, World};

const GMAIL: &str = "https://mail.google.com/";

async fn google() -> Result<World> {
    World::with(
        |provider| provider.personality = Personality::Google,
        |client, _| {
            let extra = &mut client.extra_authorize_parameters;
            extra.insert("access_type".to_owned(), "offline".to_owned());
            client.scopes.push(GMAIL.to_owned());
        },
    )
    .await
}

#[tokio::test]
async fn signing_in_again_replaces_the_tokens_of_the_same_grant() -> Result<()> {
    let world = World::new().await?;
    let account = world.account("support", Protocol::Imap).await?;
    let mut browser = Visitor::try_new(None)?;
    browser
        .sign_in(&world.link(&account).await?, ALICE, true)
        .await?;
    let first = world.grant_of(&account).await?.context("no grant")?;
    let problem = Problem::new("refused", FailureCause::GrantDead);
    let now = world.clock.now();
    let mut tx = world.base.begin().await?;
    let state = GrantState::SignInRequired;
    grant::record_failure(&mut tx, &first, state, &problem, now, now).await?;
    tx.commit().await?;

    let page = browser
        .sign_in(&world.link(&account).await?, ALICE, true)
        .await?;

    assert!(page.html.contains("is connected"), "{}", page.html);
    let second = world.grant_of(&account).await?.context("no grant")?;
    assert_eq!((second.id, second.generation), (first.id, 2));
    assert_eq!(
        (second.state, second.problem.as_ref()),
        (GrantState::Active, None)
    );
    assert_ne!(world.base.opened(&second)?, world.base.opened(&first)?);
    world.finish().await
}

#[tokio::test]
async fn a_refresh_token_that_is_given_once_only_is_kept() -> Result<()> {
    let world = google().await?;
    let account = world.account("support", Protocol::Imap).await?;
    let mut browser = Visitor::try_new(None)?;
    browser
        .sign_in(&world.link(&account).await?, ALICE, true)
        .await?;
    let first = world.grant_of(&account).await?.context("no grant")?;
    world.clock.advance(Duration::from_mins(1));

    let page = browser
        .sign_in(&world.link(&account).await?, ALICE, true)
        .await?;

    assert!(page.html.contains("is connected"), "{}", page.html);
    let second = world.grant_of(&account).await?.context("no grant")?;
    assert_eq!(second.generation, 2);
    assert!(second.refresh_token.is_some());
    let (first, second) = (world.base.opened(&first)?, world.base.opened(&second)?);
    assert_eq!(second.refresh, first.refresh);
    assert_ne!(second.access, first.access);
    world.finish().await
}

#[tokio::test]
async fn access_that_ends_within_hours_is_not_stored() -> Result<()> {
    let world = World::with(
        |provider| provider.personality = Personality::Google,
        |_, _| {},
    )
    .await?;
    let account = world.account("support", Protocol::Imap).await?;
    let link = world.link(&account).await?;

    let page = Visitor::try_new(None)?.sign_in(&link, ALICE, true).await?;

    assert_eq!(page.status, 403);
    assert!(page.html.contains("no refresh token"), "{}", page.html);
    assert!(
        page.html.contains("The administrator of mailmesh") && page.html.contains("offline_access"),
        "nothing asks for lasting access: {}",
        page.html
    );
    assert!(world.grant_of(&account).await?.is_none());
    world.finish().await
}

#[tokio::test]
async fn access_that_lasts_is_stored_without_a_refresh_token() -> Result<()> {
    let world = World::with(
        |provider| {
            provider.personality = Personality::Google;
            provider.access_token_seconds = 90 * 86_400;
        },
        |client, _| client.scopes.push(GMAIL.to_owned()),
    )
    .await?;
    let account = world.account("support", Protocol::Imap).await?;
    let link = world.link(&account).await?;

    let page = Visitor::try_new(None)?.sign_in(&link, ALICE, true).await?;

    assert!(page.html.contains("is connected"), "{}", page.html);
    let grant = world.grant_of(&account).await?.context("no grant")?;
    assert!(grant.refresh_token.is_none());
    assert_eq!(grant.refresh_due_at, grant.access_expires_at);
    world.finish().await
}

#[tokio::test]
async fn a_mailbox_with_another_subject_leaves_no_grant_behind() -> Result<()> {
    let world = World::new().await?;
    let account = world.account("support", Protocol::Imap).await?;
    world.account("support-out", Protocol::Smtp).await?;
    let mut browser = Visitor::try_new(None)?;
    browser
        .sign_in(&world.link(&account).await?, ALICE, true)
        .await?;
    let first = world.grant_of(&account).await?.context("no grant")?;
    let text = r#"{"sub":"made-anew"}"#.to_owned();
    let fault = Fault::Reply { text };
    world
        .sandbox
        .faults()
        .add(FaultRule::once("oauth.id_token", fault))?;

    let page = browser
        .sign_in(&world.link(&account).await?, ALICE, true)
        .await?;

    assert!(page.html.contains("is connected"), "{}", page.html);
    let second = world.grant_of(&account).await?.context("no grant")?;
    assert_eq!(second.subject, "made-anew");
    let mut tx = world.base.begin().await?;
    let left = grant::list_by_ids(&mut tx, &[first.id]).await?;
    assert!(left.is_empty(), "{left:?}");
    drop(tx);
    world.finish().await
}

/// Gives the service time to come to a lock.
async fn look_around(world: &World) -> Result<()> {
    for _ in 0..50 {
        world.base.database.ping().await?;
    }
    Ok(())
}

/// Signs a connected mailbox in once more beside a transaction that takes one lock before the service has the new tokens and
/// another after it; expects the same grant with the next generation.
async fn signs_in_again_beside(
    world: &World,
    account: &Account,
    lock_before: impl AsyncFnOnce(&mut Tx, &Grant) -> Result<()>,
    lock_after: impl AsyncFnOnce(&mut Tx, &Grant) -> Result<()>,
) -> Result<()> {
    let mut browser = Visitor::try_new(None)?;
    browser
        .sign_in(&world.link(account).await?, ALICE, true)
        .await?;
    let first = world.grant_of(account).await?.context("no grant")?;
    let link = world.link(account).await?;
    let callback = world.answer(&mut browser, &link).await?;

    let mut tx = world.base.begin().await?;
    lock_before(&mut tx, &first).await?;
    let locking = async {
        eventually("the code is exchanged", async || {
            world.sandbox.oauth_counters().total.code_exchanges == 2
        })
        .await?;
        look_around(world).await?;
        lock_after(&mut tx, &first).await?;
        tx.commit().await?;
        anyhow::Ok(())
    };
    let (answered, locked) = tokio::join!(browser.get(&callback), locking);

    locked?;
    answered?;
    let second = world.grant_of(account).await?.context("no grant")?;
    assert_eq!((second.id, second.generation), (first.id, 2));
    Ok(())
}

#[tokio::test]
async fn whoever_changes_the_account_meanwhile_is_waited_for() -> Result<()> {
    let world = World::new().await?;
    let account = world.account("support", Protocol::Imap).await?;
    let lock_account = async |tx: &mut Tx, _: &Grant| {
        account::find_for_update(tx, &account.key).await?;
        Ok(())
    };
    let lock_grant = async |tx: &mut Tx, first: &Grant| {
        grant::find_by_subject(tx, world.client.id, &first.subject).await?;
        Ok(())
    };

    signs_in_again_beside(&world, &account, lock_account, lock_grant).await?;

    world.finish().await
}

#[tokio::test]
async fn one_bad_moment_of_the_database_costs_no_tokens() -> Result<()> {
    let world = World::new().await?;
    let account = world.account("support", Protocol::Imap).await?;
    // Two locks in the wrong order: Postgres ends the transaction that has waited longest.
    let lock_grant = async |tx: &mut Tx, first: &Grant| {
        grant::find_by_subject(tx, world.client.id, &first.subject).await?;
        Ok(())
    };
    let lock_account = async |tx: &mut Tx, _: &Grant| {
        account::find_for_update(tx, &account.key).await?;
        Ok(())
    };

    signs_in_again_beside(&world, &account, lock_grant, lock_account).await?;

    world.finish().await
}

#[tokio::test]
async fn a_sign_in_is_not_given_to_an_account_that_waits_for_its_own() -> Result<()> {
    let world = World::new().await?;
    let vouched = world.account("support", Protocol::Imap).await?;
    let maker = ApiKeyId::generate(&*world.clock);
    let mut foreign = Vec::new();
    for (key, protocol) in [("theirs", Protocol::Imap), ("theirs-out", Protocol::Smtp)] {
        let account = world.account(key, protocol).await?;
        let mut tx = world.base.begin().await?;
        let found = account::find_by_key(&mut tx, &account.key).await?;
        let account = Account {
            signs_in_for: Some(maker),
            ..found.context("no account")?
        };
        account::update(&mut tx, &account).await?;
        tx.commit().await?;
        foreign.push(account);
    }

    let link = world.link(&vouched).await?;
    Visitor::try_new(None)?.sign_in(&link, ALICE, true).await?;
    let before = [
        world.grant_of(&foreign[0]).await?,
        world.grant_of(&foreign[1]).await?,
    ];
    let link = world.link(&foreign[0]).await?;
    Visitor::try_new(None)?.sign_in(&link, ALICE, true).await?;

    assert!(world.grant_of(&vouched).await?.is_some());
    assert!(before.iter().all(Option::is_none), "{before:?}");
    for account in &foreign {
        assert!(world.grant_of(account).await?.is_some(), "{}", account.key);
    }
    world.finish().await
}
