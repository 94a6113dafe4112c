use futures_util::future::BoxFuture;
use mailmesh_accounts::{GroupCommit, GroupHandle, GroupSettings, GroupWrite, Replica};
use mailmesh_domain::MailId;
use mailmesh_store::{StoreError, send_attempt};

const QUEUE: usize = 1_024;
const BATCH: usize = 256;
/// Transactions on their way to the disk at once; Postgres syncs them together.
const PARALLEL: usize = 3;

/// Whether a mail may be committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StageEntry {
    Entered,
    TakenOver,
    NotRecorded,
}

/// Makes the recorder of stages. Requests after its stop are answered with "not recorded".
pub(super) fn recorder(replica: Replica) -> (GroupCommit<StageWrite>, GroupHandle<StageWrite>) {
    let settings = GroupSettings {
        name: "stages",
        members: BATCH,
        queue: QUEUE,
        parallel: PARALLEL,
        // The mails go back to the queue.
        retries_alone: false,
    };
    GroupCommit::new(StageWrite { replica }, settings)
}

/// Writes that attempts are about to commit.
#[derive(Debug)]
pub(crate) struct StageWrite {
    replica: Replica,
}

impl GroupWrite for StageWrite {
    type Member = (MailId, i32);
    type Answer = StageEntry;

    fn write<'a>(
        &'a self,
        attempts: &'a [(MailId, i32)],
    ) -> BoxFuture<'a, Result<Vec<StageEntry>, StoreError>> {
        Box::pin(async move {
            let mut tx = self.replica.database.begin().await?;
            let entered = send_attempt::enter_committing(&mut tx, attempts).await?;
            tx.commit().await?;
            let entry = |(mail, _): &(MailId, i32)| {
                if entered.contains(mail) {
                    StageEntry::Entered
                } else {
                    StageEntry::TakenOver
                }
            };
            Ok(attempts.iter().map(entry).collect())
        })
    }
}
