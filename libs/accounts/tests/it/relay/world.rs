//! One relay of one replica, with what a test needs around it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mailmesh_accounts::{Relay, RelayHandle};
use mailmesh_bus::{Bus, BusSettings, StreamSettings};
use mailmesh_domain::{ReplicaId, SystemClock};
use mailmesh_events::EncodedEvent;
use mailmesh_secrets::SecretString;
use mailmesh_store::{Database, DatabaseSettings, outbox};
use mailmesh_testkit::{TestServers, eventually, fresh_prefix};
use time::OffsetDateTime;
use time::macros::datetime;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub(crate) const NOW: OffsetDateTime = datetime!(2026-11-24 12:00 UTC);
const MIB: u64 = 1024 * 1024;

pub(crate) struct World {
    pub(crate) database: Database,
    pub(crate) bus: Bus,
    pub(crate) settings: BusSettings,
    /// The replica whose rows [`World::commit`] adds.
    pub(crate) replica: ReplicaId,
}

impl World {
    pub(crate) async fn new() -> Result<Self> {
        let servers = TestServers::shared().await?;
        Self::at(servers.nats_url(), servers.fresh_database().await?).await
    }

    /// Between other servers than the shared ones.
    pub(crate) async fn at(nats_url: &str, postgres_url: SecretString) -> Result<Self> {
        Self::with_window(nats_url, postgres_url, 600).await
    }

    /// As `at`, with a stream that recognises a repeated message id for so long.
    pub(crate) async fn with_window(
        nats_url: &str,
        postgres_url: SecretString,
        duplicate_window_seconds: u64,
    ) -> Result<Self> {
        let settings = BusSettings {
            url: nats_url.to_owned(),
            prefix: fresh_prefix(),
            streams: StreamSettings {
                events_max_bytes: 4 * MIB,
                mail_send_max_bytes: MIB,
                raw_max_bytes: MIB,
                dead_letters_max_bytes: MIB,
                duplicate_window_seconds,
                ..StreamSettings::default()
            },
            ..BusSettings::default()
        };
        let bus = Bus::connect(&settings).await?;
        bus.ensure_streams().await?;
        Ok(Self {
            database: database(postgres_url).await?,
            bus,
            settings,
            replica: replica(),
        })
    }

    pub(crate) fn relay(&self) -> (Relay, RelayHandle) {
        self.relay_of(self.replica)
    }

    pub(crate) fn relay_of(&self, replica: ReplicaId) -> (Relay, RelayHandle) {
        let (database, bus) = (self.database.clone(), self.bus.clone());
        Relay::new(database, bus, replica, SOURCE.to_owned())
    }

    /// Commits events of this world's replica, each in a transaction of its own.
    pub(crate) async fn commit(&self, events: &[EncodedEvent]) -> Result<()> {
        for event in events {
            self.commit_as(self.replica, std::slice::from_ref(event))
                .await?;
        }
        Ok(())
    }

    /// Commits events of a replica in one transaction.
    pub(crate) async fn commit_as(
        &self,
        replica: ReplicaId,
        events: &[EncodedEvent],
    ) -> Result<()> {
        let mut tx = self.database.begin().await?;
        outbox::insert(&mut tx, replica, events, NOW).await?;
        Ok(tx.commit().await?)
    }

    pub(crate) async fn waiting(&self) -> Result<i64> {
        let mut tx = self.database.begin().await?;
        Ok(outbox::count(&mut tx).await?)
    }

    /// The ids of the events that the stream holds of an account, in the stream's order.
    pub(crate) async fn stored(&self, account: &str) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for name in ["mail.sent", "mail.failed", "account.failing"] {
            let subject = format!("{name}.{account}");
            found.extend(self.bus.read_back(&subject, 0)?.collect_all().await?);
        }
        found.sort_unstable_by_key(|stored| stored.sequence);
        let ids = found.into_iter().map(|stored| {
            let headers = stored.headers.into_iter();
            let mut ids = headers.filter(|(name, _)| name == "Nats-Msg-Id");
            ids.next().map(|(_, id)| id).context("without an id")
        });
        ids.collect()
    }

    pub(crate) async fn until_empty(&self) -> Result<()> {
        eventually("the outbox is empty", async || {
            let waiting = self.waiting().await?;
            ensure!(waiting == 0, "{waiting} rows wait");
            Ok(())
        })
        .await
    }
}

async fn database(url: SecretString) -> Result<Database> {
    let settings = DatabaseSettings {
        url,
        max_connections: 4,
        acquire_timeout: Duration::from_secs(10),
        ca_file: None,
    };
    let database = Database::connect(&settings).await?;
    database.migrate().await?;
    Ok(database)
}

pub(crate) fn replica() -> ReplicaId {
    ReplicaId::generate(&SystemClock)
}

pub(crate) const SOURCE: &str = "mailmesh/outbound-sender";

pub(crate) fn event(account: &str, id: &str) -> EncodedEvent {
    EncodedEvent {
        subject: format!("mail.sent.{account}"),
        id: id.to_owned(),
        headers: vec![
            ("ce-id".to_owned(), id.to_owned()),
            ("ce-source".to_owned(), SOURCE.to_owned()),
        ],
        payload: format!("{{\"id\":\"{id}\"}}").into_bytes(),
    }
}

/// A relay that runs beside the test, and no longer than it.
pub(crate) struct RunningReplica {
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

pub(crate) fn run(relay: Relay) -> RunningReplica {
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(relay.run(stop.clone()));
    RunningReplica { tasks, stop }
}

impl RunningReplica {
    /// Stops it, and waits until it has.
    pub(crate) async fn stop(mut self) -> Result<()> {
        self.stop.cancel();
        let limit = Duration::from_secs(20);
        tokio::time::timeout(limit, self.tasks.join_next())
            .await
            .context("the relay does not stop")?;
        Ok(())
    }
}
