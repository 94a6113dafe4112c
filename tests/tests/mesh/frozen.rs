use std::time::{Duration, Instant};

use mailmesh_tests::{Leftovers, SandboxMailbox, Service, World, WorldSettings};

use crate::sample::{assert_each_once, mail, subjects, tally};

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

fn deliver(world: &World, mailbox: &SandboxMailbox, delivered: &mut Vec<String>, count: usize) {
    let before = delivered.len();
    delivered.extend(subjects("mail", before..before + count));
    for subject in &delivered[before..] {
        let raw = mail(&mailbox.address, subject, "body");
        let store = world.sandbox.mail();
        store.deliver(&mailbox.address, raw.into()).unwrap();
    }
}
