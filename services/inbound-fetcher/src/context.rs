use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use mailmesh_accounts::{AccountCredentials, Replica};
use time::OffsetDateTime;

use crate::budget::Budget;
use crate::config::Settings;
use crate::metric::Metrics;
use crate::recorder::RecorderHandle;

/// What all workers share.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) replica: Replica,
    pub(crate) settings: Settings,
    pub(crate) credentials: AccountCredentials,
    pub(crate) recorder: RecorderHandle,
    pub(crate) budget: Budget,
    pub(crate) metrics: Metrics,
}

impl Context {
    pub(crate) fn now(&self) -> OffsetDateTime {
        self.replica.clock.now()
    }
}

/// Doubles with the number of failures, then takes between half and all of it, so that accounts do
/// not come back at the same moment after an outage.
pub(crate) fn backoff(failures: u32, base: Duration, limit: Duration) -> Duration {
    let factor = 1_u32.checked_shl(failures.min(16)).unwrap_or(u32::MAX);
    jittered(base.saturating_mul(factor).min(limit))
}

/// Returns between half and all of the time.
pub(crate) fn jittered(full: Duration) -> Duration {
    let random = RandomState::new().build_hasher().finish();
    let part = u32::try_from(random % 1_000).unwrap_or(0);
    full / 2 + full.saturating_mul(part) / 2_000
}
