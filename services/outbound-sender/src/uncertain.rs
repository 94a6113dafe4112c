//! Resolves mail that the provider may have: by the Sent folder, else by the caller's policy.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use mailmesh_domain::{AccountId, MailId, UncertainPolicy};
use mailmesh_store::account::Account;
use mailmesh_store::outbound_mail::UncertainMail;
use mailmesh_store::{StoreError, account, outbound_mail};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::context::ServiceContext;
use crate::decide::{Decision, assume_sent, held, send_again};
use crate::sent_folder::{SentFolder, SentLookup};

/// Maximum accounts visited at once, and maximum mails claimed at once for all of them.
const PARALLEL: usize = 50;
/// Lookups without a find until a mail counts as absent, with the configured delay before each; never
/// before the server's time for its reply is over.
const ABSENT_LOOKUPS: u32 = 2;
/// Failed lookups until the caller's policy decides.
const FAILED_LOOKUPS: u32 = 6;
const TICK: Duration = Duration::from_secs(2);
/// TTL of counts: the mail may have gone to another replica, or to an operator.
const COUNTS_TTL: Duration = Duration::from_hours(24);

/// A mail and the number of its attempt: what was seen of one attempt says nothing of the next.
type Attempt = (MailId, i32);

/// Resolves the uncertain mails of the accounts that this replica holds.
#[derive(Debug, Default)]
pub(crate) struct UncertainResolver {
    counts: Mutex<HashMap<Attempt, (Instant, LookupCounts)>>,
}

/// Lookups of one attempt that did not find it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct LookupCounts {
    absent: u32,
    failed: u32,
}

/// The uncertain mails of an account that are due.
struct Visit {
    account: Account,
    mails: Vec<UncertainMail>,
}

