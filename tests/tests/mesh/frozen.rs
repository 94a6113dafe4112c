use std::time::{Duration, Instant};

use mailmesh_sandbox::Settings as SandboxSettings;
use mailmesh_tests::{Leftovers, SandboxMailbox, Service, World, WorldSettings};

use crate::sample::{assert_each_once, command, mail, publish_at_once, subjects, submitted, tally};

const LIMIT: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fetcher_that_was_frozen_and_replaced_publishes_nothing_when_it_wakes() {
    let mut world = World::start(WorldSettings::default()).await.unwrap();
    let mailbox = world.connect_sandbox("frozen").await.unwrap();
    world.active(&mailbox.inbound).await.unwrap();
    let first = world.mesh.newest(Service::InboundFetcher).unwrap();
    let key = Some(mailbox.inbound.as_str());
    let mut delivered = Vec::new();

    deliver(&world, &mailbox, &mut delivered, 300);
    let started = Instant::now();
    // No pause: all of them would be published within it.
    while world.events.count("EVENTS").await.unwrap() < 20 {
        assert!(started.elapsed() < LIMIT, "the fetcher does not begin");
    }
    world.mesh.freeze(first).unwrap();
    let published = world.events.named("mail.received", key).await.unwrap();
    assert!(published.len() < delivered.len(), "frozen too late");
    deliver(&world, &mailbox, &mut delivered, 100);
    let second = world.mesh.start_replica(Service::InboundFetcher).await;
    let second = second.unwrap();
    let all = delivered.len();
    world.events.wait("mail.received", key, all).await.unwrap();
    world.mesh.thaw(first).unwrap();
    deliver(&world, &mailbox, &mut delivered, 100);
    let all = delivered.len();
    world.events.wait("mail.received", key, all).await.unwrap();
    // The first one works on: once the second has gone, it is alone.
    world.mesh.stop(second).await.unwrap();
    deliver(&world, &mailbox, &mut delivered, 50);
    let all = delivered.len();
    world.events.wait("mail.received", key, all).await.unwrap();
    world.mesh.stop(first).await.unwrap();

    let events = world.events.named("mail.received", key).await.unwrap();
    assert_each_once(&tally(&events, "subject"), &delivered);
    world.finish(Leftovers::default()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_that_was_frozen_and_replaced_sends_nothing_when_it_wakes() {
    let mut world = World::start(WorldSettings {
        sandbox: SandboxSettings {
            auto_sent_copy: true,
            ..SandboxSettings::default()
        },
        extra: "[outbound_sender]\n\
                sent_folder_delay_seconds = 2\nfinal_reply_timeout_seconds = 5\n\
                retry_delays_seconds = [1]\n"
            .to_owned(),
        ..WorldSettings::default()
    })
    .await
    .unwrap();
    let mailbox = world.connect_sandbox("frozen-out").await.unwrap();
    let first = world.mesh.newest(Service::OutboundSender).unwrap();
    let mut keys = subjects("mail", 0..300);
    let started = Instant::now();
    publish_at_once(&world, &mailbox, &keys).await;
    while world.sandbox.mail().outbox().len() < 20 {
        assert!(started.elapsed() < LIMIT, "the sender does not begin");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    world.mesh.freeze(first).unwrap();
    assert!(submitted(&world).len() < keys.len(), "frozen too late");

    let second = world.mesh.start_replica(Service::OutboundSender).await;
    let second = second.unwrap();
    let key = Some(mailbox.outbound.as_str());
    let sent = world.events.wait("mail.sent", key, keys.len()).await;
    assert_each_once(&tally(&sent.unwrap(), "idempotency_key"), &keys);
    world.mesh.thaw(first).unwrap();
    world.mesh.stop(second).await.unwrap();
    keys.push("last".to_owned());
    let last = command(&mailbox, "last");
    world.publish("mail.send", &last).await.unwrap();
    let all = keys.len();
    world.events.wait("mail.sent", key, all).await.unwrap();
    world.mesh.stop(first).await.unwrap();

    assert_each_once(&submitted(&world), &keys);
    let sent = world.events.named("mail.sent", key).await.unwrap();
    assert_each_once(&tally(&sent, "idempotency_key"), &keys);
    world.finish(Leftovers::default()).await.unwrap();
}

fn deliver(world: &World, mailbox: &SandboxMailbox, delivered: &mut Vec<String>, count: usize) {
    let before = delivered.len();
    delivered.extend(subjects("mail", before..before + count));
    for subject in &delivered[before..] {
        let raw = mail(&mailbox.address, subject, "body");
        let store = world.sandbox.mail();
        store.deliver(&mailbox.address, raw.into()).unwrap();
    }
}
