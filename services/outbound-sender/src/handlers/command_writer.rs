use std::collections::HashSet;

use mailmesh_accounts::{Replica, WorkerRegistry};
use mailmesh_bus::HandlerError;
use mailmesh_domain::{AccountId, EventId, Key, MailId};
use mailmesh_events::mail::{MailRejected, MailRepeated, RejectedCommand};
use mailmesh_events::{EncodedEvent, encode};
use mailmesh_store::account::Account;
use mailmesh_store::outbound_mail::{self, AcceptResult, CancelResult, NewOutboundMail};
use mailmesh_store::{StoreError, Tx, outbox};
use tracing::{error, info};

use super::cancel_mail::Cancel;
use super::command::{Ready, Rejection};
use super::send_mail::{NewMail, rejection_id};
use crate::cancel_event::outcome_event;
use crate::context::wake_holders;
use crate::draft::Refusal;
use crate::metric;
use crate::raw_cache::RawCache;
use crate::retention::delete_raws;

/// What one transaction did.
#[derive(Default)]
struct TransactionResult {
    queued: Vec<NewMail>,
    /// Bodies of commands that did not become mails.
    orphans: Vec<MailId>,
    events: Vec<EncodedEvent>,
}

/// Writes what was made of commands.
pub(super) struct CommandWriter<'a> {
    pub(super) replica: &'a Replica,
    pub(super) registry: &'a WorkerRegistry,
    pub(super) raws: &'a RawCache,
    /// The account in a rejection when none could be read.
    pub(super) unknown: &'a Key,
}

