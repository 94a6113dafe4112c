use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use mailmesh_accounts::{MemoryBudget, MemoryPermit, MemoryShare};

/// Bytes of mail that all accounts together may hold.
///
/// In separate parts, since waiting for memory that is held by a waiter would deadlock: mails in transit from the server,
/// mails in transit to the stream, mails that come in slices, and mails queued behind those.
/// Servers may stall: of the parts that wait for them, one host holds no more than half.
#[derive(Debug)]
pub(crate) struct Budget {
    few: HostPart,
    many: HostPart,
    ready: MemoryBudget,
    large: HostPart,
    behind: MemoryBudget,
}

/// A part that is shared among hosts.
#[derive(Debug)]
struct HostPart {
    all: MemoryBudget,
    most: usize,
    hosts: Mutex<HashMap<String, MemoryShare>>,
}

impl Budget {
    pub(crate) fn new(bytes: usize) -> Self {
        let eighth = bytes / 8;
        Self {
            few: HostPart::new(2 * eighth),
            many: HostPart::new(eighth),
            ready: MemoryBudget::new(2 * eighth),
            large: HostPart::new(2 * eighth),
            behind: MemoryBudget::new(eighth),
        }
    }

    /// Waits for memory for the few mails that a server is about to send.
    pub(crate) async fn take_few(&self, host: &str, bytes: usize) -> MemoryPermit {
        self.few.at(host).take(bytes).await
    }

    /// Waits for memory for a fetch of a backlog: a part of its own, as that takes long and a fresh mail of another account
    /// should not wait for it.
    pub(crate) async fn take_many(&self, host: &str, bytes: usize) -> MemoryPermit {
        self.many.at(host).take(bytes).await
    }

    /// Waits for memory for a mail that is published as soon as it has it.
    pub(crate) async fn take_ready(&self, bytes: usize) -> MemoryPermit {
        self.ready.take(bytes).await
    }

    /// Waits for memory for a mail that comes in slices.
    pub(crate) async fn take_large(&self, host: &str, bytes: usize) -> MemoryPermit {
        self.large.at(host).take(bytes).await
    }

    /// Takes memory for a mail that is queued behind another, if some is free.
    pub(crate) fn try_take_behind(&self, bytes: usize) -> Option<MemoryPermit> {
        self.behind.try_take(bytes)
    }
}

impl HostPart {
    fn new(bytes: usize) -> Self {
        Self {
            all: MemoryBudget::new(bytes),
            most: bytes / 2,
            hosts: Mutex::default(),
        }
    }

    fn at(&self, host: &str) -> MemoryShare {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = hosts.get(host) {
            return share.clone();
        }
        let share = self.all.share(self.most);
        hosts.insert(host.to_owned(), share.clone());
        share
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn host_that_stalls_leaves_half_to_the_others() {
        let budget = Budget::new(8_000);
        let most = 2_000;

        let _stalled = budget.take_few("slow", most).await;
        let next = timeout(Duration::from_mins(1), budget.take_few("slow", 1));
        assert!(next.await.is_err());

        let other = budget.take_few("quick", most).await;
        drop(other);
        budget.take_few("quick", most).await;
    }

    #[tokio::test(start_paused = true)]
    async fn backlogs_leave_room_for_fresh_mail_and_large_mail() {
        let budget = Budget::new(8_000);

        let _backlogs = (
            budget.take_many("one", 1_000).await,
            budget.take_many("two", 1_000).await,
        );
        let next = timeout(Duration::from_mins(1), budget.take_many("three", 1));
        assert!(next.await.is_err());

        budget.take_few("one", 1_000).await;
        budget.take_large("one", 9_999).await;
    }
}
