use std::sync::Arc;
use std::time::Duration;

use mailmesh_domain::FailureCause;
use mailmesh_events::{EncodedEvent, Problem};
use mailmesh_store::account::Account;
use mailmesh_store::outbound_mail::{Block, OutboundMail, is_news};
use mailmesh_store::{StoreError, Tx, outbound_mail, outbox};
use time::OffsetDateTime;
use tracing::error;

use super::circuit_breaker::{CircuitBreaker, Wait};
use super::prefetcher::NoBody;
use crate::context::ServiceContext;
use crate::decide::{AttemptResult, Decision, decide};
use crate::delivery::unsendable;
use crate::event;
use crate::job::ClaimedMail;
use crate::metric;

/// Maximum mails of one transaction.
const BATCH: i64 = 500;
/// Rows in the outbox beyond which no more are added for mail that only waits.
const OUTBOX_ROOM: i64 = 2_000;
/// Pause between the parts of a long queue, and before what came just now is told.
const TELL_PAUSE: Duration = Duration::from_millis(200);
/// Age from which the order of the queue is settled: replicas take mail in side by side, and their clocks differ a little.
const SETTLED_AFTER: Duration = Duration::from_secs(2);
/// Delay before a body is fetched again.
const FETCH_RETRY: Duration = Duration::from_secs(10);

/// The queued mail of one account, in the database.
#[derive(Debug)]
pub(super) struct AccountQueue {
    context: Arc<ServiceContext>,
    account: Arc<Account>,
    /// The block as this worker has recorded it.
    blocked: Option<AccountBlock>,
    /// More is to be published of the block.
    is_telling: bool,
}

/// A block as it is in the database.
#[derive(Debug)]
struct AccountBlock {
    problem: Problem,
    until: OffsetDateTime,
    next_attempt_at: Option<OffsetDateTime>,
}

impl AccountBlock {
    fn of(wait: &Wait<'_>) -> Self {
        Self {
            problem: wait.problem.clone(),
            until: wait.until,
            next_attempt_at: wait.next_attempt_at,
        }
    }

    /// Returns whether a wait needs no other row. The end of a long wait moves with each look.
    fn covers(&self, wait: &Wait<'_>, now: OffsetDateTime) -> bool {
        self.problem == *wait.problem
            && self.next_attempt_at == wait.next_attempt_at
            && (self.until >= wait.until || self.until - now > (wait.until - now) / 2)
    }
}

impl AccountQueue {
    pub(super) const fn new(context: Arc<ServiceContext>, account: Arc<Account>) -> Self {
        Self {
            context,
            account,
            blocked: None,
            is_telling: false,
        }
    }

    pub(super) async fn has_due(&self) -> Result<bool, StoreError> {
        let now = self.context.replica.clock.now();
        let mut tx = self.context.replica.database.begin().await?;
        let due = outbound_mail::next_due(&mut tx, &[self.account.id]).await?;
        tx.commit().await?;
        Ok(due.iter().any(|(_, due_at)| *due_at <= now))
    }

    pub(super) async fn claim(&self, limit: usize) -> Result<Vec<ClaimedMail>, StoreError> {
        let replica = &self.context.replica;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let now = replica.clock.now();
        let mut tx = replica.database.begin().await?;
        let claimed =
            outbound_mail::claim_due(&mut tx, replica.id, self.account.id, limit, now).await?;
        tx.commit().await?;
        // Guarded only after the answer: if it is lost, the recovery finds claims that are not in flight.
        let guarded = claimed.into_iter().map(|mail| ClaimedMail {
            guard: self.context.in_flight.guard(&mail),
            mail,
        });
        Ok(guarded.collect())
    }

    /// Lifts the block of the account, whoever has set it.
    pub(super) async fn unblock(&mut self) -> Result<(), StoreError> {
        let mut tx = self.context.replica.database.begin().await?;
        outbound_mail::unblock(&mut tx, self.account.id).await?;
        tx.commit().await?;
        self.blocked = None;
        self.is_telling = false;
        Ok(())
    }

