use std::sync::Arc;

use futures_util::future::join_all;

/// Work on fewer bytes is done at once: a few hundred microseconds.
const AT_ONCE_BYTES: usize = 32 * 1024;
/// A batch is split into so many parts.
const PARTS: usize = 4;

/// Does work that keeps a processor busy apart from the threads that talk to servers, in parts;
/// answers in the same order. None when the process is ending.
pub(super) async fn spread<T, R>(
    items: Vec<T>,
    weight: fn(&T) -> usize,
    work: impl Fn(T) -> R + Send + Sync + 'static,
) -> Option<Vec<R>>
where
    T: Send + 'static,
    R: Send + 'static,
{
    if items.iter().map(weight).sum::<usize>() <= AT_ONCE_BYTES {
        return Some(items.into_iter().map(work).collect());
    }
    let work = Arc::new(work);
    let length = items.len().div_ceil(PARTS).max(1);
    let mut items = items.into_iter();
    let mut parts = Vec::with_capacity(PARTS);
    loop {
        let part: Vec<T> = items.by_ref().take(length).collect();
        if part.is_empty() {
            break;
        }
        let work = Arc::clone(&work);
        parts.push(tokio::task::spawn_blocking(move || {
            part.into_iter().map(|item| work(item)).collect::<Vec<R>>()
        }));
    }
    let done: Result<Vec<Vec<R>>, _> = join_all(parts).await.into_iter().collect();
    Some(done.ok()?.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn answers_come_in_the_order_of_the_items() {
        for each in [1, AT_ONCE_BYTES] {
            let items: Vec<usize> = (0..10).map(|number| number * each).collect();

            let done = spread(items.clone(), |item| *item, |item| item + 1).await;

            let expected: Vec<usize> = items.iter().map(|item| item + 1).collect();
            assert_eq!(done, Some(expected));
        }
    }
}
