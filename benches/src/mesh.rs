//! Accounts and services as the mesh has them, without the pages that lead there.

use std::sync::Arc;

use mailmesh_domain::{ClientConfigurationId, Clock, GrantId, Protocol, SystemClock};
use mailmesh_runtime::{ExitReport, Lifecycle};
use mailmesh_store::account::Account;
use mailmesh_store::grant::Grant;
use mailmesh_testkit::use_grant;
use time::Duration;

use crate::world::World;

const GRACE: std::time::Duration = std::time::Duration::from_secs(20);

/// Stores the client configuration that all accounts share.
pub(crate) async fn add_client(world: &World) -> anyhow::Result<ClientConfigurationId> {
    let client = world.base.client_row("bench")?;
    world.base.insert_client(&client).await?;
    Ok(client.id)
}

/// Makes a mailbox at the provider and an account for it, signed in.
pub(crate) async fn add_account(
    world: &World,
    client: ClientConfigurationId,
    key: &str,
    protocol: Protocol,
    max_connections: u32,
) -> anyhow::Result<String> {
    let address = format!("{key}@sandbox.test");
    world.provider.create_mailbox(&address).await?;
    let token = world.provider.token(&address).await?;
    let id = GrantId::generate(&SystemClock);
    let later = SystemClock.now() + Duration::days(1);
    let grant = Grant {
        access_expires_at: later,
        refresh_due_at: later,
        ..world.base.grant_row(id, client, &address, &token)?
    };
    let host = world.provider.mail_host();
    let mut account = Account {
        poll_interval_seconds: 300,
        max_connections,
        ..world.base.account_row(&host, key, protocol, &address)?
    };
    use_grant(&mut account, client, id);
    world.base.save_grant(&grant).await?;
    world.base.insert_account(&account).await?;
    Ok(address)
}

/// Starts the inbound fetcher in this process.
pub(crate) async fn start_fetcher(world: &World) -> anyhow::Result<Lifecycle> {
    let lifecycle = Lifecycle::new("bench");
    let config = mailmesh_inbound_fetcher::Config {
        settings: mailmesh_inbound_fetcher::Settings::default(),
        keys: world.base.keys.clone(),
    };
    mailmesh_inbound_fetcher::Service::build(config, &world.connections(), Arc::new(SystemClock))
        .await?
        .start(&lifecycle);
    Ok(lifecycle)
}

/// Starts the outbound sender in this process.
pub(crate) async fn start_sender(world: &World) -> anyhow::Result<Lifecycle> {
    let lifecycle = Lifecycle::new("bench");
    mailmesh_outbound_sender::Service::build(
        mailmesh_outbound_sender::Config::default(),
        world.base.keys.clone(),
        &world.connections(),
        Arc::new(SystemClock),
    )
    .await?
    .start(&lifecycle);
    Ok(lifecycle)
}

/// Stops what was started.
pub(crate) async fn stop(lifecycle: Lifecycle) -> ExitReport {
    lifecycle.stop();
    lifecycle.run_until_stopped(GRACE).await
}