    /// Records that the account cannot send, while the breaker is open, and publishes one `mail.deferred` per due mail and
    /// reason: a bounded number at a time, see [`Self::tell_again`]. What it costs does not grow with the queue, apart from
    /// those events.
    pub(super) async fn block(&mut self, breaker: &CircuitBreaker) -> Result<(), StoreError> {
        let replica = &self.context.replica;
        let now = replica.clock.now();
        let Some(wait) = breaker.wait(now) else {
            return Ok(());
        };
        let mut tx = replica.database.begin().await?;
        let is_known = self
            .blocked
            .as_ref()
            .is_some_and(|known| known.covers(&wait, now));
        if !is_known {
            let block = Block {
                problem: wait.problem,
                until: wait.until,
            };
            outbound_mail::block(&mut tx, replica.id, self.account.id, block).await?;
        }
        let (events, is_telling) = self.tell(&mut tx, &wait, now).await?;
        tx.commit().await?;
        metric::count("deferred", events.len());
        if !events.is_empty() {
            replica.outbox.wake();
        }
        if !is_known {
            self.blocked = Some(AccountBlock::of(&wait));
        }
        self.is_telling = is_telling;
        Ok(())
    }

    /// Returns after how long [`Self::block`] has more to publish; none when it has not.
    pub(super) fn tell_again(&self) -> Option<Duration> {
        self.is_telling.then_some(TELL_PAUSE)
    }

    /// Inserts the events of the next mails; returns them, and whether more follow.
    async fn tell(
        &self,
        tx: &mut Tx,
        wait: &Wait<'_>,
        now: OffsetDateTime,
    ) -> Result<(Vec<EncodedEvent>, bool), StoreError> {
        let replica = &self.context.replica;
        let mut mails = outbound_mail::list_untold(tx, self.account.id, now, BATCH).await?;
        let is_full = i64::try_from(mails.len()) == Ok(BATCH);
        // While events wait for the bus, those of a long queue would only wait with them.
        if mails.is_empty() || outbox::has_more_than(tx, replica.id, OUTBOX_ROOM).await? {
            return Ok((Vec::new(), !mails.is_empty()));
        }
        let listed = mails.len();
        mails.retain(|mail| mail.due_at <= now - SETTLED_AFTER);
        let has_more = is_full || mails.len() < listed;
        let Some(last) = mails.last() else {
            return Ok((Vec::new(), has_more));
        };
        outbound_mail::set_told(tx, self.account.id, last.into()).await?;
        let (key, next) = (&self.account.key, wait.next_attempt_at);
        let untold = mails
            .iter()
            .filter(|mail| is_news(mail.problem.as_ref(), wait.problem));
        let events: Vec<EncodedEvent> = untold
            .flat_map(|mail| event::encode_parked(replica, key, mail, next, wait.problem))
            .collect();
        outbox::insert(tx, replica.id, &events, now).await?;
        Ok((events, has_more))
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
                self.fail(mail, "its body is no longer stored", FailureCause::BodyGone)
            }
            NoBody::Exchanged => {
                error!(
                    mail.id = %mail.id,
                    "The mail's stored body is not the one that was accepted: somebody else writes to MAIL_RAW"
                );
                self.fail(
                    mail,
                    "its stored content is not what was accepted",
                    FailureCause::BodyExchanged,
                )
            }
            NoBody::NotNow => {
                let mut decision = self.decide(mail, AttemptResult::Unattempted);
                decision.outcome.due_at = self.context.replica.clock.now() + FETCH_RETRY;
                decision
            }
        };
        self.record(mail, decision).await;
    }

    fn fail(&self, mail: &OutboundMail, why: &str, cause: FailureCause) -> Decision {
        self.decide(mail, AttemptResult::Failed(unsendable(why, cause)))
    }

    fn decide(&self, mail: &OutboundMail, result: AttemptResult) -> Decision {
        decide(
            mail,
            result,
            &self.context.retry,
            self.context.replica.clock.now(),
        )
    }

    async fn record(&self, mail: &OutboundMail, decision: Decision) {
        self.context.record(&self.account.key, mail, decision).await;
    }
}
