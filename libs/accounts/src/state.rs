use futures_util::future::BoxFuture;
use mailmesh_domain::AccountState;
use mailmesh_events::account::{AccountFailing, AccountRecovered, AccountSignInRequired};
use mailmesh_events::{Encoded, Problem};
use mailmesh_store::account::Account;
use mailmesh_store::account_status::AccountStatus;
use mailmesh_store::{StoreError, account_status, outbox};
use tracing::{error, info, warn};

use crate::Replica;

impl Replica {
    /// Records that an account works, as its server confirmed just now.
    ///
    /// # Errors
    /// When the database fails.
    pub fn record_active<'a>(
        &'a self,
        account: &'a Account,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(write_state(self, account, AccountState::Active, None, true))
    }

    /// Records that an account does not work, and why.
    ///
    /// # Errors
    /// When the database fails.
    pub fn record_problem<'a>(
        &'a self,
        account: &'a Account,
        state: AccountState,
        problem: &'a Problem,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(write_state(self, account, state, Some(problem), false))
    }
}

/// Last recorded state of an account, so that only changes are written.
#[derive(Debug)]
pub struct RecordedState {
    state: AccountState,
    problem: Option<Box<Problem>>,
}

impl RecordedState {
    /// Starts with the stored state; an account without a row counts as active.
    pub fn new(stored: Option<AccountStatus>) -> Self {
        let (state, problem) = stored.map_or((AccountState::Active, None), |stored| {
            (stored.state, stored.problem)
        });
        Self {
            state,
            problem: problem.map(Box::new),
        }
    }

    /// Records a state, unless it is known. A failure is logged; the next change tries again.
    pub fn set<'a>(
        &'a mut self,
        replica: &'a Replica,
        account: &'a Account,
        state: AccountState,
        problem: Option<&'a Problem>,
    ) -> BoxFuture<'a, ()> {
        if self.state == state && self.problem.as_deref() == problem {
            return Box::pin(std::future::ready(()));
        }
        Box::pin(async move {
            match write_state(replica, account, state, problem, false).await {
                Ok(()) => {
                    self.state = state;
                    self.problem = problem.cloned().map(Box::new);
                }
                Err(error) => warn!(
                    account.id = %account.id,
                    error = &error as &dyn std::error::Error,
                    "The account's state was not recorded; the next change tries again"
                ),
            }
        })
    }
}

/// One transaction: an event is there exactly when the row has changed.
async fn write_state(
    replica: &Replica,
    account: &Account,
    state: AccountState,
    problem: Option<&Problem>,
    is_proved: bool,
) -> Result<(), StoreError> {
    let now = replica.clock.now();
    let mut tx = replica.database.begin().await?;
    let before = account_status::set_state(&mut tx, account.id, state, problem, now).await?;
    if is_proved {
        account_status::set_proved(&mut tx, &[(account.id, now)]).await?;
    }
    let event = before.and_then(|was| event_of(replica, account, state, was, problem));
    if event.is_some() {
        outbox::insert(&mut tx, replica.id, event.as_slice(), now).await?;
    }
    tx.commit().await?;
    if let Some(was) = before {
        let code = problem.and_then(|problem| problem.code.as_deref());
        info!(account.id = %account.id, state = %state, %was, code, "Account state changed");
    }
    if event.is_some() {
        replica.outbox.wake();
    }
    Ok(())
}

fn event_of(
    replica: &Replica,
    account: &Account,
    state: AccountState,
    was: AccountState,
    problem: Option<&Problem>,
) -> Option<Encoded> {
    let key = account.key.clone();
    let encoded = match (state, problem.cloned()) {
        (AccountState::Failing, Some(problem)) => replica.encode(&AccountFailing {
            account: key,
            problem,
        }),
        (AccountState::SignInRequired, Some(problem)) => replica.encode(&AccountSignInRequired {
            account: key,
            problem,
        }),
        // auth-callback publishes the first sign-in (`account.authenticated`).
        (AccountState::Active, _) if was != AccountState::SignInNeeded => {
            replica.encode(&AccountRecovered { account: key, was })
        }
        _ => return None,
    };
    let logged = encoded.inspect_err(|error| {
        error!(
            error = error as &dyn std::error::Error,
            "An event cannot be written as JSON"
        );
    });
    logged.ok()
}
