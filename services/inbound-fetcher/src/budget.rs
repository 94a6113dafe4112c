use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of mail that all accounts together may hold.
///
/// Two halves: who waits for room for a large mail still holds small ones, and could otherwise wait
/// for others that wait in the same way.
#[derive(Debug)]
pub(crate) struct Budget {
    small: Arc<Semaphore>,
    large: Arc<Semaphore>,
    half: usize,
}

impl Budget {
    pub(crate) fn new(bytes: usize) -> Self {
        let half = (bytes / 2).clamp(1, Semaphore::MAX_PERMITS);
        Self {
            small: Arc::new(Semaphore::new(half)),
            large: Arc::new(Semaphore::new(half)),
            half,
        }
    }

    /// Waits for room for a mail that goes on its way as soon as it has it.
    pub(crate) async fn take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let permits = self.permits(bytes);
        Arc::clone(&self.small)
            .acquire_many_owned(permits)
            .await
            .ok()
    }

    /// Takes room for a mail that has to wait behind another, if there is some.
    pub(crate) fn try_take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let permits = self.permits(bytes);
        Arc::clone(&self.small).try_acquire_many_owned(permits).ok()
    }

    /// Waits for room for a mail that comes in slices.
    pub(crate) async fn take_large(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let permits = self.permits(bytes);
        Arc::clone(&self.large)
            .acquire_many_owned(permits)
            .await
            .ok()
    }

    fn permits(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.clamp(1, self.half)).unwrap_or(u32::MAX)
    }
}
