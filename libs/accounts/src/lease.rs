use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use mailmesh_domain::{AccountId, Direction};
use mailmesh_store::{StoreError, lease, replica};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::Replica;

/// Interval of renewing and acquiring leases.
const TICK: Duration = Duration::from_secs(2);
/// Interval of reading all leases, to find accounts whose change nobody has hinted at. Between those nothing grows with the
/// number of accounts: while our heart beats nobody takes one from us.
const READ_ALL_EVERY: Duration = Duration::from_secs(10);
/// A replica that was away for longer may have been taken for dead.
const AWAY: Duration = Duration::from_secs(5);

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
    released: Arc<ReleasedLeases>,
    changes: mpsc::Sender<LeaseChange>,
    /// Accounts reported to the service as gained.
    held: HashSet<AccountId>,
    /// Accounts reported to the service as surplus, and not released yet.
    surplus: HashSet<AccountId>,
    last: Option<LastLook>,
    is_woken: bool,
}

/// What was seen when all leases were read the last time.
#[derive(Debug, Clone, Copy)]
struct LastLook {
    read_all_at: Instant,
    /// The last look of either kind.
    kept_at: Instant,
    enabled: i64,
    alive: i64,
}

/// What one look has given.
#[derive(Debug)]
struct LeaseLook {
    now: LastLook,
    /// All leases, if they were read.
    renewed: Option<Vec<AccountId>>,
    acquired: Vec<AccountId>,
}

/// The service's side of a [`LeaseKeeper`].
#[derive(Debug, Clone)]
pub struct Leases {
    replica: Replica,
    released: Arc<ReleasedLeases>,
}

/// Accounts on which work has ended; their leases are given up with the next look.
#[derive(Debug, Default)]
struct ReleasedLeases {
    accounts: Mutex<HashSet<AccountId>>,
    wake: Notify,
}

impl ReleasedLeases {
    fn lock(&self) -> MutexGuard<'_, HashSet<AccountId>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LeaseKeeper {
    /// Makes a keeper, the channel of its changes, and the handle for the service.
    pub fn new(
        replica: Replica,
        direction: Direction,
    ) -> (Self, mpsc::Receiver<LeaseChange>, Leases) {
        let released = Arc::<ReleasedLeases>::default();
        let (changes, receiver) = mpsc::channel(16);
        let leases = Leases {
            replica: replica.clone(),
            released: Arc::clone(&released),
        };
        let keeper = Self {
            replica,
            direction,
            released,
            changes,
            held: HashSet::new(),
            surplus: HashSet::new(),
            last: None,
            is_woken: true,
        };
        (keeper, receiver, leases)
    }

