//! What only mailboxes that are listed whole do: ids used again, doubled, missing or replaced, partial listings, locks, and
//! sessions that count only once they ended well.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use mailmesh_domain::{AccountState, AfterReceive, Clock as _, ManualClock, Protocol, SystemClock};
use mailmesh_events::account::AccountFailing;
use mailmesh_events::mail::{MailQuarantined, MailReceived, MailboxReset, ResetReason};
use mailmesh_sandbox::{Fault, FaultRule, Pop3Quirks, UidlKind};
use mailmesh_store::account::Account;
use mailmesh_store::account_status;
use mailmesh_testkit::eventually;

use crate::fault::rule;
use crate::world::{ALICE, World, mail, uid_of};

async fn world() -> Result<World> {
    World::over(Protocol::Pop3).await
}

fn delete(account: &mut Account) {
    account.after_receive = AfterReceive::Delete;
}

fn show(world: &World, quirks: Pop3Quirks) -> Result<()> {
    Ok(world.sandbox.mail().set_pop3_quirks(ALICE, quirks)?)
}

async fn is_empty(world: &World) -> Result<()> {
    eventually("the maildrop is empty", async || {
        let left = world.sandbox.mail().list(ALICE, "INBOX")?.len();
        ensure!(left == 0, "{left} are left");
        Ok(())
    })
    .await
}

