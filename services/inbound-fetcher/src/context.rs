use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use mailmesh_accounts::Replica;
use mailmesh_secrets::OpeningKeys;
use time::OffsetDateTime;
use tokio::sync::Notify;

use crate::budget::Budget;
use crate::config::Settings;
use crate::gate::Gate;
use crate::metric::Metrics;
use crate::recorder::RecorderHandle;

/// What all workers share.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) replica: Replica,
    pub(crate) settings: Settings,
    pub(crate) keys: OpeningKeys,
    pub(crate) recorder: RecorderHandle,
    pub(crate) gate: Gate,
    pub(crate) budget: Budget,
    pub(crate) metrics: Metrics,
}

impl Context {
    pub(crate) fn now(&self) -> OffsetDateTime {
        self.replica.clock.now()
    }
}

/// What the supervisor and one worker tell each other.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    /// Look again: a token came, or something changed.
    pub(crate) wake: Notify,
    /// Unix seconds of the last proof; 0 before the first.
    proved_at: AtomicI64,
    /// The generation that cannot be used while the worker waits for a newer one, else -1.
    refused_generation: AtomicI64,
    /// The newer one is a person's to give: it is looked for less often.
    is_patient: AtomicBool,
}

impl Signals {
    pub(crate) fn new() -> Self {
        Self {
            refused_generation: AtomicI64::new(-1),
            ..Self::default()
        }
    }

    pub(crate) fn prove(&self, now: OffsetDateTime) {
        self.proved_at
            .store(now.unix_timestamp(), Ordering::Relaxed);
    }

    pub(crate) fn proved_at(&self) -> Option<OffsetDateTime> {
        let seconds = self.proved_at.load(Ordering::Relaxed);
        (seconds > 0)
            .then(|| OffsetDateTime::from_unix_timestamp(seconds).ok())
            .flatten()
    }

    pub(crate) fn wait_for_newer(&self, generation: Option<i64>, is_patient: bool) {
        self.is_patient.store(is_patient, Ordering::Relaxed);
        self.refused_generation
            .store(generation.unwrap_or(-1), Ordering::Relaxed);
    }

    /// Returns the generation that a newer one is waited for; without `with_patient` only if it may
    /// come at any moment.
    pub(crate) fn refused_generation(&self, with_patient: bool) -> Option<i64> {
        let generation = self.refused_generation.load(Ordering::Relaxed);
        let is_asked = with_patient || !self.is_patient.load(Ordering::Relaxed);
        (generation >= 0 && is_asked).then_some(generation)
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
