use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mailmesh_domain::{AccountId, MailId};
use mailmesh_store::outbound_mail::OutboundMail;

/// A mail and the number of its attempt.
type Attempt = (MailId, i32);

/// Attempts that this process has claimed and whose outcome is not recorded yet. A claim of this replica that is not
/// among them is orphaned, and is ended by the recovery.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    attempts: Mutex<HashMap<Attempt, GuardedAttempt>>,
}

#[derive(Debug)]
struct GuardedAttempt {
    account: AccountId,
    guards: u32,
}

/// Keeps an attempt in flight until the last of its guards is dropped: one goes with the mail,
/// another with the outcome that waits to be recorded.
#[derive(Debug)]
pub(crate) struct InFlightGuard {
    in_flight: Arc<InFlight>,
    attempt: Attempt,
}

impl InFlight {
    pub(crate) fn guard(self: &Arc<Self>, mail: &OutboundMail) -> InFlightGuard {
        let attempt = (mail.id, mail.attempts);
        let mut attempts = self.lock();
        let guarded = attempts.entry(attempt).or_insert(GuardedAttempt {
            account: mail.account_id,
            guards: 0,
        });
        guarded.guards += 1;
        self.new_guard(attempt)
    }

    /// Returns one more guard of an attempt that is in flight.
    pub(crate) fn guard_again(
        self: &Arc<Self>,
        mail: MailId,
        attempt: i32,
    ) -> Option<InFlightGuard> {
        let attempt = (mail, attempt);
        self.lock().get_mut(&attempt)?.guards += 1;
        Some(self.new_guard(attempt))
    }

    pub(crate) fn list(&self) -> Vec<MailId> {
        self.lock().keys().map(|(mail, _)| *mail).collect()
    }

    pub(crate) fn accounts(&self) -> HashSet<AccountId> {
        self.lock()
            .values()
            .map(|guarded| guarded.account)
            .collect()
    }

    fn new_guard(self: &Arc<Self>, attempt: Attempt) -> InFlightGuard {
        InFlightGuard {
            in_flight: Arc::clone(self),
            attempt,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Attempt, GuardedAttempt>> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        let mut attempts = self.in_flight.lock();
        let Some(guarded) = attempts.get_mut(&self.attempt) else {
            return;
        };
        guarded.guards -= 1;
        if guarded.guards == 0 {
            attempts.remove(&self.attempt);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn attempt_is_in_flight_until_its_last_guard_goes() {
        let in_flight = Arc::new(InFlight::default());
        let mail = sample::mail(&[]);

        let with_mail = in_flight.guard(&mail);
        let with_outcome = in_flight.guard_again(mail.id, mail.attempts);
        drop(with_mail);
        assert_eq!(in_flight.list(), [mail.id]);
        assert!(in_flight.accounts().contains(&mail.account_id));

        drop(with_outcome);
        assert!(in_flight.list().is_empty());
        assert!(in_flight.guard_again(mail.id, mail.attempts).is_none());
    }

    #[test]
    fn end_of_one_attempt_leaves_the_next_in_flight() {
        let in_flight = Arc::new(InFlight::default());
        let first = sample::mail(&[]);
        let mut second = first.clone();
        second.attempts += 1;

        let settled = in_flight.guard(&first);
        let _claimed = in_flight.guard(&second);
        drop(settled);

        assert_eq!(in_flight.list(), [first.id]);
    }

    #[tokio::test]
    async fn attempt_of_a_task_that_is_aborted_is_not_in_flight() {
        let in_flight = Arc::new(InFlight::default());
        let guard = in_flight.guard(&sample::mail(&[]));
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(async move {
            std::future::pending::<()>().await;
            drop(guard);
        });

        tasks.shutdown().await;

        assert!(in_flight.list().is_empty());
    }
}
