//! The loop that claims what is due.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use mailmesh_domain::{ClientConfigurationId, GrantId};
use mailmesh_store::StoreError;
use mailmesh_store::grant::{self, ClaimRules, ClientShares, Grant};
use tokio::sync::Notify;
use tokio::task::{self, JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::app_grant;
use crate::refresh::Refresher;
use crate::takeover::Takeover;

/// Longer than all that one refresh may wait for; see `refresh`.
pub(crate) const CLAIM: Duration = Duration::from_secs(90);
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const COUNT_EVERY: Duration = Duration::from_secs(15);

/// Refreshes what is due until `stop`, then ends those that are under way.
pub(crate) async fn run(refresher: Arc<Refresher>, wake: Arc<Notify>, stop: CancellationToken) {
    let mut scheduler = Scheduler {
        refresher,
        tasks: JoinSet::new(),
        under_way: HashMap::new(),
        takeover: Takeover::default(),
    };
    let mut count_at = Instant::now();
    let mut start_at = Instant::now();
    loop {
        if Instant::now() >= start_at {
            app_grant::start(&scheduler.refresher).await;
            start_at = Instant::now() + scheduler.refresher.context.config.poll();
        }
        if Instant::now() >= count_at {
            scheduler.count_stuck().await;
            count_at = Instant::now() + COUNT_EVERY;
        }
        let pause = scheduler.fill(&stop).await;
        tokio::select! {
            () = stop.cancelled() => break,
            () = wake.notified() => {}
            () = tokio::time::sleep(pause) => {}
            Some(ended) = scheduler.tasks.join_next_with_id() => scheduler.note(ended),
        }
        while let Some(ended) = scheduler.tasks.try_join_next_with_id() {
            scheduler.note(ended);
        }
    }
    while let Some(ended) = scheduler.tasks.join_next_with_id().await {
        scheduler.note(ended);
    }
}

struct Scheduler {
    refresher: Arc<Refresher>,
    tasks: JoinSet<()>,
    under_way: HashMap<task::Id, (GrantId, ClientConfigurationId)>,
    takeover: Takeover,
}

impl Scheduler {
    /// Claims and starts as much as there is room for; returns how long to wait for more.
    async fn fill(&mut self, stop: &CancellationToken) -> Duration {
        let config = &self.refresher.context.config;
        let poll = config.poll();
        let room = config.max_in_flight.saturating_sub(self.tasks.len());
        if room == 0 {
            return poll;
        }
        let claimed_at = Instant::now();
        let claimed = self.claim(room).await;
        self.takeover.note(&claimed);
        let (due, pause) = match claimed {
            Ok(claimed) => claimed,
            Err(error) => {
                warn!(
                    error = &error as &dyn std::error::Error,
                    "Due grants cannot be read; it is tried again"
                );
                return poll;
            }
        };
        let is_full = due.len() == room;
        for grant in due {
            let (id, refresher) = (grant.id, Arc::clone(&self.refresher));
            let client = grant.client_configuration_id;
            refresher.context.clients.begin(client);
            let stop = stop.clone();
            let task = async move { refresher.refresh(grant, claimed_at, &stop).await };
            let handle = self.tasks.spawn(task);
            self.under_way.insert(handle.id(), (id, client));
        }
        // With all places taken, the first that ends wakes the loop.
        if is_full { poll } else { pause.min(poll) }
    }

    async fn claim(&self, room: usize) -> Result<(Vec<Grant>, Duration), StoreError> {
        let replica = &self.refresher.context.replica;
        let now = replica.clock.now();
        // Such a claim may have ended while its new tokens wait for the database.
        let except: Vec<GrantId> = self.under_way.values().map(|(id, _)| *id).collect();
        let allowance = self.refresher.context.clients.allowance();
        let claiming = ClaimRules {
            replica: replica.id,
            claim_for: CLAIM,
            except: &except,
            takes_over: self.takeover.is_safe(),
            shares: ClientShares {
                named: &allowance.proved,
                others: 0,
            },
        };
        let mut tx = replica.database.begin().await?;
        grant::resume_corrected(&mut tx, now).await?;
        let mut due = grant::claim_due(&mut tx, &claiming, now, as_limit(room)).await?;
        let none = |(id, _): &(ClientConfigurationId, i64)| (*id, 0);
        let proved = allowance.proved.iter().map(none);
        let named: Vec<_> = proved.chain(allowance.unproved.iter().copied()).collect();
        let claiming = ClaimRules {
            shares: ClientShares {
                named: &named,
                others: allowance.unknown,
            },
            ..claiming
        };
        let left = room
            .saturating_sub(due.len())
            .min(allowance.places_of_unproved);
        due.extend(grant::claim_due(&mut tx, &claiming, now, as_limit(left)).await?);
        // What has no place now is looked for once one of those under way has ended.
        let named: Vec<_> = allowance
            .proved
            .iter()
            .chain(&allowance.unproved)
            .copied()
            .collect();
        let claiming = ClaimRules {
            shares: ClientShares {
                named: &named,
                others: allowance.unknown,
            },
            ..claiming
        };
        let next = grant::next_due_at(&mut tx, &claiming).await?;
        tx.commit().await?;
        let pause = next.map_or(Duration::MAX, |at| {
            Duration::try_from(at - now).unwrap_or_default()
        });
        Ok((due, pause.max(SHORTEST_PAUSE)))
    }

    async fn count_stuck(&mut self) {
        let counted = async {
            let mut tx = self.refresher.context.replica.database.begin().await?;
            grant::count_stuck(&mut tx).await
        };
        let counted = counted.await;
        self.takeover.note(&counted);
        match counted {
            Ok(counts) => self.refresher.context.metrics.show_stuck(&counts),
            Err(error) => warn!(
                error = &error as &dyn std::error::Error,
                "Grants that are stuck cannot be counted"
            ),
        }
    }

    fn note(&mut self, ended: Result<(task::Id, ()), JoinError>) {
        let id = match ended {
            Ok((id, ())) => id,
            // Its claim ends by itself, and the grant is tried again.
            Err(error) => {
                error!(
                    error = &error as &dyn std::error::Error,
                    "A refresh broke down"
                );
                error.id()
            }
        };
        if let Some((_, client)) = self.under_way.remove(&id) {
            self.refresher.context.clients.end(client);
        }
    }
}

fn as_limit(places: usize) -> i64 {
    i64::try_from(places).unwrap_or(i64::MAX)
}
