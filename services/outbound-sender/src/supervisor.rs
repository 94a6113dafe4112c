//! Starts and stops the workers of the accounts that this replica holds, and wakes them.

mod left;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use mailmesh_accounts::{LeaseChange, LeaseKeeper, Leases};
use mailmesh_bus::{Hint, Subscription};
use mailmesh_domain::{AccountId, Direction, Verdict};
use mailmesh_events::{Encoded, Problem};
use mailmesh_store::account::Account;
use mailmesh_store::outbound_mail::Recovered;
use mailmesh_store::{StoreError, account, outbound_mail, outbox};
use tokio::sync::mpsc;
use tokio::task::{self, JoinError, JoinSet};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::account::{Worker, WorkerHandle};
use crate::event;
use crate::problem::{DECIDE, uncertain_mail};
use crate::shared::{Shared, account_of_hint, wake_holders};
use crate::uncertain::UncertainResolver;
use left::Left;

const DUE_EVERY: Duration = Duration::from_secs(2);
const RECOVER_EVERY: Duration = Duration::from_secs(5);
const REVISIONS_EVERY: Duration = Duration::from_secs(30);
/// A claim whose answer was lost is known by now to be nobody's.
const LOST_AFTER: Duration = Duration::from_mins(2);
/// How long an account that was given up is looked after: a claim may have been on its way.
const LOOK_AFTER_LEFT: Duration = Duration::from_mins(4);

/// The hints that concern workers.
#[derive(Debug)]
pub(crate) struct Hints {
    pub(crate) changed: Subscription,
    pub(crate) authenticated: Subscription,
    pub(crate) refreshed: Subscription,
    pub(crate) due: Subscription,
}

#[derive(Debug)]
struct Held {
    account: Arc<Account>,
    worker: WorkerHandle,
    task: task::Id,
}

/// Runs one worker for each account that this replica holds.
#[derive(Debug)]
pub(crate) struct Supervisor {
    shared: Arc<Shared>,
    leases: Leases,
    /// Accounts that have no worker yet.
    gained: HashSet<AccountId>,
    held: HashMap<AccountId, Held>,
    left: Left,
    workers: JoinSet<()>,
}

impl Supervisor {
    pub(crate) async fn run(shared: Arc<Shared>, mut hints: Hints, stop: CancellationToken) {
        let direction = Direction::Outbound;
        let (keeper, mut changes, leases) = LeaseKeeper::new(shared.replica.clone(), direction);
        let mut supervisor = Self {
            shared,
            leases,
            gained: HashSet::new(),
            held: HashMap::new(),
            left: Left::default(),
            workers: JoinSet::new(),
        };
        let (resolver, of_resolver) =
            (UncertainResolver::default(), Arc::clone(&supervisor.shared));
        let keeping = keeper.run(stop.clone());
        let working = supervisor.work(&mut changes, &mut hints, &stop);
        tokio::join!(keeping, working, resolver.run(&of_resolver, &stop));
        supervisor.end().await;
    }

