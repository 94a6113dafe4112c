//! Accounts whose settings change while mail is on its way.

use std::sync::Arc;

use anyhow::Result;
use mailmesh_domain::SystemClock;
use mailmesh_outbound_sender::{Config, Service};
use mailmesh_replica::Connections;
use mailmesh_sandbox::{Fault, FaultRule};
use mailmesh_store::account::{self, Account};
use mailmesh_testkit::{Running, eventually};

use crate::world::{World, send_body};

/// A sender that waits long for a final reply, as the defaults have it.
async fn patient_sender(world: &World) -> Result<Running> {
    let config = Config {
        retry_delays_seconds: vec![1],
        ..Config::default()
    };
    let (database, bus) = (world.base.database.clone(), world.base.bus.clone());
    let connections = Connections { database, bus };
    let keys = world.base.keys.clone();
    let service = Service::build(config, keys, &connections, Arc::new(SystemClock)).await?;
    Ok(Running::start(|stop| service.run(stop)))
}

async fn change(world: &World, account: &Account) -> Result<()> {
    let mut tx = world.base.begin().await?;
    account::update(&mut tx, account).await?;
    tx.commit().await?;
    world.publish("account.changed.one", "{}").await?;
    Ok(())
}

#[tokio::test]
async fn mail_without_final_reply_comes_to_its_end_beside_new_settings() -> Result<()> {
    let mut world = World::new().await?;
    let account = world.add_account("one", 1).await?;
    // Longer than connections are waited for.
    let stall = Fault::Stall { seconds: Some(23) };
    let faults = world.sandbox.faults();
    faults.add(FaultRule::once("smtp.final_dot", stall))?;
    let sender = patient_sender(&world).await?;
    let mail = |subject| send_body("one", "a@elsewhere.test", subject);
    world.publish("mail.send", mail("slow")).await?;
    eventually("the server has the dot", async || {
        let faults = world.sandbox.faults();
        faults.list().iter().any(|fault| fault.taken > 0)
    })
    .await?;

    let name = "renamed".to_owned();
    change(&world, &Account { name, ..account }).await?;
    world.publish("mail.send", mail("quick")).await?;
    let first = world.event("mail.sent").await?;
    let second = world.event("mail.sent").await?;

    for sent in [&first, &second] {
        assert_eq!(sent["attempts"], 1);
    }
    assert_ne!(first["mail_id"], second["mail_id"]);
    assert_eq!(world.outbox_texts().len(), 2);
    world.event("account.changed").await?;
    sender.stop().await?;
    world.finish().await
}
