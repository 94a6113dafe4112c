//! Mail that the server may have: the Sent folder tells, else the caller's policy.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use mailmesh_domain::{AccountId, MailId, OutboundState, UncertainPolicy};
use mailmesh_store::account::Account;
use mailmesh_store::outbound_mail::{OutboundMail, Outcome};
use mailmesh_store::{StoreError, account, outbound_mail};
use tracing::info;

use crate::decide::{Notice, assume_sent};
use crate::event;
use crate::recorder::Recorded;
use crate::sent_folder::{self, Look};
use crate::shared::Shared;

const BATCH: i64 = 50;
/// Absence is believed after so many looks, with the configured delay before each.
const LOOKS: u32 = 2;
/// A held mail waits for a person; the Sent folder is asked again now and then.
const HELD: Duration = Duration::from_hours(6);

/// Looks after the uncertain mails of the accounts that this replica holds.
#[derive(Debug, Default)]
pub(crate) struct UncertainDesk {
    /// How often a mail was found absent.
    absent: Mutex<HashMap<MailId, u32>>,
}

impl UncertainDesk {
    /// Decides those that are due.
    pub(crate) async fn look(
        &self,
        shared: &Shared,
        accounts: &[AccountId],
    ) -> Result<(), StoreError> {
        let replica = &shared.replica;
        let now = replica.clock.now();
        let until = now + shared.rules.look_after().max(Duration::from_secs(30));
        let mut tx = replica.database.begin().await?;
        let mails = outbound_mail::claim_uncertain(&mut tx, accounts, now, until, BATCH).await?;
        let ids: Vec<AccountId> = mails.iter().map(|mail| mail.account_id).collect();
        let known = account::list_by_ids(&mut tx, &ids).await?;
        tx.commit().await?;
        for mail in mails {
            if let Some(account) = known.iter().find(|one| one.id == mail.account_id) {
                self.decide(shared, account, &mail).await?;
            }
        }
        Ok(())
    }

    async fn decide(
        &self,
        shared: &Shared,
        account: &Account,
        mail: &OutboundMail,
    ) -> Result<(), StoreError> {
        let look = sent_folder::look(shared, account, &mail.message_id).await;
        match look {
            Look::Found => {
                self.end(shared, account, mail, "found in the Sent folder")
                    .await;
            }
            Look::Absent if self.note_absent(mail.id) < LOOKS => {
                info!(mail.id = %mail.id, "Not in the Sent folder; it is looked for again");
            }
            Look::Absent => self.send_again(shared, mail).await,
            Look::Unknown => match mail.on_uncertain {
                UncertainPolicy::Resend => self.send_again(shared, mail).await,
                UncertainPolicy::AssumeSent => {
                    self.end(shared, account, mail, "assumed sent").await;
                }
                UncertainPolicy::Hold => {
                    let due_at = shared.replica.clock.now() + HELD;
                    let mut tx = shared.replica.database.begin().await?;
                    outbound_mail::set_uncertain_due(&mut tx, mail.id, due_at).await?;
                    tx.commit().await?;
                }
            },
        }
        Ok(())
    }

    fn note_absent(&self, id: MailId) -> u32 {
        let mut absent = self.absent.lock().unwrap_or_else(PoisonError::into_inner);
        let looks = absent.entry(id).or_default();
        *looks += 1;
        *looks
    }

    async fn end(&self, shared: &Shared, account: &Account, mail: &OutboundMail, how: &str) {
        let replica = &shared.replica;
        let outcome = assume_sent(mail, how, replica.clock.now());
        let events = event::of_notice(replica, &account.key, mail, &outcome, Notice::Sent);
        info!(mail.id = %mail.id, how, "Uncertain mail counts as sent");
        self.record(shared, Recorded { outcome, events }).await;
    }

    async fn send_again(&self, shared: &Shared, mail: &OutboundMail) {
        info!(mail.id = %mail.id, "Uncertain mail is sent again");
        let outcome = Outcome {
            mail_id: mail.id,
            attempt: mail.attempts,
            state: OutboundState::Queued,
            failures: mail.failures,
            due_at: shared.replica.clock.now(),
            recipients: mail.recipients.clone(),
            problem: mail.problem.clone(),
            reply: None,
        };
        let events = Vec::new();
        self.record(shared, Recorded { outcome, events }).await;
    }

    async fn record(&self, shared: &Shared, recorded: Recorded) {
        self.forget(recorded.outcome.mail_id);
        shared.recorder.record(recorded).await;
    }

    fn forget(&self, id: MailId) {
        let mut absent = self.absent.lock().unwrap_or_else(PoisonError::into_inner);
        absent.remove(&id);
    }
}
