//! Makes a process one replica of a service, and runs one worker per account that the replica holds.
//!
//! A [`Replica`] has its connections to NATS and Postgres, its heartbeat and the relay of its outbox. An [`AccountHost`]
//! starts, wakes, restarts and stops workers by leases, hints and rows; what a worker does is the service's
//! ([`AccountWork`]). Both directions share what would else be written twice: opening credentials and asking for tokens,
//! recording an account's state with its event, limits on sign-ins per host, backoff, memory budgets, group commit.
//!
//! Promises that replicas of a service share accounts evenly, that those of a dead one are taken
//! over within 15 seconds, and that an event whose transaction is committed is published, by this
//! process or by another. Leases decide who tries and nothing more: correctness rests on the
//! stream's fence and on the attempt rows. A worker that panics or fails ends no other's work.

mod backoff;
mod connections;
mod credentials;
mod group_commit;
mod health;
mod host;
mod lease;
mod limit;
mod memory;
mod registration;
mod relay;
mod servers;
mod snapshot;
mod state;
mod tls;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use mailmesh_bus::{Bus, StreamKind};
use mailmesh_domain::{Clock, EventId, ReplicaId};
use mailmesh_events::{EncodedEvent, Event};
use mailmesh_store::{Database, StoreError, replica};
use tokio_util::sync::CancellationToken;
use tracing::warn;

pub use backoff::{Backoff, spread};
pub use connections::{Connections, ConnectionsError};
pub use credentials::{AccountCredentials, CredentialsError, OpenedCredentials, open_credentials};
pub use group_commit::{GroupCommit, GroupHandle, GroupReceipt, GroupSettings, GroupWrite};
pub use health::{HealthError, ReplicaHealth};
pub use host::{AccountHost, HostSettings, Overlap, WorkerRegistry, WorkerView};
pub use lease::{LeaseChange, LeaseKeeper, Leases};
pub use limit::{ConnectPermit, ConnectSettings, ConnectSettingsError};
pub use memory::{MemoryBudget, MemoryPermit, MemoryShare};
pub use registration::{open_registration, read_registration};
pub use relay::{Relay, RelayError, RelayHandle};
pub use servers::{EndpointError, MailServers};
pub use snapshot::AccountSnapshot;
pub use state::RecordedState;
pub use worker::{AccountWork, WorkerSignals};

const HEARTBEAT: Duration = Duration::from_secs(3);
/// Interval of looking at the streams.
const LOOK_AT_STREAMS: Duration = Duration::from_secs(5);

/// One replica of a service, shared by all its tasks.
#[derive(Debug, Clone)]
pub struct Replica {
    /// New with every start.
    pub id: ReplicaId,
    /// The service's name, such as `inbound-fetcher`.
    pub service: &'static str,
    pub database: Database,
    pub bus: Bus,
    /// Shared with the other services of the process.
    pub servers: Arc<MailServers>,
    /// Wakes the relay after a commit that added to the outbox.
    pub outbox: RelayHandle,
    pub health: Arc<ReplicaHealth>,
    pub clock: Arc<dyn Clock>,
}

/// The tasks that keep a replica alive; run them until the service has stopped.
#[derive(Debug)]
pub struct Membership {
    replica: Replica,
    relay: Relay,
    streams: &'static [StreamKind],
}

impl Replica {
    /// Makes this process a replica of `service` and announces it.
    ///
    /// # Errors
    /// When the database fails.
    pub fn join<'a>(
        service: &'static str,
        connections: &'a Connections,
        clock: Arc<dyn Clock>,
    ) -> BoxFuture<'a, Result<(Self, Membership), StoreError>> {
        Box::pin(async move {
            let id = ReplicaId::generate(&*clock);
            let (database, bus) = (connections.database.clone(), connections.bus.clone());
            let (relay, outbox) = Relay::new(database, bus, id, source_of(service));
            let joined = Self {
                id,
                service,
                database: connections.database.clone(),
                bus: connections.bus.clone(),
                servers: Arc::clone(&connections.servers),
                outbox,
                health: Arc::new(ReplicaHealth::new()),
                clock,
            };
            joined.beat().await?;
            let membership = Membership {
                replica: joined.clone(),
                relay,
                streams: &[StreamKind::Events],
            };
            Ok((joined, membership))
        })
    }

    /// Encodes an event of this service, with a new id and the present moment.
    ///
    /// # Errors
    /// When the event cannot be written as JSON.
    pub fn encode<E: Event>(&self, event: &E) -> Result<EncodedEvent, serde_json::Error> {
        let id = EventId::generate(&*self.clock);
        mailmesh_events::encode(event, id, &self.source(), self.clock.now())
    }

    /// Returns the CloudEvents source of this service's events.
    pub fn source(&self) -> String {
        source_of(self.service)
    }

    fn beat(&self) -> BoxFuture<'_, Result<i64, StoreError>> {
        Box::pin(async move {
            let mut tx = self.database.begin_urgent().await?;
            let alive = replica::beat(&mut tx, self.id, self.service).await?;
            let problem = self.health.problem();
            replica::set_problem(&mut tx, self.id, problem.as_ref()).await?;
            tx.commit().await?;
            Ok(alive)
        })
    }
}

fn source_of(service: &str) -> String {
    format!("mailmesh/{service}")
}

impl Membership {
    /// Names the streams that the service needs, besides `EVENTS`: its health asks for them.
    #[must_use]
    pub fn needing(self, streams: &'static [StreamKind]) -> Self {
        Self { streams, ..self }
    }

    /// Returns whether the replica can do its work, for the service's readiness.
    pub fn health(&self) -> Arc<ReplicaHealth> {
        Arc::clone(&self.replica.health)
    }

    /// Sends heartbeats, looks at the streams and relays until `stop`; then relays what is left and deregisters the replica. Stop it after the
    /// service's own tasks have ended, since they still add to the outbox.
    pub fn run(self, stop: CancellationToken) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let Self {
                replica,
                relay,
                streams,
            } = self;
            let relaying = relay.run(stop.clone());
            let beating = beat_until(&replica, &stop);
            let looking = look_until(&replica, streams, &stop);
            tokio::join!(relaying, beating, looking);
            if let Err(error) = leave(&replica).await {
                warn!(
                    error = &error as &dyn std::error::Error,
                    "The replica could not say good-bye; others notice by its silence"
                );
            }
        })
    }
}

async fn beat_until(replica: &Replica, stop: &CancellationToken) {
    let mut ticks = tokio::time::interval(HEARTBEAT);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let beaten = replica.beat().await.map(drop);
        if let Err(error) = &beaten {
            warn!(
                error = error as &dyn std::error::Error,
                "The heartbeat failed; it is tried again"
            );
        }
        replica.health.note_beat(beaten);
    }
}

/// Looks for what keeps the streams from being used, and tells it by the heartbeat's row.
async fn look_until(replica: &Replica, streams: &[StreamKind], stop: &CancellationToken) {
    let mut ticks = tokio::time::interval(LOOK_AT_STREAMS);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let fault = tokio::select! {
            () = stop.cancelled() => return,
            fault = replica.bus.find_fault(streams) => fault,
        };
        replica.health.note_fault(fault);
    }
}

async fn leave(replica: &Replica) -> Result<(), StoreError> {
    let mut tx = replica.database.begin().await?;
    mailmesh_store::replica::remove(&mut tx, replica.id).await?;
    tx.commit().await
}
