use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use mailmesh_bus::{Bus, BusError, BusSettings, StreamError};
use mailmesh_domain::NetworkSettings;
use mailmesh_secrets::{KeysError, OpeningKeys, SealError};
use mailmesh_store::{Database, DatabaseSettings, MigrationState, PostgresSettings, StoreError};
use tokio::time::Instant;
use tracing::info;

use crate::{ConnectSettings, MailServers};

/// Pause between attempts to reach a Postgres that is starting.
const POSTGRES_PAUSE: Duration = Duration::from_millis(500);

/// Connections that all services of one process share.
#[derive(Debug, Clone)]
pub struct Connections {
    /// Migrated to the shape that this release needs.
    pub database: Database,
    /// Its streams exist with the configured limits.
    pub bus: Bus,
    pub servers: Arc<MailServers>,
    /// Networks beside the public ones that are allowed.
    pub network: NetworkSettings,
}

/// NATS or Postgres cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionsError {
    /// The Postgres section is not usable.
    #[error("the [postgres] settings are not usable")]
    Settings(#[from] KeysError),
    /// Postgres does not answer, or refuses.
    #[error("Postgres is not usable")]
    Database(#[from] StoreError),
    /// The database has another shape than this release needs.
    #[error("the database lacks {missing} migrations; apply them with: mailmesh migrate")]
    NotMigrated {
        /// Number of missing migrations.
        missing: usize,
    },
    /// NATS does not answer, or refuses.
    #[error("NATS is not usable")]
    Bus(#[from] BusError),
    /// The streams cannot be made or changed.
    #[error("the streams are not usable")]
    Streams(#[from] StreamError),
}

impl Connections {
    /// Takes connections that are open, with the default limits on sign-ins.
    pub fn new(database: Database, bus: Bus) -> Self {
        Self {
            database,
            bus,
            servers: Arc::new(MailServers::new(&ConnectSettings::default())),
            network: NetworkSettings::default(),
        }
    }

    /// Sets the limits on sign-ins and the networks that are allowed, before any service is built.
    #[must_use]
    pub fn with_limits(mut self, connects: &ConnectSettings, network: &NetworkSettings) -> Self {
        self.servers = Arc::new(MailServers::new(connects).allowing(network));
        self.network = network.clone();
        self
    }

    /// Has the events that services publish on these connections carry the proof that only a holder of the keys can make.
    ///
    /// # Errors
    /// When a key cannot be used.
    pub fn with_event_proofs(mut self, keys: &OpeningKeys) -> Result<Self, SealError> {
        let proofs = keys.event_proofs()?;
        let prove = move |subject: &str, id: &str, body: &[u8]| proofs.prove(subject, id, body);
        self.bus = self.bus.proving_events(prove);
        Ok(self)
    }

    /// Reaches the database as another role.
    #[must_use]
    pub fn with_database(mut self, database: Database) -> Self {
        self.database = database;
        self
    }

    /// Connects to both, refuses a database that is not migrated, and makes the streams. Servers that are starting are
    /// waited for.
    ///
    /// # Errors
    /// [`ConnectionsError`], which says what to do.
    pub fn open<'a>(
        postgres: &'a PostgresSettings,
        nats: &'a BusSettings,
    ) -> BoxFuture<'a, Result<Self, ConnectionsError>> {
        Box::pin(async move {
            let database = await_database(postgres).await?;
            let bus = Bus::connect(nats).await?;
            bus.await_streams().await?;
            Ok(Self::new(database, bus))
        })
    }
}

/// Connects, trying for up to `connect_wait_seconds` while the server is not reached or still starting.
async fn await_database(postgres: &PostgresSettings) -> Result<Database, ConnectionsError> {
    let settings = postgres.resolve()?;
    let deadline = Instant::now() + postgres.connect_wait();
    let mut is_told = false;
    loop {
        match open_database(&settings).await {
            Err(ConnectionsError::Database(error))
                if error.may_pass() && Instant::now() < deadline =>
            {
                if !is_told {
                    let error = &error as &dyn std::error::Error;
                    info!(error, "Waiting for Postgres");
                    is_told = true;
                }
            }
            opened => return opened,
        }
        tokio::time::sleep(POSTGRES_PAUSE).await;
    }
}

async fn open_database(settings: &DatabaseSettings) -> Result<Database, ConnectionsError> {
    let database = Database::connect(settings).await?;
    match database.migration_state().await? {
        MigrationState::Behind(missing) => Err(ConnectionsError::NotMigrated { missing }),
        MigrationState::Current | MigrationState::Ahead => Ok(database),
    }
}
