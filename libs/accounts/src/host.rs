//! Runs one worker for each account that this replica holds.

mod inputs;
mod registry;
mod released;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use mailmesh_domain::{AccountId, Direction, GrantId};
use mailmesh_store::account_status::StoredState;
use mailmesh_store::grant::Grant;
use mailmesh_store::{StoreError, account, account_status, grant};
use tokio::sync::mpsc;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error, info, warn};

use crate::{AccountSnapshot, AccountWork, LeaseChange, LeaseKeeper, Leases, Replica};
use inputs::{Input, Inputs};
use registry::RunningWorker;
pub use registry::{Overlap, WorkerRegistry, WorkerView};

/// Maximum accounts whose state is loaded with one round of queries.
const LOAD: usize = 1_000;
/// Maximum wait of an account's next worker for the last one, whose stop was requested.
const HANDOVER: Duration = Duration::from_secs(20);

/// Intervals and limits of an [`AccountHost`].
#[derive(Debug, Clone)]
pub struct HostSettings {
    /// Direction of the accounts that are leased.
    pub direction: Direction,
    /// Interval of looking in the database for changes whose hint was lost; also the pause after a worker's panic.
    pub check_every: Duration,
    /// Interval of looking in the database for newer tokens, while workers wait for one.
    pub look_for_tokens_every: Duration,
    /// Grace period of the workers after the stop; those still running are aborted.
    pub finish_within: Duration,
}

/// Starts and stops workers as leases, hints and the database say.
///
/// A hint only makes it look sooner; rows decide what it does. A worker that panics is started again with the next
/// check. An account whose settings change gets a new worker, once the old one has finished what is in flight.
pub struct AccountHost {
    replica: Replica,
    work: Arc<dyn AccountWork>,
    settings: HostSettings,
    registry: Arc<WorkerRegistry>,
    leases: Leases,
    tasks: JoinSet<()>,
    /// New workers that are not yet passed to [`AccountWork::workers_started`].
    unannounced: HashSet<AccountId>,
    /// Accounts that a hint named, until their revision was compared.
    changed: HashSet<AccountId>,
}

