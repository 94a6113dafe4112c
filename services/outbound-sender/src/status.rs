//! What the accounts' rows say of them, with the events that tell of a change.

use mailmesh_accounts::Replica;
use mailmesh_domain::{AccountState, Key};
use mailmesh_events::Problem;
use mailmesh_events::account::{AccountFailing, AccountRecovered, AccountSignInRequired};
use mailmesh_store::account::Account;
use mailmesh_store::{StoreError, account_status, outbox};
use tracing::{info, warn};

use crate::event::encode;

/// Records that an account cannot send, and tells of it when that is news.
pub(crate) async fn set_failing(
    replica: &Replica,
    account: &Account,
    state: AccountState,
    problem: &Problem,
) -> Result<(), StoreError> {
    let now = replica.clock.now();
    let mut tx = replica.database.begin().await?;
    let before = account_status::set_state(&mut tx, account.id, state, Some(problem), now).await?;
    if before.is_some() {
        warn!(account.id = %account.id, state = %state, code = problem.code, "Account cannot send");
        let event = match state {
            AccountState::SignInRequired => encode(
                replica,
                &AccountSignInRequired {
                    account: account.key.clone(),
                    problem: problem.clone(),
                },
            ),
            _ => encode(
                replica,
                &AccountFailing {
                    account: account.key.clone(),
                    problem: problem.clone(),
                },
            ),
        };
        outbox::insert(&mut tx, replica.id, &event, now).await?;
    }
    tx.commit().await?;
    replica.outbox.wake();
    Ok(())
}

/// Records that the server knows the account, and tells of it when it did not before.
pub(crate) async fn set_active(replica: &Replica, account: &Account) -> Result<(), StoreError> {
    let now = replica.clock.now();
    let mut tx = replica.database.begin().await?;
    let active = AccountState::Active;
    let before = account_status::set_state(&mut tx, account.id, active, None, now).await?;
    account_status::set_proved(&mut tx, &[(account.id, now)]).await?;
    if let Some(was @ (AccountState::SignInRequired | AccountState::Failing)) = before {
        info!(account.id = %account.id, "Account can send again");
        let event = recovered(account.key.clone(), was);
        outbox::insert(&mut tx, replica.id, &encode(replica, &event), now).await?;
    }
    tx.commit().await?;
    replica.outbox.wake();
    Ok(())
}

const fn recovered(account: Key, was: AccountState) -> AccountRecovered {
    AccountRecovered { account, was }
}
