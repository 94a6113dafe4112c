use std::collections::HashMap;
use std::error::Error;

use mailmesh_accounts::Replica;
use mailmesh_domain::AccountId;
use mailmesh_store::mailbox::{self, Cursor, ReceivedMail};
use mailmesh_store::{StoreError, account_status};
use tokio::sync::{mpsc, oneshot};
use tracing::{instrument, warn};

/// At most so many accounts' records go into one transaction.
const GROUP: usize = 64;

/// What the stream has confirmed for one account.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) account_id: AccountId,
    pub(crate) mails: Vec<ReceivedMail>,
    pub(crate) cursor: Option<Cursor>,
    /// None while later events must be read back.
    pub(crate) sequence: Option<u64>,
}

#[derive(Debug)]
struct Entry {
    record: Record,
    done: oneshot::Sender<bool>,
}

/// Gathers what waits, of all accounts, into one transaction: a commit per account would cap the
/// service at the disk's sync rate.
#[derive(Debug)]
pub(crate) struct Recorder {
    replica: Replica,
    entries: mpsc::Receiver<Entry>,
}

/// The workers' side of the [`Recorder`].
#[derive(Debug, Clone)]
pub(crate) struct RecorderHandle {
    entries: mpsc::Sender<Entry>,
}

/// Tells whether a record has become durable.
#[derive(Debug)]
pub(crate) struct Receipt(oneshot::Receiver<bool>);

impl Receipt {
    /// Waits; `false` if it is not known to be recorded.
    pub(crate) async fn wait(self) -> bool {
        self.0.await.unwrap_or(false)
    }
}

impl RecorderHandle {
    /// Hands a record over; records of one account are applied in this order.
    pub(crate) async fn record(&self, record: Record) -> Receipt {
        let (done, receipt) = oneshot::channel();
        // If the recorder is gone, the dropped sender tells the receipt.
        self.entries.send(Entry { record, done }).await.ok();
        Receipt(receipt)
    }
}

impl Recorder {
    pub(crate) fn new(replica: Replica) -> (Self, RecorderHandle) {
        let (sender, entries) = mpsc::channel(2 * GROUP);
        (
            Self { replica, entries },
            RecorderHandle { entries: sender },
        )
    }

    /// Records until every handle is gone.
    pub(crate) async fn run(mut self) {
        let mut group = Vec::with_capacity(GROUP);
        while self.entries.recv_many(&mut group, GROUP).await > 0 {
            let records: Vec<&Record> = group.iter().map(|entry| &entry.record).collect();
            let outcome = self.commit(&records).await;
            if let Err(error) = &outcome {
                warn!(
                    error = error as &dyn Error,
                    accounts = group.len(),
                    "Received mails were not recorded"
                );
            }
            let is_alone = group.len() == 1;
            for entry in group.drain(..) {
                // One account's bad record must not stop the others' good ones.
                let is_recorded =
                    outcome.is_ok() || (!is_alone && self.commit(&[&entry.record]).await.is_ok());
                // Nobody listens when the worker was stopped meanwhile.
                entry.done.send(is_recorded).ok();
            }
        }
    }

    #[instrument(name = "record.received_mails", skip_all, fields(accounts = records.len()))]
    async fn commit(&self, records: &[&Record]) -> Result<(), StoreError> {
        let now = self.replica.clock.now();
        let mails: Vec<ReceivedMail> = records
            .iter()
            .flat_map(|record| record.mails.iter().cloned())
            .collect();
        let cursors: Vec<Cursor> = records
            .iter()
            .filter_map(|record| record.cursor.clone())
            .collect();
        // The last one of an account counts: a statement must not meet a row twice.
        let sequences: HashMap<AccountId, i64> = records
            .iter()
            .filter_map(|record| Some((record.account_id, i64::try_from(record.sequence?).ok()?)))
            .collect();
        let mut sequences: Vec<(AccountId, i64)> = sequences.into_iter().collect();
        // Replicas that record at the same time lock rows in one order.
        sequences.sort_unstable();

        let mut tx = self.replica.database.begin().await?;
        if !mails.is_empty() {
            mailbox::insert(&mut tx, &mails, now).await?;
        }
        if !cursors.is_empty() {
            mailbox::move_cursors(&mut tx, &cursors, now).await?;
        }
        if !sequences.is_empty() {
            account_status::set_event_sequences(&mut tx, &sequences).await?;
        }
        tx.commit().await
    }
}
