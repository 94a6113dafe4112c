use std::time::{Duration, Instant};

use mailmesh_sandbox::Settings as SandboxSettings;
use mailmesh_testkit::eventually;
use mailmesh_tests::{Leftovers, Service, World, WorldSettings};

use crate::sample::{
    Dice, assert_each_once, command, mail, publish_at_once, subjects, submitted, tally,
};

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
        extra: "[outbound_sender]\n\
                sent_folder_delay_seconds = 1\nfinal_reply_timeout_seconds = 5\n\
                retry_delays_seconds = [1]\n"
            .to_owned(),
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
        publish_at_once(&world, &mailbox, &keys[before..]).await;
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
    assert_each_once(&submitted(&world), &keys);
    let uncertain = world.events.named("mail.uncertain", key).await.unwrap();
    assert!(uncertain.len() < keys.len() / 4, "{}", uncertain.len());
    world.finish(Leftovers::default()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_of_a_sender_that_takes_commands_in_loses_and_doubles_nothing() {
    let mut world = World::start(WorldSettings::default()).await.unwrap();
    let mailbox = world.connect_sandbox("crash-intake").await.unwrap();
    let keys = subjects("mail", 0..MAILS_EACH);
    let sender = world.mesh.newest(Service::OutboundSender).unwrap();

    for (number, key) in keys.iter().enumerate() {
        let command = command(&mailbox, key);
        world.publish("mail.send", &command).await.unwrap();
        if number == MAILS_EACH / 2 {
            world.mesh.kill9(sender).await.unwrap();
            world.mesh.launch(Service::OutboundSender).await.unwrap();
        }
    }

    // What the dead one had in hand is delivered again after forty seconds.
    let taken = async || {
        world
            .events
            .count("MAIL_SEND")
            .await
            .is_ok_and(|count| count == 0)
    };
    for _patience in 0..2 {
        eventually("all commands are taken", taken).await.ok();
    }
    let key = Some(mailbox.outbound.as_str());
    eventually("every mail is sent, or visibly uncertain", async || {
        let sent = world.events.named("mail.sent", key).await?;
        let uncertain = world.events.named("mail.uncertain", key).await?;
        let mut ended = tally(&sent, "idempotency_key");
        ended.extend(tally(&uncertain, "idempotency_key"));
        anyhow::ensure!(ended.len() == keys.len(), "{}", ended.len());
        Ok(())
    })
    .await
    .unwrap();
    let sent = world.events.named("mail.sent", key).await.unwrap();
    let submitted = submitted(&world);
    assert!(
        submitted.values().all(|copies| *copies == 1),
        "{submitted:?}"
    );
    for (key, events) in tally(&sent, "idempotency_key") {
        assert_eq!((events, submitted.get(&key)), (1, Some(&1)), "{key}");
    }
    world.finish(Leftovers::default()).await.unwrap();
}
