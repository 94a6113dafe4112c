use std::collections::{BTreeSet, HashMap};
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use mailmesh_accounts::{LeaseChange, Leases};
use mailmesh_bus::{Hint, Subscription};
use mailmesh_domain::{AccountId, GrantId};
use mailmesh_events::decode_event;
use mailmesh_events::token::TokenRefreshed;
use mailmesh_store::{StoreError, account, account_status, grant};
use tokio::sync::mpsc;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::account::Worker;
use crate::context::{Context, Signals};
use crate::roster::{Roster, Running};
use crate::seed::{self, Seed};

/// Accounts whose state is loaded with one round of queries.
const LOAD: usize = 1_000;
/// How long changes are gathered before one look at all of them.
const GATHER: Duration = Duration::from_millis(100);

/// Starts and stops the workers as leases, hints and the database say.
#[derive(Debug)]
pub(crate) struct Supervisor {
    context: Arc<Context>,
    leases: Leases,
    changes: mpsc::Receiver<LeaseChange>,
    roster: Roster,
    workers: JoinSet<()>,
}

/// Hints and timers that the supervisor listens to.
struct Ears {
    account_changed: Option<Subscription>,
    account_authenticated: Option<Subscription>,
    token_refreshed: Option<Subscription>,
    check: Interval,
    tokens: Interval,
    proofs: Interval,
    is_check_soon: bool,
}

enum Heard {
    Stop,
    Lease(Option<LeaseChange>),
    Ended(Result<(Id, ()), JoinError>),
    AccountChanged,
    TokenRefreshed(Hint),
    CheckDue,
    TokensDue,
    ProofsDue,
}

impl Supervisor {
    pub(crate) fn new(
        context: Arc<Context>,
        leases: Leases,
        changes: mpsc::Receiver<LeaseChange>,
    ) -> Self {
        Self {
            context,
            leases,
            changes,
            roster: Roster::default(),
            workers: JoinSet::new(),
        }
    }

