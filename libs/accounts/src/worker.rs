use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::BoxFuture;
use mailmesh_domain::AccountId;
use mailmesh_store::StoreError;
use mailmesh_store::account::Account;
use mailmesh_store::account_status::StoredState;
use time::OffsetDateTime;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::Span;

use crate::AccountSnapshot;

/// A service's work on the accounts that its replica holds; an [`AccountHost`](crate::AccountHost) calls it.
pub trait AccountWork: Send + Sync + 'static {
    /// Makes the worker of an account. It runs until its stop, and then finishes what is in flight.
    fn worker(
        &self,
        snapshot: AccountSnapshot,
        signals: Arc<WorkerSignals>,
    ) -> BoxFuture<'static, ()>;

    /// Makes the span in which whatever concerns the account is logged, by its worker and about it.
    fn log_span(&self, account: &Account) -> Span;

    /// Prepares many new workers with one query, which each would else have to make by itself. Called again until it
    /// succeeds.
    fn workers_started<'a>(
        &'a self,
        _accounts: &'a [AccountId],
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Between the host and one worker.
#[derive(Debug)]
pub struct WorkerSignals {
    /// The account was given up or changed, or the process ends.
    pub stop: CancellationToken,
    /// Look again: a token came, or mail is due.
    pub wake: Notify,
    /// Unix seconds of the last proof; 0 before the first.
    proved_at: AtomicI64,
    /// The generation that cannot be used while the worker waits for a newer one, else -1.
    refused_generation: AtomicI64,
    /// The newer token needs a person's sign-in: it is looked for less often.
    is_patient: AtomicBool,
    /// State of the account as the worker last recorded it.
    recorded: Mutex<Option<StoredState>>,
    /// Whether the row may hold another state than the recorded one.
    is_state_doubted: AtomicBool,
}

impl Default for WorkerSignals {
    fn default() -> Self {
        Self {
            stop: CancellationToken::new(),
            wake: Notify::new(),
            proved_at: AtomicI64::new(0),
            refused_generation: AtomicI64::new(-1),
            is_patient: AtomicBool::new(false),
            recorded: Mutex::default(),
            is_state_doubted: AtomicBool::new(false),
        }
    }
}

impl WorkerSignals {
    /// Notes that the server has just confirmed the account's state.
    pub fn prove(&self, now: OffsetDateTime) {
        self.proved_at
            .store(now.unix_timestamp(), Ordering::Relaxed);
    }

    /// Returns when the server last confirmed the account's state to this worker.
    pub fn proved_at(&self) -> Option<OffsetDateTime> {
        let seconds = self.proved_at.load(Ordering::Relaxed);
        (seconds > 0)
            .then(|| OffsetDateTime::from_unix_timestamp(seconds).ok())
            .flatten()
    }

    /// Asks to be woken once the grant has a newer generation than this one, or no token comes any more; none ends that. With
    /// `is_patient` a person has to give it.
    pub fn wait_for_newer(&self, generation: Option<i64>, is_patient: bool) {
        self.is_patient.store(is_patient, Ordering::Relaxed);
        self.refused_generation
            .store(generation.unwrap_or(-1), Ordering::Relaxed);
    }

    /// Notes the state that the account's row holds.
    pub(crate) fn note_recorded(&self, state: Option<StoredState>) {
        self.is_state_doubted
            .store(state.is_none(), Ordering::Relaxed);
        *self.lock_recorded() = state;
    }

    /// Returns the state that the account's row is known to hold.
    pub fn recorded(&self) -> Option<StoredState> {
        self.lock_recorded().clone()
    }

    /// Has the state recorded again, whatever it is.
    pub(crate) fn doubt_state(&self) {
        self.is_state_doubted.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_state_doubted(&self) -> bool {
        self.is_state_doubted.load(Ordering::Relaxed)
    }

    /// Returns whether the row holds another state than the recorded one.
    pub(crate) fn differs_from(&self, stored: &StoredState) -> bool {
        self.lock_recorded()
            .as_ref()
            .is_some_and(|recorded| recorded != stored)
    }

    fn lock_recorded(&self) -> MutexGuard<'_, Option<StoredState>> {
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_patient(&self) -> bool {
        self.is_patient.load(Ordering::Relaxed)
    }

    /// Returns the generation that a newer one is waited for; without `with_patient` only if it may
    /// come at any moment.
    pub(crate) fn refused_generation(&self, with_patient: bool) -> Option<i64> {
        let generation = self.refused_generation.load(Ordering::Relaxed);
        let is_asked = with_patient || !self.is_patient();
        (generation >= 0 && is_asked).then_some(generation)
    }
}
