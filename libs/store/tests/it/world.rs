//! One Postgres for the whole run, one database per test.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{OnceLock, mpsc};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use mailmesh_embedded::{
    Cache, Locator, Postgres, PostgresOptions, Silent, StopSignal, Supervised, find_postgres,
};
use mailmesh_secrets::{ExposeSecret, SecretString};
use mailmesh_store::{Database, DatabaseSettings};
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};
use tokio::sync::Mutex;
use tokio::time::Instant;

/// A database of its own, with the mesh's tables.
pub(crate) struct World {
    pub(crate) database: Database,
    url: SecretString,
}

impl World {
    pub(crate) async fn new() -> Result<Self> {
        Self::at(migrated().await?).await
    }

    /// As `new`, without any tables.
    pub(crate) async fn empty() -> Result<Self> {
        let name = next_name();
        execute(&url()?, &format!("CREATE DATABASE {name}")).await?;
        Self::at(url_of(&name)?).await
    }

    pub(crate) async fn at(url: SecretString) -> Result<Self> {
        let database = Database::connect(&settings(&url)).await?;
        Ok(Self { database, url })
    }

    pub(crate) fn settings(&self) -> DatabaseSettings {
        settings(&self.url)
    }

    /// Runs statements behind the store's back.
    pub(crate) async fn execute(&self, statements: &str) -> Result<()> {
        execute(&self.url, statements).await
    }

    /// Has later connections begin read-only transactions, as those to a server that is failing over; or no longer.
    pub(crate) async fn set_read_only(&self, is_read_only: bool) -> Result<()> {
        let name: String = self.read("SELECT current_database()::text").await?;
        execute(
            &url()?,
            &format!("ALTER DATABASE {name} SET default_transaction_read_only = {is_read_only}"),
        )
        .await
    }

    /// Has later connections plan each statement once, for whatever parameters.
    pub(crate) async fn force_generic_plans(&self) -> Result<()> {
        let name: String = self.read("SELECT current_database()::text").await?;
        self.execute(&format!(
            "ALTER DATABASE {name} SET plan_cache_mode = force_generic_plan"
        ))
        .await
    }

    /// Reads one value behind the store's back.
    pub(crate) async fn read<T>(&self, query: &str) -> Result<T>
    where
        T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
    {
        let mut connection = PgConnection::connect(self.url.expose_secret()).await?;
        let row: PgRow = sqlx::query(AssertSqlSafe(query.to_owned()))
            .fetch_one(&mut connection)
            .await
            .with_context(|| query.to_owned())?;
        Ok(row.try_get(0)?)
    }

    /// Returns how many rows of tables statements have read so far. A connection hands its counts in before it
    /// disappears.
    pub(crate) async fn rows_read(&self) -> Result<i64> {
        let connected = "SELECT count(*) FROM pg_stat_activity
                         WHERE datname = current_database() AND application_name = 'mailmesh'";
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.read::<i64>(connected).await? > 0 {
            ensure!(Instant::now() < deadline, "a connection stays");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.read(
            "SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::bigint
             FROM pg_stat_user_tables WHERE relname <> '_sqlx_migrations'",
        )
        .await
    }
}

pub(crate) fn settings(url: &SecretString) -> DatabaseSettings {
    DatabaseSettings {
        url: url.clone(),
        max_connections: 4,
        acquire_timeout: Duration::from_secs(20),
        ca_file: None,
    }
}

async fn migrated() -> Result<SecretString> {
    // A template may be copied by one at a time, and by none while somebody is connected to it.
    static TEMPLATE: Mutex<Option<String>> = Mutex::const_new(None);
    let mut template = TEMPLATE.lock().await;
    let template = match &*template {
        Some(name) => name.clone(),
        None => template.insert(create_template().await?).clone(),
    };
    let name = next_name();
    let _held = COPYING.lock().await;
    execute(
        &url()?,
        &format!("CREATE DATABASE {name} TEMPLATE {template}"),
    )
    .await?;
    url_of(&name)
}

static COPYING: Mutex<()> = Mutex::const_new(());

async fn create_template() -> Result<String> {
    let name = next_name();
    execute(&url()?, &format!("CREATE DATABASE {name}")).await?;
    let world = World::at(url_of(&name)?).await?;
    world.database.migrate().await?;
    world.database.close().await;
    Ok(name)
}

async fn execute(url: &SecretString, statements: &str) -> Result<()> {
    let mut connection = PgConnection::connect(url.expose_secret()).await?;
    sqlx::raw_sql(AssertSqlSafe(statements.to_owned()))
        .execute(&mut connection)
        .await
        .with_context(|| statements.to_owned())?;
    Ok(connection.close().await?)
}

fn next_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("mailmesh_store_{}_{number}", std::process::id())
}

