//! Owners that die, freeze or are two: each mail is published once.

use std::collections::HashSet;

use anyhow::Result;
use bytes::Bytes;
use mailmesh_domain::{AccountState, Protocol};
use mailmesh_events::account::AccountFailing;
use mailmesh_events::mail::{MailReceived, ResetReason};
use mailmesh_sandbox::Flags;
use mailmesh_store::account_status;
use mailmesh_testkit::eventually;

use crate::world::{ALICE, World, mail, over_each_protocol, uid_of};

over_each_protocol! {
    owner_killed_between_publish_and_record_leaves_no_second_event,
    another_name_of_the_same_server_brings_no_second_event,
    stale_owner_is_refused_by_the_stream_and_publishes_nothing,
    fence_that_is_taken_away_within_a_backlog_loses_and_doubles_nothing,
    owner_frozen_beyond_its_lease_publishes_nothing_a_second_time,
    owner_that_wakes_records_nothing_over_what_its_successor_sees,
}

async fn owner_killed_between_publish_and_record_leaves_no_second_event(
    protocol: Protocol,
) -> Result<()> {
    let world = World::over(protocol).await?;
    let account = world.account("support", |_| {}).await?;
    let first = world.start().await?;
    world.deliver(mail(1))?;
    world.mails("support", 1).await?;
    world.recorded(&account, 1).await?;
    // The recorder waits for this row, and so publishes without recording.
    let mut lock = world.base.begin().await?;
    account_status::set_proved(
        &mut lock,
        &[world.base.proof(&account, std::time::Duration::ZERO)],
    )
    .await?;
    world.deliver(mail(2))?;
    world.mails("support", 2).await?;

    first.kill().await;
    drop(lock);
    world.deliver(mail(3))?;
    let second = world.start().await?;

    let mails = world.mails("support", 3).await?;
    let uids: Vec<u32> = mails.iter().map(|mail| uid_of(&mail.origin)).collect();
    assert_eq!(uids, [1, 2, 3]);
    world.recorded(&account, 3).await?;
    world.finish(second).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_share_accounts_and_publish_each_mail_once() -> Result<()> {
    let world = World::new().await?;
    let mut accounts = Vec::new();
    for number in 0..6 {
        accounts.push(world.account(&format!("a{number}"), |_| {}).await?);
    }
    let first = world.start().await?;
    for number in 1..=50 {
        world.deliver(mail(number))?;
    }
    let second = world.start().await?;
    for number in 51..=100 {
        world.deliver(mail(number))?;
    }
    for account in &accounts {
        world.mails(account.key.as_str(), 100).await?;
    }

    first.stop().await?;
    for number in 101..=110 {
        world.deliver(mail(number))?;
    }

    for account in &accounts {
        let mails = world.mails(account.key.as_str(), 110).await?;
        let uids: HashSet<u32> = mails.iter().map(|mail| uid_of(&mail.origin)).collect();
        assert_eq!(uids.len(), 110);
        world.recorded(account, 110).await?;
    }
    world.finish(second).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn maildrop_goes_from_replica_to_replica_without_a_second_event() -> Result<()> {
    let world = World::with_streams(|streams| streams.duplicate_window_seconds = 1)
        .await?
        .with(Protocol::Pop3);
    let account = world.account("support", |_| {}).await?;
    let (first, second) = (world.start().await?, world.start().await?);
    for number in 1..=30 {
        world.deliver(mail(number))?;
    }
    world.recorded(&account, 30).await?;

    first.stop().await?;
    for number in 31..=40 {
        world.deliver(mail(number))?;
    }
    world.recorded(&account, 40).await?;
    let third = world.start().await?;
    world.deliver(mail(41))?;
    second.kill().await;
    for number in 42..=50 {
        world.deliver(mail(number))?;
    }
    world.recorded(&account, 50).await?;

    let mails = world.mails("support", 50).await?;
    let uids: HashSet<u32> = mails.iter().map(|mail| uid_of(&mail.origin)).collect();
    assert_eq!(uids.len(), 50);
    world.finish(third).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn renumbered_folder_is_read_again_without_a_second_event() -> Result<()> {
    let world = World::new().await?;
    let account = world.account("support", |_| {}).await?;
    for number in 1..=10 {
        world.deliver(mail(number))?;
    }
    let replica = world.start().await?;
    world.mails("support", 10).await?;
    world.recorded(&account, 10).await?;

    world.sandbox.mail().reset_uid_validity(ALICE, "INBOX")?;
    world.sandbox.mail().expire_sessions(ALICE)?;
    world.deliver(mail(11))?;

    let mails = world.mails("support", 11).await?;
    assert_eq!(mails[10].subject.as_deref(), Some("Mail 11"));
    let reset: mailmesh_events::mail::MailboxReset = world.base.first_event("support").await?;
    assert_eq!(reset.reason, ResetReason::EpochEnded);
    world.recorded(&account, 11).await?;
    eventually("the second reading has ended", async || {
        let mut tx = world.base.begin().await?;
        let cursors = mailmesh_store::mailbox::list_cursors(&mut tx, &[account.id]).await?;
        let until = cursors.first().and_then(|cursor| cursor.rescan_until);
        anyhow::ensure!(until.is_none(), "{until:?}");
        anyhow::Ok(())
    })
    .await?;
    assert_eq!(
        world.base.events::<MailReceived>("support").await?.len(),
        11
    );
    world.finish(replica).await
}

async fn another_name_of_the_same_server_brings_no_second_event(protocol: Protocol) -> Result<()> {
    let world = World::with_streams(|streams| streams.duplicate_window_seconds = 1)
        .await?
        .with(protocol);
    let mut account = world.account("support", |_| {}).await?;
    for number in 1..=10 {
        world.deliver(mail(number))?;
    }
    let replica = world.start().await?;
    world.mails("support", 10).await?;
    world.recorded(&account, 10).await?;
    // Until then the server itself drops a repetition.
    let recorded_at = std::time::Instant::now();
    eventually("the stream has forgotten the ids", async || {
        anyhow::ensure!(recorded_at.elapsed() > std::time::Duration::from_secs(2));
        anyhow::Ok(())
    })
    .await?;

    // As the administration does it.
    account.server.as_mut().unwrap().host = "127.0.0.1".to_owned();
    let mut tx = world.base.begin().await?;
    mailmesh_store::account::update(&mut tx, &account).await?;
    mailmesh_store::progress::void(&mut tx, account.id).await?;
    tx.commit().await?;
    world.deliver(mail(11))?;

    world.recorded(&account, 11).await?;
    let mails = world.mails("support", 11).await?;
    let uids: HashSet<u32> = mails.iter().map(|mail| uid_of(&mail.origin)).collect();
    assert_eq!(uids.len(), 11);
    let reset: mailmesh_events::mail::MailboxReset = world.base.first_event("support").await?;
    assert_eq!(reset.reason, ResetReason::ServerChanged);
    world.finish(replica).await
}

/// The mail is known, but from elsewhere: in this folder it is new, whatever its number is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_copied_into_a_renumbered_folder_is_no_known_one() -> Result<()> {
    let world = World::new().await?;
    let account = world
        .account("support", |account| {
            account.folders = vec!["INBOX".to_owned(), "Archive".to_owned()];
        })
        .await?;
    let archive = |raw: Bytes| {
        let mail = world.sandbox.mail();
        mail.append(ALICE, "Archive", raw, Flags::default())
    };
    world.deliver(mail(1))?;
    archive(mail(2))?;
    archive(mail(2))?;
    let replica = world.start().await?;
    world.mails("support", 3).await?;
    replica.stop().await?;

    archive(mail(1))?;
    archive(mail(2))?;
    world.sandbox.mail().reset_uid_validity(ALICE, "Archive")?;
    let replica = world.start().await?;

    let mails = world.mails("support", 5).await?;
    let subjects = mails.iter().skip(3).map(|mail| mail.subject.as_deref());
    assert!(subjects.eq([Some("Mail 1"), Some("Mail 2")]));
    eventually("the second reading has ended", async || {
        let mut tx = world.base.begin().await?;
        let cursors = mailmesh_store::mailbox::list_cursors(&mut tx, &[account.id]).await?;
        let is_over = cursors.iter().all(|cursor| cursor.rescan_until.is_none());
        anyhow::ensure!(is_over, "{cursors:?}");
        anyhow::Ok(())
    })
    .await?;
    world.mails("support", 5).await?;
    world.finish(replica).await
}

async fn stale_owner_is_refused_by_the_stream_and_publishes_nothing(
    protocol: Protocol,
) -> Result<()> {
    let world = World::over(protocol).await?;
    let account = world.account("support", |_| {}).await?;
    let replica = world.start().await?;
    world.deliver(mail(1))?;
    world.mails("support", 1).await?;
    world.recorded(&account, 1).await?;

    // Somebody else takes the account over, whatever the lease says.
    world.base.bus.take_fence("support").await?;
    world.deliver(mail(2))?;

    // The replica is refused, fences anew, reads back, and only then publishes.
    let mails = world.mails("support", 2).await?;
    assert_eq!(uid_of(&mails[1].origin), 2);
    let fence = world.base.stored("fence.support").await?;
    assert_eq!(fence.len(), 1);
    world.recorded(&account, 2).await?;
    world.finish(replica).await
}

async fn fence_that_is_taken_away_within_a_backlog_loses_and_doubles_nothing(
    protocol: Protocol,
) -> Result<()> {
    let world = World::over(protocol).await?;
    let account = world.account("support", |_| {}).await?;
    for number in 1..=2_000 {
        world.deliver(mail(number))?;
    }
    let replica = world.start().await?;

    for round in 0..5 {
        eventually("the backlog goes on", async || {
            let published = world.base.stored("mail.received.support").await?.len();
            anyhow::ensure!(published >= 300 * round, "{published}");
            anyhow::Ok(())
        })
        .await?;
        // The owner may take it at the same moment.
        eventually("the fence is taken away", async || {
            world.base.bus.take_fence("support").await.map(drop)
        })
        .await?;
    }

    world.recorded(&account, 2_000).await?;
    world.mails("support", 2_000).await?;
    world.finish(replica).await
}

async fn owner_that_wakes_records_nothing_over_what_its_successor_sees(
    protocol: Protocol,
) -> Result<()> {
    let mut world = World::over(protocol).await?;
    world.settings.failures_to_report = 1;
    let account = world.account("support", |_| {}).await?;
    let first = world.start_freezable();
    world.deliver(mail(1))?;
    world.recorded(&account, 1).await?;
    let frozen = first.freeze().await?;
    if protocol == Protocol::Pop3 {
        // The server takes the silent client for gone.
        world.sandbox.mail().unlock_maildrop(ALICE)?;
    }
    let second = world.start().await?;
    // What the first one fetches as it wakes is refused by the stream.
    world.deliver(mail(2))?;
    world.recorded(&account, 2).await?;

    frozen.thaw();
    world.deliver(mail(3))?;
    world.recorded(&account, 3).await?;
    first.stop().await?;

    assert_eq!(world.state(&account).await?, AccountState::Active);
    let failing = world.base.events::<AccountFailing>("support").await?;
    assert_eq!(failing, []);
    world.mails("support", 3).await?;
    world.finish(second).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn state_that_somebody_else_wrote_is_recorded_again() -> Result<()> {
    let world = World::new().await?;
    let account = world.account("support", |_| {}).await?;
    let replica = world.start().await?;
    world.deliver(mail(1))?;
    world.recorded(&account, 1).await?;

    let statement = "UPDATE account_status SET state = 'failing'";
    world.base.execute(statement).await?;

    eventually("the account is active again", async || {
        let state = world.state(&account).await?;
        anyhow::ensure!(state == AccountState::Active, "{state}");
        anyhow::Ok(())
    })
    .await?;
    world.finish(replica).await
}

async fn owner_frozen_beyond_its_lease_publishes_nothing_a_second_time(
    protocol: Protocol,
) -> Result<()> {
    let world = World::over(protocol).await?;
    let account = world.account("support", |_| {}).await?;
    let first = world.start_freezable();
    world.deliver(mail(1))?;
    world.mails("support", 1).await?;
    world.recorded(&account, 1).await?;

    // In the middle of a backlog: some of it is published, some is on its way, some is fetched.
    for number in 2..=1_500 {
        world.deliver(mail(number))?;
    }
    eventually("the backlog is begun", async || {
        let published = world.base.stored("mail.received.support").await?.len();
        anyhow::ensure!(published > 100, "{published}");
        anyhow::Ok(())
    })
    .await?;
    let frozen = first.freeze().await?;
    if protocol == Protocol::Pop3 {
        // The server takes the silent client for gone.
        world.sandbox.mail().unlock_maildrop(ALICE)?;
    }
    let second = world.start().await?;
    // The lease has to end first.
    let begun = world.base.stored("mail.received.support").await?.len();
    eventually("the second replica has taken over", async || {
        let published = world.base.stored("mail.received.support").await?.len();
        anyhow::ensure!(published > begun, "{published}");
        anyhow::Ok(())
    })
    .await?;
    world.recorded(&account, 1_500).await?;

    frozen.thaw();
    world.deliver(mail(1_501))?;

    world.recorded(&account, 1_501).await?;
    first.stop().await?;
    world.deliver(mail(1_502))?;
    world.recorded(&account, 1_502).await?;
    world.mails("support", 1_502).await?;
    world.finish(second).await
}
