//! What the stream holds of an account is believed only as far as the mailbox confirms it.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use mailmesh_domain::Protocol;
use mailmesh_events::mail::MailReceived;
use mailmesh_store::account::Account;
use mailmesh_store::account_status;
use mailmesh_testkit::{RunningReplica, eventually};

use crate::world::{ALICE, World, mail, over_each_protocol};

over_each_protocol! {
    mail_in_the_place_of_one_that_was_published_and_not_recorded_is_received,
    stream_that_was_made_anew_is_read_back_from_its_beginning,
}

const DUPLICATE_WINDOW: Duration = Duration::from_secs(1);

async fn world(protocol: Protocol) -> Result<World> {
    let window = DUPLICATE_WINDOW.as_secs();
    let world = World::with_streams(|streams| streams.duplicate_window_seconds = window).await?;
    Ok(world.with(protocol))
}

/// Has a replica publish one more mail, which makes `count` in the stream, and kills it before it is recorded.
async fn publish_without_recording(
    world: &World,
    account: &Account,
    replica: RunningReplica,
    number: u32,
    count: usize,
) -> Result<Vec<MailReceived>> {
    // The recorder waits for this row.
    let mut lock = world.base.begin().await?;
    account_status::set_proved(&mut lock, &[world.base.proof(account, Duration::ZERO)]).await?;
    world.deliver(mail(number))?;
    let mails = world.mails("support", count).await?;
    replica.kill().await;
    drop(lock);
    let published = Instant::now();
    eventually("the stream has forgotten the ids", async || {
        ensure!(published.elapsed() > 2 * DUPLICATE_WINDOW);
        Ok(())
    })
    .await?;
    Ok(mails)
}

fn subjects(mails: &[MailReceived]) -> Vec<&str> {
    let subjects = mails.iter().map(|mail| mail.subject.as_deref());
    subjects.map(Option::unwrap_or_default).collect()
}

async fn mail_in_the_place_of_one_that_was_published_and_not_recorded_is_received(
    protocol: Protocol,
) -> Result<()> {
    let world = world(protocol).await?;
    let account = world.account("support", |_| {}).await?;
    world.deliver(mail(1))?;
    let first = world.start().await?;
    world.mails("support", 1).await?;
    world.recorded(&account, 1).await?;
    publish_without_recording(&world, &account, first, 2, 2).await?;

    // Of the same size.
    let replaced = world.sandbox.mail().replace(ALICE, "INBOX", 2, mail(7))?;
    world.deliver(mail(3))?;
    let second = world.start().await?;

    let mails = world.mails("support", 4).await?;
    assert!(replaced);
    assert_eq!(subjects(&mails), ["Mail 1", "Mail 2", "Mail 7", "Mail 3"]);
    world.recorded(&account, 3).await?;
    world.finish(second).await
}

async fn stream_that_was_made_anew_is_read_back_from_its_beginning(
    protocol: Protocol,
) -> Result<()> {
    let world = world(protocol).await?;
    let account = world.account("support", |_| {}).await?;
    for number in 1..=10 {
        world.deliver(mail(number))?;
    }
    let first = world.start().await?;
    world.mails("support", 10).await?;
    world.recorded(&account, 10).await?;
    first.stop().await?;

    world.remake_events().await?;
    let second = world.start().await?;
    publish_without_recording(&world, &account, second, 11, 1).await?;
    // Others publish, so that the new stream passes the sequence that was recorded in the old one.
    for _ in 0..20 {
        world.base.publish("mail.sent.other", &[], "{}").await?;
    }
    let third = world.start().await?;
    world.deliver(mail(12))?;

    let mails = world.mails("support", 2).await?;
    assert_eq!(subjects(&mails), ["Mail 11", "Mail 12"]);
    world.recorded(&account, 12).await?;
    world.mails("support", 2).await?;
    world.finish(third).await
}
