use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mailmesh_domain::{AccountId, GrantId, GrantState, Key};
use mailmesh_store::account_status::StoredState;
use mailmesh_store::grant::Grant;
use time::OffsetDateTime;
use tokio::task::{AbortHandle, Id};
use tokio::time::Instant;
use tracing::Span;

use super::released::RecentlyReleased;
use crate::WorkerSignals;

/// Whether two workers of one account may be at work at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlap {
    /// The next starts, here or elsewhere, once the last has ended. It may be aborted at any point, as the next reads from
    /// stream and database what it did.
    Never,
    /// The next may start while the last waits for its server's final reply. Aborted only when the process ends:
    /// what the server did would never be known.
    WhileEnding,
}

/// The accounts that this replica holds and their workers: written by the host, read by the service.
#[derive(Debug)]
pub struct WorkerRegistry {
    overlap: Overlap,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    held: HashSet<AccountId>,
    workers: HashMap<AccountId, RunningWorker>,
    tasks: HashMap<Id, (AccountId, Span)>,
    /// Their workers panicked: started again at once they could panic in an endless loop.
    panicked: HashSet<AccountId>,
    released: RecentlyReleased,
}

/// One worker, as the host sees it.
#[derive(Debug)]
pub(super) struct RunningWorker {
    pub(super) key: Key,
    pub(super) span: Span,
    pub(super) grant_id: Option<GrantId>,
    pub(super) revision: i64,
    pub(super) signals: Arc<WorkerSignals>,
    pub(super) abort: AbortHandle,
    pub(super) started_at: OffsetDateTime,
    pub(super) stopping_since: Option<Instant>,
}

/// A worker as its service sees it.
#[derive(Debug)]
#[non_exhaustive]
pub struct WorkerView<'a> {
    pub id: AccountId,
    pub key: &'a Key,
    /// Revision of the account that it works with.
    pub revision: i64,
    /// When this replica began to work on it.
    pub started_at: OffsetDateTime,
    /// When its server last confirmed its state.
    pub proved_at: Option<OffsetDateTime>,
}

impl WorkerRegistry {
    /// Makes an empty registry.
    pub fn new(overlap: Overlap) -> Arc<Self> {
        Arc::new(Self {
            overlap,
            state: Mutex::default(),
        })
    }

    /// Wakes an account's worker; returns whether this process has one.
    pub fn wake(&self, account: AccountId) -> bool {
        let state = self.lock();
        let worker = state.workers.get(&account);
        let worker = worker.filter(|worker| !worker.is_stopping());
        if let Some(worker) = worker {
            worker.signals.wake.notify_one();
        }
        worker.is_some()
    }

    /// Lists the accounts that are worked on.
    pub fn list(&self) -> Vec<AccountId> {
        let state = self.lock();
        let working = state.workers.iter().filter(|(_, one)| !one.is_stopping());
        working.map(|(id, _)| *id).collect()
    }

