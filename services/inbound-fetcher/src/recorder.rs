use std::collections::BTreeMap;

use futures_util::future::BoxFuture;
use mailmesh_accounts::{
    GroupCommit, GroupHandle, GroupReceipt, GroupSettings, GroupWrite, Replica,
};
use mailmesh_domain::AccountId;
use mailmesh_store::event_mark::{self, EventMark};
use mailmesh_store::mailbox::{self, Cursor, ReceivedMail};
use mailmesh_store::{StoreError, progress};
use tracing::instrument;

/// Maximum records per transaction.
const GROUP: usize = 64;

/// What the stream has confirmed for one account.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) account_id: AccountId,
    pub(crate) mails: Vec<ReceivedMail>,
    pub(crate) cursor: Option<Cursor>,
    /// None while later events must be read back.
    pub(crate) mark: Option<EventMark>,
}

/// Hands records over; those of one account are applied in their order.
pub(crate) type RecorderHandle = GroupHandle<ReceivedWrite>;
/// Comes with a value once a record is durable.
pub(crate) type Receipt = GroupReceipt<()>;

/// Writes what the stream has confirmed, of many accounts in one transaction.
#[derive(Debug)]
pub(crate) struct ReceivedWrite {
    replica: Replica,
}

/// Makes the recorder, which runs until every handle is gone.
pub(crate) fn recorder(replica: Replica) -> (GroupCommit<ReceivedWrite>, RecorderHandle) {
    let settings = GroupSettings {
        name: "received mails",
        members: GROUP,
        queue: 2 * GROUP,
        parallel: 1,
        retries_alone: true,
    };
    GroupCommit::new(ReceivedWrite { replica }, settings)
}

impl GroupWrite for ReceivedWrite {
    type Member = Record;
    type Answer = ();

    fn write<'a>(&'a self, records: &'a [Record]) -> BoxFuture<'a, Result<Vec<()>, StoreError>> {
        Box::pin(async move {
            self.commit(records).await?;
            Ok(vec![(); records.len()])
        })
    }
}

impl ReceivedWrite {
    #[instrument(name = "record.received_mails", skip_all, fields(accounts = records.len()))]
    async fn commit(&self, records: &[Record]) -> Result<(), StoreError> {
        let now = self.replica.clock.now();
        let mails: Vec<&ReceivedMail> = records.iter().flat_map(|record| &record.mails).collect();
        let cursors: Vec<Cursor> = records
            .iter()
            .filter_map(|record| record.cursor.clone())
            .collect();
        // The last one of an account counts: a statement must not meet a row twice.
        let marks: BTreeMap<AccountId, EventMark> = records
            .iter()
            .filter_map(|record| Some((record.account_id, record.mark?)))
            .collect();
        // Replicas that record at the same time lock rows in one order.
        let marks: Vec<(AccountId, EventMark)> = marks.into_iter().collect();

        let mut tx = self.replica.database.begin().await?;
        progress::record(&mut tx, &mails, now).await?;
        if !cursors.is_empty() {
            mailbox::move_cursors(&mut tx, &cursors, now).await?;
        }
        if !marks.is_empty() {
            event_mark::set(&mut tx, &marks).await?;
        }
        tx.commit().await
    }
}
