//! Servers, provider and keys of one run. Everything lies in a folder that goes with it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use mailmesh_accounts::Connections;
use mailmesh_bus::{Bus, BusSettings};
use mailmesh_domain::SystemClock;
use mailmesh_embedded::{
    Cache, Locator, Nats, NatsOptions, Postgres, PostgresOptions, find_nats, find_postgres,
};
use mailmesh_secrets::OpeningKeys;
use mailmesh_store::{Database, PostgresSettings};
use mailmesh_testkit::{MeshAddress, MeshBase};

use crate::provider::Provider;
use crate::table::note;

/// The far ends of a run.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) provider: Provider,
    pub(crate) base: MeshBase,
    pub(crate) nats: Nats,
    folder: PathBuf,
    _postgres: Postgres,
}

impl World {
    /// Starts everything with durable settings, as `mailmesh up` does.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let folder = std::env::temp_dir().join(format!("mailmesh-bench-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let progress = |line: &str| note(line);
        let locator = Locator::new(Cache::of_user());
        let nats = find_nats(&locator, &progress).await?;
        let nats = Nats::start(nats, NatsOptions::new(folder.join("nats"))).await?;
        let postgres = find_postgres(&locator, &progress).await?;
        let options = PostgresOptions::new(folder.join("postgres"));
        let postgres = Postgres::start(postgres, options, &progress).await?;
        let settings = PostgresSettings::of_url(postgres.url(), 16);
        Database::connect(&settings.resolve()?)
            .await?
            .migrate()
            .await?;
        let bus = BusSettings {
            url: nats.url(),
            ..BusSettings::default()
        };
        let Connections {
            database,
            bus: connected,
            ..
        } = Connections::open(&settings, &bus).await?;
        let base = MeshBase {
            address: MeshAddress {
                postgres_url: postgres.url(),
                bus,
            },
            database,
            bus: connected,
            keys: OpeningKeys::generate()?,
            clock: Arc::new(SystemClock),
        };
        Ok(Self {
            provider: Provider::start().await?,
            base,
            nats,
            folder,
            _postgres: postgres,
        })
    }

    /// Connects to NATS as a business system does, apart from the services: on their connection, what it publishes
    /// would stand before what they publish.
    pub(crate) async fn business_system(&self) -> anyhow::Result<Bus> {
        Ok(Bus::connect(&self.base.address.bus).await?)
    }

    /// Returns what the services of this process share.
    pub(crate) fn connections(&self) -> Connections {
        Connections::new(self.base.database.clone(), self.base.bus.clone())
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let elsewhere = std::fs::read_link(self.folder.join("postgres")).ok();
        for path in elsewhere
            .iter()
            .map(PathBuf::as_path)
            .chain([&*self.folder])
        {
            if let Err(error) = std::fs::remove_dir_all(path)
                && error.kind() != std::io::ErrorKind::NotFound
            {
                note(format!("cannot remove {}: {error}", path.display()));
            }
        }
    }
}
