use std::collections::BTreeMap;

use mailmesh_mail::message;
use mailmesh_sandbox::Settings as SandboxSettings;
use mailmesh_testkit::eventually;
use mailmesh_tests::{Leftovers, SandboxMailbox, Service, World, WorldSettings};
use serde_json::json;

use crate::sample::{Dice, assert_each_once, mail, subjects, tally};

/// The next process takes over after ten seconds of silence, so kills are few and mails are many.
const KILLS: usize = 3;
const MAILS_EACH: usize = 250;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_of_the_fetcher_loses_and_doubles_nothing() {
    let mut world = World::start(WorldSettings::default()).await.unwrap();
    let mailbox = world.connect_sandbox("crash-in").await.unwrap();
    world.active(&mailbox.inbound).await.unwrap();
    let mut dice = Dice::new(20_261_124);
    let mut delivered = Vec::new();

    for round in 0..KILLS {
        let before = delivered.len();
        delivered.extend(subjects("mail", before..before + MAILS_EACH));
        for subject in &delivered[before..] {
            let raw = mail(&mailbox.address, subject, "body");
            let store = world.sandbox.mail();
            store.deliver(&mailbox.address, raw.into()).unwrap();
        }
        let at = before as u64 + dice.roll(MAILS_EACH as u64);
        let fetcher = world.mesh.newest(Service::InboundFetcher).unwrap();
        eventually(&format!("event {at} of round {round}"), async || {
            world
                .events
                .count("EVENTS")
                .await
                .is_ok_and(|count| count > at)
        })
        .await
        .unwrap();
        world.mesh.kill9(fetcher).await.unwrap();
        world.mesh.launch(Service::InboundFetcher).await.unwrap();
    }

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

    for _round in 0..KILLS {
        let before = keys.len();
        keys.extend(subjects("mail", before..before + MAILS_EACH));
        publish(&world, &mailbox, &keys[before..]).await;
        let at = before + usize::try_from(dice.roll(MAILS_EACH as u64)).unwrap();
        let sender = world.mesh.newest(Service::OutboundSender).unwrap();
        eventually(&format!("{at} mails at the server"), async || {
            let outbox = outbox(&world);
            if outbox.len() > at {
                Ok(())
            } else {
                Err(format!("{} mails", outbox.len()))
            }
        })
        .await
        .unwrap();
        world.mesh.kill9(sender).await.unwrap();
        world.mesh.launch(Service::OutboundSender).await.unwrap();
    }

    let key = Some(mailbox.outbound.as_str());
    eventually("every mail is sent or visibly uncertain", async || {
        let sent = world.events.named("mail.sent", key).await?;
        let uncertain = world.events.named("mail.uncertain", key).await?;
        let mut ended = tally(&sent, "idempotency_key");
        ended.extend(tally(&uncertain, "idempotency_key"));
        anyhow::ensure!(
            ended.len() == keys.len(),
            "{} of {}",
            ended.len(),
            keys.len()
        );
        Ok(())
    })
    .await
    .unwrap();
    let sent = world.events.named("mail.sent", key).await.unwrap();
    let sent = tally(&sent, "idempotency_key");
    let at_server = outbox(&world);
    for key in &keys {
        let copies = at_server.get(key).copied().unwrap_or(0);
        assert!(copies <= 1, "{key} reached the server {copies} times");
        let events = sent.get(key).copied().unwrap_or(0);
        assert!(events <= 1, "{key} has {events} mail.sent");
        assert!(events == 0 || copies == 1, "{key} is said to be sent");
    }
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
