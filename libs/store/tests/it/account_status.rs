use anyhow::{Context, Result};
use mailmesh_domain::{AccountId, AccountState, Authorisation, Direction, GrantState, SystemClock};
use mailmesh_store::Tx;
use mailmesh_store::account::{self, Account};
use mailmesh_store::account_status::{self, AccountStatus};
use mailmesh_store::grant::{self, Grant};

use crate::sample::{self, LATER, NOW};
use crate::world::World;

async fn status(tx: &mut Tx, id: AccountId) -> Result<AccountStatus> {
    let mut found = account_status::list_by_ids(tx, &[id]).await?;
    found.pop().context("the account has no status")
}

/// An account with OAuth, and a grant that it does not have yet.
async fn before_sign_in(tx: &mut Tx) -> Result<(Account, Grant)> {
    let client = sample::stored_client(tx, "example").await?;
    let mut account = sample::account("support", Direction::Inbound)?;
    account.authorisation = Authorisation::OAuth2;
    account.client_configuration_id = Some(client);
    account::insert(tx, &account).await?;
    let grant = sample::stored_grant(tx, client, "s-1").await?;
    Ok((account, grant))
}

#[tokio::test]
async fn an_account_with_a_password_is_active_from_the_start() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let id = sample::stored(&mut tx, "support", Direction::Inbound).await?;

    let status = status(&mut tx, id).await?;

    assert_eq!(status.state, AccountState::Active);
    assert_eq!(status.changed_at, NOW);
    assert_eq!(status.proved_at, None);
    Ok(())
}

#[tokio::test]
async fn an_account_with_oauth_waits_for_its_sign_in() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let (account, grant) = before_sign_in(&mut tx).await?;

    let before = status(&mut tx, account.id).await?;
    account::attach_grant(&mut tx, account.id, grant.id, LATER).await?;
    let after = status(&mut tx, account.id).await?;

    assert_eq!(before.state, AccountState::SignInNeeded);
    assert_eq!(after.state, AccountState::Active);
    Ok(())
}

#[tokio::test]
async fn a_refused_grant_outweighs_what_the_service_saw() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let (account, grant) = before_sign_in(&mut tx).await?;
    account::attach_grant(&mut tx, account.id, grant.id, LATER).await?;
    account_status::set_state(&mut tx, account.id, AccountState::Active, None, NOW).await?;

    for (refused, seen) in [
        (GrantState::Suspended, AccountState::Failing),
        (GrantState::SignInRequired, AccountState::SignInRequired),
    ] {
        let problem = sample::problem();
        grant::record_failure(&mut tx, &grant, refused, &problem, NOW, NOW).await?;

        let status = status(&mut tx, account.id).await?;

        assert_eq!((status.state, status.problem), (seen, Some(problem)));
    }
    Ok(())
}

#[tokio::test]
async fn a_change_of_state_is_told_once() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let id = sample::stored(&mut tx, "support", Direction::Inbound).await?;
    let problem = sample::problem();
    let failing = AccountState::Failing;

    let first = account_status::set_state(&mut tx, id, failing, Some(&problem), LATER).await?;
    let later = LATER + time::Duration::hours(1);
    let again = account_status::set_state(&mut tx, id, failing, Some(&problem), later).await?;

    assert_eq!(first, Some(AccountState::Active));
    assert_eq!(again, None);
    let status = status(&mut tx, id).await?;
    assert_eq!((status.state, status.changed_at), (failing, LATER));
    assert_eq!(status.problem, Some(problem));
    Ok(())
}

#[tokio::test]
async fn the_state_of_a_deleted_account_changes_nothing() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let nobody = AccountId::generate(&SystemClock);

    let before =
        account_status::set_state(&mut tx, nobody, AccountState::Failing, None, NOW).await?;

    assert_eq!(before, None);
    assert!(
        account_status::list_by_ids(&mut tx, &[nobody])
            .await?
            .is_empty()
    );
    Ok(())
}

#[tokio::test]
async fn proofs_of_many_accounts_are_recorded_at_once() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let one = sample::stored(&mut tx, "one", Direction::Inbound).await?;
    let two = sample::stored(&mut tx, "two", Direction::Inbound).await?;

    account_status::set_proved(&mut tx, &[(one, NOW), (two, LATER)]).await?;
    account_status::set_proved(&mut tx, &[]).await?;

    let (one, two) = (status(&mut tx, one).await?, status(&mut tx, two).await?);
    assert_eq!((one.proved_at, two.proved_at), (Some(NOW), Some(LATER)));
    Ok(())
}
