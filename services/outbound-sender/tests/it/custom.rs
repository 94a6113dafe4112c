//! Senders with settings of their own, and accounts that change.

use std::sync::Arc;

use anyhow::Result;
use mailmesh_accounts::Connections;
use mailmesh_domain::SystemClock;
use mailmesh_events::account::AccountChanged;
use mailmesh_outbound_sender::{Config, Service};
use mailmesh_store::ServiceRole;
use mailmesh_store::account::{self, Account};
use mailmesh_testkit::{RunningReplica, eventually};

use crate::world::World;

/// As the defaults have it, but with a schedule that tests can wait for.
pub(crate) fn patient() -> Config {
    Config {
        retry_delays_seconds: vec![1],
        ..Config::default()
    }
}

/// Starts a sender that the test itself ends.
pub(crate) async fn start(world: &World, config: Config) -> Result<RunningReplica> {
    let role = ServiceRole::OutboundSender;
    let (database, bus) = world.base.connections_of(role).await?;
    let connections = Connections::new(database, bus);
    let keys = world.base.keys.clone();
    let service = Service::build(config, keys, &connections, Arc::new(SystemClock)).await?;
    Ok(RunningReplica::start(|lifecycle| service.start(lifecycle)))
}

/// Changes an account as the administration does; the hint is seen as an event.
pub(crate) async fn change(world: &mut World, account: &Account) -> Result<()> {
    let mut tx = world.base.begin().await?;
    account::update(&mut tx, account).await?;
    tx.commit().await?;
    let subject = format!("account.changed.{}", account.key);
    let event = AccountChanged {
        account: account.key.clone(),
        is_deleted: false,
    };
    world.publish(&subject, serde_json::to_vec(&event)?).await?;
    world.event("account.changed").await?;
    Ok(())
}

/// Waits until a fault has struck.
pub(crate) async fn until_struck(world: &World) -> Result<()> {
    let faults = world.sandbox.faults();
    eventually("the fault has struck", async || {
        faults.list().iter().any(|fault| fault.taken > 0)
    })
    .await
}

/// Waits until at least so many mails are in a state.
pub(crate) async fn until_mails(world: &World, state: &str, count: usize) -> Result<()> {
    eventually("enough mails are in that state", async || {
        let mails = world.mails().await?;
        let found: Vec<&str> = mails.iter().map(|mail| mail.state.as_str()).collect();
        let in_state = found.iter().filter(|each| **each == state).count();
        anyhow::ensure!(in_state >= count, "{found:?}");
        Ok(())
    })
    .await
}
