use std::time::Duration;

use mailmesh_embedded::{
    Cache, Locator, Nats, NatsOptions, Postgres, PostgresOptions, Silent, find_nats, find_postgres,
};
use mailmesh_store::{Database, DatabaseSettings};

use crate::folder::TestFolder;
use crate::server_kind::{tell, with_hint};

/// Starts a NATS of the test's own, which it may kill; what was acknowledged survives that.
///
/// # Errors
///
/// Fails with what to install when it cannot be started.
pub async fn own_nats(folder: &TestFolder) -> anyhow::Result<Nats> {
    own_nats_with(folder, "").await
}

/// As [`own_nats`], with more lines of configuration.
///
/// # Errors
///
/// Fails with what to install when it cannot be started.
pub async fn own_nats_with(folder: &TestFolder, extra_config: &str) -> anyhow::Result<Nats> {
    let mut options = NatsOptions::new(folder.path().join("nats"));
    extra_config.clone_into(&mut options.extra_config);
    start_nats(options).await
}

/// As [`own_nats`], for messages of up to so many bytes.
///
/// # Errors
///
/// Fails with what to install when it cannot be started.
pub async fn own_nats_for(folder: &TestFolder, max_payload_bytes: u32) -> anyhow::Result<Nats> {
    let mut options = NatsOptions::new(folder.path().join("nats"));
    options.max_payload_bytes = max_payload_bytes;
    start_nats(options).await
}

async fn start_nats(options: NatsOptions) -> anyhow::Result<Nats> {
    let binary = find_nats(&Locator::new(Cache::of_user()), &tell).await;
    let nats = Nats::start(binary.map_err(with_hint)?, options).await;
    nats.map_err(with_hint)
}

/// Starts a Postgres of the test's own with the mesh's tables, which it may kill; what was committed
/// survives that.
///
/// # Errors
///
/// Fails with what to install when it cannot be started.
pub async fn own_postgres(folder: &TestFolder) -> anyhow::Result<Postgres> {
    let binaries = find_postgres(&Locator::new(Cache::of_user()), &tell).await;
    let options = PostgresOptions::new(folder.path().join("postgres"));
    let postgres = Postgres::start(binaries.map_err(with_hint)?, options, &Silent).await;
    let postgres = postgres.map_err(with_hint)?;
    let database = Database::connect(&DatabaseSettings {
        url: postgres.url(),
        max_connections: 1,
        acquire_timeout: Duration::from_secs(20),
        ca_file: None,
    })
    .await?;
    database.migrate().await?;
    database.grant_roles().await?;
    database.close().await;
    Ok(postgres)
}
