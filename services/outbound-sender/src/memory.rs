use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

const UNIT_BYTES: u64 = 1_024;
/// One account may take so much of the whole at most: with servers that do not answer it holds that for
/// minutes.
const SHARES: u32 = 4;

/// Bounds the raw mails in memory, of the process and of each account.
#[derive(Debug)]
pub(crate) struct Memory {
    units: Arc<Semaphore>,
    share: u32,
}

/// What one account may take of the memory.
#[derive(Debug)]
pub(crate) struct Share {
    own: Arc<Semaphore>,
    of_all: Arc<Semaphore>,
    most: u32,
}

/// Room that a mail takes until it is dropped.
#[derive(Debug)]
pub(crate) struct Room {
    _own: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl Memory {
    /// `largest` fits into every share.
    pub(crate) fn new(bytes: usize, largest: usize) -> Self {
        let most = units_of(bytes as u64);
        Self {
            units: Arc::new(Semaphore::new(permits(most))),
            share: (most / SHARES).max(units_of(largest as u64)).min(most),
        }
    }

    pub(crate) fn share(&self) -> Share {
        Share {
            own: Arc::new(Semaphore::new(permits(self.share))),
            of_all: Arc::clone(&self.units),
            most: self.share,
        }
    }
}

impl Share {
    /// Takes room, if there is some.
    pub(crate) fn try_room(&self, bytes: u64) -> Option<Room> {
        let units = self.units(bytes);
        Some(Room {
            _own: Arc::clone(&self.own).try_acquire_many_owned(units).ok()?,
            _of_all: Arc::clone(&self.of_all)
                .try_acquire_many_owned(units)
                .ok()?,
        })
    }

    /// Waits for room: first for what others of the account hold, then for what all do.
    pub(crate) fn room(&self, bytes: u64) -> BoxFuture<'static, Room> {
        let units = self.units(bytes);
        let (own, of_all) = (Arc::clone(&self.own), Arc::clone(&self.of_all));
        Box::pin(async move {
            let both = (
                own.acquire_many_owned(units).await,
                of_all.acquire_many_owned(units).await,
            );
            match both {
                (Ok(own), Ok(of_all)) => Room {
                    _own: own,
                    _of_all: of_all,
                },
                // Nobody closes them.
                _ => std::future::pending().await,
            }
        })
    }

    fn units(&self, bytes: u64) -> u32 {
        units_of(bytes).min(self.most)
    }
}

fn units_of(bytes: u64) -> u32 {
    let units = bytes.div_ceil(UNIT_BYTES).max(1);
    u32::try_from(units).unwrap_or(u32::MAX)
}

fn permits(units: u32) -> usize {
    let units = usize::try_from(units).unwrap_or(usize::MAX);
    units.min(Semaphore::MAX_PERMITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: usize = 1_024;

    #[test]
    fn account_that_takes_all_it_may_leaves_room_to_others() {
        let memory = Memory::new(400 * KIB, 10 * KIB);
        let (greedy, other) = (memory.share(), memory.share());

        let held: Vec<Room> = std::iter::from_fn(|| greedy.try_room(10 * 1_024)).collect();

        assert_eq!(held.len(), 10);
        assert!(other.try_room(100 * 1_024).is_some());
    }

    #[test]
    fn largest_mail_fits_into_every_share_and_a_larger_one_takes_all_of_it() {
        let memory = Memory::new(400 * KIB, 300 * KIB);

        let share = memory.share();
        assert!(share.try_room(300 * 1_024).is_some());

        let whole = share.try_room(u64::MAX);
        assert!(whole.is_some() && share.try_room(1).is_none());
        drop(whole);
        assert!(share.try_room(1).is_some());
    }

    #[tokio::test]
    async fn room_is_waited_for_and_lost_with_the_wait() {
        let memory = Memory::new(8 * KIB, 8 * KIB);
        let (one, other) = (memory.share(), memory.share());
        let held = one.room(8 * 1_024).await;

        drop(other.room(8 * 1_024));
        let mut waiting = other.room(8 * 1_024);
        assert!(futures_util::poll!(waiting.as_mut()).is_pending());
        drop(held);

        waiting.await;
        assert!(one.try_room(1).is_some());
    }
}
