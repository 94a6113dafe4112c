use std::sync::Arc;

use anyhow::Result;
use mailmesh_accounts::Connections;
use mailmesh_domain::Clock;
use mailmesh_oauth::PublicSettings;
use mailmesh_secrets::OpeningKeys;
use mailmesh_store::Database;
use mailmesh_testkit::RunningReplica;
use mailmesh_token_refresh::{Config, Service};
use url::Url;

use crate::world::World;

/// Starts a replica with settings and a database of its own.
pub(crate) async fn start(
    world: &World,
    config: Config,
    database: Database,
) -> Result<RunningReplica> {
    let connections = Connections::new(database, world.base.bus.clone());
    let (keys, clock) = (world.base.keys.clone(), Arc::clone(&world.base.clock));
    let service = build(config, keys, &connections, clock).await?;
    Ok(RunningReplica::start(|lifecycle| service.start(lifecycle)))
}

/// Makes a replica that looks for due grants each second.
pub(crate) async fn build(
    config: Config,
    keys: OpeningKeys,
    connections: &Connections,
    clock: Arc<dyn Clock>,
) -> Result<Service> {
    let config = Config {
        poll_seconds: 1,
        ..config
    };
    let public = PublicSettings {
        url: Url::parse("http://127.0.0.1:8026")?,
        redirect_path: "/oauth/callback".to_owned(),
    };
    Service::build(config, public, keys, connections, clock).await
}
