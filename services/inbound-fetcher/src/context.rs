use mailmesh_accounts::{AccountCredentials, Replica};
use time::OffsetDateTime;

use crate::budget::Budget;
use crate::config::Settings;
use crate::metric::Metrics;
use crate::recorder::RecorderHandle;

/// Shared by all workers.
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
