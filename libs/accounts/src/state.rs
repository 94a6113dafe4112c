use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::BoxFuture;
use mailmesh_domain::{AccountState, FailureCause, Flow, History, responsibility};
use mailmesh_events::account::{AccountFailing, AccountRecovered, AccountSignInRequired};
use mailmesh_events::{EncodedEvent, Problem};
use mailmesh_store::account::Account;
use mailmesh_store::account_status::{SeenProof, SeenState, StateWrite, StoredState};
use mailmesh_store::lease::LeaseTerm;
use mailmesh_store::{StoreError, Tx, account_status, grant, outbox};
use tracing::{error, info, warn};

use crate::{AccountSnapshot, Replica, WorkerSignals};

/// Records an account's state for its worker: changes alone, and only while the replica holds the lease.
///
/// The host compares the row with what was recorded once in a while, since a commit whose answer was lost, a person or a
/// restored database may have left something else there; the state is then recorded again.
#[derive(Debug)]
pub struct RecordedState {
    term: LeaseTerm,
    signals: Arc<WorkerSignals>,
    /// Some proof of the present settings is recorded: later ones follow in batches.
    is_proved: AtomicBool,
}

impl RecordedState {
    /// Starts with the stored state.
    pub fn new(snapshot: &AccountSnapshot, signals: Arc<WorkerSignals>) -> Self {
        signals.note_recorded(snapshot.state.clone());
        Self {
            term: snapshot.term,
            signals,
            is_proved: AtomicBool::new(snapshot.has_worked),
        }
    }

    /// Records a state, unless the row is known to hold it. A failure is logged; the next call tries again.
    pub fn set<'a>(
        &'a self,
        replica: &'a Replica,
        account: &'a Account,
        state: AccountState,
        problem: Option<&'a Problem>,
    ) -> BoxFuture<'a, ()> {
        let wanted = StoredState {
            state,
            problem: problem.cloned(),
            is_outdated: false,
        };
        let is_first_proof =
            self.signals.proved_at().is_some() && !self.is_proved.load(Ordering::Relaxed);
        let is_recorded = !is_first_proof
            && !self.signals.is_state_doubted()
            && self.signals.recorded().as_ref() == Some(&wanted);
        if is_recorded {
            return Box::pin(std::future::ready(()));
        }
        Box::pin(async move {
            if let Err(error) = self.write(replica, account, wanted, false).await {
                warn!(
                    error = &error as &dyn std::error::Error,
                    "The account's state was not recorded; it is tried again"
                );
            }
        })
    }

    /// Records that an account works, as its server confirmed just now.
    ///
    /// # Errors
    /// When the database fails.
    pub fn set_active<'a>(
        &'a self,
        replica: &'a Replica,
        account: &'a Account,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        let active = StoredState {
            state: AccountState::Active,
            problem: None,
            is_outdated: false,
        };
        Box::pin(self.write(replica, account, active, true))
    }

    /// Records that an account does not work, and why.
    ///
    /// # Errors
    /// When the database fails.
    pub fn set_problem<'a>(
        &'a self,
        replica: &'a Replica,
        account: &'a Account,
        state: AccountState,
        problem: &'a Problem,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        let wanted = StoredState {
            state,
            problem: Some(problem.clone()),
            is_outdated: false,
        };
        Box::pin(self.write(replica, account, wanted, false))
    }

    /// Records the last state again if the row was found to hold another.
    ///
    /// # Errors
    /// When the database fails.
    pub fn repeat<'a>(
        &'a self,
        replica: &'a Replica,
        account: &'a Account,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        match self.signals.recorded() {
            // What was seen of other settings is not to be said of these.
            Some(last) if self.signals.is_state_doubted() && !last.is_outdated => {
                Box::pin(self.write(replica, account, last, false))
            }
            _ => Box::pin(std::future::ready(Ok(()))),
        }
    }

    /// One transaction: an event is there exactly when the row has changed.
    async fn write(
        &self,
        replica: &Replica,
        account: &Account,
        wanted: StoredState,
        is_proved: bool,
    ) -> Result<(), StoreError> {
        // Until the commit is confirmed, the row may hold either.
        self.signals.doubt_state();
        let mut tx = replica.database.begin().await?;
        let wanted = if is_app(&mut tx, account, wanted.state).await? {
            without_sign_in(wanted)
        } else {
            wanted
        };
        let StoredState { state, problem, .. } = &wanted;
        let (state, problem, now) = (*state, problem.as_ref(), replica.clock.now());
        let revision = account.revision;
        let seen = SeenState {
            state,
            problem,
            revision,
        };
        let written = account_status::set_state(&mut tx, &self.term, seen, now).await?;
        if written == StateWrite::NotOwner {
            info!(state = %state, "The account is another replica's or has other settings; its state is not ours to record");
            return Ok(());
        }
        let proved_at = self.signals.proved_at().or(is_proved.then_some(now));
        if let Some(at) = proved_at {
            let proof = SeenProof {
                account_id: account.id,
                revision,
                at,
            };
            account_status::set_proved(&mut tx, &[proof]).await?;
        }
        let mut event = None;
        if let StateWrite::Changed { was, has_worked } = written {
            event = event_of(replica, account, (&wanted, was), has_worked);
            outbox::insert(&mut tx, replica.id, event.as_slice(), now).await?;
        }
        tx.commit().await?;
        if let StateWrite::Changed { was, .. } = written {
            let code = problem.and_then(|problem| problem.code.as_deref());
            info!(state = %state, %was, code, "Account state changed");
        }
        if event.is_some() {
            replica.outbox.wake();
        }
        self.signals.note_recorded(Some(wanted));
        self.is_proved
            .fetch_or(proved_at.is_some(), Ordering::Relaxed);
        Ok(())
    }
}