impl UncertainResolver {
    /// Runs until `stop`, apart from the workers: servers may be slow to answer. Each account has its
    /// own visit, so that a server which does not answer keeps no other account waiting.
    pub(crate) async fn run(self, context: Arc<ServiceContext>, stop: CancellationToken) {
        let context = &*context;
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut busy = HashSet::new();
        let mut visits = FuturesUnordered::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                Some(id) = visits.next(), if !visits.is_empty() => {
                    busy.remove(&id);
                    continue;
                }
                _ = ticks.tick(), if busy.len() < PARALLEL => {}
            }
            let claimed = tokio::select! {
                () = stop.cancelled() => return,
                claimed = claim(context, &busy) => claimed,
            };
            match claimed {
                Ok(claimed) => {
                    for visit in claimed {
                        busy.insert(visit.account.id);
                        visits.push(self.visit(context, visit));
                    }
                }
                Err(error) => log_store_error(&error),
            }
            self.lock().retain(|_, (at, _)| at.elapsed() < COUNTS_TTL);
        }
    }

    /// Looks for all due mails of an account in one session of its mailbox.
    async fn visit(&self, context: &ServiceContext, visit: Visit) -> AccountId {
        let account = &visit.account;
        match SentFolder::open(context, account).await {
            Ok(mut folder) => {
                for uncertain in &visit.mails {
                    let lookup = folder.look_up(&uncertain.mail.message_id).await;
                    self.decide(context, account, uncertain, lookup).await;
                }
                folder.close().await;
            }
            Err(error) => log_store_error(&error),
        }
        account.id
    }

    async fn decide(
        &self,
        context: &ServiceContext,
        account: &Account,
        uncertain: &UncertainMail,
        lookup: SentLookup,
    ) {
        let mail = &uncertain.mail;
        let attempt = (mail.id, mail.attempts);
        let counts = self.counts_of(attempt);
        // Until then the reply or the copy may still come, perhaps to a replica that was taken for dead.
        let is_early = uncertain.since_commit < context.retry.silence_is_over_after();
        let (retry, now) = (&context.retry, context.replica.clock.now());
        let policy = match lookup {
            SentLookup::Found => {
                let sent = assume_sent(mail, "found in the Sent folder", retry, now);
                return self
                    .record_decision(context, account, uncertain, sent)
                    .await;
            }
            SentLookup::Absent if is_early || counts.absent + 1 < ABSENT_LOOKUPS => {
                info!(mail.id = %mail.id, "Not in the Sent folder; it is looked for again");
                let absent = counts.absent + 1;
                return self.count(attempt, LookupCounts { absent, ..counts });
            }
            SentLookup::Failed if is_early || counts.failed + 1 < FAILED_LOOKUPS => {
                let failed = counts.failed + 1;
                return self.count(attempt, LookupCounts { failed, ..counts });
            }
            SentLookup::Unknown if is_early => return,
            SentLookup::Absent => UncertainPolicy::Resend,
            SentLookup::Failed | SentLookup::Unknown => mail.on_uncertain,
        };
        let decision = match policy {
            UncertainPolicy::Resend => send_again(mail, uncertain.rounds, retry, now),
            UncertainPolicy::AssumeSent => assume_sent(mail, "assumed sent", retry, now),
            UncertainPolicy::Hold => held(mail, retry, now),
        };
        self.record_decision(context, account, uncertain, decision)
            .await;
    }

    fn counts_of(&self, attempt: Attempt) -> LookupCounts {
        let counts = self.lock();
        let known = counts.get(&attempt);
        known.map(|(_, counts)| *counts).unwrap_or_default()
    }

    fn count(&self, attempt: Attempt, counts: LookupCounts) {
        self.lock().insert(attempt, (Instant::now(), counts));
    }

    async fn record_decision(
        &self,
        context: &ServiceContext,
        account: &Account,
        uncertain: &UncertainMail,
        decision: Decision,
    ) {
        let mail = &uncertain.mail;
        info!(
            mail.id = %mail.id,
            state = %decision.outcome.state,
            rounds = uncertain.rounds,
            "Uncertain mail decided"
        );
        self.lock().remove(&(mail.id, mail.attempts));
        context.record(&account.key, mail, decision).await;
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Attempt, (Instant, LookupCounts)>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Claims what is due on accounts that are not being visited; it comes due again by itself.
async fn claim(
    context: &ServiceContext,
    busy: &HashSet<AccountId>,
) -> Result<Vec<Visit>, StoreError> {
    let mut accounts = context.registry.list();
    accounts.retain(|id| !busy.contains(id));
    if accounts.is_empty() {
        return Ok(Vec::new());
    }
    let replica = &context.replica;
    let now = replica.clock.now();
    let until = now + context.retry.look_after();
    let limit = i64::try_from(PARALLEL - busy.len()).unwrap_or_default();
    let mut tx = replica.database.begin().await?;
    let due = outbound_mail::claim_uncertain(&mut tx, &accounts, now, until, limit).await?;
    if due.is_empty() {
        tx.commit().await?;
        return Ok(Vec::new());
    }
    let mut of_account: HashMap<AccountId, Vec<UncertainMail>> = HashMap::new();
    for uncertain in due {
        let mails = of_account.entry(uncertain.mail.account_id).or_default();
        mails.push(uncertain);
    }
    let ids: Vec<AccountId> = of_account.keys().copied().collect();
    let known = account::list_by_ids(&mut tx, &ids).await?;
    tx.commit().await?;
    let visits = known.into_iter().map(|account| Visit {
        mails: of_account.remove(&account.id).unwrap_or_default(),
        account,
    });
    Ok(visits.collect())
}

fn log_store_error(error: &StoreError) {
    warn!(
        error = error as &dyn std::error::Error,
        "Uncertain mails wait for the database"
    );
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn lookups_of_one_attempt_say_nothing_of_the_next() {
        let resolver = UncertainResolver::default();
        let mail = MailId::from_uuid(Uuid::from_u128(1));
        let seen = LookupCounts {
            absent: 1,
            failed: 0,
        };

        resolver.count((mail, 1), seen);

        assert_eq!(resolver.counts_of((mail, 1)), seen);
        assert_eq!(resolver.counts_of((mail, 2)), LookupCounts::default());
    }
}
