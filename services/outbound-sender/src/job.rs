use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use mailmesh_domain::{AccountId, MailId};
use mailmesh_store::outbound_mail::OutboundMail;

use crate::memory::Room;

/// A claimed mail.
#[derive(Debug)]
pub(crate) struct Claimed {
    pub(crate) mail: OutboundMail,
    pub(crate) hold: Hold,
}

/// A claimed mail with its body, ready for a connection.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) mail: OutboundMail,
    pub(crate) raw: Bytes,
    hold: Hold,
    _room: Room,
}

impl Claimed {
    pub(crate) fn into_job(self, raw: Bytes, room: Room) -> Job {
        Job {
            mail: self.mail,
            raw,
            hold: self.hold,
            _room: room,
        }
    }
}

impl Job {
    pub(crate) fn into_claimed(self) -> Claimed {
        Claimed {
            mail: self.mail,
            hold: self.hold,
        }
    }
}

/// A mail and the number of its attempt.
type Attempt = (MailId, i32);

/// The attempts that this process has claimed and not yet settled. What it does not know of is
/// closed or called uncertain by its own supervisor.
#[derive(Debug, Default)]
pub(crate) struct InHand {
    attempts: Mutex<HashMap<Attempt, Held>>,
}

#[derive(Debug)]
struct Held {
    account: AccountId,
    holds: u32,
}

/// Keeps an attempt in hand until the last of its holds is dropped, by whatever end: one is with the
/// mail, another with the outcome that waits to be recorded.
#[derive(Debug)]
pub(crate) struct Hold {
    in_hand: Arc<InHand>,
    attempt: Attempt,
}

impl InHand {
    pub(crate) fn hold(self: &Arc<Self>, mail: &OutboundMail) -> Hold {
        let attempt = (mail.id, mail.attempts);
        let mut attempts = self.lock();
        let held = attempts.entry(attempt).or_insert(Held {
            account: mail.account_id,
            holds: 0,
        });
        held.holds += 1;
        self.new_hold(attempt)
    }

    /// Holds an attempt that is in hand for longer.
    pub(crate) fn hold_on(self: &Arc<Self>, mail: MailId, attempt: i32) -> Option<Hold> {
        let attempt = (mail, attempt);
        self.lock().get_mut(&attempt)?.holds += 1;
        Some(self.new_hold(attempt))
    }

    pub(crate) fn list(&self) -> Vec<MailId> {
        self.lock().keys().map(|(mail, _)| *mail).collect()
    }

    /// Returns the accounts of what is in hand.
    pub(crate) fn accounts(&self) -> HashSet<AccountId> {
        self.lock().values().map(|held| held.account).collect()
    }

    fn new_hold(self: &Arc<Self>, attempt: Attempt) -> Hold {
        Hold {
            in_hand: Arc::clone(self),
            attempt,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Attempt, Held>> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut attempts = self.in_hand.lock();
        let Some(held) = attempts.get_mut(&self.attempt) else {
            return;
        };
        held.holds -= 1;
        if held.holds == 0 {
            attempts.remove(&self.attempt);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::sample;

    #[test]
    fn attempt_is_in_hand_until_its_last_hold_goes() {
        let in_hand = Arc::new(InHand::default());
        let mail = sample::mail(&[]);

        let with_mail = in_hand.hold(&mail);
        let with_outcome = in_hand.hold_on(mail.id, mail.attempts);
        drop(with_mail);
        assert_eq!(in_hand.list(), [mail.id]);
        assert!(in_hand.accounts().contains(&mail.account_id));

        drop(with_outcome);
        assert!(in_hand.list().is_empty());
        assert!(in_hand.hold_on(mail.id, mail.attempts).is_none());
    }

    #[test]
    fn end_of_one_attempt_leaves_the_next_in_hand() {
        let in_hand = Arc::new(InHand::default());
        let first = sample::mail(&[]);
        let mut second = first.clone();
        second.attempts += 1;

        let settled = in_hand.hold(&first);
        let _claimed = in_hand.hold(&second);
        drop(settled);

        assert_eq!(in_hand.list(), [first.id]);
    }

    #[tokio::test]
    async fn attempt_of_a_task_that_is_aborted_is_not_in_hand() {
        let in_hand = Arc::new(InHand::default());
        let hold = in_hand.hold(&sample::mail(&[]));
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(async move {
            std::future::pending::<()>().await;
            drop(hold);
        });

        tasks.shutdown().await;

        assert!(in_hand.list().is_empty());
    }
}
