use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use mailmesh_accounts::WorkerSignals;
use mailmesh_domain::{AfterReceive, History};
use mailmesh_store::account::Account;
use mailmesh_store::lease::LeaseTerm;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::context::ServiceContext;

/// What the parts of one account's worker share.
#[derive(Debug)]
pub(crate) struct AccountContext {
    pub(crate) context: Arc<ServiceContext>,
    pub(crate) account: Account,
    /// Only under this lease the account is taken over.
    pub(crate) term: LeaseTerm,
    /// Its tokens come without any person.
    pub(crate) is_app: bool,
    pub(crate) signals: Arc<WorkerSignals>,
    pub(crate) stop: CancellationToken,
    started_at: OffsetDateTime,
    /// Attempts to watch the account, failed in a row.
    failures: AtomicU32,
}

impl AccountContext {
    pub(crate) fn new(
        context: Arc<ServiceContext>,
        (account, term): (Account, LeaseTerm),
        is_app: bool,
        signals: Arc<WorkerSignals>,
    ) -> Self {
        Self {
            started_at: context.now(),
            context,
            account,
            term,
            is_app,
            stop: signals.stop.clone(),
            signals,
            failures: AtomicU32::new(0),
        }
    }

    /// Returns whether received mails are marked, moved or deleted.
    pub(crate) fn opens_for_changes(&self) -> bool {
        self.account.after_receive != AfterReceive::Keep
    }

    /// Records that the server has just shown a folder or delivered mail; called within a long backlog, too, as that is one
    /// long look.
    pub(crate) fn note_proof(&self) {
        let now = self.context.now();
        let failures = self.failures.swap(0, Ordering::Relaxed);
        if let Some(before) = self.signals.proved_at().filter(|_| failures > 0) {
            let dark_seconds = (now - before).whole_seconds();
            info!(dark_seconds, "The account is watched again");
        }
        self.signals.prove(now);
    }

    /// Returns how the account has fared, given whether it had worked before this worker.
    pub(crate) fn history(&self, has_worked: bool) -> History {
        let proved_at = self.signals.proved_at();
        let since = proved_at.unwrap_or(self.started_at);
        History {
            has_worked: has_worked || proved_at.is_some(),
            failing_for: Duration::try_from(self.context.now() - since).unwrap_or_default(),
            is_app: self.is_app,
        }
    }

    /// Counts a failure; returns how many there were in a row.
    pub(crate) fn count_failure(&self) -> u32 {
        self.context.metrics.count_failure();
        let before = self.failures.fetch_add(1, Ordering::Relaxed);
        before.saturating_add(1)
    }
}
