//! Moves committed outbox rows to the bus, in order per account, with message-id dedupe.
//!
//! Promises:
//! - A committed event is published at least once, whatever dies in between, and is stored once: the server recognises its
//!   id within the duplicate window, and what may have been published before is looked for in the stream by its id first,
//!   however long ago that was.
//! - The events of one account or grant are stored in the order in which one replica committed
//!   them: the next is sent only after the stream has confirmed the one before, since a burst that
//!   was sent at once could lose its first message with a connection and keep the second. Exempt is
//!   the same news of many mails (`mail.sent` after `mail.sent`), which is in flight together.
//! - No account waits for another: their events are in flight together.
//! - The rows of a dead replica are adopted by those that live.
//!
//! An event that the bus will never take, such as one beyond its largest message, is set aside with
//! an error in the log, and tried once more by the next owner. Everything else stays in the outbox
//! until it is stored.

mod chain;
mod in_flight;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use mailmesh_bus::{Bus, PublishError, ReadError};
use mailmesh_domain::ReplicaId;
use mailmesh_store::outbox::OutboxRow;
use mailmesh_store::{Database, StoreError, outbox};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use self::chain::ChainResult;
use self::in_flight::InFlightRows;

const BATCH_ROWS: i64 = outbox::MOST_IN_FLIGHT;
/// Age of a listing beyond which nothing of it is published: a replica that stood still for ten seconds counts as dead, and
/// another one publishes its rows.
const LISTING_VALID: Duration = Duration::from_secs(5);
/// Interval of looking for rows whose wake-up was lost.
const IDLE: Duration = Duration::from_secs(1);
/// Interval of taking over the rows of dead replicas.
const ADOPT_EVERY: Duration = Duration::from_secs(5);
const ADOPT_ROWS: i64 = 10_000;
/// Time limit for relaying what is left after the stop.
const LAST_FLUSH: Duration = Duration::from_secs(5);
const FIRST_RETRY: Duration = Duration::from_millis(200);
const LAST_RETRY: Duration = Duration::from_secs(5);
/// Failures per log line during an outage: about one line a minute.
const TELL_EVERY: u32 = 12;

/// Relays the outbox rows of one replica.
#[derive(Debug)]
pub struct Relay {
    database: Database,
    bus: Bus,
    replica: ReplicaId,
    /// The CloudEvents source of the service's events.
    source: String,
    wake: Arc<Notify>,
    in_flight: InFlightRows,
}

/// Wakes a [`Relay`].
#[derive(Debug, Clone)]
pub struct RelayHandle {
    wake: Arc<Notify>,
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
    /// It is not known whether an event is stored already.
    #[error("cannot look for an event that may be published")]
    LookUp(#[from] ReadError),
}

/// An outage: how often relaying has failed in a row.
#[derive(Debug, Default)]
struct Outage {
    failures: u32,
}

impl Relay {
    /// Makes the relay of a replica, and the handle that wakes it.
    ///
    /// It takes over what dead replicas of the same service left, known by the CloudEvents source.
    pub fn new(
        database: Database,
        bus: Bus,
        replica: ReplicaId,
        source: String,
    ) -> (Self, RelayHandle) {
        let wake = Arc::new(Notify::new());
        let handle = RelayHandle {
            wake: Arc::clone(&wake),
        };
        let relay = Self {
            database,
            bus,
            replica,
            source,
            wake,
            in_flight: InFlightRows::default(),
        };
        (relay, handle)
    }

    /// Relays until `stop`, then what is left, within bounded time.
    pub async fn run(self, stop: CancellationToken) {
        let mut outage = Outage::default();
        let mut adopt_at = Instant::now();
        loop {
            let work = async {
                let is_adopting = Instant::now() >= adopt_at;
                let result = self.look(is_adopting).await;
                (result, is_adopting)
            };
            tokio::select! {
                // What is in flight then is published again: the bus knows it by its id.
                () = stop.cancelled() => break,
                (result, has_adopted) = work => {
                    if has_adopted {
                        adopt_at = Instant::now() + ADOPT_EVERY;
                    }
                    outage.tell(result);
                }
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.pause(&outage) => {}
            }
        }
        match timeout(LAST_FLUSH, self.flush_once()).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => warn!(
                error = &error as &dyn Error,
                "Events stay in the outbox; another replica adopts them"
            ),
            Err(_elapsed) => warn!("Events stay in the outbox; another replica adopts them"),
        }
    }

