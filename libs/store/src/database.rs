use std::fmt::Debug;
use std::net::IpAddr;
use std::ops::DerefMut;
use std::str::FromStr;
use std::time::Duration;

use futures_util::future::BoxFuture;
use mailmesh_secrets::{ExposeSecret, SecretString};
use sqlx::migrate::Migrator;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgSslMode, PgTransactionManager};
use sqlx::{Connection, PgConnection, Postgres};
use sqlx_core::transaction::TransactionManager;

use crate::StoreError;
use crate::timed_connection::{StatementTimeout, TimedConnection};

/// Connections of each process that are kept for what must not wait behind other work.
pub const URGENT_CONNECTIONS: u32 = 2;

fn migrator() -> Migrator {
    let mut migrator = sqlx_macros::migrate!("./migrations");
    // Of a newer release: during an upgrade, both run.
    migrator.set_ignore_missing(true);
    migrator
}

/// How to reach Postgres.
#[derive(Debug, Clone)]
pub struct DatabaseSettings {
    /// `postgres://user:password@host:port/database`.
    pub url: SecretString,
    /// Maximum connections, besides [`URGENT_CONNECTIONS`]; the sum over all replicas must stay under the
    /// server's limit.
    pub max_connections: u32,
    /// How long to wait for a free connection.
    pub acquire_timeout: Duration,
    /// A file with the CA that signed the server's certificate, for a private CA.
    pub ca_file: Option<std::path::PathBuf>,
}

/// A pool of connections to the mesh's database.
#[derive(Debug, Clone)]
pub struct Database {
    pool: PgPool,
    urgent: PgPool,
    statement_timeout: StatementTimeout,
}

/// How the database's schema compares with this release's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MigrationState {
    /// As this release needs it.
    Current,
    /// Number of migrations that must be applied first: `mailmesh migrate`.
    Behind(usize),
    /// A newer release has migrated it; this one runs against it all the same.
    Ahead,
}

/// One transaction. Rolled back when dropped. Each statement is waited for 15 seconds.
#[derive(Debug)]
pub struct Tx {
    connection: Box<dyn Borrowed>,
    statement_timeout: StatementTimeout,
    is_awaiting: bool,
    is_committed: bool,
}

/// A connection of a pool. Its type is hidden: to drop one means to give it back or to open another, and all of that would
/// be compiled again in each crate that drops a transaction.
trait Borrowed: DerefMut<Target = PgConnection> + Debug + Send {
    fn close_on_drop(&mut self);
}

impl Borrowed for PoolConnection<Postgres> {
    fn close_on_drop(&mut self) {
        Self::close_on_drop(self);
    }
}

