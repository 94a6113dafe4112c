use mailmesh_domain::AccountState;
use mailmesh_events::account::{AccountFailing, AccountRecovered, AccountSignInRequired};
use mailmesh_events::{Encoded, Problem};
use mailmesh_store::account::Account;
use mailmesh_store::{account_status, outbox};
use tracing::{info, warn};

use crate::context::Context;
use crate::failure::Failure;

/// What was last recorded of an account's state, so that only changes are written.
#[derive(Debug)]
pub(crate) struct Health {
    state: AccountState,
    problem: Option<Box<Problem>>,
}

impl Health {
    pub(crate) fn new(state: AccountState, problem: Option<Problem>) -> Self {
        Self {
            state,
            problem: problem.map(Box::new),
        }
    }

    /// Records that the account works, with something that does not, if there is such.
    pub(crate) async fn set(
        &mut self,
        context: &Context,
        account: &Account,
        state: AccountState,
        problem: Option<&Problem>,
    ) {
        if self.state == state && self.problem.as_deref() == problem {
            return;
        }
        match self.write(context, account, state, problem).await {
            Ok(()) => *self = Self::new(state, problem.cloned()),
            Err(error) => warn!(
                account.id = %account.id,
                error = &error as &dyn std::error::Error,
                "The account's state was not recorded; the next change tries again"
            ),
        }
    }

    async fn write(
        &self,
        context: &Context,
        account: &Account,
        state: AccountState,
        problem: Option<&Problem>,
    ) -> Result<(), Failure> {
        let replica = &context.replica;
        let now = context.now();
        let mut tx = replica.database.begin().await?;
        let before = account_status::set_state(&mut tx, account.id, state, problem, now).await?;
        let event = match before {
            Some(was) => event_of(context, account, state, was, problem)?,
            None => None,
        };
        outbox::insert(&mut tx, replica.id, event.as_slice(), now).await?;
        tx.commit().await?;
        if let Some(was) = before {
            replica.outbox.wake();
            info!(account.id = %account.id, state = %state, %was, "Account state changed");
        }
        Ok(())
    }
}

fn event_of(
    context: &Context,
    account: &Account,
    state: AccountState,
    was: AccountState,
    problem: Option<&Problem>,
) -> Result<Option<Encoded>, serde_json::Error> {
    let key = account.key.clone();
    let replica = &context.replica;
    Ok(match (state, problem.cloned()) {
        (AccountState::Failing, Some(problem)) => Some(replica.encode(&AccountFailing {
            account: key,
            problem,
        })?),
        (AccountState::SignInRequired, Some(problem)) => {
            Some(replica.encode(&AccountSignInRequired {
                account: key,
                problem,
            })?)
        }
        // The first sign-in is told by auth-callback.
        (AccountState::Active, _) if was != AccountState::SignInNeeded => {
            Some(replica.encode(&AccountRecovered { account: key, was })?)
        }
        _ => None,
    })
}
