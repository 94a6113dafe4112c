//! What becomes of claimed mail that no connection took.

use mailmesh_store::outbound_mail::OutboundMail;
use tracing::error;

use super::Worker;
use super::supply::{FETCH_RETRY, NoBody};
use crate::decide::{Decision, Ended, decide};
use crate::delivery::unsendable;
use crate::event;
use crate::job::{Claimed, Job};
use crate::recorder::Recorded;

impl Worker {
    /// Gives all back that was claimed and that no connection has taken.
    pub(super) async fn give_back_waiting(&mut self) {
        let mut untaken: Vec<Claimed> = Vec::new();
        let mut jobs = self.jobs.lock().await;
        while let Ok(job) = jobs.try_recv() {
            untaken.push(Job::into_claimed(job));
        }
        drop(jobs);
        untaken.extend(self.supply.take_back());
        for claimed in untaken {
            self.give_back(&claimed.mail).await;
        }
    }

    async fn give_back(&self, mail: &OutboundMail) {
        let now = self.shared.replica.clock.now();
        let decision = decide(mail, Ended::Unattempted, &self.shared.rules, now);
        let recorded = Recorded {
            outcome: decision.outcome,
            events: Vec::new(),
        };
        self.shared.recorder.record(recorded).await;
    }

    pub(super) async fn end_without_body(&self, claimed: &Claimed, reason: NoBody) {
        match reason {
            NoBody::Missing => self.fail(&claimed.mail).await,
            NoBody::NotNow => self.postpone(&claimed.mail).await,
        }
    }

    async fn fail(&self, mail: &OutboundMail) {
        error!(mail.id = %mail.id, "The mail's body is not stored any more");
        let replica = &self.shared.replica;
        let failure = unsendable("its body is no longer stored");
        let now = replica.clock.now();
        let Decision {
            outcome, notice, ..
        } = decide(mail, Ended::Failed(failure), &self.shared.rules, now);
        let key = &self.account.key;
        let events = notice.map(|notice| event::of_notice(replica, key, mail, &outcome, notice));
        let recorded = Recorded {
            outcome,
            events: events.unwrap_or_default(),
        };
        self.shared.recorder.record(recorded).await;
    }

    async fn postpone(&self, mail: &OutboundMail) {
        let now = self.shared.replica.clock.now();
        let mut outcome = decide(mail, Ended::Unattempted, &self.shared.rules, now).outcome;
        outcome.due_at = now + FETCH_RETRY;
        let events = Vec::new();
        let recorded = Recorded { outcome, events };
        self.shared.recorder.record(recorded).await;
    }
}