impl Database {
    /// Connects, and proves it with one connection.
    ///
    /// # Errors
    /// [`StoreError::Settings`] for an unusable URL, [`StoreError::Connect`] when nobody answers.
    pub fn connect(settings: &DatabaseSettings) -> BoxFuture<'_, Result<Self, StoreError>> {
        Box::pin(Self::open(settings))
    }

    async fn open(settings: &DatabaseSettings) -> Result<Self, StoreError> {
        let mut options = PgConnectOptions::from_str(settings.url.expose_secret())
            .map_err(StoreError::settings)?
            .application_name("mailmesh");
        if let Some(file) = &settings.ca_file {
            options = options.ssl_root_cert(file).ssl_mode(PgSslMode::VerifyFull);
        } else if requires_tls(settings.url.expose_secret(), options.get_host()) {
            options = options.ssl_mode(PgSslMode::Require);
        }
        // The pool tries on until its time is up and then says only that; one connection of our own
        // says why nobody answers or who is refused.
        let proved = PgConnection::connect_with(&options);
        let proved = tokio::time::timeout(settings.acquire_timeout, proved).await;
        let proof = proved.unwrap_or(Err(sqlx::Error::PoolTimedOut));
        proof.map_err(StoreError::connect)?.close().await.ok();
        let statement_timeout = StatementTimeout::new();
        let pool = pool_options(&statement_timeout)
            .max_connections(settings.max_connections)
            .acquire_timeout(settings.acquire_timeout)
            .connect_with(options.clone())
            .await
            .map_err(StoreError::connect)?;
        let urgent = pool_options(&statement_timeout)
            .max_connections(URGENT_CONNECTIONS)
            .acquire_timeout(settings.acquire_timeout)
            .connect_lazy_with(options);
        Ok(Self {
            pool,
            urgent,
            statement_timeout,
        })
    }

    /// Replaces how long a statement is waited for.
    #[must_use]
    pub fn answering_within(self, limit: Duration) -> Self {
        Self {
            statement_timeout: self.statement_timeout.with_limit(limit),
            ..self
        }
    }

    /// Applies the migrations that are missing.
    ///
    /// # Errors
    /// [`StoreError::Migrate`].
    pub fn migrate(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            migrator()
                .run(&self.pool)
                .await
                .map_err(|error| StoreError::Migrate(error.into()))
        })
    }

    /// Compares the database's schema with this release's.
    ///
    /// # Errors
    /// When the database does not answer.
    pub fn migration_state(&self) -> BoxFuture<'_, Result<MigrationState, StoreError>> {
        Box::pin(async move {
            let operation = StoreError::query("read the applied migrations");
            let exists: bool =
                sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL")
                    .fetch_one(&self.pool)
                    .await
                    .map_err(&operation)?;
            let applied: Vec<i64> = if exists {
                sqlx::query_scalar("SELECT version FROM _sqlx_migrations WHERE success")
                    .fetch_all(&self.pool)
                    .await
                    .map_err(&operation)?
            } else {
                Vec::new()
            };
            let known: Vec<i64> = migrator()
                .iter()
                .map(|migration| migration.version)
                .collect();
            let missing = known.iter().filter(|version| !applied.contains(version));
            Ok(match missing.count() {
                0 if applied.iter().any(|version| !known.contains(version)) => {
                    MigrationState::Ahead
                }
                0 => MigrationState::Current,
                missing => MigrationState::Behind(missing),
            })
        })
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// [`StoreError::Connect`] when no connection can be had.
    pub fn begin(&self) -> BoxFuture<'_, Result<Tx, StoreError>> {
        Box::pin(self.begin_of(&self.pool))
    }

    /// Begins a transaction on a connection that other work cannot take: a replica whose heart cannot beat because all
    /// connections are busy would be taken for dead.
    ///
    /// # Errors
    /// [`StoreError::Connect`] when no connection can be had.
    pub fn begin_urgent(&self) -> BoxFuture<'_, Result<Tx, StoreError>> {
        Box::pin(self.begin_of(&self.urgent))
    }

    async fn begin_of(&self, pool: &PgPool) -> Result<Tx, StoreError> {
        let mut tx = self.acquire(pool).await?;
        let mut begun = tx.begin().await;
        if begun.is_err() {
            // It died in the pool, and the others with it as like as not: this opens a new one.
            self.statement_timeout.suspect_all();
            tx = self.acquire(pool).await?;
            begun = tx.begin().await;
        }
        begun.map_err(StoreError::connect)?;
        Ok(tx)
    }

    async fn acquire(&self, pool: &PgPool) -> Result<Tx, StoreError> {
        Ok(Tx {
            connection: Box::new(pool.acquire().await.map_err(StoreError::connect)?),
            statement_timeout: self.statement_timeout.clone(),
            is_awaiting: false,
            is_committed: false,
        })
    }

    /// Proves that the database answers, and returns its clock.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn ping(&self) -> BoxFuture<'_, Result<time::OffsetDateTime, StoreError>> {
        Box::pin(async move {
            let asked = sqlx::query_scalar("SELECT now()").fetch_one(&self.pool);
            self.statement_timeout
                .wait(asked)
                .await
                .map_err(StoreError::query("ask Postgres for its clock"))
        })
    }

    /// Returns the server's version number, such as 180006.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn server_version(&self) -> BoxFuture<'_, Result<i32, StoreError>> {
        Box::pin(async move {
            sqlx::query_scalar("SELECT current_setting('server_version_num')::integer")
                .fetch_one(&self.pool)
                .await
                .map_err(StoreError::query("ask Postgres for its version"))
        })
    }

    /// Closes every connection.
    pub fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.pool.close().await;
            self.urgent.close().await;
        })
    }
}

