use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::join_all;

/// Work on fewer bytes is done at once: a few hundred microseconds.
const AT_ONCE_BYTES: usize = 32 * 1024;
/// Threads on which the items of a batch are worked on.
const THREADS: usize = 4;
/// Larger items of a batch are worked on one after the other: building a mail takes four times its size.
const LARGE_BYTES: usize = 1024 * 1024;

/// What became of one item.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ItemResult<R> {
    Done(R),
    /// It took most of the time limit, or panicked.
    Failed,
    /// The time was over before it was its turn.
    NotNow,
}

/// Items that wait, and what became of the others.
struct Board<T, R> {
    waiting: VecDeque<(usize, T)>,
    waiting_large: VecDeque<(usize, T)>,
    is_large_begun: bool,
    worked: Vec<Slot<R>>,
    is_closed: bool,
}

enum Slot<R> {
    Waiting,
    Begun(Instant),
    Ended(ItemResult<R>),
}

/// An item that a thread has taken.
struct Taken<T> {
    index: usize,
    item: T,
    is_large: bool,
}

/// Does work that keeps a processor busy apart from the threads that talk to servers, up to a time limit: each thread takes
/// the next item that waits, so that a slow one holds up no other but large ones. Answers in the order of the items.
pub(super) async fn spread<T, R>(
    items: Vec<T>,
    weight: fn(&T) -> usize,
    limit: Duration,
    work: impl Fn(T) -> Option<R> + Send + Sync + 'static,
) -> Vec<ItemResult<R>>
where
    T: Send + 'static,
    R: Send + 'static,
{
    let ended = |result: Option<R>| result.map_or(ItemResult::Failed, ItemResult::Done);
    if items.iter().map(weight).sum::<usize>() <= AT_ONCE_BYTES {
        return items.into_iter().map(|item| ended(work(item))).collect();
    }
    let board = Arc::new(Mutex::new(Board::new(items, weight)));
    let work = Arc::new(work);
    let threads = (0..THREADS).map(|_| {
        let (board, work) = (Arc::clone(&board), Arc::clone(&work));
        tokio::task::spawn_blocking(move || {
            while let Some(taken) = next(&board) {
                let (index, is_large) = (taken.index, taken.is_large);
                let result = ended(work(taken.item));
                lock(&board).end(index, is_large, result);
            }
        })
    });
    // A thread that is not done by then ends with the item that it has; its result is not asked for.
    tokio::time::timeout(limit, join_all(threads)).await.ok();
    let worked = lock(&board).close();
    worked.into_iter().map(|slot| slot.result(limit)).collect()
}

fn next<T, R>(board: &Mutex<Board<T, R>>) -> Option<Taken<T>> {
    let mut board = lock(board);
    let taken = board.take()?;
    board.put(taken.index, Slot::Begun(Instant::now()));
    Some(taken)
}

fn lock<T, R>(board: &Mutex<Board<T, R>>) -> MutexGuard<'_, Board<T, R>> {
    board.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T, R> Board<T, R> {
    fn new(items: Vec<T>, weight: fn(&T) -> usize) -> Self {
        let worked = items.iter().map(|_| Slot::Waiting).collect();
        let (large, small) = items
            .into_iter()
            .enumerate()
            .partition(|(_, item)| weight(item) > LARGE_BYTES);
        Self {
            waiting: small,
            waiting_large: large,
            is_large_begun: false,
            worked,
            is_closed: false,
        }
    }

    /// Returns the next item. The thread that ends a large one comes back for the next of them.
    fn take(&mut self) -> Option<Taken<T>> {
        if self.is_closed {
            return None;
        }
        let is_large = !self.is_large_begun && !self.waiting_large.is_empty();
        let (index, item) = if is_large {
            self.waiting_large.pop_front()?
        } else {
            self.waiting.pop_front()?
        };
        self.is_large_begun |= is_large;
        Some(Taken {
            index,
            item,
            is_large,
        })
    }

    fn put(&mut self, index: usize, slot: Slot<R>) {
        if let Some(place) = self.worked.get_mut(index) {
            *place = slot;
        }
    }

    fn end(&mut self, index: usize, is_large: bool, result: ItemResult<R>) {
        self.is_large_begun &= !is_large;
        self.put(index, Slot::Ended(result));
    }

    fn close(&mut self) -> Vec<Slot<R>> {
        self.is_closed = true;
        self.waiting.clear();
        self.waiting_large.clear();
        std::mem::take(&mut self.worked)
    }
}

