use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of mail that all accounts together may hold.
///
/// In parts, as a share must never wait for what itself waits: mails on their way from the server to
/// us, mails on their way to the stream, mails that come in slices, and mails that wait behind those.
/// Servers may stall: of what waits for them, one host holds no more than half.
#[derive(Debug)]
pub(crate) struct Budget {
    few: HostPart,
    many: HostPart,
    ready: Part,
    large: HostPart,
    behind: Part,
}

#[derive(Debug)]
struct Part {
    free: Arc<Semaphore>,
    bytes: usize,
}

/// A part that is shared among hosts.
#[derive(Debug)]
struct HostPart {
    all: Part,
    hosts: Mutex<HashMap<String, Arc<Part>>>,
}

/// A share of a part that hosts share, until it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    _host: Option<OwnedSemaphorePermit>,
    _all: Option<OwnedSemaphorePermit>,
}

impl Budget {
    pub(crate) fn new(bytes: usize) -> Self {
        let eighth = bytes / 8;
        Self {
            few: HostPart::new(2 * eighth),
            many: HostPart::new(eighth),
            ready: Part::new(2 * eighth),
            large: HostPart::new(2 * eighth),
            behind: Part::new(eighth),
        }
    }

    /// Waits for room for the few mails that a server is about to send.
    pub(crate) async fn take_few(&self, host: &str, bytes: usize) -> Share {
        self.few.take(host, bytes).await
    }

    /// Waits for room for what is on its way of a backlog: apart, as that takes long and a fresh mail
    /// of another account should not wait for it.
    pub(crate) async fn take_many(&self, host: &str, bytes: usize) -> Share {
        self.many.take(host, bytes).await
    }

    /// Waits for room for a mail that goes on its way as soon as it has it.
    pub(crate) async fn take_ready(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        self.ready.take(bytes).await
    }

    /// Waits for room for a mail that comes in slices.
    pub(crate) async fn take_large(&self, host: &str, bytes: usize) -> Share {
        self.large.take(host, bytes).await
    }

    /// Takes room for a mail that has to wait behind another, if there is some.
    pub(crate) fn try_take_behind(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let permits = self.behind.permits(bytes);
        let free = Arc::clone(&self.behind.free);
        free.try_acquire_many_owned(permits).ok()
    }
}

impl Part {
    fn new(bytes: usize) -> Self {
        let bytes = bytes.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            free: Arc::new(Semaphore::new(bytes)),
            bytes,
        }
    }

    async fn take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let permits = self.permits(bytes);
        let free = Arc::clone(&self.free);
        free.acquire_many_owned(permits).await.ok()
    }

    /// A mail larger than the whole part takes all of it.
    fn permits(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.clamp(1, self.bytes)).unwrap_or(u32::MAX)
    }
}

impl HostPart {
    fn new(bytes: usize) -> Self {
        Self {
            all: Part::new(bytes),
            hosts: Mutex::default(),
        }
    }

    /// Who waits for a slow host's share takes nothing of what others may have.
    async fn take(&self, host: &str, bytes: usize) -> Share {
        let at_host = Arc::clone(
            self.hosts
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .entry(host.to_owned())
                .or_insert_with(|| Arc::new(Part::new(self.all.bytes / 2))),
        );
        let host = at_host.take(bytes).await;
        let all = self.all.take(bytes.min(at_host.bytes)).await;
        Share {
            _host: host,
            _all: all,
        }
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
