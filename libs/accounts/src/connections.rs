use std::sync::Arc;

use futures_util::future::BoxFuture;
use mailmesh_bus::{Bus, BusError, BusSettings, StreamError};
use mailmesh_secrets::KeysError;
use mailmesh_store::{Database, MigrationState, PostgresSettings, StoreError};

use crate::{ConnectSettings, MailServers};

/// Connections that all services of one process share.
#[derive(Debug, Clone)]
pub struct Connections {
    /// Migrated to the shape that this release needs.
    pub database: Database,
    /// Its streams exist with the configured limits.
    pub bus: Bus,
    pub servers: Arc<MailServers>,
}

/// NATS or Postgres cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
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
        }
    }

    /// Sets the limits on sign-ins, before any service is built.
    #[must_use]
    pub fn with_limits(mut self, connects: &ConnectSettings) -> Self {
        self.servers = Arc::new(MailServers::new(connects));
        self
    }

    /// Connects to both, refuses a database that is not migrated, and makes the streams.
    ///
    /// # Errors
    /// [`OpenError`], which says what to do.
    pub fn open<'a>(
        postgres: &'a PostgresSettings,
        nats: &'a BusSettings,
    ) -> BoxFuture<'a, Result<Self, OpenError>> {
        Box::pin(async move {
            let database = Database::connect(&postgres.resolve()?).await?;
            if let MigrationState::Behind(missing) = database.migration_state().await? {
                return Err(OpenError::NotMigrated { missing });
            }
            let bus = Bus::connect(nats).await?;
            bus.ensure_streams().await?;
            Ok(Self::new(database, bus))
        })
    }
}
