use std::sync::Arc;
use std::time::Duration;

use mailmesh_events::Encoded;
use mailmesh_store::account::Account;
use mailmesh_store::outbound_mail::{OutboundMail, Parking};
use mailmesh_store::{StoreError, outbound_mail, outbox};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::circuit_breaker::CircuitBreaker;
use super::prefetcher::NoBody;
use crate::decide::{AttemptResult, Decision, decide};
use crate::delivery::unsendable;
use crate::event;
use crate::job::Claimed;
use crate::shared::Shared;

/// Maximum mails of one transaction.
const BATCH: i64 = 500;
/// Delay before a body is fetched again.
const FETCH_RETRY: Duration = Duration::from_secs(10);

/// The queued mail of one account, in the database.
#[derive(Debug)]
pub(super) struct AccountQueue {
    shared: Arc<Shared>,
    account: Arc<Account>,
    /// Interrupts the work on a backlog.
    stop: CancellationToken,
}

impl AccountQueue {
    pub(super) const fn new(
        shared: Arc<Shared>,
        account: Arc<Account>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            shared,
            account,
            stop,
        }
    }

    pub(super) async fn has_due(&self) -> Result<bool, StoreError> {
        let now = self.shared.replica.clock.now();
        let mut tx = self.shared.replica.database.begin().await?;
        let due = outbound_mail::next_due(&mut tx, &[self.account.id]).await?;
        tx.commit().await?;
        Ok(due.iter().any(|(_, due_at)| *due_at <= now))
    }

    pub(super) async fn claim(&self, limit: usize) -> Result<Vec<Claimed>, StoreError> {
        let replica = &self.shared.replica;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let now = replica.clock.now();
        let mut tx = replica.database.begin().await?;
        let claimed =
            outbound_mail::claim_due(&mut tx, replica.id, self.account.id, limit, now).await?;
        tx.commit().await?;
        // Guarded only after the answer: if it is lost, the recovery finds claims that are not in flight.
        let guarded = claimed.into_iter().map(|mail| Claimed {
            guard: self.shared.in_flight.guard(&mail),
            mail,
        });
        Ok(guarded.collect())
    }

    /// Makes mail due that waited for the account. In parts: a long backlog would outlast any limit of
    /// one statement.
    pub(super) async fn resume(&self) -> Result<(), StoreError> {
        let replica = &self.shared.replica;
        let now = replica.clock.now();
        let mut since = Some(now);
        while let Some(from) = since
            && !self.stop.is_cancelled()
        {
            let mut tx = replica.database.begin().await?;
            let id = self.account.id;
            let part = outbound_mail::resume(&mut tx, id, from, BATCH, now).await?;
            tx.commit().await?;
            let is_full = i64::try_from(part.count) == Ok(BATCH);
            since = part.last_due_at.filter(|_| is_full);
        }
        Ok(())
    }

    /// Defers what is due while the breaker is open, with one `mail.deferred` per mail and reason.
    pub(super) async fn park(&self, breaker: &CircuitBreaker) -> Result<(), StoreError> {
        let replica = &self.shared.replica;
        while let Some(wait) = breaker.wait(replica.clock.now())
            && !self.stop.is_cancelled()
            && self.has_due().await?
        {
            let now = replica.clock.now();
            let parking = Parking {
                problem: wait.problem,
                until: wait.until,
                now,
            };
            let mut tx = replica.database.begin().await?;
            let id = self.account.id;
            let parked = outbound_mail::park(&mut tx, replica.id, id, parking, BATCH).await?;
            let (key, next) = (&self.account.key, wait.next_attempt_at);
            let told = parked.told.iter();
            let events: Vec<Encoded> = told
                .flat_map(|mail| event::encode_parked(replica, key, mail, next, wait.problem))
                .collect();
            outbox::insert(&mut tx, replica.id, &events, now).await?;
            tx.commit().await?;
            if !events.is_empty() {
                replica.outbox.wake();
            }
            if parked.count == 0 {
                warn!(account.id = %id, "Mail is due that is not ours to put off");
                return Ok(());
            }
        }
        Ok(())
    }

    /// Puts claimed mail back that no connection has taken; its attempt does not count.
    pub(super) async fn requeue(&self, mail: &OutboundMail) {
        self.record(mail, self.decide(mail, AttemptResult::Unattempted))
            .await;
    }

    pub(super) async fn end_without_body(&self, mail: &OutboundMail, reason: NoBody) {
        let decision = match reason {
            NoBody::Missing => {
                error!(mail.id = %mail.id, "The mail's body is not stored any more");
                self.fail(
                    mail,
                    "its body is no longer stored",
                    "Have it sent anew; if that happens again, find out who deletes from the stream MAIL_RAW.",
                )
            }
            NoBody::Exchanged => {
                error!(
                    mail.id = %mail.id,
                    "The mail's stored body is not the one that was accepted: somebody else writes to MAIL_RAW"
                );
                self.fail(
                    mail,
                    "its stored content is not what was accepted",
                    "Find out who else writes to the stream MAIL_RAW, then have the mail sent anew.",
                )
            }
            NoBody::NotNow => {
                let mut decision = self.decide(mail, AttemptResult::Unattempted);
                decision.outcome.due_at = self.shared.replica.clock.now() + FETCH_RETRY;
                decision
            }
        };
        self.record(mail, decision).await;
    }

    fn fail(&self, mail: &OutboundMail, why: &str, action: &str) -> Decision {
        let mut decision = self.decide(mail, AttemptResult::Failed(unsendable(why)));
        let problem = decision.outcome.problem.take();
        decision.outcome.problem = problem.map(|problem| problem.with_action(action));
        decision
    }

    fn decide(&self, mail: &OutboundMail, result: AttemptResult) -> Decision {
        decide(
            mail,
            result,
            &self.shared.retry,
            self.shared.replica.clock.now(),
        )
    }

    async fn record(&self, mail: &OutboundMail, decision: Decision) {
        self.shared.record(&self.account.key, mail, decision).await;
    }
}
