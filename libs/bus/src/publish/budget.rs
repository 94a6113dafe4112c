use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

/// The weight of a small message. With the budget it bounds the acks in flight, too.
const UNIT_BYTES: usize = 16 * 1024;
/// 32 MiB, or 2,048 small messages, in flight per connection.
const UNITS: usize = 2_048;
/// A server takes 50 batches of a stream at once, from all its clients (nats-server 2.12).
const BATCHES: usize = 4;

/// Bounds what one connection has in flight, over all calls: bytes, and messages that are stored together.
pub(crate) struct PublishBudget {
    units: Arc<Semaphore>,
    batches: Arc<Semaphore>,
}

/// A part of the budget, given back when it is dropped.
pub(super) struct PublishPermit {
    _units: OwnedSemaphorePermit,
    _batch: Option<OwnedSemaphorePermit>,
}

impl PublishBudget {
    pub(crate) fn new() -> Self {
        Self {
            units: Arc::new(Semaphore::new(UNITS)),
            batches: Arc::new(Semaphore::new(BATCHES)),
        }
    }

    /// Waits for a part of the budget; none when the deadline comes first.
    pub(super) async fn reserve(
        &self,
        units: usize,
        is_batch: bool,
        deadline: Instant,
    ) -> Option<PublishPermit> {
        let batch = if is_batch {
            Some(acquire(&self.batches, 1, deadline).await?)
        } else {
            None
        };
        Some(PublishPermit {
            _units: acquire(&self.units, units, deadline).await?,
            _batch: batch,
        })
    }
}

/// Returns the part of the budget that messages of so many bytes take, at most all of it.
pub(super) fn units_of(messages: impl Iterator<Item = usize>) -> usize {
    let units = messages.map(|bytes| bytes.div_ceil(UNIT_BYTES).max(1));
    units.sum::<usize>().min(UNITS)
}

async fn acquire(
    of: &Arc<Semaphore>,
    permits: usize,
    deadline: Instant,
) -> Option<OwnedSemaphorePermit> {
    let permits = u32::try_from(permits).unwrap_or(u32::MAX);
    let acquired = timeout_at(deadline, Arc::clone(of).acquire_many_owned(permits)).await;
    acquired.ok()?.ok()
}
