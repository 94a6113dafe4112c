use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

const FIRST: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_mins(5);

/// Returns how long to wait after so many failures in a row, before jitter.
pub(super) fn doubled(in_a_row: u32) -> Duration {
    let factor = 2_u32.saturating_pow(in_a_row.saturating_sub(1));
    FIRST.saturating_mul(factor).min(LONGEST)
}

/// Adds up to half of it, so that accounts do not come back at the same moment after an outage. Never less than `full`,
/// which may be what the server asked for.
pub(super) fn jittered(full: Duration) -> Duration {
    let random = RandomState::new().build_hasher().finish();
    let part = u32::try_from(random % 1_000).unwrap_or(0);
    full + full.saturating_mul(part) / 2_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_five_minutes() {
        let pauses = [1, 2, 3, 6, 7, 8, 40].map(|failures| doubled(failures).as_secs());

        assert_eq!(pauses, [5, 10, 20, 160, 300, 300, 300]);
    }

    #[test]
    fn jitter_makes_no_pause_shorter_and_none_longer_by_more_than_half() {
        let full = Duration::from_secs(10);

        let pauses: Vec<Duration> = (0..100).map(|_| jittered(full)).collect();

        assert!(pauses.iter().all(|one| (full..full * 3 / 2).contains(one)));
        assert!(pauses.iter().any(|one| one != &pauses[0]));
    }
}
