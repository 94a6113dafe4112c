use anyhow::{Context, Result};
use mailmesh_domain::{
    AccountId, AccountState, Authorisation, Clock as _, Direction, Encryption, GrantState,
    Protocol, ReplicaId, SystemClock,
};
use mailmesh_events::Problem;
use mailmesh_store::account::{self, Account, ServerAddress};
use mailmesh_store::account_status::{self, AccountStatus, SeenState, StateWrite};
use mailmesh_store::grant::{self, Grant};
use mailmesh_store::lease::{self, LeaseTerm};
use mailmesh_store::{Tx, replica};

use crate::sample::{self, LATER, NOW};
use crate::world::World;

fn seen(state: AccountState, problem: Option<&Problem>) -> SeenState<'_> {
    SeenState {
        state,
        problem,
        revision: 1,
    }
}

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
async fn an_account_with_a_password_is_unproved_from_the_start() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let id = sample::stored(&mut tx, "support", Direction::Inbound).await?;
    replica::beat(&mut tx, sample::replica(), "inbound-fetcher").await?;

    let status = status(&mut tx, id).await?;

    assert_eq!(status.state, AccountState::Unproved);
    assert_eq!(status.changed_at, NOW);
    assert_eq!(status.proved_at, None);
    Ok(())
}

#[tokio::test]
async fn an_account_with_oauth_waits_for_its_sign_in() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let (account, grant) = before_sign_in(&mut tx).await?;
    replica::beat(&mut tx, sample::replica(), "inbound-fetcher").await?;

    let before = status(&mut tx, account.id).await?;
    account::attach_grant(&mut tx, account.id, grant.id, LATER).await?;
    let after = status(&mut tx, account.id).await?;

    assert_eq!(before.state, AccountState::SignInNeeded);
    assert_eq!(after.state, AccountState::Unproved);
    Ok(())
}

#[tokio::test]
async fn a_refused_grant_outweighs_what_the_service_saw() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let (account, grant) = before_sign_in(&mut tx).await?;
    account::attach_grant(&mut tx, account.id, grant.id, LATER).await?;
    let term = sample::term(&mut tx, account.id, Direction::Inbound).await?;
    let signed_in = SeenState {
        revision: 2,
        ..seen(AccountState::Active, None)
    };
    account_status::set_state(&mut tx, &term, signed_in, NOW).await?;

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
    let term = sample::term(&mut tx, id, Direction::Inbound).await?;
    let problem = sample::problem();
    let failing = AccountState::Failing;

    let first =
        account_status::set_state(&mut tx, &term, seen(failing, Some(&problem)), LATER).await?;
    let later = LATER + time::Duration::hours(1);
    let again =
        account_status::set_state(&mut tx, &term, seen(failing, Some(&problem)), later).await?;

    let was = AccountState::Active;
    assert_eq!(
        (first, again),
        (
            StateWrite::Changed {
                was,
                has_worked: false
            },
            StateWrite::Same
        )
    );
    let status = status(&mut tx, id).await?;
    assert_eq!((status.state, status.changed_at), (failing, LATER));
    assert_eq!(status.problem, Some(problem));
    Ok(())
}

#[tokio::test]
async fn an_earlier_owner_writes_nothing_over_the_state() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let inbound = Direction::Inbound;
    let id = sample::stored(&mut tx, "support", inbound).await?;
    let first = sample::term(&mut tx, id, inbound).await?;
    let (failing, problem) = (AccountState::Failing, sample::problem());

    lease::release(&mut tx, first.replica_id, &[id]).await?;
    let second = sample::term(&mut tx, id, inbound).await?;
    let by_first =
        account_status::set_state(&mut tx, &first, seen(failing, Some(&problem)), LATER).await?;

    assert_eq!(by_first, StateWrite::NotOwner);
    let found = status(&mut tx, id).await?;
    assert_eq!((found.state, found.problem), (AccountState::Unproved, None));

    // The same replica, in its next term.
    lease::release(&mut tx, second.replica_id, &[id]).await?;
    lease::acquire(&mut tx, first.replica_id, inbound, 1).await?;
    let again =
        account_status::set_state(&mut tx, &first, seen(failing, Some(&problem)), LATER).await?;
    assert_eq!(again, StateWrite::NotOwner);
    Ok(())
}

