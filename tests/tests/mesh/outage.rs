use std::time::Duration;

use mailmesh_embedded::{Nats, Postgres};
use mailmesh_sandbox::MailStore;
use mailmesh_testkit::{TestFolder, eventually, own_nats, own_postgres};
use mailmesh_tests::{Leftovers, SandboxMailbox, World, WorldSettings};
use serde_json::json;

use crate::sample::{assert_each_once, mail, subjects, tally};

const MAILS: usize = 120;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_of_nats_and_of_postgres_loses_and_doubles_nothing() {
    let folder = TestFolder::new("outage").unwrap();
    let mut nats = own_nats(&folder).await.unwrap();
    let mut postgres = own_postgres(&folder).await.unwrap();
    let mut world = World::start(WorldSettings {
        servers: Some((nats.url(), postgres.url())),
        extra: "[outbound_sender]\nretry_delays_seconds = [1]\n".to_owned(),
        ..WorldSettings::default()
    })
    .await
    .unwrap();
    let mailbox = world.connect_sandbox("outage").await.unwrap();
    world.active(&mailbox.inbound).await.unwrap();
    let expected = subjects("mail", 0..MAILS);

    let store = world.sandbox.mail().clone();
    let ((), (), ()) = tokio::join!(
        deliver(store, &mailbox, &expected),
        publish(&world, &mailbox, &expected),
        async {
            crash(&world, 20, &mut nats, &mut postgres).await;
        }
    );

    let (inbound, outbound) = (mailbox.inbound.as_str(), mailbox.outbound.as_str());
    let received = world.events.wait("mail.received", Some(inbound), MAILS);
    let received = received.await.unwrap();
    assert_each_once(&tally(&received, "subject"), &expected);
    let sent = world.events.wait("mail.sent", Some(outbound), MAILS).await;
    assert_each_once(&tally(&sent.unwrap(), "idempotency_key"), &expected);
    assert_eq!(world.sandbox.mail().outbox().len(), MAILS);
    world.finish(Leftovers::default()).await.unwrap();
}

/// Kills NATS once some mail has come through, and Postgres once more has.
async fn crash(world: &World, count: u64, nats: &mut Nats, postgres: &mut Postgres) {
    events(world, count).await;
    nats.kill().await;
    nats.restart().await.unwrap();
    events(world, count * 2).await;
    postgres.kill().await;
    postgres.restart().await.unwrap();
}

async fn events(world: &World, count: u64) {
    let what = format!("{count} events");
    let enough = eventually(&what, async || {
        let found = world.events.count("EVENTS").await?;
        anyhow::ensure!(found >= count, "{found} events");
        Ok(())
    });
    enough.await.unwrap();
}

async fn deliver(store: MailStore, mailbox: &SandboxMailbox, subjects: &[String]) {
    let mut pace = tokio::time::interval(Duration::from_millis(40));
    for subject in subjects {
        pace.tick().await;
        let raw = mail(&mailbox.address, subject, "body");
        store.deliver(&mailbox.address, raw.into()).unwrap();
    }
}

/// As a careful caller does: what was not acknowledged is published again with the same key.
async fn publish(world: &World, mailbox: &SandboxMailbox, keys: &[String]) {
    let mut pace = tokio::time::interval(Duration::from_millis(40));
    for key in keys {
        pace.tick().await;
        let command = json!({
            "account": mailbox.outbound, "to": "a@example.com", "subject": key, "text": "t",
            "idempotency_key": key,
        });
        let stored = eventually("the command is stored", async || {
            world.publish("mail.send", &command).await
        });
        stored.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_are_deleted_while_the_mesh_runs_are_made_again() {
    let mut world = World::start(WorldSettings::default()).await.unwrap();
    let mailbox = world.connect_sandbox("deleted").await.unwrap();
    world.active(&mailbox.inbound).await.unwrap();
    let (inbound, outbound) = (mailbox.inbound.as_str(), mailbox.outbound.as_str());
    let store = world.sandbox.mail().clone();
    deliver(store.clone(), &mailbox, &subjects("before", 0..1)).await;
    let before = world.events.wait("mail.received", Some(inbound), 1).await;
    before.unwrap();
    world.base.until_published().await.unwrap();

    for stream in ["EVENTS", "MAIL_SEND", "MAIL_RAW", "DEAD_LETTERS"] {
        world.events.delete_stream(stream).await.unwrap();
    }
    deliver(store, &mailbox, &subjects("after", 0..1)).await;
    publish(&world, &mailbox, &subjects("after", 0..1)).await;

    let received = world.events.wait("mail.received", Some(inbound), 2).await;
    let received = received.unwrap();
    let expected = [subjects("before", 0..1), subjects("after", 0..1)].concat();
    assert_each_once(&tally(&received, "subject"), &expected);
    let sent = world.events.wait("mail.sent", Some(outbound), 1).await;
    assert_each_once(
        &tally(&sent.unwrap(), "idempotency_key"),
        &subjects("after", 0..1),
    );
    // The alarm.
    let leftovers = Leftovers {
        has_errors: true,
        ..Leftovers::default()
    };
    world.finish(leftovers).await.unwrap();
}