impl fmt::Debug for AccountHost {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("AccountHost")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

enum HostInput {
    Stop,
    Lease(Option<LeaseChange>),
    Ended(Result<(Id, ()), JoinError>),
    Input(Input),
}

impl AccountHost {
    /// Runs workers until `stop` and until each has ended, then gives the accounts up.
    pub fn run(
        replica: Replica,
        work: Arc<dyn AccountWork>,
        settings: HostSettings,
        registry: Arc<WorkerRegistry>,
        stop: CancellationToken,
    ) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let (keeper, changes, leases) = LeaseKeeper::new(replica.clone(), settings.direction);
            let host = Self {
                replica,
                work,
                settings,
                registry,
                leases,
                tasks: JoinSet::new(),
                unannounced: HashSet::new(),
                changed: HashSet::new(),
            };
            tokio::join!(keeper.run(stop.clone()), host.work_until(changes, &stop));
        })
    }

    async fn work_until(
        mut self,
        mut changes: mpsc::Receiver<LeaseChange>,
        stop: &CancellationToken,
    ) {
        let mut inputs = Inputs::open(&self.replica.bus, &self.settings).await;
        loop {
            let happened = tokio::select! {
                () = stop.cancelled() => HostInput::Stop,
                change = changes.recv() => HostInput::Lease(change),
                Some(ended) = self.tasks.join_next_with_id() => HostInput::Ended(ended),
                input = inputs.next() => HostInput::Input(input),
            };
            match happened {
                HostInput::Stop | HostInput::Lease(None) => break,
                HostInput::Lease(Some(change)) => self.follow(change).await,
                HostInput::Ended(ended) => self.note_end(ended, &mut inputs),
                HostInput::Input(input) => self.take(input, &mut inputs).await,
            }
        }
        self.finish().await;
    }

    async fn take(&mut self, input: Input, inputs: &mut Inputs) {
        match input {
            Input::AccountChanged(key) => {
                self.leases.wake();
                self.changed.extend(self.registry.find_by_key(&key));
                inputs.look_soon();
            }
            Input::AccountAuthenticated(key) => {
                let id = self.registry.find_by_key(&key);
                self.changed.extend(id);
                id.map(|id| self.registry.wake(id));
                inputs.look_soon();
            }
            Input::GrantChanged(grant_id) => self.registry.wake_grant(grant_id),
            Input::LookDue => {
                self.registry.end_overdue(HANDOVER);
                self.start_idle().await;
                let changed = std::mem::take(&mut self.changed);
                let running = self.registry.revisions();
                let changed = running.into_iter().filter(|(id, _)| changed.contains(id));
                self.compare_revisions(changed.collect()).await;
            }
            Input::CheckDue => {
                // Hints come by core NATS, which delivers at most once: what was not heard is found here.
                self.registry.forgive();
                self.start_idle().await;
                self.compare_revisions(self.registry.revisions()).await;
                self.compare_states().await;
                self.look_for_tokens(true).await;
            }
            Input::TokensDue => self.look_for_tokens(false).await,
        }
    }

    async fn follow(&mut self, change: LeaseChange) {
        match change {
            LeaseChange::Gained(accounts) => {
                self.registry.hold(&accounts);
                self.start_idle().await;
            }
            LeaseChange::Lost(accounts) => self.registry.lose(&accounts),
            LeaseChange::Surplus(accounts) => {
                let free = self.registry.give_up(&accounts);
                self.leases.release(&free);
            }
        }
    }

    async fn start_idle(&mut self) {
        let idle = self.registry.idle();
        for ids in idle.chunks(LOAD) {
            let direction = self.settings.direction;
            match AccountSnapshot::load_many(&self.replica, direction, ids).await {
                Ok(snapshots) => snapshots.into_iter().for_each(|one| self.start(one)),
                Err(error) => warn!(
                    error = &error as &dyn Error,
                    accounts = ids.len(),
                    "Accounts were not loaded; it is tried again"
                ),
            }
        }
        self.announce().await;
    }

    fn start(&mut self, snapshot: AccountSnapshot) {
        let account = &snapshot.account;
        let id = account.id;
        if !self.registry.is_idle(id) {
            return;
        }
        let signals = Arc::<crate::WorkerSignals>::default();
        let (key, grant_id, revision) = (account.key.clone(), account.grant_id, account.revision);
        let span = self.work.log_span(account);
        let worker = self.work.worker(snapshot, Arc::clone(&signals));
        let worker = worker.instrument(span.clone());
        let running = RunningWorker {
            key,
            span,
            grant_id,
            revision,
            signals,
            abort: self.tasks.spawn(worker),
            started_at: self.replica.clock.now(),
            stopping_since: None,
        };
        self.registry.add(id, running);
        self.unannounced.insert(id);
    }

    async fn announce(&mut self) {
        if self.unannounced.is_empty() {
            return;
        }
        let ids: Vec<AccountId> = self.unannounced.iter().copied().collect();
        match self.work.workers_started(&ids).await {
            Ok(()) => self.unannounced.clear(),
            Err(error) => warn!(
                error = &error as &dyn Error,
                "New workers wait for the database; it is tried again"
            ),
        }
    }

    /// A worker ends by its stop, an abort or a panic.
    fn note_end(&mut self, ended: Result<(Id, ()), JoinError>, inputs: &mut Inputs) {
        let (task, panic) = match ended {
            Ok((task, ())) => (task, None),
            Err(error) => (error.id(), error.is_panic().then_some(error)),
        };
        let Some((id, span)) = self.registry.remove(task, panic.is_some()) else {
            return;
        };
        if let Some(panic) = panic {
            span.in_scope(|| error!(error = &panic as &dyn Error, "A worker panicked"));
        }
        if self.registry.is_held(id) {
            inputs.look_soon();
        } else {
            self.leases.release(&[id]);
        }
    }

    /// Gives changed accounts new workers.
    async fn compare_revisions(&mut self, running: HashMap<AccountId, i64>) {
        if running.is_empty() {
            return;
        }
        let ids: Vec<AccountId> = running.keys().copied().collect();
        let current = match self.list_revisions(&ids).await {
            Ok(current) => current,
            Err(error) => {
                warn!(error = &error as &dyn Error, "Accounts were not compared");
                self.changed.extend(ids);
                return;
            }
        };
        for (id, revision) in running {
            match current.get(&id) {
                Some(current) if *current == revision => {}
                Some(_) => {
                    let span = self.registry.span(id);
                    span.in_scope(|| info!("The account was changed; it gets a new worker"));
                    self.registry.restart(id);
                }
                None => self.registry.lose(&[id]),
            }
        }
    }

    async fn list_revisions(
        &self,
        ids: &[AccountId],
    ) -> Result<HashMap<AccountId, i64>, StoreError> {
        let mut tx = self.replica.database.begin().await?;
        let revisions = account::list_revisions(&mut tx, ids).await?;
        tx.commit().await?;
        Ok(revisions.into_iter().collect())
    }

    /// Wakes the workers whose account's row holds another state than they have recorded, so that they record it again.
    async fn compare_states(&self) {
        for ids in self.registry.list().chunks(LOAD) {
            match self.list_states(ids).await {
                Ok(stored) => {
                    for (id, state) in stored {
                        if self.registry.doubt_state(id, &state) {
                            let span = self.registry.span(id);
                            span.in_scope(|| info!(stored = %state.state, "The account's row holds another state than was recorded"));
                        }
                    }
                }
                Err(error) => warn!(error = &error as &dyn Error, "States were not compared"),
            }
        }
    }

    async fn list_states(
        &self,
        ids: &[AccountId],
    ) -> Result<Vec<(AccountId, StoredState)>, StoreError> {
        let mut tx = self.replica.database.begin().await?;
        let states = account_status::list_stored(&mut tx, ids).await?;
        tx.commit().await?;
        Ok(states)
    }

    /// Wakes accounts that wait for a token which has come without a hint, or for which no token comes any more.
    async fn look_for_tokens(&self, with_patient: bool) {
        let waiting = self.registry.awaited_grants(with_patient);
        if waiting.is_empty() {
            return;
        }
        let ids: BTreeSet<GrantId> = waiting.iter().map(|awaited| awaited.id).collect();
        let ids: Vec<GrantId> = ids.into_iter().collect();
        match self.list_grants(&ids).await {
            Ok(grants) => {
                for awaited in waiting {
                    let found = grants.get(&awaited.id);
                    if found.is_some_and(|grant| awaited.has_ended(grant)) {
                        self.registry.wake_grant(awaited.id);
                    }
                }
            }
            Err(error) => warn!(error = &error as &dyn Error, "Grants were not compared"),
        }
    }

    async fn list_grants(&self, ids: &[GrantId]) -> Result<HashMap<GrantId, Grant>, StoreError> {
        let mut tx = self.replica.database.begin().await?;
        let grants = grant::list_by_ids(&mut tx, ids).await?;
        tx.commit().await?;
        let grants = grants.into_iter();
        Ok(grants.map(|grant| (grant.id, grant)).collect())
    }

    /// Waits for the workers to end, aborts the rest, and gives the leases up.
    async fn finish(mut self) {
        let all = self.registry.stop_all();
        let ending = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(self.settings.finish_within, ending).await.is_err() {
            warn!(
                workers = self.tasks.len(),
                "Workers were aborted; the next owners find what they did"
            );
            self.tasks.shutdown().await;
        }
        if let Err(error) = self.leases.give_up(&all).await {
            warn!(
                error = &error as &dyn Error,
                "Leases were not given up; they end with the replica"
            );
        }
    }
}