    /// Shows every worker.
    pub fn visit(&self, mut visitor: impl FnMut(WorkerView<'_>)) {
        for (id, worker) in &self.lock().workers {
            visitor(WorkerView {
                id: *id,
                key: &worker.key,
                revision: worker.revision,
                started_at: worker.started_at,
                proved_at: worker.signals.proved_at(),
            });
        }
    }

    /// Lists accounts that were given up while work on them was ending here.
    pub fn recently_released(&self) -> Vec<AccountId> {
        self.lock().released.ids().collect()
    }

    /// Forgets those that were released longer than `after` ago and are not `busy`.
    pub fn forget_released(&self, busy: &HashSet<AccountId>, after: Duration) {
        self.lock().released.forget(busy, after);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The host's side.
impl WorkerRegistry {
    pub(super) fn hold(&self, accounts: &[AccountId]) {
        self.lock().held.extend(accounts);
    }

    /// Ends work on accounts whose lease is another replica's already.
    pub(super) fn lose(&self, accounts: &[AccountId]) {
        let mut state = self.lock();
        for id in accounts {
            state.drop_hold(*id);
            match self.overlap {
                Overlap::Never => {
                    if let Some(worker) = state.workers.get(id) {
                        worker.abort.abort();
                    }
                }
                Overlap::WhileEnding => state.detach(*id),
            }
        }
    }

    /// Stops work on accounts gracefully. Returns those whose lease can be released now.
    pub(super) fn give_up(&self, accounts: &[AccountId]) -> Vec<AccountId> {
        let mut state = self.lock();
        let mut free = Vec::new();
        for id in accounts {
            state.drop_hold(*id);
            match self.overlap {
                Overlap::Never => match state.workers.get_mut(id) {
                    Some(worker) => worker.stop(),
                    None => free.push(*id),
                },
                Overlap::WhileEnding => {
                    state.detach(*id);
                    free.push(*id);
                }
            }
        }
        free
    }

    /// Stops the worker of a changed account, so that the next one starts with the new settings.
    pub(super) fn restart(&self, id: AccountId) {
        if let Some(worker) = self.lock().workers.get_mut(&id) {
            worker.stop();
        }
    }

    /// Stops waiting for workers whose stop was requested longer than `limit` ago.
    pub(super) fn end_overdue(&self, limit: Duration) {
        let mut state = self.lock();
        let overlap = self.overlap;
        state.workers.retain(|_, worker| {
            let is_late = worker
                .stopping_since
                .is_some_and(|since| since.elapsed() >= limit);
            if is_late && overlap == Overlap::Never {
                worker.abort.abort();
            }
            // Removed from the registry, it ends beside its successor.
            !is_late || overlap == Overlap::Never
        });
    }

    /// Returns the accounts that have to be given up at the end.
    pub(super) fn stop_all(&self) -> Vec<AccountId> {
        let mut state = self.lock();
        let mut all = std::mem::take(&mut state.held);
        for (id, worker) in &mut state.workers {
            worker.stop();
            all.insert(*id);
        }
        all.into_iter().collect()
    }

    /// Returns the accounts that are held and not worked on.
    pub(super) fn idle(&self) -> Vec<AccountId> {
        let state = self.lock();
        let is_idle =
            |id: &&AccountId| !state.workers.contains_key(id) && !state.panicked.contains(id);
        state.held.iter().filter(is_idle).copied().collect()
    }

    /// Allows new workers for accounts whose worker panicked.
    pub(super) fn forgive(&self) {
        self.lock().panicked.clear();
    }

    pub(super) fn is_idle(&self, id: AccountId) -> bool {
        let state = self.lock();
        state.held.contains(&id) && !state.workers.contains_key(&id)
    }

    pub(super) fn is_held(&self, id: AccountId) -> bool {
        self.lock().held.contains(&id)
    }

    pub(super) fn add(&self, id: AccountId, worker: RunningWorker) {
        let mut state = self.lock();
        let span = worker.span.clone();
        state.tasks.insert(worker.abort.id(), (id, span));
        state.workers.insert(id, worker);
    }

    /// Returns the span in which to log about an account that is worked on.
    pub(super) fn span(&self, id: AccountId) -> Span {
        let state = self.lock();
        let worker = state.workers.get(&id);
        worker.map_or_else(Span::none, |worker| worker.span.clone())
    }

    /// Notes that a worker's task has ended; returns its account, and the span in which to log about it.
    pub(super) fn remove(&self, task: Id, has_panicked: bool) -> Option<(AccountId, Span)> {
        let mut state = self.lock();
        let (id, span) = state.tasks.remove(&task)?;
        let worker = state.workers.get(&id);
        // A worker that was detached ends beside its successor.
        if worker.is_some_and(|worker| worker.abort.id() == task) {
            state.workers.remove(&id);
            if has_panicked {
                state.panicked.insert(id);
            }
        }
        Some((id, span))
    }

    pub(super) fn find_by_key(&self, key: &Key) -> Option<AccountId> {
        let state = self.lock();
        let mut workers = state.workers.iter();
        let found = workers.find(|(_, worker)| worker.key == *key);
        found.map(|(id, _)| *id)
    }

    /// Lists the revisions that workers run with.
    pub(super) fn revisions(&self) -> HashMap<AccountId, i64> {
        let state = self.lock();
        let working = state.workers.iter().filter(|(_, one)| !one.is_stopping());
        working.map(|(id, one)| (*id, one.revision)).collect()
    }

    /// Wakes an account's worker if it has recorded another state than the stored one; returns whether it has.
    pub(super) fn doubt_state(&self, id: AccountId, stored: &StoredState) -> bool {
        let state = self.lock();
        let worker = state.workers.get(&id).filter(|one| !one.is_stopping());
        let Some(worker) = worker.filter(|one| one.signals.differs_from(stored)) else {
            return false;
        };
        worker.signals.doubt_state();
        worker.signals.wake.notify_one();
        true
    }

    /// Lists the grants that workers wait for.
    pub(super) fn awaited_grants(&self, with_patient: bool) -> Vec<AwaitedGrant> {
        let state = self.lock();
        let awaited = state.workers.values().filter_map(|worker| {
            Some(AwaitedGrant {
                id: worker.grant_id?,
                refused_generation: worker.signals.refused_generation(with_patient)?,
                is_patient: worker.signals.is_patient(),
            })
        });
        awaited.collect()
    }

    /// Wakes the accounts of a grant.
    pub(super) fn wake_grant(&self, grant_id: GrantId) {
        for worker in self.lock().workers.values() {
            if worker.grant_id == Some(grant_id) {
                worker.signals.wake.notify_one();
            }
        }
    }
}

/// A grant whose token a worker cannot use.
#[derive(Debug)]
pub(super) struct AwaitedGrant {
    pub(super) id: GrantId,
    refused_generation: i64,
    /// A person is waited for already.
    is_patient: bool,
}

impl AwaitedGrant {
    /// Returns whether the wait is over: there is another token, or from now on a person is waited for.
    pub(super) fn has_ended(&self, grant: &Grant) -> bool {
        grant.generation > self.refused_generation
            || (!self.is_patient && grant.state != GrantState::Active)
    }
}

impl State {
    fn drop_hold(&mut self, id: AccountId) {
        self.held.remove(&id);
        self.panicked.remove(&id);
    }

    fn detach(&mut self, id: AccountId) {
        if let Some(mut worker) = self.workers.remove(&id) {
            worker.stop();
            self.released.add(id);
        }
    }
}

impl RunningWorker {
    fn stop(&mut self) {
        self.signals.stop.cancel();
        self.stopping_since.get_or_insert_with(Instant::now);
    }

    fn is_stopping(&self) -> bool {
        self.stopping_since.is_some()
    }
}