    /// Runs until `stop` and until every worker has ended.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut ears = Ears::open(&self.context).await;
        loop {
            match self.listen(&mut ears, &stop).await {
                Heard::Stop | Heard::Lease(None) => break,
                Heard::Lease(Some(change)) => self.follow(change).await,
                Heard::Ended(ended) => self.note_end(ended).await,
                Heard::AccountChanged => {
                    self.leases.wake();
                    ears.check_soon();
                }
                Heard::TokenRefreshed(hint) => self.pass_on(&hint),
                Heard::CheckDue => {
                    ears.is_check_soon = false;
                    self.check().await;
                    self.check_tokens(true).await;
                }
                Heard::TokensDue => self.check_tokens(false).await,
                Heard::ProofsDue => self.record_proofs().await,
            }
        }
        self.finish().await;
    }

    async fn listen(&mut self, ears: &mut Ears, stop: &CancellationToken) -> Heard {
        tokio::select! {
            () = stop.cancelled() => Heard::Stop,
            change = self.changes.recv() => Heard::Lease(change),
            Some(ended) = self.workers.join_next_with_id() => Heard::Ended(ended),
            _hint = next_hint(&mut ears.account_changed) => Heard::AccountChanged,
            _hint = next_hint(&mut ears.account_authenticated) => Heard::AccountChanged,
            hint = next_hint(&mut ears.token_refreshed) => Heard::TokenRefreshed(hint),
            _ = ears.check.tick() => Heard::CheckDue,
            _ = ears.tokens.tick() => Heard::TokensDue,
            _ = ears.proofs.tick() => Heard::ProofsDue,
        }
    }

    async fn follow(&mut self, change: LeaseChange) {
        match change {
            LeaseChange::Gained(accounts) => {
                self.roster.hold(&accounts);
                self.start_idle().await;
            }
            LeaseChange::Lost(accounts) => self.roster.lose(&accounts),
            LeaseChange::Surplus(accounts) => {
                let idle = self.roster.give_up(&accounts);
                self.leases.release(&idle);
            }
        }
    }

    async fn start_idle(&mut self) {
        let idle = self.roster.idle();
        for ids in idle.chunks(LOAD) {
            match seed::load(&self.context, ids).await {
                Ok(seeds) => seeds.into_iter().for_each(|seed| self.start(seed)),
                Err(error) => warn!(
                    error = &error as &dyn Error,
                    accounts = ids.len(),
                    "Accounts were not loaded; it is tried again"
                ),
            }
        }
    }

    fn start(&mut self, seed: Seed) {
        let id = seed.account.id;
        if !self.roster.is_idle(id) {
            return;
        }
        let signals = Arc::new(Signals::new());
        let stop = CancellationToken::new();
        let (key, grant_id) = (seed.account.key.clone(), seed.account.grant_id);
        let revision = seed.account.revision;
        let context = Arc::clone(&self.context);
        let worker = Worker::new(context, seed, Arc::clone(&signals), stop.clone());
        let abort = self.workers.spawn(worker.run());
        let since = self.context.now().unix_timestamp();
        self.roster.add(
            id,
            Running {
                key,
                grant_id,
                revision,
                signals,
                stop,
                abort,
                since,
            },
        );
    }

    /// A worker ends because it was told to, was aborted, or panicked.
    async fn note_end(&mut self, ended: Result<(Id, ()), JoinError>) {
        let (task, panic) = match ended {
            Ok((task, ())) => (task, None),
            Err(error) => (error.id(), error.is_panic().then_some(error)),
        };
        let Some(id) = self.roster.remove(task) else {
            return;
        };
        if let Some(panic) = panic {
            // The next check starts it again; at once it could panic in a circle.
            error!(account.id = %id, error = &panic as &dyn Error, "A worker panicked");
            return;
        }
        if self.roster.is_held(id) {
            match seed::load(&self.context, &[id]).await {
                Ok(seeds) => seeds.into_iter().for_each(|seed| self.start(seed)),
                Err(error) => warn!(
                    error = &error as &dyn Error,
                    "A changed account was not loaded; it is tried again"
                ),
            }
        } else {
            self.leases.release(&[id]);
        }
    }

    /// Compares the running accounts with the database: covers hints that were lost.
    async fn check(&mut self) {
        self.start_idle().await;
        let ids: Vec<AccountId> = self.roster.running().map(|(id, _)| id).collect();
        let current = match self.list_revisions(&ids).await {
            Ok(current) => current,
            Err(error) => {
                warn!(error = &error as &dyn Error, "Accounts were not compared");
                return;
            }
        };
        for id in ids {
            let Some(running) = self.roster.find(id) else {
                continue;
            };
            match current.get(&id) {
                Some(revision) if *revision == running.revision => {}
                Some(_) => {
                    info!(account.id = %id, "The account was changed; it starts anew");
                    self.roster.restart(id);
                }
                None => self.roster.lose(&[id]),
            }
        }
    }

    async fn list_revisions(
        &self,
        ids: &[AccountId],
    ) -> Result<HashMap<AccountId, i64>, StoreError> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let mut tx = self.context.replica.database.begin().await?;
        let revisions = account::list_revisions(&mut tx, ids).await?;
        tx.commit().await?;
        Ok(revisions.into_iter().collect())
    }

    fn pass_on(&self, hint: &Hint) {
        match decode_event::<TokenRefreshed>(&hint.headers, &hint.payload) {
            Ok(event) => self.roster.wake_grant(event.data.grant_id),
            Err(error) => warn!(error = &error as &dyn Error, "A hint cannot be read"),
        }
    }

    /// Wakes accounts that wait for a token which has come meanwhile.
    async fn check_tokens(&self, with_patient: bool) {
        let waiting: Vec<(GrantId, i64)> = self
            .roster
            .running()
            .filter_map(|(_, running)| {
                let refused = running.signals.refused_generation(with_patient)?;
                Some((running.grant_id?, refused))
            })
            .collect();
        if waiting.is_empty() {
            return;
        }
        let ids: BTreeSet<GrantId> = waiting.iter().map(|(id, _)| *id).collect();
        let ids: Vec<GrantId> = ids.into_iter().collect();
        match self.list_generations(&ids).await {
            Ok(generations) => {
                for (id, refused) in waiting {
                    if generations.get(&id).is_some_and(|found| *found > refused) {
                        self.roster.wake_grant(id);
                    }
                }
            }
            Err(error) => warn!(error = &error as &dyn Error, "Grants were not compared"),
        }
    }

    async fn list_generations(&self, ids: &[GrantId]) -> Result<HashMap<GrantId, i64>, StoreError> {
        let mut tx = self.context.replica.database.begin().await?;
        let grants = grant::list_by_ids(&mut tx, ids).await?;
        tx.commit().await?;
        Ok(grants
            .into_iter()
            .map(|grant| (grant.id, grant.generation))
            .collect())
    }

    async fn record_proofs(&self) {
        let now = self.context.now();
        let metrics = &self.context.metrics;
        metrics.show_accounts(self.roster.len());
        let mut proofs = Vec::new();
        for (id, running) in self.roster.running() {
            let proved_at = running.signals.proved_at();
            let since = proved_at.map_or(running.since, time::OffsetDateTime::unix_timestamp);
            let seconds = now.unix_timestamp().saturating_sub(since);
            metrics.show_unproved(&running.key, u64::try_from(seconds).unwrap_or(0));
            proofs.extend(proved_at.map(|at| (id, at)));
        }
        if proofs.is_empty() {
            return;
        }
        if let Err(error) = self.write_proofs(&proofs).await {
            warn!(
                error = &error as &dyn Error,
                "Proofs of life were not recorded"
            );
        }
    }

    async fn write_proofs(
        &self,
        proofs: &[(AccountId, time::OffsetDateTime)],
    ) -> Result<(), StoreError> {
        let mut tx = self.context.replica.database.begin().await?;
        account_status::set_proved(&mut tx, proofs).await?;
        tx.commit().await
    }

    /// Lets work in hand come to its end, aborts the rest, and gives the leases up.
    async fn finish(mut self) {
        let held: Vec<AccountId> = self.roster.running().map(|(id, _)| id).collect();
        let mut all = self.roster.idle();
        all.extend(held);
        self.roster.stop_all();
        let limit = Duration::from_secs(self.context.settings.stop_seconds);
        let ending = async { while self.workers.join_next().await.is_some() {} };
        if timeout(limit, ending).await.is_err() {
            warn!(
                accounts = self.workers.len(),
                "Workers were aborted; what they published is read back by the next owner"
            );
            self.workers.shutdown().await;
        }
        self.record_proofs().await;
        if let Err(error) = self.leases.give_up(&all).await {
            warn!(
                error = &error as &dyn Error,
                "Leases were not given up; they end with the replica"
            );
        }
    }
}