impl CommandWriter<'_> {
    /// Queues, cancels and rejects in one transaction; its events are published once it is committed.
    pub(super) async fn write(
        &self,
        ready: Vec<Ready>,
    ) -> Result<Vec<Result<(), HandlerError>>, StoreError> {
        let mut results = Vec::with_capacity(ready.len());
        let (mut mails, mut cancels, mut written) =
            (Vec::new(), Vec::new(), TransactionResult::default());
        for each in ready {
            match each {
                Ready::New(new) => mails.push(*new),
                Ready::Cancel(cancel, account) => cancels.push((cancel, account)),
                Ready::Rejected(rejected) => written.events.extend(self.rejection(rejected)),
                Ready::GivenUp(rejected, error) => {
                    written.events.extend(self.rejection(rejected));
                    results.push(Err(error));
                    continue;
                }
                Ready::Later(error) => {
                    results.push(Err(error));
                    continue;
                }
            }
            results.push(Ok(()));
        }
        let now = self.replica.clock.now();
        let mut tx = self.replica.database.begin().await?;
        self.queue(&mut tx, mails, &mut written).await?;
        for (cancel, account) in cancels {
            let event = self.cancel(&mut tx, cancel, &account).await?;
            written.events.extend(event);
        }
        outbox::insert(&mut tx, self.replica.id, &written.events, now).await?;
        tx.commit().await?;
        self.after_commit(written).await;
        Ok(results)
    }

    /// Two commands of one batch may bear the same key, and a statement sees no row of its own: the
    /// second of them goes with the next round.
    async fn queue(
        &self,
        tx: &mut Tx,
        mut mails: Vec<NewMail>,
        written: &mut TransactionResult,
    ) -> Result<(), StoreError> {
        let now = self.replica.clock.now();
        while !mails.is_empty() {
            let mut seen = HashSet::new();
            let (round, later): (Vec<NewMail>, Vec<NewMail>) = mails.into_iter().partition(|new| {
                seen.insert((new.row.account_id, new.row.idempotency_key.clone()))
            });
            mails = later;
            let rows: Vec<NewOutboundMail> = round.iter().map(|new| new.row.clone()).collect();
            let accepted = outbound_mail::insert(tx, &rows, now).await?;
            for (new, accepted) in round.into_iter().zip(accepted) {
                match accepted {
                    AcceptResult::New => written.queued.push(new),
                    // The same command, delivered again after its acknowledgement was lost.
                    AcceptResult::Repeated(id) if id == new.row.id => {}
                    AcceptResult::Repeated(id) => {
                        let repeated = self.repetition(tx, &new, id).await?;
                        written.events.extend(repeated);
                        written.orphans.push(new.row.id);
                    }
                    AcceptResult::KeyTaken(_) => {
                        written.orphans.push(new.row.id);
                        written.events.extend(self.rejection(key_taken(&new)));
                    }
                }
            }
        }
        Ok(())
    }

    /// Takes a mail back, or keeps the cancel while its mail is being sent or may still come.
    async fn cancel(
        &self,
        tx: &mut Tx,
        cancel: Cancel,
        account: &Account,
    ) -> Result<Option<EncodedEvent>, StoreError> {
        let now = self.replica.clock.now();
        let request = cancel.into_request(account.id);
        let result = outbound_mail::settle_cancel(tx, &request, now).await?;
        if matches!(result, CancelResult::Open | CancelResult::NotFound) {
            outbound_mail::keep_cancel(tx, &request, now).await?;
            return Ok(None);
        }
        Ok(outcome_event(self.replica, &account.key, &request, &result))
    }

    /// Answers a command whose mail was asked for before. Its id follows from the command, too.
    async fn repetition(
        &self,
        tx: &mut Tx,
        new: &NewMail,
        first: MailId,
    ) -> Result<Option<EncodedEvent>, StoreError> {
        info!(mail.id = %first, "The same mail was asked for before");
        let Some(first) = outbound_mail::find(tx, first).await? else {
            return Ok(None);
        };
        let event = MailRepeated {
            mail_id: first.id,
            account: new.account.key.clone(),
            idempotency_key: new.given_key.clone(),
            state: first.state,
            stream_sequence: new.stream_sequence,
            first_stream_sequence: first.stream_sequence,
        };
        let id = EventId::from_uuid(rejection_id(new.stream_sequence, new.timestamp));
        let encoded = encode(&event, id, &self.replica.source(), self.replica.clock.now());
        Ok(encoded.map_err(|error| log_unwritten(&error)).ok())
    }

    /// The id follows from the command, so that a command which is read twice is rejected once.
    fn rejection(&self, rejection: Rejection) -> Option<EncodedEvent> {
        info!(
            delivery.sequence = rejection.stream_sequence,
            field = rejection.refusal.field,
            "Command rejected"
        );
        let id = rejection_id(rejection.stream_sequence, rejection.timestamp);
        let event = MailRejected {
            account: rejection.account.unwrap_or_else(|| self.unknown.clone()),
            idempotency_key: rejection.idempotency_key,
            field: rejection.refusal.field,
            reason: rejection.refusal.reason,
            stream_sequence: rejection.stream_sequence,
            command: rejection.command,
            mail_id: None,
        };
        let now = self.replica.clock.now();
        let encoded = encode(&event, EventId::from_uuid(id), &self.replica.source(), now);
        encoded.map_err(|error| log_unwritten(&error)).ok()
    }

    async fn after_commit(&self, written: TransactionResult) {
        if !written.events.is_empty() {
            self.replica.outbox.wake();
        }
        metric::count("accepted", written.queued.len());
        metric::count("answered", written.events.len());
        let mut accounts: HashSet<AccountId> = HashSet::new();
        for new in written.queued {
            accounts.insert(new.row.account_id);
            self.raws.put(new.row.id, new.raw);
        }
        wake_holders(self.replica, self.registry, accounts).await;
        if !written.orphans.is_empty() {
            delete_raws(&self.replica.bus.raw_mails(), &written.orphans).await;
        }
    }
}

fn log_unwritten(error: &(dyn std::error::Error + 'static)) {
    error!(error, "The answer to a command could not be written");
}

fn key_taken(new: &NewMail) -> Rejection {
    Rejection {
        account: Some(new.account.key.clone()),
        idempotency_key: new.given_key.clone(),
        refusal: Refusal::new("idempotency_key", "was used for another mail"),
        stream_sequence: new.stream_sequence,
        timestamp: new.timestamp,
        command: RejectedCommand::MailSend,
    }
}
