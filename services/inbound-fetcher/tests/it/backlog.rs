//! Backlogs of large mails.

use anyhow::Result;
use bytes::Bytes;
use mailmesh_sandbox::{Fault, FaultRule};

use crate::fault::rule;
use crate::world::{World, mail, uid_of};

const MAILS: u32 = 40;

fn large(number: u32) -> Bytes {
    let mut raw = format!("Subject: {number}\r\n\r\n").into_bytes();
    raw.resize(600_000, b'x');
    Bytes::from(raw)
}

/// Returns how many slices the server sent for the backlog.
async fn slices_of_backlog(world: &World) -> Result<u64> {
    let account = world.account("support", |_| {}).await?;
    for number in 1..=MAILS {
        world.deliver(large(number))?;
    }
    let replica = world.start().await?;
    world.recorded(&account, MAILS).await?;
    let mails = world.mails("support", MAILS as usize).await?;
    let uids = mails.iter().map(|mail| uid_of(&mail.origin));
    assert!(uids.eq(1..=MAILS));
    let slices = world.sandbox.mail().counters().imap_bodies;
    replica.stop().await?;
    Ok(slices)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mails_that_come_in_slices_are_not_fetched_again_and_again() -> Result<()> {
    let world = World::new().await?;

    let slices = slices_of_backlog(&world).await?;

    assert_eq!(slices, u64::from(2 * MAILS));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_that_tells_no_sizes_sends_little_twice() -> Result<()> {
    let world = World::new().await?;
    let text = "{tag} NO failed".to_owned();
    let fault = rule("imap.fetch", Fault::Reply { text }, Some(1));
    world.sandbox.faults().add(fault)?;

    let slices = slices_of_backlog(&world).await?;

    assert!(slices <= u64::from(3 * MAILS), "{slices}");
    Ok(())
}

/// Room for large mails is scarce: who holds it may not wait for a silent server as long as others do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_that_falls_silent_in_a_large_mail_is_left_soon() -> Result<()> {
    let mut world = World::new().await?;
    world.settings.large_mail_seconds = 1;
    let account = world.account("support", |_| {}).await?;
    let fault = FaultRule {
        after: 1,
        ..rule("imap.fetch.body", Fault::Stall { seconds: None }, Some(1))
    };
    world.sandbox.faults().add(fault)?;
    world.deliver(large(1))?;
    let replica = world.start().await?;

    world.recorded(&account, 1).await?;

    world.mails("support", 1).await?;
    world.sandbox.faults().clear();
    world.finish(replica).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn throttled_or_cut_backlog_costs_no_command_for_each_mail() -> Result<()> {
    let world = World::new().await?;
    let account = world.account("support", |_| {}).await?;
    let text =
        "{tag} BAD Request is throttled. Suggested Backoff Time: 100 milliseconds".to_owned();
    // The first FETCH asks for sizes.
    world.sandbox.faults().add(FaultRule {
        after: 1,
        ..rule("imap.fetch", Fault::Reply { text }, Some(1))
    })?;
    world.sandbox.faults().add(FaultRule {
        after: 50,
        ..rule("imap.fetch.body", Fault::Cut, Some(1))
    })?;
    for number in 1..=200 {
        world.deliver(mail(number))?;
    }
    let replica = world.start().await?;

    world.recorded(&account, 200).await?;

    world.mails("support", 200).await?;
    let commands = world.sandbox.mail().counters().imap_commands;
    assert!(commands < 60, "{commands}");
    world.finish(replica).await
}
