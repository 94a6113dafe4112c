use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mailmesh_mail::message;
use mailmesh_sandbox::Settings as SandboxSettings;
use mailmesh_tests::{Leftovers, SandboxMailbox, Service, World, WorldSettings};
use serde_json::json;

use crate::sample::{Dice, assert_each_once, mail, subjects, tally};

/// The next process takes over after ten seconds of silence, so kills are few and mails are many.
const KILLS: usize = 3;
const MAILS_EACH: usize = 250;
const LIMIT: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_of_the_fetcher_loses_and_doubles_nothing() {
    let mut world = World::start(WorldSettings::default()).await.unwrap();
    let mailbox = world.connect_sandbox("crash-in").await.unwrap();
    world.active(&mailbox.inbound).await.unwrap();
    let mut dice = Dice::new(20_261_124);
    let mut delivered = Vec::new();
    let mut interrupted = 0;
    let started = Instant::now();

    for round in 0..KILLS {
        let before = delivered.len();
        delivered.extend(subjects("mail", before..before + MAILS_EACH));
        for subject in &delivered[before..] {
            let raw = mail(&mailbox.address, subject, "body");
            let store = world.sandbox.mail();
            store.deliver(&mailbox.address, raw.into()).unwrap();
        }
        let at = before as u64 + dice.roll(MAILS_EACH as u64 / 2);
        let fetcher = world.mesh.newest(Service::InboundFetcher).unwrap();
        // No pause: all of them would be published within it.
        while world.events.count("EVENTS").await.unwrap() <= at {
            assert!(started.elapsed() < LIMIT, "event {at} of round {round}");
        }
        world.mesh.kill9(fetcher).await.unwrap();
        let published = world.events.named("mail.received", None).await.unwrap();
        interrupted += usize::from(published.len() < delivered.len());
        world.mesh.launch(Service::InboundFetcher).await.unwrap();
    }

    assert!(interrupted > 0, "each kill came too late");
    let all = delivered.len();
    let key = Some(mailbox.inbound.as_str());
    let events = world.events.wait("mail.received", key, all).await.unwrap();
    assert_each_once(&tally(&events, "subject"), &delivered);
    world.finish(Leftovers::default()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_of_the_sender_loses_and_doubles_nothing() {
    let mut world = World::start(WorldSettings {
        sandbox: SandboxSettings {
            auto_sent_copy: true,
            ..SandboxSettings::default()
        },
        extra: "[outbound_sender]\nsent_folder_delay_seconds = 1\n".to_owned(),
        ..WorldSettings::default()
    })
    .await
    .unwrap();
    let mailbox = world.connect_sandbox("crash-out").await.unwrap();
    let mut dice = Dice::new(4_711);
    let mut keys = Vec::new();
    let mut interrupted = 0;
    let started = Instant::now();

    for round in 0..KILLS {
        let before = keys.len();
        keys.extend(subjects("mail", before..before + MAILS_EACH));
        publish(&world, &mailbox, &keys[before..]).await;
        let at = before + usize::try_from(dice.roll(MAILS_EACH as u64 / 2)).unwrap();
        let sender = world.mesh.newest(Service::OutboundSender).unwrap();
        while world.sandbox.mail().outbox().len() <= at {
            assert!(started.elapsed() < LIMIT, "mail {at} of round {round}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        world.mesh.kill9(sender).await.unwrap();
        interrupted += usize::from(world.sandbox.mail().outbox().len() < keys.len());
        world.mesh.launch(Service::OutboundSender).await.unwrap();
    }

    assert!(interrupted > 0, "each kill came too late");
    let key = Some(mailbox.outbound.as_str());
    // What was under way at the kill is uncertain at first; the Sent folder then tells.
    let sent = world.events.wait("mail.sent", key, keys.len()).await;
    assert_each_once(&tally(&sent.unwrap(), "idempotency_key"), &keys);
    assert_each_once(&outbox(&world), &keys);
    let uncertain = world.events.named("mail.uncertain", key).await.unwrap();
    assert!(uncertain.len() < keys.len() / 10, "{}", uncertain.len());
    world.finish(Leftovers::default()).await.unwrap();
}

async fn publish(world: &World, mailbox: &SandboxMailbox, keys: &[String]) {
    for key in keys {
        let command = json!({
            "account": mailbox.outbound, "to": "a@example.com", "subject": key, "text": "t",
            "idempotency_key": key,
        });
        world.publish("mail.send", &command).await.unwrap();
    }
}

/// How often each subject was submitted.
fn outbox(world: &World) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for submission in world.sandbox.mail().outbox() {
        let subject = message::parse(&submission.raw).subject.unwrap_or_default();
        *counts.entry(subject).or_default() += 1;
    }
    counts
}