impl Ears {
    async fn open(context: &Context) -> Self {
        let every = |seconds: u64| {
            let mut ticks = interval(Duration::from_secs(seconds));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        };
        let settings = &context.settings;
        Self {
            account_changed: subscribe(context, "account.changed").await,
            // A sign-in gives the account its grant.
            account_authenticated: subscribe(context, "account.authenticated").await,
            token_refreshed: subscribe(context, "token.refreshed").await,
            check: every(settings.check_seconds),
            tokens: every(settings.token_wait_seconds),
            proofs: every(settings.proof_seconds),
            is_check_soon: false,
        }
    }

    /// Many accounts may change at once: one look answers them all.
    fn check_soon(&mut self) {
        if !self.is_check_soon {
            self.is_check_soon = true;
            self.check.reset_after(GATHER);
        }
    }
}

async fn subscribe(context: &Context, subject: &str) -> Option<Subscription> {
    match context.replica.bus.subscribe(subject, None).await {
        Ok(subscription) => Some(subscription),
        Err(error) => {
            warn!(
                error = &error as &dyn Error,
                "Hints are not heard; changes are found by looking"
            );
            None
        }
    }
}

/// Waits for a hint; for ever where none can come.
async fn next_hint(subscription: &mut Option<Subscription>) -> Hint {
    if let Some(open) = subscription
        && let Some(hint) = open.next().await
    {
        return hint;
    }
    *subscription = None;
    std::future::pending().await
}
