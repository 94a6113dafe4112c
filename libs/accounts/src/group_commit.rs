use std::error::Error;
use std::fmt;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use mailmesh_store::StoreError;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// A write for many accounts or connections in one transaction: a commit for each would cap the mesh at the disk's sync
/// rate.
pub trait GroupWrite: Send + Sync + 'static {
    /// One entry of a group.
    type Member: Send + Sync + 'static;
    /// Result for one member of a committed group.
    type Answer: Send + 'static;

    /// Writes a group in one transaction; returns an answer for each member, in their order.
    fn write<'a>(
        &'a self,
        members: &'a [Self::Member],
    ) -> BoxFuture<'a, Result<Vec<Self::Answer>, StoreError>>;
}

/// How groups are formed.
#[derive(Debug, Clone, Copy)]
pub struct GroupSettings {
    /// Kind of the records, for the log.
    pub name: &'static str,
    /// Maximum members of a group.
    pub members: usize,
    /// Maximum members that wait for a place in a group.
    pub queue: usize,
    /// Transactions in flight; with one, members are written in the order in which they were added.
    pub parallel: usize,
    /// Whether the members of a group that fails are written one by one: one bad member must not stop the good ones.
    pub retries_alone: bool,
}

/// Gathers members while the transactions in flight are on their way to the disk.
pub struct GroupCommit<W: GroupWrite> {
    write: Arc<W>,
    settings: GroupSettings,
    waiting: mpsc::Receiver<PendingMember<W>>,
}

/// Adds members to the groups of a [`GroupCommit`].
pub struct GroupHandle<W: GroupWrite> {
    waiting: mpsc::Sender<PendingMember<W>>,
}

/// The answer that a member waits for.
#[derive(Debug)]
pub struct GroupReceipt<A>(oneshot::Receiver<A>);

type PendingMember<W> = (
    <W as GroupWrite>::Member,
    oneshot::Sender<<W as GroupWrite>::Answer>,
);

impl<A> GroupReceipt<A> {
    /// Waits; none if the member is not known to be committed.
    pub async fn wait(self) -> Option<A> {
        self.0.await.ok()
    }
}

impl<W: GroupWrite> GroupHandle<W> {
    /// Adds a member, once there is a place in the queue.
    pub async fn add(&self, member: W::Member) -> GroupReceipt<W::Answer> {
        let (answer, receipt) = oneshot::channel();
        // If nothing is written any more, the dropped sender tells the receipt.
        self.waiting.send((member, answer)).await.ok();
        GroupReceipt(receipt)
    }
}

impl<W: GroupWrite> GroupCommit<W> {
    /// Makes the writer and the handle of those who have something written.
    pub fn new(write: W, settings: GroupSettings) -> (Self, GroupHandle<W>) {
        let (sender, waiting) = mpsc::channel(settings.queue);
        let commit = Self {
            write: Arc::new(write),
            settings,
            waiting,
        };
        (commit, GroupHandle { waiting: sender })
    }

    /// Writes until `stop`, or until every handle is gone; then ends the transactions in flight.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut writing = FuturesUnordered::new();
        loop {
            let mut group = Vec::new();
            tokio::select! {
                () = stop.cancelled() => break,
                Some(()) = writing.next(), if !writing.is_empty() => continue,
                count = self.waiting.recv_many(&mut group, self.settings.members),
                    if writing.len() < self.settings.parallel => if count == 0 { break },
            }
            writing.push(write_group(Arc::clone(&self.write), self.settings, group));
        }
        while writing.next().await.is_some() {}
    }
}

async fn write_group<W: GroupWrite>(
    write: Arc<W>,
    settings: GroupSettings,
    group: Vec<PendingMember<W>>,
) {
    let (members, waiting): (Vec<_>, Vec<_>) = group.into_iter().unzip();
    match write.write(&members).await {
        Ok(answers) => {
            for (sender, answer) in waiting.into_iter().zip(answers) {
                // The receiver is gone if the caller was stopped meanwhile.
                sender.send(answer).ok();
            }
            return;
        }
        Err(error) => warn!(
            group = settings.name,
            members = members.len(),
            error = &error as &dyn Error,
            "A group was not committed"
        ),
    }
    if !settings.retries_alone || members.len() == 1 {
        return;
    }
    for (member, sender) in members.iter().zip(waiting) {
        if let Ok(answers) = write.write(std::slice::from_ref(member)).await
            && let Some(answer) = answers.into_iter().next()
        {
            sender.send(answer).ok();
        }
    }
}

impl<W: GroupWrite> Clone for GroupHandle<W> {
    fn clone(&self) -> Self {
        Self {
            waiting: self.waiting.clone(),
        }
    }
}

impl<W: GroupWrite> fmt::Debug for GroupHandle<W> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("GroupHandle")
            .finish_non_exhaustive()
    }
}

impl<W: GroupWrite> fmt::Debug for GroupCommit<W> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("GroupCommit")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::sync::Semaphore;
    use tokio::task::JoinSet;

    use super::*;

    /// Writes numbers; a group with a 13 fails.
    struct Numbers {
        written: Arc<Mutex<Vec<Vec<u32>>>>,
        may_write: Semaphore,
    }

    impl GroupWrite for Numbers {
        type Member = u32;
        type Answer = u32;

        fn write<'a>(&'a self, members: &'a [u32]) -> BoxFuture<'a, Result<Vec<u32>, StoreError>> {
            Box::pin(async move {
                let permit = self.may_write.acquire().await;
                permit.unwrap().forget();
                self.written.lock().unwrap().push(members.to_vec());
                if members.contains(&13) {
                    return Err(StoreError::BadRow {
                        table: "numbers",
                        column: "number",
                        id: "13".to_owned(),
                    });
                }
                Ok(members.iter().map(|number| number * 2).collect())
            })
        }
    }

    const ONE_AFTER_THE_OTHER: GroupSettings = GroupSettings {
        name: "numbers",
        members: 3,
        queue: 8,
        parallel: 1,
        retries_alone: true,
    };

    async fn write_all(numbers: &[u32]) -> (Vec<Vec<u32>>, Vec<Option<u32>>) {
        let written = Arc::<Mutex<Vec<Vec<u32>>>>::default();
        let write = Numbers {
            written: Arc::clone(&written),
            may_write: Semaphore::new(100),
        };
        let (commit, handle) = GroupCommit::new(write, ONE_AFTER_THE_OTHER);
        let mut receipts = Vec::new();
        for number in numbers {
            receipts.push(handle.add(*number).await);
        }
        drop(handle);
        let mut tasks = JoinSet::new();
        tasks.spawn(commit.run(CancellationToken::new()));
        let mut answers = Vec::new();
        for receipt in receipts {
            answers.push(receipt.wait().await);
        }
        tasks.join_all().await;
        (written.lock().unwrap().clone(), answers)
    }

    #[tokio::test]
    async fn what_waits_is_written_together_and_in_order() {
        let (written, answers) = write_all(&[1, 2, 3, 4]).await;

        assert_eq!(written, [vec![1, 2, 3], vec![4]]);
        assert_eq!(answers, [Some(2), Some(4), Some(6), Some(8)]);
    }

    #[tokio::test]
    async fn bad_member_does_not_stop_the_good_ones() {
        let (written, answers) = write_all(&[1, 13, 3]).await;

        assert_eq!(written, [vec![1, 13, 3], vec![1], vec![13], vec![3]]);
        assert_eq!(answers, [Some(2), None, Some(6)]);
    }
}