/// Says whether the connection must be encrypted: passwords and mail would cross a network in clear otherwise. sqlx itself only
/// prefers TLS, which whoever sits between can talk it out of.
fn requires_tls(url: &str, host: &str) -> bool {
    let is_local = host.starts_with('/')
        || host.eq_ignore_ascii_case("localhost")
        || host
            .trim_matches(['[', ']'])
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback());
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let names_mode = query
        .split('&')
        .any(|part| part.starts_with("sslmode=") || part.starts_with("ssl-mode="));
    !is_local && !names_mode
}

fn pool_options(statement_timeout: &StatementTimeout) -> PgPoolOptions {
    let trust = statement_timeout.clone();
    PgPoolOptions::new()
        .test_before_acquire(false)
        .before_acquire(move |_, connection| {
            let is_trusted = trust.trusts(connection.age);
            Box::pin(async move { Ok(is_trusted) })
        })
        .after_connect(|connection, _| {
            // A frozen process must not keep its locks: they would stop whoever takes over. Not
            // a startup parameter, as PgBouncer refuses those.
            Box::pin(async move {
                sqlx::query("SET idle_in_transaction_session_timeout = '5s'")
                    .execute(connection)
                    .await
                    .map(drop)
            })
        })
}

impl Tx {
    async fn begin(&mut self) -> Result<(), sqlx::Error> {
        self.is_awaiting = true;
        let begun = PgTransactionManager::begin(&mut self.connection, None);
        self.statement_timeout.wait(begun).await?;
        self.is_awaiting = false;
        Ok(())
    }

    /// Makes everything done in this transaction durable.
    ///
    /// # Errors
    /// When the commit fails: whether it was applied is then unknown.
    pub fn commit(self) -> BoxFuture<'static, Result<(), StoreError>> {
        Box::pin(self.make_durable())
    }

    async fn make_durable(mut self) -> Result<(), StoreError> {
        self.is_awaiting = true;
        let committed = PgTransactionManager::commit(&mut self.connection);
        let committed = self.statement_timeout.wait(committed).await;
        committed.map_err(StoreError::query("commit"))?;
        self.is_awaiting = false;
        self.is_committed = true;
        Ok(())
    }

    pub(crate) fn connection(&mut self) -> TimedConnection<'_> {
        TimedConnection {
            connection: &mut self.connection,
            statement_timeout: &self.statement_timeout,
            is_awaiting: &mut self.is_awaiting,
        }
    }
}

impl Drop for Tx {
    fn drop(&mut self) {
        if self.is_awaiting {
            self.connection.close_on_drop();
        } else if !self.is_committed {
            PgTransactionManager::start_rollback(&mut self.connection);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_of_other_machines_need_tls_unless_the_address_says_otherwise() {
        for (url, requires) in [
            ("postgres://u:p@localhost/d", false),
            ("postgres://u:p@127.0.0.1:5432/d", false),
            ("postgres://u:p@[::1]:5432/d", false),
            ("postgres://u:p@%2Fvar%2Frun/d", false),
            ("postgres://u:p@postgres:5432/d", true),
            ("postgres://u:p@10.0.0.1/d?application_name=x", true),
            ("postgres://u:p@localhost.example.com/d", true),
            ("postgres://u:p@postgres/d?sslmode=disable", false),
            ("postgres://u:p@postgres/d?x=1&sslmode=verify-full", false),
        ] {
            let options = PgConnectOptions::from_str(url).unwrap();

            assert_eq!(requires_tls(url, options.get_host()), requires, "{url}");
        }
    }
}
