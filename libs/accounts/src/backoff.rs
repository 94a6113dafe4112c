use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// Exponential backoff: the first wait is `base`, each doubles the last up to `limit`, and a random part is added, so that
/// accounts do not reconnect at the same moment after an outage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    base: Duration,
    limit: Duration,
    /// Upper bound of the random part, in percent of the wait.
    jitter: u32,
}

impl Backoff {
    /// Adds up to half of each wait.
    pub const fn new(base: Duration, limit: Duration) -> Self {
        Self {
            base,
            limit,
            jitter: 50,
        }
    }

    /// Returns the wait after so many failures in a row.
    pub fn after(&self, failures: u32) -> Duration {
        self.lengthen(self.doubled(failures))
    }

    /// Returns the wait after so many failures, and no less than the server asked for.
    pub fn after_or(&self, failures: u32, hint: Duration) -> Duration {
        self.lengthen(self.doubled(failures).max(hint))
    }

    fn doubled(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(16);
        self.base.saturating_mul(1 << doublings).min(self.limit)
    }

    fn lengthen(&self, wait: Duration) -> Duration {
        wait + wait.saturating_mul(random_part() * self.jitter) / 100_000
    }
}

/// Spreads a regular interval: returns between half and all of it.
pub fn spread(interval: Duration) -> Duration {
    interval / 2 + interval.saturating_mul(random_part()) / 2_000
}

/// Returns 0 to 999. Not for secrets.
fn random_part() -> u32 {
    let random = RandomState::new().build_hasher().finish();
    u32::try_from(random % 1_000).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff::new(Duration::from_secs(5), Duration::from_mins(5));

    #[test]
    fn waits_double_up_to_the_limit() {
        let waits = [0, 1, 2, 3, 6, 7, 8, 40, u32::MAX].map(|count| BACKOFF.doubled(count));

        let seconds = waits.map(|wait| wait.as_secs());
        assert_eq!(seconds, [5, 5, 10, 20, 160, 300, 300, 300, 300]);
    }

    #[test]
    fn jitter_makes_no_wait_shorter_and_none_longer_by_more_than_half() {
        let hint = Duration::from_secs(10);

        let waits: Vec<Duration> = (0..100).map(|_| BACKOFF.after_or(1, hint)).collect();

        assert!(waits.iter().all(|one| (hint..hint * 3 / 2).contains(one)));
        assert!(waits.iter().any(|one| one != &waits[0]));
    }

    #[test]
    fn interval_is_spread_over_its_second_half() {
        let interval = Duration::from_secs(10);

        let all: Vec<Duration> = (0..100).map(|_| spread(interval)).collect();

        assert!(all.iter().all(|one| (interval / 2..interval).contains(one)));
        assert!(all.iter().any(|one| one != &all[0]));
    }
}