    /// Publishes all rows that wait, and returns how many there were.
    ///
    /// # Errors
    /// When an event must wait, or the database fails; whatever could be published is cleared.
    pub async fn flush_once(&self) -> Result<u64, RelayError> {
        let mut relayed = 0;
        loop {
            let mut tx = self.database.begin().await?;
            let rows = outbox::list(&mut tx, self.replica, BATCH_ROWS).await?;
            tx.commit().await?;
            if rows.is_empty() {
                return Ok(relayed);
            }
            let deadline = Instant::now() + LISTING_VALID;
            let published = self.publish(rows, deadline).await?;
            self.clear(&published).await?;
            relayed += published.stored.len() as u64;
            match published.held_up {
                // Chains that can go on do, whatever holds the others up.
                Some(error) if published.stored.is_empty() => {
                    return Err(RelayError::Publish(error));
                }
                _ => {}
            }
        }
    }

    async fn publish(
        &self,
        mut rows: Vec<OutboxRow>,
        deadline: Instant,
    ) -> Result<ChainResult, RelayError> {
        let stored = self.in_flight.find_stored(&self.bus, &rows).await?;
        rows.retain(|row| !stored.contains(&row.id));
        let entered = self.in_flight.enter(&rows);
        let chains = chain::by_key(rows);
        let mut published = chain::publish(&self.bus, &chains, deadline).await;
        self.in_flight.leave_unsent(&entered, &published);
        published.stored.extend(stored);
        Ok(published)
    }

    async fn clear(&self, published: &ChainResult) -> Result<(), RelayError> {
        if !published.is_progress() {
            return Ok(());
        }
        let mut tx = self.database.begin().await?;
        outbox::delete(&mut tx, &published.stored).await?;
        for (id, refusal) in &published.refused {
            outbox::set_aside(&mut tx, *id).await?;
            error!(
                outbox.id = id,
                error = refusal as &dyn Error,
                "The bus will never take this event; it was set aside"
            );
        }
        tx.commit().await?;
        let refused = published.refused.iter().map(|(id, _)| *id);
        self.in_flight
            .leave(published.stored.iter().copied().chain(refused));
        Ok(())
    }

    async fn look(&self, is_adopting: bool) -> Result<u64, RelayError> {
        if is_adopting {
            self.adopt().await?;
        }
        self.flush_once().await
    }

    async fn adopt(&self) -> Result<(), RelayError> {
        let mut tx = self.database.begin().await?;
        let adopted = outbox::adopt(&mut tx, self.replica, &self.source, ADOPT_ROWS).await?;
        tx.commit().await?;
        if adopted > 0 {
            info!(events = adopted, "Events of a dead replica were taken over");
        }
        Ok(())
    }

    /// Waits until there may be something to relay; after a failure wake-ups do not count.
    async fn pause(&self, outage: &Outage) {
        match outage.retry_after() {
            Some(delay) => sleep(delay).await,
            // Woken or not: another replica's rows may have been adopted, and wake-ups are hints.
            None => drop(timeout(IDLE, self.wake.notified()).await),
        }
    }
}

impl RelayHandle {
    /// Relays at once, because rows were committed.
    pub fn wake(&self) {
        self.wake.notify_one();
    }
}

impl Outage {
    fn tell(&mut self, result: Result<u64, RelayError>) {
        match result {
            Ok(_) => {
                if self.failures > 0 {
                    info!("Events leave the outbox again");
                }
                self.failures = 0;
            }
            Err(error) => {
                if self.failures.is_multiple_of(TELL_EVERY) {
                    warn!(
                        error = &error as &dyn Error,
                        "Events wait in the outbox; it is tried again"
                    );
                }
                self.failures = self.failures.saturating_add(1);
            }
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        let doublings = self.failures.checked_sub(1)?.min(16);
        Some(FIRST_RETRY.saturating_mul(1 << doublings).min(LAST_RETRY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_slow_down_to_a_bound() {
        let after = |failures| Outage { failures }.retry_after();

        assert_eq!(after(0), None);
        assert_eq!(after(1), Some(FIRST_RETRY));
        assert_eq!(after(2), Some(FIRST_RETRY * 2));
        assert_eq!(after(6), Some(LAST_RETRY));
        assert_eq!(after(u32::MAX), Some(LAST_RETRY));
    }
}
