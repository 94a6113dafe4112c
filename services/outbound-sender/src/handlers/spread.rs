use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::join_all;

/// Work on fewer bytes is done at once: a few hundred microseconds.
const AT_ONCE_BYTES: usize = 32 * 1024;
/// Threads on which the items of a batch are worked on.
const THREADS: usize = 4;

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
    worked: Vec<Slot<R>>,
    is_closed: bool,
}

enum Slot<R> {
    Waiting,
    Begun(Instant),
    Ended(ItemResult<R>),
}

/// Does work that keeps a processor busy apart from the threads that talk to servers, up to a time limit: each thread takes
/// the next item that waits, so that a slow one holds up no other. Answers in the order of the items.
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
    let board = Arc::new(Mutex::new(Board {
        worked: items.iter().map(|_| Slot::Waiting).collect(),
        waiting: items.into_iter().enumerate().collect(),
        is_closed: false,
    }));
    let work = Arc::new(work);
    let threads = (0..THREADS).map(|_| {
        let (board, work) = (Arc::clone(&board), Arc::clone(&work));
        tokio::task::spawn_blocking(move || {
            while let Some((index, item)) = next(&board) {
                let result = ended(work(item));
                lock(&board).end(index, result);
            }
        })
    });
    // A thread that is not done by then ends with the item that it has; its result is not asked for.
    tokio::time::timeout(limit, join_all(threads)).await.ok();
    let worked = lock(&board).close();
    worked.into_iter().map(|slot| slot.result(limit)).collect()
}

fn next<T, R>(board: &Mutex<Board<T, R>>) -> Option<(usize, T)> {
    let mut board = lock(board);
    if board.is_closed {
        return None;
    }
    let (index, item) = board.waiting.pop_front()?;
    board.put(index, Slot::Begun(Instant::now()));
    Some((index, item))
}

fn lock<T, R>(board: &Mutex<Board<T, R>>) -> MutexGuard<'_, Board<T, R>> {
    board.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T, R> Board<T, R> {
    fn put(&mut self, index: usize, slot: Slot<R>) {
        if let Some(place) = self.worked.get_mut(index) {
            *place = slot;
        }
    }

    fn end(&mut self, index: usize, result: ItemResult<R>) {
        self.put(index, Slot::Ended(result));
    }

    fn close(&mut self) -> Vec<Slot<R>> {
        self.is_closed = true;
        self.waiting.clear();
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
