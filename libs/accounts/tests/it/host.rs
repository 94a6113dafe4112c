//! Workers that come and go with leases, changes and panics.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, ensure};
use futures_util::future::BoxFuture;
use mailmesh_accounts::{
    AccountHost, AccountSnapshot, AccountWork, HostSettings, Overlap, WorkerRegistry, WorkerSignals,
};
use mailmesh_domain::{AccountId, Direction};
use mailmesh_events::account::AccountChanged;
use mailmesh_store::account::Account;
use mailmesh_testkit::eventually;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Span;

use crate::world::World;

/// Workers that do nothing until they are told to end.
struct Idlers {
    seen: Mutex<HashMap<AccountId, Seen>>,
    /// A worker ends once it has taken one of these.
    ends: Semaphore,
    panics_left: Mutex<u32>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    starts: u32,
    at_once: u32,
    most_at_once: u32,
}

impl Idlers {
    fn new(ends: usize, panics: u32) -> Arc<Self> {
        Arc::new(Self {
            seen: Mutex::default(),
            ends: Semaphore::new(ends),
            panics_left: Mutex::new(panics),
        })
    }

    fn seen(&self, id: AccountId) -> Seen {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(&id).copied().unwrap_or_default()
    }

    fn note(&self, id: AccountId, change: impl FnOnce(&mut Seen)) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        change(seen.entry(id).or_default());
    }

    fn must_panic(&self) -> bool {
        let mut left = self
            .panics_left
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let must = *left > 0;
        *left = left.saturating_sub(1);
        must
    }
}

struct IdleWork(Arc<Idlers>);

impl AccountWork for IdleWork {
    fn log_span(&self, _: &Account) -> Span {
        Span::none()
    }

    fn worker(
        &self,
        snapshot: AccountSnapshot,
        signals: Arc<WorkerSignals>,
    ) -> BoxFuture<'static, ()> {
        let (idlers, id) = (Arc::clone(&self.0), snapshot.account.id);
        idlers.note(id, |seen| {
            seen.starts += 1;
            seen.at_once += 1;
            seen.most_at_once = seen.most_at_once.max(seen.at_once);
        });
        Box::pin(async move {
            assert!(!idlers.must_panic(), "asked to");
            signals.stop.cancelled().await;
            if let Ok(end) = idlers.ends.acquire().await {
                end.forget();
            }
            idlers.note(id, |seen| seen.at_once -= 1);
        })
    }
}

struct Hosted {
    registry: Arc<WorkerRegistry>,
    stop: CancellationToken,
    host: JoinSet<()>,
}

impl Hosted {
    async fn start(world: &World, idlers: &Arc<Idlers>) -> Result<Self> {
        let registry = WorkerRegistry::new(Overlap::Never);
        let stop = CancellationToken::new();
        let settings = HostSettings {
            direction: Direction::Inbound,
            check_every: Duration::from_secs(1),
            look_for_tokens_every: Duration::from_secs(1),
            finish_within: Duration::from_millis(500),
        };
        let host = AccountHost::run(
            world.joined().await?,
            Arc::new(IdleWork(Arc::clone(idlers))),
            settings,
            Arc::clone(&registry),
            stop.clone(),
        );
        let mut task = JoinSet::new();
        task.spawn(host);
        Ok(Self {
            registry,
            stop,
            host: task,
        })
    }

    async fn until_working(&self, accounts: &BTreeSet<AccountId>) -> Result<()> {
        eventually("the accounts are worked on", async || {
            let working: BTreeSet<AccountId> = self.registry.list().into_iter().collect();
            ensure!(working == *accounts, "{working:?}");
            Ok(())
        })
        .await
    }

    async fn stop(mut self) -> Result<()> {
        self.stop.cancel();
        let ended = self.host.join_next().await;
        Ok(ended.transpose().map(drop)?)
    }
}

#[tokio::test]
async fn account_is_worked_on_until_it_is_disabled() -> Result<()> {
    let mut world = World::with_accounts(3).await?;
    let hosted = Hosted::start(&world, &Idlers::new(9, 0)).await?;
    hosted.until_working(&world.accounts).await?;

    let gone = world.accounts.pop_first().expect("there are three");
    world.disable(gone).await?;
    hosted.until_working(&world.accounts).await?;

    assert!(!hosted.registry.wake(gone));
    hosted.stop().await
}

#[tokio::test]
async fn changed_account_gets_a_new_worker_once_the_old_one_has_ended() -> Result<()> {
    let world = World::with_accounts(1).await?;
    let idlers = Idlers::new(0, 0);
    let hosted = Hosted::start(&world, &idlers).await?;
    hosted.until_working(&world.accounts).await?;
    let id = *world.accounts.first().expect("there is one");

    let account = world.rename(id).await?;
    let event = AccountChanged {
        account: account.key.clone(),
        is_deleted: false,
    };
    let subject = format!("account.changed.{}", account.key);
    let body = serde_json::to_vec(&event)?;
    world.base.publish(&subject, &[], body).await?;
    hosted.until_working(&BTreeSet::new()).await?;
    assert_eq!(idlers.seen(id).starts, 1);
    idlers.ends.add_permits(1);
    hosted.until_working(&world.accounts).await?;

    let seen = idlers.seen(id);
    assert_eq!((seen.starts, seen.most_at_once), (2, 1));
    hosted.stop().await
}

#[tokio::test]
async fn worker_that_panics_is_started_again_with_the_next_check() -> Result<()> {
    let world = World::with_accounts(1).await?;
    let idlers = Idlers::new(9, 2);
    let hosted = Hosted::start(&world, &idlers).await?;
    let id = *world.accounts.first().expect("there is one");

    eventually("the third one lives", async || {
        ensure!(idlers.seen(id).starts == 3, "{:?}", idlers.seen(id));
        Ok(())
    })
    .await?;
    hosted.until_working(&world.accounts).await?;

    hosted.stop().await
}

#[tokio::test]
async fn worker_that_does_not_end_is_aborted_and_its_account_is_free() -> Result<()> {
    let world = World::with_accounts(2).await?;
    let hosted = Hosted::start(&world, &Idlers::new(0, 0)).await?;
    hosted.until_working(&world.accounts).await?;

    hosted.stop().await?;
    let mut next = world.replica().await?;
    next.until(|it| it.working == world.accounts).await?;

    next.stop().await
}
