//! What becomes of claimed mail that no connection took.

use mailmesh_store::outbound_mail::OutboundMail;
use tracing::error;

use super::Worker;
use super::prefetcher::{FETCH_RETRY, NoBody};
use crate::decide::{AttemptResult, Decision, decide};
use crate::delivery::unsendable;
use crate::job::{Claimed, Job};

impl Worker {
    /// Gives all back that was claimed and that no connection has taken.
    pub(super) async fn requeue_waiting(&mut self) {
        let mut waiting: Vec<Claimed> = Vec::new();
        let mut jobs = self.jobs.lock().await;
        while let Ok(job) = jobs.try_recv() {
            waiting.push(Job::into_claimed(job));
        }
        drop(jobs);
        waiting.extend(self.prefetcher.take_back());
        for claimed in waiting {
            self.requeue(&claimed.mail).await;
        }
    }

    async fn requeue(&self, mail: &OutboundMail) {
        self.end(mail, AttemptResult::Unattempted, |_| {}).await;
    }

    pub(super) async fn end_without_body(&self, claimed: &Claimed, reason: NoBody) {
        match reason {
            NoBody::Missing => self.fail(&claimed.mail).await,
            NoBody::NotNow => self.postpone(&claimed.mail).await,
        }
    }

    async fn fail(&self, mail: &OutboundMail) {
        error!(mail.id = %mail.id, "The mail's body is not stored any more");
        let failure = unsendable("its body is no longer stored");
        self.end(mail, AttemptResult::Failed(failure), |_| {}).await;
    }

    async fn postpone(&self, mail: &OutboundMail) {
        let due_at = self.shared.replica.clock.now() + FETCH_RETRY;
        let wait = |decision: &mut Decision| decision.outcome.due_at = due_at;
        self.end(mail, AttemptResult::Unattempted, wait).await;
    }

    async fn end(
        &self,
        mail: &OutboundMail,
        ended: AttemptResult,
        change: impl FnOnce(&mut Decision),
    ) {
        let now = self.shared.replica.clock.now();
        let mut decision = decide(mail, ended, &self.shared.retry, now);
        change(&mut decision);
        self.shared.record(&self.account.key, mail, decision).await;
    }
}
