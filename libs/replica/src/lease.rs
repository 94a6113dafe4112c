use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use mailmesh_domain::{AccountId, Direction};
use mailmesh_store::{StoreError, lease, replica};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::Replica;

const TICK: Duration = Duration::from_secs(2);

/// What changed about the accounts that this replica holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeaseChange {
    /// Start to work on these.
    Gained(Vec<AccountId>),
    /// Stop at once: they are disabled, deleted, or somebody else's.
    Lost(Vec<AccountId>),
    /// Another replica has fewer: stop working on these, then [`Leases::release`] them.
    Surplus(Vec<AccountId>),
}

/// Keeps leases on a fair share of the accounts of one direction.
#[derive(Debug)]
pub struct LeaseKeeper {
    replica: Replica,
    direction: Direction,
    wake: Arc<Notify>,
    changes: mpsc::Sender<LeaseChange>,
    held: HashSet<AccountId>,
}

/// The service's side of a [`LeaseKeeper`].
#[derive(Debug, Clone)]
pub struct Leases {
    replica: Replica,
    wake: Arc<Notify>,
}

impl LeaseKeeper {
    /// Makes a keeper, the channel of its changes, and the handle for the service.
    pub fn new(
        replica: Replica,
        direction: Direction,
    ) -> (Self, mpsc::Receiver<LeaseChange>, Leases) {
        let wake = Arc::new(Notify::new());
        let (changes, receiver) = mpsc::channel(16);
        let leases = Leases {
            replica: replica.clone(),
            wake: Arc::clone(&wake),
        };
        let keeper = Self {
            replica,
            direction,
            wake,
            changes,
            held: HashSet::new(),
        };
        (keeper, receiver, leases)
    }

    /// Keeps leases until `stop`. Those that are held then are left to the service to release,
    /// once its work on them has ended.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
                () = self.wake.notified() => {}
            }
            match self.keep().await {
                Ok(changes) => {
                    for change in changes {
                        if self.changes.send(change).await.is_err() {
                            return;
                        }
                    }
                }
                // Nobody can take them over either while the database is away.
                Err(error) => warn!(
                    error = &error as &dyn std::error::Error,
                    "Leases were not renewed; it is tried again"
                ),
            }
        }
    }

    async fn keep(&mut self) -> Result<Vec<LeaseChange>, StoreError> {
        let mut tx = self.replica.database.begin().await?;
        let id = self.replica.id;
        let alive = replica::beat(&mut tx, id, self.replica.service).await?;
        let mut held: HashSet<AccountId> = lease::renew(&mut tx, id, self.direction)
            .await?
            .into_iter()
            .collect();
        let total = lease::count_enabled(&mut tx, self.direction).await?;
        let share = fair_share(total, alive);
        let room = share.saturating_sub(i64::try_from(held.len()).unwrap_or(i64::MAX));
        if room > 0 {
            held.extend(lease::acquire(&mut tx, id, self.direction, room).await?);
        }
        tx.commit().await?;

        let gained: Vec<AccountId> = held.difference(&self.held).copied().collect();
        let lost: Vec<AccountId> = self.held.difference(&held).copied().collect();
        let surplus = held
            .len()
            .saturating_sub(usize::try_from(share).unwrap_or(0));
        let surplus: Vec<AccountId> = held.iter().copied().take(surplus).collect();
        if !gained.is_empty() || !lost.is_empty() || !surplus.is_empty() {
            info!(
                held = held.len(),
                gained = gained.len(),
                lost = lost.len(),
                surplus = surplus.len(),
                replicas = alive,
                "Leases changed"
            );
        }
        self.held = held;
        let changes = [
            LeaseChange::Lost(lost),
            LeaseChange::Gained(gained),
            LeaseChange::Surplus(surplus),
        ];
        Ok(changes
            .into_iter()
            .filter(|change| !change.is_empty())
            .collect())
    }
}

impl LeaseChange {
    fn is_empty(&self) -> bool {
        let (Self::Gained(accounts) | Self::Lost(accounts) | Self::Surplus(accounts)) = self;
        accounts.is_empty()
    }
}

impl Leases {
    /// Looks at once, because accounts were added or changed.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Gives accounts up that are no longer worked on.
    ///
    /// # Errors
    /// When the database fails; others then wait for the leases to end.
    pub async fn release(&self, accounts: &[AccountId]) -> Result<(), StoreError> {
        let mut tx = self.replica.database.begin().await?;
        lease::release(&mut tx, self.replica.id, accounts).await?;
        tx.commit().await
    }
}

/// The accounts of one replica when all replicas share evenly, rounded up.
const fn fair_share(total: i64, alive: i64) -> i64 {
    let alive = if alive < 1 { 1 } else { alive };
    (total + alive - 1) / alive
}

#[cfg(test)]
mod tests {
    use super::fair_share;

    #[test]
    fn shares_cover_all_accounts() {
        for (total, alive, share) in [(0, 1, 0), (1, 3, 1), (10, 3, 4), (9, 3, 3), (5, 0, 5)] {
            assert_eq!(fair_share(total, alive), share, "{total} over {alive}");
        }
    }
}
