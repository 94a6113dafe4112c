use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use mailmesh_accounts::{Connections, LeaseChange, LeaseKeeper, Leases, Membership, Replica};
use mailmesh_bus::StreamSettings;
use mailmesh_domain::{AccountId, Clock, Direction, Protocol, SystemClock};
use mailmesh_store::account::{self, Account};
use mailmesh_testkit::{MailHost, MeshAddress, MeshBase};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(20);

/// A mesh with accounts and no service.
pub(crate) struct World {
    pub(crate) base: MeshBase,
    pub(crate) accounts: BTreeSet<AccountId>,
}

impl World {
    pub(crate) async fn with_accounts(count: usize) -> Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let mut world = Self {
            base: MeshBase::fresh(clock).await?,
            accounts: BTreeSet::new(),
        };
        for number in 0..count {
            world.add(&format!("a{number}")).await?;
        }
        Ok(world)
    }

    /// A mesh without accounts, with these limits of its streams.
    pub(crate) async fn with_streams(adjust: impl FnOnce(&mut StreamSettings)) -> Result<Self> {
        let mut address = MeshAddress::fresh().await?;
        adjust(&mut address.bus.streams);
        Ok(Self {
            base: MeshBase::start(address, Arc::new(SystemClock)).await?,
            accounts: BTreeSet::new(),
        })
    }

    pub(crate) async fn add(&mut self, key: &str) -> Result<()> {
        let host = MailHost {
            imap_port: 1,
            pop3_port: 1,
            smtp_port: 1,
            ca_pem: String::new(),
        };
        let login = format!("{key}@example.com");
        let row = self.base.account_row(&host, key, Protocol::Imap, &login)?;
        self.base.insert_account(&row).await?;
        self.accounts.insert(row.id);
        Ok(())
    }

    pub(crate) async fn disable(&self, id: AccountId) -> Result<()> {
        let mut tx = self.base.begin().await?;
        let mut row = account::list_by_ids(&mut tx, &[id]).await?;
        let mut row = row.pop().context("the account is gone")?;
        row.is_enabled = false;
        account::update(&mut tx, &row).await?;
        Ok(tx.commit().await?)
    }

    /// Changes an account's settings.
    pub(crate) async fn rename(&self, id: AccountId) -> Result<Account> {
        let mut tx = self.base.begin().await?;
        let mut row = account::list_by_ids(&mut tx, &[id]).await?;
        let mut row = row.pop().context("the account is gone")?;
        "renamed".clone_into(&mut row.name);
        account::update(&mut tx, &row).await?;
        tx.commit().await?;
        Ok(row)
    }

    pub(crate) async fn replica(&self) -> Result<Worker> {
        let (replica, membership) = self.join().await?;
        Ok(Worker::start(replica, membership))
    }

    /// A replica whose heart beats only as its leases are kept.
    pub(crate) async fn joined(&self) -> Result<Replica> {
        Ok(self.join().await?.0)
    }

    pub(crate) async fn join(&self) -> Result<(Replica, Membership)> {
        let (database, bus) = (self.base.database.clone(), self.base.bus.clone());
        let connections = Connections::new(database, bus);
        let clock = Arc::clone(&self.base.clock);
        Ok(Replica::join("inbound-fetcher", &connections, clock).await?)
    }
}

/// A replica, and what its service was told to work on.
pub(crate) struct Worker {
    pub(crate) leases: Leases,
    pub(crate) working: BTreeSet<AccountId>,
    /// Told to end, and not released.
    pub(crate) surplus: BTreeSet<AccountId>,
    changes: mpsc::Receiver<LeaseChange>,
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

impl Worker {
    fn start(replica: Replica, membership: Membership) -> Self {
        let (keeper, changes, leases) = LeaseKeeper::new(replica, Direction::Inbound);
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(keeper.run(stop.clone()));
        tasks.spawn(membership.run(stop.clone()));
        Self {
            leases,
            working: BTreeSet::new(),
            surplus: BTreeSet::new(),
            changes,
            tasks,
            stop,
        }
    }

    /// Takes one change as a service does, but ends nothing by itself.
    pub(crate) async fn next(&mut self) -> Result<LeaseChange> {
        let change = tokio::time::timeout(PATIENCE, self.changes.recv()).await;
        let change = change.context("no change")?.context("the keeper ended")?;
        match &change {
            LeaseChange::Gained(ids) => {
                for id in ids {
                    anyhow::ensure!(self.working.insert(*id), "{id} was gained twice");
                }
            }
            LeaseChange::Lost(ids) => {
                for id in ids {
                    self.working.remove(id);
                    self.surplus.remove(id);
                }
            }
            LeaseChange::Surplus(ids) => {
                for id in ids {
                    anyhow::ensure!(self.surplus.insert(*id), "{id} was surplus twice");
                }
            }
        }
        Ok(change)
    }

    pub(crate) async fn until(&mut self, reached: impl Fn(&Self) -> bool) -> Result<()> {
        while !reached(self) {
            self.next().await?;
        }
        Ok(())
    }

    /// Ends work on accounts, as a service does some time after it was told to.
    pub(crate) fn release(&mut self, ids: &[AccountId]) {
        for id in ids {
            self.working.remove(id);
            self.surplus.remove(id);
        }
        self.leases.release(ids);
    }

    /// Ends as a process does that was told to stop.
    pub(crate) async fn stop(mut self) -> Result<()> {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended?;
        }
        let held: Vec<AccountId> = self.working.iter().copied().collect();
        Ok(self.leases.give_up(&held).await?)
    }
}
