//! Mail that the server may have: the Sent folder tells, else the caller's policy.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mailmesh_domain::{AccountId, MailId, UncertainPolicy};
use mailmesh_store::account::Account;
use mailmesh_store::outbound_mail::UncertainMail;
use mailmesh_store::{StoreError, account, outbound_mail};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::decide::{Decision, assume_sent, held, send_again};
use crate::event;
use crate::recorder::Recorded;
use crate::sent_folder::{self, Look};
use crate::shared::Shared;

const BATCH: i64 = 50;
/// Absence is believed after so many looks, with the configured delay before each, and never before
/// the server's time for its reply is over.
const LOOKS: u32 = 2;
/// A Sent folder that cannot be read is given up after so many looks.
const TRIES: u32 = 6;
const TICK: Duration = Duration::from_secs(2);

/// Looks after the uncertain mails of the accounts that this replica holds.
#[derive(Debug, Default)]
pub(crate) struct UncertainDesk {
    looks: Mutex<HashMap<MailId, Looks>>,
}

/// How often a mail was looked for in vain.
#[derive(Debug, Clone, Copy, Default)]
struct Looks {
    absent: u32,
    failed: u32,
}

impl UncertainDesk {
    /// Runs until `stop`, apart from the workers: servers may be slow to answer.
    pub(crate) async fn run(&self, shared: &Shared, stop: &CancellationToken) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let looking = self.look(shared);
            let result = tokio::select! {
                () = stop.cancelled() => return,
                result = looking => result,
            };
            if let Err(error) = result {
                warn!(
                    error = &error as &dyn std::error::Error,
                    "Uncertain mails wait for the database"
                );
            }
        }
    }

    /// Decides those that are due.
    async fn look(&self, shared: &Shared) -> Result<(), StoreError> {
        let accounts = shared.wakes.list();
        if accounts.is_empty() {
            return Ok(());
        }
        let replica = &shared.replica;
        let now = replica.clock.now();
        let until = now + shared.rules.look_after();
        let mut tx = replica.database.begin().await?;
        let mails = outbound_mail::claim_uncertain(&mut tx, &accounts, now, until, BATCH).await?;
        let ids: Vec<AccountId> = mails.iter().map(|each| each.mail.account_id).collect();
        let known = account::list_by_ids(&mut tx, &ids).await?;
        tx.commit().await?;
        for uncertain in mails {
            let id = uncertain.mail.account_id;
            if let Some(account) = known.iter().find(|one| one.id == id) {
                self.decide(shared, account, &uncertain).await?;
            }
        }
        Ok(())
    }

    async fn decide(
        &self,
        shared: &Shared,
        account: &Account,
        uncertain: &UncertainMail,
    ) -> Result<(), StoreError> {
        let mail = &uncertain.mail;
        let looks = self.looks_of(mail.id);
        // Until then the reply or the copy may still come, perhaps to a replica that was taken for dead.
        let is_early = uncertain.since_dot < shared.rules.silence_is_over_after();
        match sent_folder::look(shared, account, &mail.message_id).await? {
            Look::Found => {
                let now = shared.replica.clock.now();
                let sent = assume_sent(mail, "found in the Sent folder", &shared.rules, now);
                self.settle(shared, account, uncertain, sent).await;
                Ok(())
            }
            Look::Absent if is_early || looks.absent + 1 < LOOKS => {
                info!(mail.id = %mail.id, "Not in the Sent folder; it is looked for again");
                let absent = looks.absent + 1;
                self.note(mail.id, Looks { absent, ..looks });
                Ok(())
            }
            Look::Absent => {
                self.conclude(shared, account, uncertain, UncertainPolicy::Resend)
                    .await;
                Ok(())
            }
            Look::Failed if is_early || looks.failed + 1 < TRIES => {
                let failed = looks.failed + 1;
                self.note(mail.id, Looks { failed, ..looks });
                Ok(())
            }
            Look::Unknown if is_early => Ok(()),
            Look::Failed | Look::Unknown => {
                self.conclude(shared, account, uncertain, mail.on_uncertain)
                    .await;
                Ok(())
            }
        }
    }

    /// Does what a policy asks for.
    async fn conclude(
        &self,
        shared: &Shared,
        account: &Account,
        uncertain: &UncertainMail,
        policy: UncertainPolicy,
    ) {
        let mail = &uncertain.mail;
        let (rules, now) = (&shared.rules, shared.replica.clock.now());
        let decision = match policy {
            UncertainPolicy::Resend => send_again(mail, uncertain.rounds, rules, now),
            UncertainPolicy::AssumeSent => assume_sent(mail, "assumed sent", rules, now),
            UncertainPolicy::Hold => held(mail, rules, now),
        };
        self.settle(shared, account, uncertain, decision).await;
    }

    fn looks_of(&self, id: MailId) -> Looks {
        self.lock().get(&id).copied().unwrap_or_default()
    }

    fn note(&self, id: MailId, looks: Looks) {
        self.lock().insert(id, looks);
    }

    async fn settle(
        &self,
        shared: &Shared,
        account: &Account,
        uncertain: &UncertainMail,
        decision: Decision,
    ) {
        let mail = &uncertain.mail;
        let Decision {
            outcome, notice, ..
        } = decision;
        info!(
            mail.id = %mail.id,
            state = %outcome.state,
            rounds = uncertain.rounds,
            "Uncertain mail decided"
        );
        let (replica, key) = (&shared.replica, &account.key);
        let events = notice.map(|notice| event::of_notice(replica, key, mail, &outcome, notice));
        let recorded = Recorded {
            outcome,
            events: events.unwrap_or_default(),
        };
        self.forget(mail.id);
        shared.recorder.record(recorded).await;
    }

    fn forget(&self, id: MailId) {
        self.lock().remove(&id);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<MailId, Looks>> {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
