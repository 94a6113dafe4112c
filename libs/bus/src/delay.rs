use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// Returns an exponential backoff: `base` doubled with each failure up to `top`, of which between half and all.
///
/// Without the jitter all replicas would come back at the same moment after an outage.
pub(crate) fn jittered(failures: u32, base: Duration, top: Duration) -> Duration {
    let full = base
        .saturating_mul(1_u32.checked_shl(failures.min(16)).unwrap_or(u32::MAX))
        .min(top);
    let random = RandomState::new().build_hasher().finish();
    let part = u32::try_from(random % 1_000).unwrap_or(0);
    full / 2 + full.saturating_mul(part) / 2_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delay_grows_to_its_top_and_never_passes_it() {
        let base = Duration::from_millis(100);
        let top = Duration::from_secs(4);

        for failures in 0..40 {
            let delay = jittered(failures, base, top);

            assert!(delay >= Duration::from_millis(50), "{failures}: {delay:?}");
            assert!(delay <= top, "{failures}: {delay:?}");
        }
        assert!(jittered(30, base, top) >= top / 2);
    }
}
