use std::fmt::Display;
use std::time::Duration;

use anyhow::bail;
use tokio::time::Instant;

/// However often the state changes.
const MOST_WAITS: u32 = 10;
const LIMIT: Duration = Duration::from_secs(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// What one look gave: the value that was waited for, or the state that was seen instead.
pub trait Seen {
    /// What is waited for.
    type Value;

    /// Returns the value, or the state for the error message.
    fn seen(self) -> Result<Self::Value, String>;
}

impl<T> Seen for Option<T> {
    type Value = T;

    fn seen(self) -> Result<T, String> {
        self.ok_or_else(|| "nothing".to_owned())
    }
}

impl<T, E: Display> Seen for Result<T, E> {
    type Value = T;

    fn seen(self) -> Result<T, String> {
        // The alternate form prints a whole chain of causes.
        self.map_err(|error| format!("{error:#}"))
    }
}

impl Seen for bool {
    type Value = ();

    fn seen(self) -> Result<(), String> {
        if self {
            Ok(())
        } else {
            Err("false".to_owned())
        }
    }
}

/// Looks until the thing has happened, for at most twenty seconds without progress: each time that another state is
/// seen the wait begins anew, up to ten times, since a loaded machine is slow and not wrong.
///
/// # Errors
///
/// Says what did not happen, and the state that was seen last.
pub async fn eventually<S: Seen>(
    what: &str,
    look: impl AsyncFnMut() -> S,
) -> anyhow::Result<S::Value> {
    within(LIMIT, what, look).await
}

/// Looks as [`eventually`] does, for at most `limit` without progress: for what waits for a time of the product's own.
///
/// # Errors
///
/// Says what did not happen, and the state that was seen last.
pub async fn within<S: Seen>(
    limit: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> S,
) -> anyhow::Result<S::Value> {
    let latest = Instant::now() + limit * MOST_WAITS;
    let mut deadline = Instant::now() + limit;
    let mut pause = Duration::from_millis(5);
    let mut last = "no look came to an end".to_owned();
    loop {
        match tokio::time::timeout_at(deadline, look()).await {
            Ok(seen) => match seen.seen() {
                Ok(value) => return Ok(value),
                Err(state) => {
                    if state != last {
                        deadline = latest.min(Instant::now() + limit);
                    }
                    last = state;
                }
            },
            Err(_elapsed) => bail!("not within {limit:?}: {what}; last seen: {last}"),
        }
        if Instant::now() + pause > deadline {
            bail!("not within {limit:?}: {what}; last seen: {last}");
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_value_is_returned_once_it_is_there() {
        let mut looks = 0;

        let value = eventually("three looks", async || {
            looks += 1;
            (looks == 3).then_some("done")
        })
        .await;

        assert_eq!(value.unwrap(), "done");
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_state_is_in_the_error() {
        let error = eventually("the mail is sent", async || Err::<(), _>("still queued"))
            .await
            .unwrap_err();

        assert_eq!(
            error.to_string(),
            "not within 20s: the mail is sent; last seen: still queued"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn progress_prolongs_the_wait_and_not_without_end() {
        let mut sent = 0;
        let slow = eventually("all are sent", async || {
            tokio::time::sleep(Duration::from_secs(15)).await;
            sent += 1;
            if sent == 5 {
                Ok(())
            } else {
                Err(format!("{sent} sent"))
            }
        });
        slow.await.unwrap();

        let begun = Instant::now();
        let mut sent = 0;
        let endless = eventually("all are sent", async || {
            sent += 1;
            Err::<(), _>(format!("{sent} sent"))
        });
        endless.await.unwrap_err();
        assert!(begun.elapsed() <= LIMIT * MOST_WAITS);
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_that_hangs_ends_too() {
        let error = eventually("an answer", async || std::future::pending::<bool>().await)
            .await
            .unwrap_err();

        assert!(
            error.to_string().contains("no look came to an end"),
            "{error}"
        );
    }
}
