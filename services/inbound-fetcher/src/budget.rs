use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of mail that all accounts together may hold.
///
/// In three parts, as a share must never wait for what itself waits: mails on their way to the
/// stream, mails that come in slices from a server that may stall, and mails that wait behind those.
#[derive(Debug)]
pub(crate) struct Budget {
    small: Part,
    large: Part,
    behind: Part,
}

#[derive(Debug)]
struct Part {
    free: Arc<Semaphore>,
    bytes: usize,
}

impl Budget {
    pub(crate) fn new(bytes: usize) -> Self {
        let eighth = bytes / 8;
        Self {
            small: Part::new(4 * eighth),
            large: Part::new(3 * eighth),
            behind: Part::new(eighth),
        }
    }

    /// Waits for room for a mail that goes on its way as soon as it has it.
    pub(crate) async fn take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        self.small.take(bytes).await
    }

    /// Waits for room for a mail that comes in slices.
    pub(crate) async fn take_large(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        self.large.take(bytes).await
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