/// Waits until further looks have come to their end.
pub(crate) async fn further_looks(world: &World, looks: u64) -> Result<()> {
    let before = world.sandbox.mail().counters().pop3_sign_ins;
    eventually("the mailbox is looked through again", async || {
        let now = world.sandbox.mail().counters().pop3_sign_ins;
        // The last of them may still be under way.
        ensure!(now > before + looks, "{now} after {before}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn received_mails_are_deleted_from_the_maildrop() -> Result<()> {
    let world = world().await?;
    world.account("support", delete).await?;
    world.deliver(mail(1))?;
    world.deliver(mail(2))?;
    let replica = world.start().await?;

    world.mails("support", 2).await?;
    is_empty(&world).await?;
    world.deliver(mail(3))?;

    is_empty(&world).await?;
    world.mails("support", 3).await?;
    world.finish(replica).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn delete_that_is_lost_with_the_farewell_is_tried_again() -> Result<()> {
    for point in ["pop3.quit", "pop3.after_quit", "pop3.dele"] {
        let world = world().await?;
        world.account("support", delete).await?;
        world.deliver(mail(1))?;
        world.deliver(mail(2))?;
        world
            .sandbox
            .faults()
            .add(rule(point, Fault::Cut, Some(1)))?;
        let replica = world.start().await?;

        is_empty(&world).await?;

        further_looks(&world, 1).await?;
        world.mails("support", 2).await?;
        world.finish(replica).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mails_that_a_session_lists_in_part_are_received_without_a_poll() -> Result<()> {
    let world = world().await?;
    world
        .account("support", |account| account.poll_interval_seconds = 600)
        .await?;
    show(
        &world,
        Pop3Quirks {
            hides_retrieved: true,
            listed_at_most: Some(5),
            ..Pop3Quirks::default()
        },
    )?;
    for number in 1..=23 {
        world.deliver(mail(number))?;
    }
    let replica = world.start().await?;

    let mails = world.mails("support", 23).await?;

    assert!(mails.iter().map(|mail| uid_of(&mail.origin)).eq(1..=23));
    world.finish(replica).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn login_delay_is_kept_between_sessions() -> Result<()> {
    let world = world().await?;
    world.account("support", |_| {}).await?;
    show(
        &world,
        Pop3Quirks {
            hides_retrieved: true,
            listed_at_most: Some(2),
            login_delay_seconds: Some(2),
            ..Pop3Quirks::default()
        },
    )?;
    for number in 1..=6 {
        world.deliver(mail(number))?;
    }
    let replica = world.start().await?;

    world.mails("support", 6).await?;

    let counters = world.sandbox.mail().counters();
    assert_eq!(counters.pop3_connected, counters.pop3_sign_ins);
    world.finish(replica).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mails_that_the_server_did_not_count_as_taken_keep_no_later_ones_out() -> Result<()> {
    let world = World::with_streams(|streams| streams.duplicate_window_seconds = 1)
        .await?
        .with(Protocol::Pop3);
    world.account("support", |_| {}).await?;
    show(
        &world,
        Pop3Quirks {
            hides_retrieved: true,
            listed_at_most: Some(5),
            ..Pop3Quirks::default()
        },
    )?;
    let lost = rule("pop3.quit", Fault::Cut, Some(2));
    world.sandbox.faults().add(lost)?;
    for number in 1..=10 {
        world.deliver(mail(number))?;
    }
    let first = world.start().await?;
    world.mails("support", 5).await?;
    first.kill().await;

    let second = world.start().await?;

    let mails = world.mails("support", 10).await?;
    assert!(mails.iter().map(|mail| uid_of(&mail.origin)).eq(1..=10));
    world.finish(second).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_of_before_is_taken_in_silence_where_a_part_is_shown_at_a_time() -> Result<()> {
    let world = world().await?;
    world
        .account("support", |account| account.receive_existing = false)
        .await?;
    show(
        &world,
        Pop3Quirks {
            hides_retrieved: true,
            listed_at_most: Some(2),
            ..Pop3Quirks::default()
        },
    )?;
    let dated = |date: &str, number| {
        let raw = mail(number);
        let received = format!("Received: by mx.sandbox.test; {date}\r\n");
        Bytes::from([received.as_bytes(), &raw].concat())
    };
    for number in 1..=5 {
        world.deliver(dated("Mon, 2 Nov 2015 10:00:00 +0100", number))?;
    }
    let replica = world.start().await?;
    further_looks(&world, 3).await?;

    world.deliver(dated("Wed, 2 Nov 2089 10:00:00 +0100", 6))?;

    let mails = world.mails("support", 1).await?;
    assert_eq!(mails[0].subject.as_deref(), Some("Mail 6"));
    world.finish(replica).await
}

/// Gmail shows no mail again that a session retrieved and ended well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_that_cannot_be_published_is_not_taken_from_the_server() -> Result<()> {
    let world = World::with_streams(|streams| {
        streams.events_max_bytes = 300 * 1024;
        streams.events_max_age_seconds = 8;
        streams.duplicate_window_seconds = 2;
    })
    .await?
    .with(Protocol::Pop3);
    let account = world.account("support", |_| {}).await?;
    show(
        &world,
        Pop3Quirks {
            hides_retrieved: true,
            ..Pop3Quirks::default()
        },
    )?;
    let body = "x".repeat(60_000);
    for number in 1..=8 {
        world.deliver(format!("Subject: {number}\r\n\r\n{body}\r\n"))?;
    }
    let mut received = world.base.bus.subscribe("mail.received", None).await?;
    let replica = world.start().await?;
    eventually("the full stream is told", async || {
        let state = world.state(&account).await?;
        ensure!(state == AccountState::Unknown, "{state}");
        anyhow::Ok(())
    })
    .await?;
    let shown = world.sandbox.mail().list(ALICE, "INBOX")?;
    assert!(shown.iter().all(|mail| !mail.is_popped));

    let mut subjects = Vec::new();
    while subjects.len() < 8 {
        let hint = received.next().await.expect("the subscription is open");
        let event: MailReceived = serde_json::from_slice(&hint.payload)?;
        subjects.push(event.subject.unwrap_or_default());
    }

    subjects.sort_unstable();
    assert_eq!(subjects, ["1", "2", "3", "4", "5", "6", "7", "8"]);
    eventually("all are taken from the server", async || {
        let shown = world.sandbox.mail().list(ALICE, "INBOX")?;
        ensure!(shown.iter().all(|mail| mail.is_popped));
        anyhow::Ok(())
    })
    .await?;
    replica.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn renumbered_maildrop_brings_no_second_event() -> Result<()> {
    let world = World::with_streams(|streams| streams.duplicate_window_seconds = 1)
        .await?
        .with(Protocol::Pop3);
    let account = world.account("support", |_| {}).await?;
    for number in 1..=10 {
        world.deliver(mail(number))?;
    }
    let replica = world.start().await?;
    world.mails("support", 10).await?;
    world.recorded(&account, 10).await?;

    world.sandbox.mail().reset_uid_validity(ALICE, "INBOX")?;
    world.deliver(mail(11))?;

    let mails = world.mails("support", 11).await?;
    assert_eq!(mails[10].subject.as_deref(), Some("Mail 11"));
    let reset: MailboxReset = world.base.first_event("support").await?;
    assert_eq!(reset.reason, ResetReason::PositionsReplaced);
    further_looks(&world, 2).await?;
    world.mails("support", 11).await?;
    assert_eq!(world.base.events::<MailboxReset>("support").await?.len(), 1);
    world.finish(replica).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_that_are_new_in_each_session_are_told_and_read_at_the_poll_interval() -> Result<()> {
    let world = world().await?;
    let account = world.account("support", |_| {}).await?;
    show(
        &world,
        Pop3Quirks {
            uidl: UidlKind::Session,
            ..Pop3Quirks::default()
        },
    )?;
    for number in 1..=5 {
        world.deliver(mail(number))?;
    }
    let replica = world.start().await?;
    world.mails("support", 5).await?;

    let problem = eventually("it is told", async || {
        let mut tx = world.base.begin().await?;
        let statuses = account_status::list_by_ids(&mut tx, &[account.id]).await?;
        tx.commit().await?;
        let status = statuses.into_iter().next().context("no state")?;
        ensure!(status.state == AccountState::Active, "{:?}", status.state);
        status.problem.context("no problem")
    })
    .await?;
    assert!(problem.what.contains("UIDL"), "{problem:?}");
    further_looks(&world, 2).await?;
    world.deliver(mail(6))?;
    world.mails("support", 6).await?;
    further_looks(&world, 3).await?;

    assert_eq!(world.base.events::<MailReceived>("support").await?.len(), 6);
    // Then the ids mean nothing.
    assert_eq!(world.base.events::<MailboxReset>("support").await?.len(), 2);
    world.finish(replica).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn id_that_is_used_again_is_another_mail() -> Result<()> {
    let world = world().await?;
    world.account("support", |_| {}).await?;
    show(
        &world,
        Pop3Quirks {
            uidl: UidlKind::Number,
            ..Pop3Quirks::default()
        },
    )?;
    let first = world.deliver(mail(1))?;
    let replica = world.start().await?;
    world.mails("support", 1).await?;
    further_looks(&world, 1).await?;

    // In the place of the first, before anybody looks: only the size tells.
    world.sandbox.mail().remove(ALICE, "INBOX", first)?;
    let second = world.deliver(mail(1_000_000))?;
    world.mails("support", 2).await?;
    world.sandbox.mail().remove(ALICE, "INBOX", second)?;
    further_looks(&world, 2).await?;
    // Of the size of the one before, and after the id was seen to be gone.
    world.deliver(mail(2_000_000))?;

    let mails = world.mails("support", 3).await?;
    let subjects = mails.iter().map(|mail| mail.subject.as_deref());
    assert!(subjects.eq([Some("Mail 1"), Some("Mail 1000000"), Some("Mail 2000000")]));
    world.finish(replica).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mails_that_share_an_id_are_told_apart_by_their_content() -> Result<()> {
    let world = world().await?;
    world.account("support", |_| {}).await?;
    let same = |uid| (uid, "same".to_owned());
    show(
        &world,
        Pop3Quirks {
            uidls: (1..=300).map(same).collect(),
            ..Pop3Quirks::default()
        },
    )?;
    world.deliver(mail(1))?;
    // Far enough apart that they are published in several batches.
    for _ in 0..298 {
        world.deliver(mail(2))?;
    }
    world.deliver(mail(1))?;
    let replica = world.start().await?;

    let mails = world.mails("support", 2).await?;

    let subjects = mails.iter().map(|mail| mail.subject.as_deref());
    assert!(subjects.eq([Some("Mail 1"), Some("Mail 2")]));
    further_looks(&world, 2).await?;
    let retrieved = world.sandbox.mail().counters().pop3_retrieved;
    further_looks(&world, 2).await?;
    assert_eq!(world.sandbox.mail().counters().pop3_retrieved, retrieved);
    world.mails("support", 2).await?;
    world.finish(replica).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_without_ids_has_each_mail_announced_once() -> Result<()> {
    let world = World::with_streams(|streams| streams.duplicate_window_seconds = 1)
        .await?
        .with(Protocol::Pop3);
    world.account("support", |_| {}).await?;
    show(
        &world,
        Pop3Quirks {
            uidl: UidlKind::Missing,
            ..Pop3Quirks::default()
        },
    )?;
    for number in 1..=3 {
        world.deliver(mail(number))?;
    }
    let replica = world.start().await?;
    world.mails("support", 3).await?;
    further_looks(&world, 3).await?;

    world.deliver(mail(4))?;

    let mails = world.mails("support", 4).await?;
    assert_eq!(mails[3].subject.as_deref(), Some("Mail 4"));
    further_looks(&world, 1).await?;
    world.mails("support", 4).await?;
    world.finish(replica).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mails_that_the_server_gives_no_id_are_received_beside_those_with_one() -> Result<()> {
    let world = World::with_streams(|streams| streams.duplicate_window_seconds = 1)
        .await?
        .with(Protocol::Pop3);
    world.account("support", |_| {}).await?;
    let named = |uidl_at_most| Pop3Quirks {
        uidl_at_most,
        ..Pop3Quirks::default()
    };
    show(&world, named(Some(2)))?;
    for number in 1..=4 {
        world.deliver(mail(number))?;
    }
    let replica = world.start().await?;
    world.mails("support", 4).await?;
    further_looks(&world, 2).await?;

    // Known by their content, with an id or without.
    for uidl_at_most in [None, Some(1), None] {
        show(&world, named(uidl_at_most))?;
        further_looks(&world, 2).await?;
    }

    world.mails("support", 4).await?;
    world.finish(replica).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mails_that_a_listing_leaves_out_for_a_while_are_not_announced_again() -> Result<()> {
    let world = World::with_streams(|streams| streams.duplicate_window_seconds = 1)
        .await?
        .with(Protocol::Pop3);
    let account = world.account("support", |_| {}).await?;
    for number in 1..=5 {
        world.deliver(mail(number))?;
    }
    let replica = world.start().await?;
    world.mails("support", 5).await?;
    world.recorded(&account, 5).await?;

    show(
        &world,
        Pop3Quirks {
            hidden: [1, 3, 4].into(),
            ..Pop3Quirks::default()
        },
    )?;
    further_looks(&world, 2).await?;
    show(&world, Pop3Quirks::default())?;
    world.deliver(mail(6))?;

    let mails = world.mails("support", 6).await?;
    assert_eq!(mails[5].subject.as_deref(), Some("Mail 6"));
    further_looks(&world, 1).await?;
    world.mails("support", 6).await?;
    world.finish(replica).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lock_that_a_crashed_owner_left_is_told_to_nobody() -> Result<()> {
    let world = world().await?;
    let account = world.account("support", |_| {}).await?;
    world.deliver(mail(1))?;
    let first = world.start().await?;
    world.mails("support", 1).await?;
    world.recorded(&account, 1).await?;
    show(
        &world,
        Pop3Quirks {
            stale_lock_seconds: 600,
            ..Pop3Quirks::default()
        },
    )?;
    world
        .sandbox
        .faults()
        .add(rule("pop3.retr", Fault::Stall { seconds: None }, None))?;
    world.deliver(mail(2))?;
    eventually("a mail is being fetched", async || {
        let rules = world.sandbox.faults().list();
        rules.iter().any(|rule| rule.taken > 0)
    })
    .await?;

    first.kill().await;
    world.sandbox.faults().clear();
    let second = world.start().await?;

    eventually("the maildrop is locked", async || {
        let counters = world.sandbox.mail().counters();
        let is_refused = counters.pop3_connected > counters.pop3_sign_ins;
        ensure!(is_refused && counters.pop3_connections == 0, "{counters:?}");
        anyhow::Ok(())
    })
    .await?;
    assert_eq!(world.state(&account).await?, AccountState::Active);
    let told = world.base.events::<AccountFailing>("support").await?;
    assert!(told.is_empty(), "{told:?}");
    world.finish(second).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_is_deleted_days_after_it_was_first_seen() -> Result<()> {
    let world = world().await?;
    let account = world
        .account("support", |account| {
            delete(account);
            account.delete_after_days = Some(7);
        })
        .await?;
    world.deliver(mail(1))?;
    let replica = world.start().await?;
    world.mails("support", 1).await?;
    world.recorded(&account, 1).await?;
    further_looks(&world, 1).await?;
    assert_eq!(world.sandbox.mail().list(ALICE, "INBOX")?.len(), 1);
    replica.stop().await?;

    let clock = ManualClock::starting_at(SystemClock.now());
    clock.advance(Duration::from_hours(7 * 24));
    let replica = world.start_at(Arc::new(clock)).await?;

    is_empty(&world).await?;
    world.mails("support", 1).await?;
    world.finish(replica).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_that_was_there_before_is_left_alone_if_asked() -> Result<()> {
    let world = world().await?;
    world
        .account("support", |account| account.receive_existing = false)
        .await?;
    world.deliver(mail(1))?;
    let replica = world.start().await?;
    further_looks(&world, 1).await?;

    world.deliver(mail(2))?;

    let mails = world.mails("support", 1).await?;
    assert_eq!(uid_of(&mails[0].origin), 2);
    assert_eq!(world.sandbox.mail().counters().pop3_retrieved, 1);
    world.finish(replica).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_that_the_server_cannot_show_is_set_aside_and_asked_for_no_more() -> Result<()> {
    let world = world().await?;
    let account = world.account("support", |_| {}).await?;
    world.deliver(mail(1))?;
    let replica = world.start().await?;
    world.mails("support", 1).await?;
    world.recorded(&account, 1).await?;
    // A new mail is refused twice; another is read; then it is refused once more.
    let text = world.refusal("cannot open the mail");
    let refused = |after, count| FaultRule {
        after,
        ..rule(
            "pop3.retr",
            Fault::Reply { text: text.clone() },
            Some(count),
        )
    };
    world.sandbox.faults().add(refused(0, 2))?;
    world.sandbox.faults().add(refused(1, 1))?;

    world.deliver(mail(2))?;
    let event: MailQuarantined = world.base.first_event("support").await?;
    world.deliver(mail(3))?;

    let mails = world.mails("support", 2).await?;
    assert_eq!(uid_of(&mails[1].origin), 3);
    assert_eq!((uid_of(&event.origin), event.attempts), (2, 3));
    further_looks(&world, 2).await?;
    world.mails("support", 2).await?;
    assert_eq!(
        world.base.events::<MailQuarantined>("support").await?.len(),
        1
    );
    world.finish(replica).await
}