    async fn work(
        &mut self,
        changes: &mut mpsc::Receiver<LeaseChange>,
        hints: &mut Hints,
        stop: &CancellationToken,
    ) {
        let ticks = |every| {
            let mut ticks = tokio::time::interval(every);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        };
        let (mut due, mut recover) = (ticks(DUE_EVERY), ticks(RECOVER_EVERY));
        let mut revisions = ticks(REVISIONS_EVERY);
        loop {
            let result = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                Some(change) = changes.recv() => self.take_change(change).await,
                Some(hint) = hints.due.next() => {
                    account_of_hint(&hint.payload).map(|id| self.shared.wakes.wake(id));
                    Ok(())
                }
                Some(hint) = hints.changed.next() => self.take_changed(&hint).await,
                // A sign-in gives the account its grant.
                Some(hint) = hints.authenticated.next() => self.take_changed(&hint).await,
                Some(hint) = hints.refreshed.next() => {
                    self.take_refreshed(&hint);
                    Ok(())
                }
                Some(ended) = self.workers.join_next() => {
                    self.note_end(ended);
                    Ok(())
                }
                _ = due.tick() => self.look_around().await,
                _ = recover.tick() => self.recover().await,
                _ = revisions.tick() => self.compare_revisions().await,
            };
            if let Err(error) = result {
                warn!(
                    error = &error as &dyn std::error::Error,
                    "The database did not answer; it is asked again"
                );
            }
        }
    }

    async fn take_change(&mut self, change: LeaseChange) -> Result<(), StoreError> {
        match change {
            LeaseChange::Gained(ids) => {
                self.gained.extend(ids);
                self.start_gained().await
            }
            LeaseChange::Lost(ids) => {
                self.stop_workers(&ids);
                Ok(())
            }
            LeaseChange::Surplus(ids) => {
                self.stop_workers(&ids);
                // A connection that is busy with its last mail is told from the new holder's by the
                // stage of its attempt.
                self.leases.release(&ids);
                Ok(())
            }
        }
    }

    /// Starts what was gained and not started yet: the keeper announces an account once, and the database may fail.
    async fn start_gained(&mut self) -> Result<(), StoreError> {
        if self.gained.is_empty() {
            return Ok(());
        }
        let ids: Vec<AccountId> = self.gained.iter().copied().collect();
        for account in self.load(&ids).await? {
            self.start_worker(account);
        }
        self.recover().await?;
        self.wake_waiting(&ids).await?;
        self.gained.clear();
        Ok(())
    }

    /// Wakes those that have mail, due or not: what kept it waiting may be over.
    async fn wake_waiting(&self, ids: &[AccountId]) -> Result<(), StoreError> {
        let mut tx = self.shared.replica.database.begin().await?;
        let waiting = outbound_mail::next_due(&mut tx, ids).await?;
        tx.commit().await?;
        for (id, _) in waiting {
            self.shared.wakes.wake(id);
        }
        Ok(())
    }

    async fn load(&self, ids: &[AccountId]) -> Result<Vec<Account>, StoreError> {
        let mut tx = self.shared.replica.database.begin().await?;
        let accounts = account::list_by_ids(&mut tx, ids).await?;
        tx.commit().await?;
        Ok(accounts)
    }

    fn start_worker(&mut self, account: Account) {
        let id = account.id;
        if self.held.contains_key(&id) {
            return;
        }
        let account = Arc::new(account);
        let (worker, handle) = Worker::new(Arc::clone(&self.shared), Arc::clone(&account));
        let held = Held {
            account,
            worker: handle,
            task: self.workers.spawn(worker.run()).id(),
        };
        self.held.insert(id, held);
    }

    /// A worker that panicked starts anew with the next look around; at once it could panic in a circle.
    fn note_end(&mut self, ended: Result<(), JoinError>) {
        let Err(panic) = ended else { return };
        let of_task = |(_, held): &(&AccountId, &Held)| held.task == panic.id();
        let found = self.held.iter().find(of_task).map(|(id, _)| *id);
        error!(
            account.id = found.map(tracing::field::display),
            error = &panic as &dyn std::error::Error,
            "A worker panicked"
        );
        if let Some(id) = found {
            self.held.remove(&id);
            self.gained.insert(id);
        }
    }

    fn stop_workers(&mut self, ids: &[AccountId]) {
        for id in ids {
            self.gained.remove(id);
            if let Some(held) = self.held.remove(id) {
                held.worker.stop.cancel();
                self.left.add(held.account);
            }
        }
    }

    fn held_ids(&self) -> Vec<AccountId> {
        self.held.keys().copied().collect()
    }

    async fn look_around(&mut self) -> Result<(), StoreError> {
        self.start_gained().await?;
        self.wake_due().await
    }

    /// One question for all accounts, whatever a hint said or did not say.
    async fn wake_due(&self) -> Result<(), StoreError> {
        let ids = self.held_ids();
        if ids.is_empty() {
            return Ok(());
        }
        let now = self.shared.replica.clock.now();
        let mut tx = self.shared.replica.database.begin().await?;
        let due = outbound_mail::next_due(&mut tx, &ids).await?;
        tx.commit().await?;
        for (id, due_at) in due {
            if due_at <= now {
                self.shared.wakes.wake(id);
            }
        }
        Ok(())
    }

    /// Ends what others, or our own lost claims, left behind.
    async fn recover(&mut self) -> Result<(), StoreError> {
        let ids = self.held_ids();
        let ours: Vec<AccountId> = ids.iter().copied().chain(self.left.ids()).collect();
        if ours.is_empty() {
            return Ok(());
        }
        let replica = &self.shared.replica;
        let now = replica.clock.now();
        let problem = left_behind();
        let busy = self.shared.in_flight.accounts();
        let in_flight = self.shared.in_flight.list();
        let lost = (now - LOST_AFTER, now);
        let mut tx = replica.database.begin().await?;
        let others = outbound_mail::recover(&mut tx, &ids, replica.id, &problem, now).await?;
        let ours =
            outbound_mail::recover_lost(&mut tx, &ours, replica.id, &in_flight, &problem, lost)
                .await?;
        let recovered = [others, ours];
        let events: Vec<Encoded> = recovered
            .iter()
            .flat_map(|each| self.tell(each, &problem))
            .collect();
        outbox::insert(&mut tx, replica.id, &events, now).await?;
        tx.commit().await?;
        if !events.is_empty() {
            replica.outbox.wake();
        }
        let requeued: Vec<AccountId> = recovered
            .iter()
            .flat_map(|each| each.requeued.iter().copied())
            .collect();
        wake_holders(replica, &self.shared.wakes, requeued).await;
        self.left.forget(&busy, LOOK_AFTER_LEFT);
        Ok(())
    }

    fn tell(&self, recovered: &Recovered, problem: &Problem) -> Vec<Encoded> {
        let (requeued, uncertain) = (recovered.requeued.len(), recovered.uncertain.len());
        if requeued + uncertain > 0 {
            info!(
                requeued,
                uncertain, "Attempts that were left behind have ended"
            );
        }
        let told = recovered.uncertain.iter().filter_map(|mail| {
            let id = mail.account_id;
            let held = self.held.get(&id).map(|held| &held.account.key);
            let key = held.or_else(|| self.left.key(id))?;
            let problem = problem.clone().with_mail(uncertain_mail(mail));
            Some(event::encode_uncertain(
                &self.shared.replica,
                key,
                mail,
                problem,
            ))
        });
        told.flatten().collect()
    }

    async fn take_changed(&mut self, hint: &Hint) -> Result<(), StoreError> {
        self.leases.wake();
        let key = hint.subject.rsplit('.').next().unwrap_or_default();
        let of_key =
            |(id, held): (&AccountId, &Held)| (held.account.key.as_str() == key).then_some(*id);
        let ids: Vec<AccountId> = self.held.iter().filter_map(of_key).collect();
        self.take_settings(&ids).await
    }

    async fn take_settings(&mut self, ids: &[AccountId]) -> Result<(), StoreError> {
        if ids.is_empty() {
            return Ok(());
        }
        for account in self.load(ids).await? {
            let Some(held) = self.held.get_mut(&account.id) else {
                continue;
            };
            held.account = Arc::new(account);
            // A worker that has ended needs no settings.
            held.worker.settings.send(Arc::clone(&held.account)).ok();
        }
        Ok(())
    }

    /// A hint may be lost.
    async fn compare_revisions(&mut self) -> Result<(), StoreError> {
        let ids = self.held_ids();
        if ids.is_empty() {
            return Ok(());
        }
        let mut tx = self.shared.replica.database.begin().await?;
        let revisions = account::list_revisions(&mut tx, &ids).await?;
        tx.commit().await?;
        let is_stale = |(id, revision): &(AccountId, i64)| {
            let held = self.held.get(id);
            held.is_some_and(|held| held.account.revision != *revision)
        };
        let stale: Vec<AccountId> = revisions
            .iter()
            .filter(|each| is_stale(each))
            .map(|(id, _)| *id)
            .collect();
        self.take_settings(&stale).await
    }

    fn take_refreshed(&self, hint: &Hint) {
        let grant = hint.subject.rsplit('.').next().unwrap_or_default();
        for (id, held) in &self.held {
            let is_of_grant = held.account.grant_id.map(|id| id.to_string());
            if is_of_grant.as_deref() == Some(grant) {
                self.shared.wakes.wake(*id);
            }
        }
    }

    /// Stops every worker, waits for what is in hand, and gives the accounts up.
    async fn end(&mut self) {
        self.shared.ending.cancel();
        let ids: Vec<AccountId> = self.held.keys().chain(&self.gained).copied().collect();
        self.stop_workers(&ids);
        while self.workers.join_next().await.is_some() {}
        if let Err(error) = self.leases.give_up(&ids).await {
            warn!(
                error = &error as &dyn std::error::Error,
                "Leases were not given up; they end with the replica"
            );
        }
    }
}

fn left_behind() -> Problem {
    let what = "The process that sent the mail ended before it had the server's final reply";
    Problem::new(what, Verdict::unknown()).with_action(DECIDE)
}
