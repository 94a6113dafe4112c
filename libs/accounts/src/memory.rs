use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of mail that may be in memory at the same time. What is larger than all of it takes all of it.
#[derive(Debug, Clone)]
pub struct MemoryBudget {
    free: Arc<Semaphore>,
    bytes: usize,
}

/// The part of a budget that one account or one host may hold: a server that stalls ties it up for minutes.
#[derive(Debug, Clone)]
pub struct MemoryShare {
    own: MemoryBudget,
    all: MemoryBudget,
}

/// Reserved bytes of a budget, until it is dropped.
#[derive(Debug)]
pub struct MemoryPermit {
    _own: Option<OwnedSemaphorePermit>,
    all: OwnedSemaphorePermit,
}

impl MemoryBudget {
    /// Makes a budget of so many bytes.
    pub fn new(bytes: usize) -> Self {
        let bytes = bytes.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            free: Arc::new(Semaphore::new(bytes)),
            bytes,
        }
    }

    /// Returns a share that never holds more than `most`.
    pub fn share(&self, most: usize) -> MemoryShare {
        MemoryShare {
            own: Self::new(most.min(self.bytes)),
            all: self.clone(),
        }
    }

    /// Reserves bytes if they are free; none otherwise.
    pub fn try_take(&self, bytes: usize) -> Option<MemoryPermit> {
        let free = Arc::clone(&self.free);
        let all = free.try_acquire_many_owned(self.permits(bytes)).ok()?;
        Some(MemoryPermit { _own: None, all })
    }

    /// Reserves bytes, and waits until they are free.
    pub fn take(&self, bytes: usize) -> BoxFuture<'static, MemoryPermit> {
        let taking = self.acquire(bytes);
        Box::pin(async move {
            MemoryPermit {
                _own: None,
                all: taking.await,
            }
        })
    }

    fn acquire(&self, bytes: usize) -> impl Future<Output = OwnedSemaphorePermit> + use<> {
        let (free, permits) = (Arc::clone(&self.free), self.permits(bytes));
        async move {
            match free.acquire_many_owned(permits).await {
                Ok(permit) => permit,
                // Unreachable, as the semaphore is never closed.
                Err(_) => std::future::pending().await,
            }
        }
    }

    fn permits(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.clamp(1, self.bytes)).unwrap_or(u32::MAX)
    }
}

impl MemoryShare {
    /// Reserves bytes if they are free; none otherwise.
    pub fn try_take(&self, bytes: usize) -> Option<MemoryPermit> {
        let bytes = bytes.min(self.own.bytes);
        let own = self.own.try_take(bytes)?;
        let all = self.all.try_take(bytes)?;
        Some(MemoryPermit {
            _own: Some(own.all),
            all: all.all,
        })
    }

    /// Reserves bytes, and waits until they are free: first within the share, so that a wait for a slow server holds nothing
    /// of the whole budget.
    pub fn take(&self, bytes: usize) -> BoxFuture<'static, MemoryPermit> {
        let bytes = bytes.min(self.own.bytes);
        let (own, all) = (self.own.acquire(bytes), self.all.acquire(bytes));
        Box::pin(async move {
            let own = own.await;
            MemoryPermit {
                _own: Some(own),
                all: all.await,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn share_that_takes_all_it_may_leaves_room_to_others() {
        let budget = MemoryBudget::new(400);
        let (greedy, other) = (budget.share(100), budget.share(100));

        let held: Vec<_> = std::iter::from_fn(|| greedy.try_take(10)).collect();

        assert_eq!(held.len(), 10);
        assert!(other.try_take(100).is_some());
    }

    #[test]
    fn what_is_too_large_takes_all_of_a_share() {
        let share = MemoryBudget::new(400).share(300);

        let whole = share.try_take(usize::MAX);
        assert!(whole.is_some() && share.try_take(1).is_none());
        drop(whole);
        assert!(share.try_take(1).is_some());
    }

    #[tokio::test]
    async fn room_is_waited_for_and_lost_with_the_wait() {
        let budget = MemoryBudget::new(8);
        let (one, other) = (budget.share(8), budget.share(8));
        let held = one.take(8).await;

        drop(other.take(8));
        let mut waiting = other.take(8);
        assert!(futures_util::poll!(waiting.as_mut()).is_pending());
        drop(held);

        waiting.await;
        assert!(one.try_take(1).is_some());
    }
}
