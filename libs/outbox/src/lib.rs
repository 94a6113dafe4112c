//! Moves committed outbox rows to the bus, in order per account, with message-id dedupe.
//!
//! Promises that a committed event is published at least once and stored once within the bus's
//! duplicate window, in the order of commits of this replica: after a failure everything from the
//! first unpublished row on is published again, and what was stored already is told by its id.
//! The rows of a dead replica are adopted by those that live.

use std::sync::Arc;
use std::time::Duration;

use mailmesh_bus::{Bus, Outgoing, PublishError};
use mailmesh_domain::ReplicaId;
use mailmesh_store::outbox::{self, OutboxRow};
use mailmesh_store::{Database, StoreError};
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::warn;

const BATCH_ROWS: i64 = 500;
const IDLE_TICK: Duration = Duration::from_secs(1);
const ADOPT_EVERY: Duration = Duration::from_secs(5);
const LAST_FLUSH: Duration = Duration::from_secs(5);

/// Relays the outbox rows of one replica.
#[derive(Debug)]
pub struct Relay {
    database: Database,
    bus: Bus,
    replica: ReplicaId,
    wake: Arc<Notify>,
}

/// Wakes a [`Relay`].
#[derive(Debug, Clone)]
pub struct RelayHandle {
    wake: Arc<Notify>,
}

impl RelayHandle {
    /// Relays at once, because rows were committed.
    pub fn wake(&self) {
        self.wake.notify_one();
    }
}

/// Rows could not be relayed; they stay in the outbox.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// The database failed.
    #[error("cannot read or clear the outbox")]
    Store(#[from] StoreError),
    /// The bus did not take an event.
    #[error("cannot publish an event of the outbox")]
    Publish(#[source] PublishError),
}

impl Relay {
    /// Makes the relay of a replica, and the handle that wakes it.
    pub fn new(database: Database, bus: Bus, replica: ReplicaId) -> (Self, RelayHandle) {
        let wake = Arc::new(Notify::new());
        let handle = RelayHandle {
            wake: Arc::clone(&wake),
        };
        let relay = Self {
            database,
            bus,
            replica,
            wake,
        };
        (relay, handle)
    }

    /// Relays until `stop`, then what is left, within bounded time.
    pub async fn run(self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(IDLE_TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut adopt_at = Instant::now() + ADOPT_EVERY;
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = ticks.tick() => {}
                () = self.wake.notified() => {}
            }
            if Instant::now() >= adopt_at {
                adopt_at = Instant::now() + ADOPT_EVERY;
                log(self.adopt().await);
            }
            log(self.flush_once().await);
        }
        if let Ok(result) = tokio::time::timeout(LAST_FLUSH, self.flush_once()).await {
            log(result);
        }
    }

    /// Publishes all rows that wait, and returns how many there were.
    ///
    /// # Errors
    /// At the first event that the bus did not take; what came before it is cleared.
    pub async fn flush_once(&self) -> Result<u64, RelayError> {
        let mut relayed = 0;
        loop {
            let mut tx = self.database.begin().await?;
            let rows = outbox::list(&mut tx, self.replica, BATCH_ROWS).await?;
            tx.commit().await?;
            if rows.is_empty() {
                return Ok(relayed);
            }
            relayed += self.relay(rows).await?;
        }
    }

    async fn relay(&self, rows: Vec<OutboxRow>) -> Result<u64, RelayError> {
        let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
        let outgoing = rows.into_iter().map(|row| Outgoing {
            subject: row.event.subject,
            message_id: row.event.id,
            headers: row.event.headers,
            payload: row.event.payload.into(),
        });
        let answers = self.bus.publish_all(outgoing.collect()).await;
        let stored = answers.iter().take_while(|answer| answer.is_ok()).count();
        let cleared: Vec<i64> = ids.into_iter().take(stored).collect();
        if !cleared.is_empty() {
            let mut tx = self.database.begin().await?;
            outbox::delete(&mut tx, &cleared).await?;
            tx.commit().await?;
        }
        match answers.into_iter().find_map(Result::err) {
            Some(error) => Err(RelayError::Publish(error)),
            None => Ok(stored as u64),
        }
    }

    async fn adopt(&self) -> Result<u64, RelayError> {
        let mut tx = self.database.begin().await?;
        let adopted = outbox::adopt(&mut tx, self.replica, 10_000).await?;
        tx.commit().await?;
        Ok(adopted)
    }
}

/// The next tick tries again: a second is long against a restart and short against an outage.
fn log(result: Result<u64, RelayError>) {
    if let Err(error) = result {
        warn!(
            error = &error as &dyn std::error::Error,
            "Events wait in the outbox; it is tried again"
        );
    }
}