    /// Keeps leases until `stop`. Those that are held then are left to the service to give up,
    /// once its work on them has ended.
    pub fn run(mut self, stop: CancellationToken) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let mut ticks = tokio::time::interval(TICK);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    _ = ticks.tick() => {}
                    () = self.released.wake.notified() => self.is_woken = true,
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
                    Err(error) => {
                        self.last = None;
                        warn!(
                            error = &error as &dyn std::error::Error,
                            "Leases were not renewed; it is tried again"
                        );
                    }
                }
            }
        })
    }

    async fn keep(&mut self) -> Result<Vec<LeaseChange>, StoreError> {
        let released: Vec<AccountId> = self.released.lock().iter().copied().collect();
        let seen = self.look(&released).await?;
        let LastLook { enabled, alive, .. } = seen.now;
        self.is_woken = false;
        self.last = Some(LastLook {
            kept_at: Instant::now(),
            ..seen.now
        });
        let share = fair_share(enabled, alive);
        self.forget(&released);
        let renewed: Option<HashSet<AccountId>> = seen.renewed.map(HashSet::from_iter);
        let lost = renewed.as_ref().map(|renewed| self.drop_lost(renewed));
        let lost = lost.unwrap_or_default();
        let gained = self.take(renewed.unwrap_or_default(), seen.acquired);
        let surplus = self.choose_surplus(usize::try_from(share).unwrap_or(0));
        if !gained.is_empty() || !lost.is_empty() || !surplus.is_empty() {
            info!(
                held = self.held.len(),
                gained = gained.len(),
                lost = lost.len(),
                surplus = surplus.len(),
                replicas = alive,
                "Leases changed"
            );
        }
        // An account may be in two: another replica had it meanwhile, and it is ours again.
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

    /// Writes the heartbeat, reads all leases if something may have changed, and acquires what is missing to a fair share.
    async fn look(&self, released: &[AccountId]) -> Result<LeaseLook, StoreError> {
        let id = self.replica.id;
        let mut tx = self.replica.database.begin_urgent().await?;
        let alive = replica::beat(&mut tx, id, self.replica.service).await?;
        if !released.is_empty() {
            lease::release(&mut tx, id, released).await?;
        }
        let recent = self
            .last
            .filter(|last| released.is_empty() && !self.is_woken && last.is_recent(alive));
        let (now, renewed) = if let Some(recent) = recent {
            (recent, None)
        } else {
            let renewed = lease::renew(&mut tx, id, self.direction).await?;
            let now = LastLook {
                read_all_at: Instant::now(),
                kept_at: Instant::now(),
                enabled: lease::count_enabled(&mut tx, self.direction).await?,
                alive,
            };
            (now, Some(renewed))
        };
        let share = fair_share(now.enabled, alive);
        let held = renewed.as_ref().map_or(self.held.len(), Vec::len);
        let room = share.saturating_sub(i64::try_from(held).unwrap_or(i64::MAX));
        let acquired = if room > 0 {
            lease::acquire(&mut tx, id, self.direction, room).await?
        } else {
            Vec::new()
        };
        tx.commit().await?;
        Ok(LeaseLook {
            now,
            renewed,
            acquired,
        })
    }

    /// Notes that these were given up, so that they can be gained again.
    fn forget(&mut self, released: &[AccountId]) {
        let mut waiting = self.released.lock();
        for id in released {
            waiting.remove(id);
            self.held.remove(id);
            self.surplus.remove(id);
        }
    }

    fn drop_lost(&mut self, renewed: &HashSet<AccountId>) -> Vec<AccountId> {
        let lost: Vec<AccountId> = self.held.difference(renewed).copied().collect();
        for id in &lost {
            self.held.remove(id);
            self.surplus.remove(id);
        }
        lost
    }

    /// What was acquired is new even if it was held before: the work on it has ended.
    fn take(&mut self, renewed: HashSet<AccountId>, acquired: Vec<AccountId>) -> Vec<AccountId> {
        let ours = renewed.into_iter().chain(acquired);
        ours.filter(|id| self.held.insert(*id)).collect()
    }

    /// Chooses what is too much and not chosen yet: ending work takes time.
    fn choose_surplus(&mut self, share: usize) -> Vec<AccountId> {
        let count = self.held.len().saturating_sub(share + self.surplus.len());
        let kept = self.held.difference(&self.surplus);
        let chosen: Vec<AccountId> = kept.take(count).copied().collect();
        self.surplus.extend(&chosen);
        chosen
    }
}

impl LastLook {
    /// Returns whether what was seen still holds, with so many replicas alive.
    fn is_recent(&self, alive: i64) -> bool {
        self.alive == alive
            && self.read_all_at.elapsed() < READ_ALL_EVERY
            && self.kept_at.elapsed() < AWAY
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
        self.released.wake.notify_one();
    }

    /// Notes that accounts are no longer worked on. The keeper gives them up, however often it has to try.
    pub fn release(&self, accounts: &[AccountId]) {
        if accounts.is_empty() {
            return;
        }
        self.released.lock().extend(accounts);
        self.wake();
    }

    /// Gives accounts up at once, with those that were released before: for the end, when the keeper has stopped.
    ///
    /// # Errors
    /// When the database fails; the leases then end with the replica.
    pub fn give_up<'a>(
        &'a self,
        accounts: &'a [AccountId],
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let mut all = std::mem::take(&mut *self.released.lock());
            all.extend(accounts);
            let all: Vec<AccountId> = all.into_iter().collect();
            let mut tx = self.replica.database.begin().await?;
            lease::release(&mut tx, self.replica.id, &all).await?;
            tx.commit().await
        })
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