#[tokio::test]
async fn the_lease_stays_where_it_is_while_a_state_is_written() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let inbound = Direction::Inbound;
    let id = sample::stored(&mut tx, "support", inbound).await?;
    let term = sample::term(&mut tx, id, inbound).await?;
    tx.commit().await?;

    let mut writing = world.database.begin().await?;
    account_status::set_state(&mut writing, &term, seen(AccountState::Failing, None), NOW).await?;
    world
        .execute("UPDATE replicas SET seen_at = '-infinity'")
        .await?;
    let mut taking = world.database.begin().await?;
    let other = ReplicaId::generate(&SystemClock);
    replica::beat(&mut taking, other, "inbound-fetcher").await?;
    let meanwhile = lease::acquire(&mut taking, other, inbound, 1).await?;
    writing.commit().await?;
    let afterwards = lease::acquire(&mut taking, other, inbound, 1).await?;

    assert_eq!((meanwhile, afterwards), (Vec::new(), vec![id]));
    Ok(())
}

#[tokio::test]
async fn the_state_of_a_deleted_account_changes_nothing() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let nobody = LeaseTerm {
        account_id: AccountId::generate(&SystemClock),
        replica_id: ReplicaId::generate(&SystemClock),
        generation: 0,
    };

    let written =
        account_status::set_state(&mut tx, &nobody, seen(AccountState::Failing, None), NOW).await?;

    assert_eq!(written, StateWrite::NotOwner);
    let stored = account_status::list_stored(&mut tx, &[nobody.account_id]).await?;
    assert!(stored.is_empty());
    Ok(())
}

#[tokio::test]
async fn what_nobody_reports_on_is_not_active() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let id = sample::stored(&mut tx, "support", Direction::Inbound).await?;
    replica::beat(&mut tx, sample::replica(), "outbound-sender").await?;

    let unserved = status(&mut tx, id).await?;
    let term = sample::term(&mut tx, id, Direction::Inbound).await?;
    let served = status(&mut tx, id).await?;
    let problem = sample::problem();
    replica::set_problem(&mut tx, term.replica_id, Some(&problem)).await?;
    let hindered = status(&mut tx, id).await?;
    replica::set_problem(&mut tx, term.replica_id, None).await?;
    account_status::set_proved(&mut tx, &[sample::proof(id, NOW)]).await?;
    let long_unproved = status(&mut tx, id).await?;

    let why = unserved.unreported.context("no reason")?;
    assert_eq!(unserved.state, AccountState::Unknown);
    assert!(why.what.contains("inbound-fetcher"), "{why:?}");
    assert_eq!(
        (served.state, served.unreported),
        (AccountState::Unproved, None)
    );
    assert_eq!(hindered.state, AccountState::Unknown);
    assert_eq!(hindered.unreported, Some(problem.clone()));
    assert_eq!(long_unproved.state, AccountState::Unknown);

    // What is known to fail stays so.
    account_status::set_state(
        &mut tx,
        &term,
        seen(AccountState::Failing, Some(&problem)),
        NOW,
    )
    .await?;
    let failing = status(&mut tx, id).await?;
    assert_eq!(
        (failing.state, failing.unreported),
        (AccountState::Failing, None)
    );
    Ok(())
}

#[tokio::test]
async fn an_older_proof_does_not_replace_a_newer_one() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let id = sample::stored(&mut tx, "support", Direction::Inbound).await?;

    account_status::set_proved(&mut tx, &[sample::proof(id, LATER)]).await?;
    account_status::set_proved(&mut tx, &[sample::proof(id, NOW)]).await?;

    assert_eq!(status(&mut tx, id).await?.proved_at, Some(LATER));
    Ok(())
}

#[tokio::test]
async fn proofs_of_many_accounts_are_recorded_at_once() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let one = sample::stored(&mut tx, "one", Direction::Inbound).await?;
    let two = sample::stored(&mut tx, "two", Direction::Inbound).await?;

    account_status::set_proved(
        &mut tx,
        &[sample::proof(one, NOW), sample::proof(two, LATER)],
    )
    .await?;
    account_status::set_proved(&mut tx, &[]).await?;

    let (one, two) = (status(&mut tx, one).await?, status(&mut tx, two).await?);
    assert_eq!((one.proved_at, two.proved_at), (Some(NOW), Some(LATER)));
    Ok(())
}