/// Asks for the flow only where it matters, which is rare.
async fn is_app(tx: &mut Tx, account: &Account, state: AccountState) -> Result<bool, StoreError> {
    let Some(grant) = account
        .grant_id
        .filter(|_| state == AccountState::SignInRequired)
    else {
        return Ok(false);
    };
    let flow = grant::find_flow(tx, grant).await?;
    Ok(flow.is_some_and(Flow::is_app))
}

/// A mail server that refuses an application's fresh tokens asks for nobody's sign-in: the application lacks a right.
fn without_sign_in(wanted: StoredState) -> StoredState {
    let app = History {
        is_app: true,
        ..History::NEW
    };
    let decided = responsibility(FailureCause::TokenRefused, app);
    let problem = wanted.problem.map(|problem| {
        Problem::decided(problem.what, &decided)
            .with_code(problem.code)
            .with_mail(problem.mail)
    });
    StoredState {
        state: AccountState::Failing,
        problem,
        ..wanted
    }
}

fn event_of(
    replica: &Replica,
    account: &Account,
    (wanted, was): (&StoredState, AccountState),
    has_worked: bool,
) -> Option<EncodedEvent> {
    let key = account.key.clone();
    let encoded = match (wanted.state, wanted.problem.clone()) {
        (AccountState::Failing, Some(problem)) => replica.encode(&AccountFailing {
            account: key,
            problem,
            is_unproved: !has_worked,
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

#[cfg(test)]
mod tests {
    use mailmesh_domain::MustAct;

    use super::*;

    #[test]
    fn an_application_that_is_not_let_in_is_nobodys_sign_in() {
        let problem = Problem::new("535: no", FailureCause::GrantDead)
            .with_code(Some("535".to_owned()))
            .with_mail("Mail waits.");
        let asked = StoredState {
            state: AccountState::SignInRequired,
            problem: Some(problem),
            is_outdated: false,
        };

        let told = without_sign_in(asked);

        assert_eq!(told.state, AccountState::Failing);
        let problem = told.problem.unwrap();
        assert_eq!(
            (problem.must_act, problem.offers_sign_in()),
            (MustAct::Administrator, false)
        );
        assert_eq!(
            (problem.what.as_str(), problem.code.as_deref()),
            ("535: no", Some("535"))
        );
        assert_eq!(problem.mail, "Mail waits.");
        assert!(
            problem.action.contains("may open this mailbox"),
            "{}",
            problem.action
        );
    }
}