fn url_of(database: &str) -> Result<SecretString> {
    let url = url()?;
    let (server, _) = url
        .expose_secret()
        .rsplit_once('/')
        .context("the URL names no database")?;
    Ok(format!("{server}/{database}").into())
}

/// The server of this run: the one that is named, else one that stops when this process ends.
fn url() -> Result<SecretString> {
    static URL: OnceLock<Result<SecretString, String>> = OnceLock::new();
    let url = URL.get_or_init(|| {
        if let Some(given) = std::env::var_os("TEST_POSTGRES_URL") {
            return Ok(given.to_string_lossy().into_owned().into());
        }
        start_shared().map_err(|error| format!("{error:#}"))
    });
    url.clone().map_err(|text| anyhow!(text))
}

// On a runtime of its own: each test's runtime ends with the test.
fn start_shared() -> Result<SecretString> {
    let (sender, receiver) = mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let runtime = match tokio::runtime::Runtime::new() {
            Ok(runtime) => runtime,
            Err(error) => return drop(sender.send(Err(error.into()))),
        };
        runtime.block_on(async {
            match start_own("shared").await {
                Ok(server) => {
                    drop(sender.send(Ok(server.0.url())));
                    std::future::pending::<()>().await;
                    drop(server);
                }
                Err(error) => drop(sender.send(Err(error))),
            }
        });
    });
    receiver.recv().context("the server's thread ended")?
}

/// A server for one test, which may kill it, and what removes its folder in the end.
pub(crate) async fn start_own(name: &str) -> Result<(Postgres, Supervised)> {
    let folder = folder(name)?;
    let binaries = find_postgres(&Locator::new(Cache::of_user()), &Silent).await?;
    let options = PostgresOptions {
        durable: false,
        ..PostgresOptions::new(&folder)
    };
    let postgres = Postgres::start(binaries, options, &Silent).await?;
    let tidy = remove_at_end(&folder, postgres.pid()).await?;
    Ok((postgres, tidy))
}

// In the temporary folder, where Postgres's own user may enter when we are root.
fn folder(name: &str) -> Result<PathBuf> {
    let folder = std::env::temp_dir()
        .join(format!("mailmesh-test-{}", std::process::id()))
        .join(name);
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

async fn remove_at_end(folder: &Path, server: i32) -> Result<Supervised> {
    const SCRIPT: &str = r#"
        tidy() {
          while kill -0 "$2" 2>/dev/null; do sleep 0.1; done
          rm -rf -- "$1"; rmdir "$(dirname "$1")"
          exit 0
        }
        trap 'kill "$nap"; tidy "$1" "$2"' TERM
        while :; do sleep 3600 & nap=$!; wait "$nap"; done
    "#;
    let arguments = ["-c", SCRIPT, "tidy"].map(OsString::from).into_iter();
    let rest = [folder.as_os_str().to_owned(), server.to_string().into()];
    Ok(Supervised::start(
        "tidy",
        Path::new("/bin/sh"),
        arguments.chain(rest).collect(),
        Path::new("/dev/null"),
        StopSignal::Terminate,
    )
    .await?)
}