impl<R> Slot<R> {
    /// One that began late is not to blame for the time that the others took.
    fn result(self, limit: Duration) -> ItemResult<R> {
        match self {
            Self::Ended(worked) => worked,
            Self::Begun(at) if at.elapsed() >= limit / 2 => ItemResult::Failed,
            Self::Begun(_) | Self::Waiting => ItemResult::NotNow,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const LIMIT: Duration = Duration::from_mins(1);

    #[tokio::test]
    async fn answers_come_in_the_order_of_the_items() {
        for each in [1, AT_ONCE_BYTES] {
            let items: Vec<usize> = (0..10).map(|number| number * each).collect();

            let done = spread(items.clone(), |item| *item, LIMIT, |item| Some(item + 1)).await;

            let expected: Vec<_> = items
                .iter()
                .map(|item| ItemResult::Done(item + 1))
                .collect();
            assert_eq!(done, expected);
        }
    }

    #[tokio::test]
    async fn item_that_takes_too_long_holds_up_no_other() {
        let (end, until_ended) = mpsc::channel::<()>();
        let until_ended = Mutex::new(until_ended);
        let items: Vec<usize> = (0..100).collect();

        let done = spread(
            items,
            |_| AT_ONCE_BYTES,
            Duration::from_secs(2),
            move |item| {
                if item == 7 {
                    until_ended.lock().unwrap().recv().ok();
                }
                (item != 8).then_some(item)
            },
        );
        let done = done.await;

        drop(end);
        for (item, worked) in done.into_iter().enumerate() {
            let expected = match item {
                7 | 8 => ItemResult::Failed,
                _ => ItemResult::Done(item),
            };
            assert_eq!(worked, expected, "{item}");
        }
    }

    #[tokio::test]
    async fn large_items_are_worked_on_one_after_the_other() {
        let items: Vec<usize> = (0..12).collect();
        let large = Arc::new(Mutex::new((0, 0)));
        let seen = Arc::clone(&large);

        let done = spread(
            items,
            |item| if item % 2 == 0 { LARGE_BYTES + 1 } else { 1 },
            LIMIT,
            move |item| {
                if item % 2 == 0 {
                    let mut counts = seen.lock().unwrap();
                    counts.0 += 1;
                    counts.1 = counts.0.max(counts.1);
                    drop(counts);
                    std::thread::sleep(Duration::from_millis(5));
                    seen.lock().unwrap().0 -= 1;
                }
                Some(item)
            },
        );
        let done = done.await;

        assert!(
            done.iter()
                .all(|worked| matches!(worked, ItemResult::Done(_)))
        );
        assert_eq!(*large.lock().unwrap(), (0, 1));
    }

    #[tokio::test]
    async fn items_whose_turn_did_not_come_are_not_to_blame() {
        let (end, until_ended) = mpsc::channel::<()>();
        let until_ended = Mutex::new(until_ended);
        let items: Vec<usize> = (0..100).collect();

        let done = spread(
            items,
            |_| AT_ONCE_BYTES,
            Duration::from_secs(1),
            move |item| {
                // The channel's lock is held for as long as one of them waits.
                until_ended.lock().unwrap().recv().ok();
                Some(item)
            },
        );
        let done = done.await;

        drop(end);
        let failed = done.iter().filter(|worked| **worked == ItemResult::Failed);
        assert_eq!(failed.count(), THREADS);
        assert_eq!(done.last(), Some(&ItemResult::NotNow));
    }
}