type Change = fn(&mut Account);

/// What is changed, and whether that makes it unproved.
fn changes() -> [(&'static str, Change, bool); 9] {
    [
        ("name", |account| account.name.push('x'), false),
        ("poll", |account| account.poll_interval_seconds += 1, false),
        (
            "host",
            |account| change_server(account, |at| at.host.push('x')),
            true,
        ),
        (
            "port",
            |account| change_server(account, |at| at.port += 1),
            true,
        ),
        (
            "encryption",
            |account| change_server(account, |at| at.encryption = Encryption::StartTls),
            true,
        ),
        (
            "protocol",
            |account| account.protocol = Protocol::Pop3,
            true,
        ),
        ("login", |account| account.login.push('x'), true),
        (
            "authority",
            |account| account.ca_pem = Some("PEM".to_owned()),
            true,
        ),
        (
            "folders",
            |account| account.folders = vec!["Other".to_owned()],
            true,
        ),
    ]
}

#[tokio::test]
async fn a_change_of_what_lets_it_in_makes_an_account_unproved_and_drops_its_problem() -> Result<()>
{
    let world = World::new().await?;
    let problem = sample::problem();
    let mut tx = world.database.begin().await?;
    replica::beat(&mut tx, sample::replica(), "inbound-fetcher").await?;
    for (name, change, is_dropped) in changes() {
        let id = sample::stored(&mut tx, name, Direction::Inbound).await?;
        let term = sample::term(&mut tx, id, Direction::Inbound).await?;
        account_status::set_proved(&mut tx, &[sample::proof(id, SystemClock.now())]).await?;
        let failing = seen(AccountState::Failing, Some(&problem));
        account_status::set_state(&mut tx, &term, failing, LATER).await?;

        // As the administrator's API does: a password that is stored is a new one.
        let read = account::list_without_passwords(&mut tx, &[id]).await?;
        let mut account = read.into_iter().next().context("the account")?;
        change(&mut account);
        account::update(&mut tx, &account).await?;
        let after = status(&mut tx, id).await?;
        let has_worked = account_status::list_proved(&mut tx, &[id]).await?;

        let state = if is_dropped {
            AccountState::Unproved
        } else {
            AccountState::Failing
        };
        assert_eq!(after.state, state, "{name}");
        assert_eq!(after.problem.is_none(), is_dropped, "{name}");
        assert_eq!(after.proved_at.is_none(), is_dropped, "{name}");
        assert_eq!(has_worked.is_empty(), is_dropped, "{name}");
    }
    Ok(())
}

fn change_server(account: &mut Account, change: impl FnOnce(&mut ServerAddress)) {
    if let Some(server) = &mut account.server {
        change(server);
    }
}

#[tokio::test]
async fn what_was_seen_with_earlier_settings_is_not_recorded_of_the_present_ones() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let id = sample::stored(&mut tx, "support", Direction::Inbound).await?;
    let term = sample::term(&mut tx, id, Direction::Inbound).await?;
    let mut account = account::list_by_ids(&mut tx, &[id]).await?.remove(0);
    account.login.push('x');
    account::update(&mut tx, &account).await?;

    let problem = sample::problem();
    let failing = seen(AccountState::Failing, Some(&problem));
    let late = account_status::set_state(&mut tx, &term, failing, LATER).await?;
    account_status::set_proved(&mut tx, &[sample::proof(id, SystemClock.now())]).await?;
    let unchanged = status(&mut tx, id).await?;
    let present = SeenState {
        revision: 2,
        ..failing
    };
    let written = account_status::set_state(&mut tx, &term, present, LATER).await?;
    let failing = status(&mut tx, id).await?;

    assert_eq!(late, StateWrite::NotOwner);
    assert_eq!(unchanged.state, AccountState::Unproved);
    assert_eq!(unchanged.proved_at, None);
    let was = AccountState::Active;
    let has_worked = false;
    assert_eq!(written, StateWrite::Changed { was, has_worked });
    assert_eq!(failing.problem, Some(problem));
    Ok(())
}
