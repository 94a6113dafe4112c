use std::ffi::OsStr;
use std::io::Write;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, anyhow, bail};
use mailmesh_embedded::{Nats, Postgres, Supervised};
use mailmesh_secrets::SecretString;
use tokio::sync::OnceCell;

use crate::container::{Container, is_engine_there};
use crate::greenmail::GreenMail;

mod database;
mod start;

use database::Databases;
pub(crate) use start::with_hint;

static SHARED: OnceCell<Result<TestServers, String>> = OnceCell::const_new();

/// How the servers of this process run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerKind {
    /// Both were named by a URL.
    Given,
    /// In containers.
    Containers,
    /// As child processes.
    Processes,
}

/// The NATS, Postgres and GreenMail that all tests of a process share.
#[derive(Debug)]
pub struct TestServers {
    kind: ServerKind,
    nats_url: String,
    databases: Databases,
    greenmail: OnceCell<Result<GreenMail, String>>,
    _running: Vec<Running>,
}

/// Whatever must live as long as the servers.
#[derive(Debug)]
#[expect(dead_code, reason = "held for what their drop does")]
pub(crate) enum Running {
    Nats(Nats),
    Postgres(Postgres),
    Container(Container),
    Tidy(Supervised),
}

impl TestServers {
    /// Returns this process's servers, started by the first test that asks.
    ///
    /// # Errors
    ///
    /// Fails with what to install when they cannot be started.
    pub async fn shared() -> anyhow::Result<&'static Self> {
        SHARED
            .get_or_init(async || start::start().await.map_err(|error| format!("{error:#}")))
            .await
            .as_ref()
            .map_err(|error| anyhow!("no servers to test with: {error}"))
    }

    /// Returns how NATS and Postgres run.
    pub fn kind(&self) -> ServerKind {
        self.kind
    }

    /// Returns the URL of NATS; keep to a prefix of [`fresh_prefix`].
    pub fn nats_url(&self) -> &str {
        &self.nats_url
    }

    /// Creates a database with the mesh's tables and returns its URL.
    ///
    /// # Errors
    ///
    /// Fails when Postgres refuses or a migration does.
    pub async fn fresh_database(&self) -> anyhow::Result<SecretString> {
        self.databases.migrated().await
    }

    /// Creates a database without any tables and returns its URL.
    ///
    /// # Errors
    ///
    /// Fails when Postgres refuses.
    pub async fn empty_database(&self) -> anyhow::Result<SecretString> {
        self.databases.empty().await
    }

    /// Creates a database, runs what `pg_dump --inserts` wrote in it, and returns its URL.
    ///
    /// # Errors
    ///
    /// Fails when Postgres refuses, or a statement of the dump does.
    pub async fn restored_database(&self, dump: &str) -> anyhow::Result<SecretString> {
        self.databases.restored(dump).await
    }

    /// Returns this process's GreenMail, started by the first test that asks; use users of your own.
    ///
    /// # Errors
    ///
    /// Fails with what to install when it cannot be started.
    pub async fn greenmail(&self) -> anyhow::Result<&GreenMail> {
        self.greenmail
            .get_or_init(async || {
                GreenMail::start()
                    .await
                    .map_err(|error| format!("{error:#}"))
            })
            .await
            .as_ref()
            .map_err(|error| anyhow!("no GreenMail to test with: {error}"))
    }
}

/// Returns a prefix for streams and subjects that no other test uses.
pub fn fresh_prefix() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!(
        "t{}-{}",
        random_letters(8),
        COUNT.fetch_add(1, Ordering::Relaxed)
    )
}

/// Returns whether new servers shall be containers, as `TEST_SERVERS` or the machine says; and
/// whether that was asked for, so that nothing else will do.
pub(crate) async fn wants_containers() -> anyhow::Result<(bool, bool)> {
    let asked = std::env::var_os("TEST_SERVERS").unwrap_or_default();
    if asked == OsStr::new("containers") {
        let hint = "TEST_SERVERS=containers, but no Docker engine answers: `apt-get install docker.io`, then `dockerd`";
        return if is_engine_there().await {
            Ok((true, true))
        } else {
            Err(anyhow!(hint))
        };
    }
    if asked == OsStr::new("processes") {
        return Ok((false, true));
    }
    if asked.is_empty() {
        return Ok((is_engine_there().await, false));
    }
    bail!(
        "TEST_SERVERS must be `containers` or `processes`, not {}",
        asked.display()
    )
}

/// Runs one way, and the other where nobody asked for the first.
pub(crate) async fn containers_or_processes<T>(
    containers: impl AsyncFnOnce() -> anyhow::Result<T>,
    processes: impl AsyncFnOnce() -> anyhow::Result<T>,
) -> anyhow::Result<(T, ServerKind)> {
    let (in_containers, was_asked) = wants_containers().await?;
    if !in_containers {
        return Ok((processes().await?, ServerKind::Processes));
    }
    match containers().await {
        Ok(value) => Ok((value, ServerKind::Containers)),
        Err(error) if was_asked => Err(error),
        Err(error) => {
            tell(&format!(
                "Testing with processes instead of containers: {error:#}"
            ));
            let value = processes()
                .await
                .with_context(|| format!("after containers failed ({error:#})"))?;
            Ok((value, ServerKind::Processes))
        }
    }
}

/// Tells people of long steps; the test harness does not capture this.
pub(crate) fn tell(line: &str) {
    writeln!(std::io::stderr(), "testkit: {line}").ok();
}

pub(crate) fn random_letters(count: usize) -> String {
    let mut random = vec![0_u8; count];
    // Names then differ by the process alone.
    if aws_lc_rs::rand::fill(&mut random).is_err() {
        return std::process::id().to_string();
    }
    random
        .iter()
        .map(|byte| char::from(b'a' + byte % 26))
        .collect()
}
