use mailmesh_accounts::{AccountCredentials, Replica};
use mailmesh_secrets::EventProofKeys;
use time::OffsetDateTime;

use crate::budget::Budget;
use crate::config::Settings;
use crate::metric::Metrics;
use crate::recorder::RecorderHandle;

/// Shared by all workers.
#[derive(Debug)]
pub(crate) struct ServiceContext {
    pub(crate) replica: Replica,
    pub(crate) settings: Settings,
    pub(crate) credentials: AccountCredentials,
    pub(crate) recorder: RecorderHandle,
    pub(crate) budget: Budget,
    pub(crate) metrics: Metrics,
    /// Checks that events which are read back are ours.
    pub(crate) proofs: EventProofKeys,
}

impl ServiceContext {
    pub(crate) fn now(&self) -> OffsetDateTime {
        self.replica.clock.now()
    }
}
