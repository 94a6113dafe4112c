use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::anyhow;
use mailmesh_embedded::{Nats, Postgres, Supervised};
use mailmesh_secrets::SecretString;
use tokio::sync::OnceCell;

use crate::container::Container;
use crate::greenmail::GreenMail;
use crate::server_kind::ServerKind;

mod database;
mod start;

use database::Databases;
pub(crate) use database::execute_at;

static SHARED: OnceCell<Result<TestServers, String>> = OnceCell::const_new();

/// The NATS, Postgres and GreenMail that all tests of a process share.
#[derive(Debug)]
pub struct TestServers {
    kind: ServerKind,
    nats_url: String,
    databases: Databases,
    greenmail: OnceCell<Result<GreenMail, String>>,
    _running: Vec<ServerGuard>,
}

/// Whatever must live as long as the servers.
#[derive(Debug)]
#[expect(dead_code, reason = "held for what their drop does")]
pub(crate) enum ServerGuard {
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
