//! Mails that cannot be read, and servers that read none: only the first are set aside.

use std::time::Duration;

use anyhow::{Result, ensure};
use bytes::Bytes;
use mailmesh_domain::{MustAct, Protocol};
use mailmesh_events::mail::{MailQuarantined, MailReceived};
use mailmesh_sandbox::{Fault, FaultRule, ImapQuirks, Pop3Quirks, UidlKind};
use mailmesh_testkit::within;

use crate::fault::rule;
use crate::maildrop::further_looks;
use crate::world::{ALICE, World, mail, over_each_protocol, uid_of};

/// Several rounds of attempts, each with its backoff.
const PATIENCE: Duration = Duration::from_mins(2);

over_each_protocol! {
    mail_that_is_alone_in_its_folder_outlives_a_fault_of_the_server,
}

/// Breaks a new mail twice, lets another mail be read, then breaks it once more.
fn break_one_mail(world: &World, fault: &Fault) -> Result<()> {
    let faults = world.sandbox.faults();
    faults.add(rule("imap.fetch.body", fault.clone(), Some(2)))?;
    faults.add(FaultRule {
        after: 1,
        ..rule("imap.fetch.body", fault.clone(), Some(1))
    })?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_that_breaks_the_session_is_set_aside_and_stops_no_other() -> Result<()> {
    let world = World::new().await?;
    let account = world.account("support", |_| {}).await?;
    world.deliver(mail(1))?;
    let replica = world.start().await?;
    world.mails("support", 1).await?;
    world.recorded(&account, 1).await?;
    break_one_mail(&world, &Fault::HugeLiteral { bytes: 1 << 40 })?;

    world.deliver(mail(2))?;
    let event: MailQuarantined = world.base.first_event("support").await?;
    world.deliver(mail(3))?;

    let mails = world.mails("support", 2).await?;
    assert_eq!(uid_of(&mails[1].origin), 3);
    assert_eq!((uid_of(&event.origin), event.attempts), (2, 3));
    assert_eq!(event.problem.must_act, MustAct::Administrator);
    world.recorded(&account, 3).await?;
    world.finish(replica).await
}

/// The fault may end at any point: also between the last failure and the look at another mail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_that_shows_no_mail_for_a_while_has_none_set_aside() -> Result<()> {
    let mut world = World::new().await?;
    // Each round begins with the first wait, as if the last one were a minute ago.
    world.settings.good_session_seconds = 0;
    world.settings.backoff_milliseconds = 10;
    world.settings.backoff_limit_seconds = 1;
    let account = world.account("support", |_| {}).await?;
    let replica = world.start().await?;
    let mut last = 0;

    // One for the sizes, one for the batch, two for the first mail; then others are asked as well.
    for (refusals, reply) in [
        (4, "{tag} NO failed"),
        (6, "{tag} BAD Command Error. 12"),
        (8, "{tag} NO failed"),
        (9, "{tag} NO failed"),
        (13, "{tag} NO failed"),
        (5, "{tag} NO [NOPERM] no"),
    ] {
        let text = reply.to_owned();
        let fault = rule("imap.fetch", Fault::Reply { text }, Some(refusals));
        world.sandbox.faults().add(fault)?;
        for _ in 0..20 {
            last = world.deliver(mail(last + 1))?;
        }
        world.recorded(&account, last).await?;
    }

    world.mails("support", 120).await?;
    let quarantined = world.base.events::<MailQuarantined>("support").await?;
    assert!(quarantined.is_empty(), "{quarantined:?}");
    world.finish(replica).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_that_breaks_each_session_is_set_aside_with_or_without_an_id() -> Result<()> {
    for uidl in [UidlKind::Uid, UidlKind::Missing] {
        let mut world = World::over(Protocol::Pop3).await?;
        world.settings.quarantine_attempts = 1;
        world.account("support", |_| {}).await?;
        for number in 1..=4 {
            world.deliver(mail(number))?;
        }
        let quirks = Pop3Quirks {
            uidl,
            broken: [2].into(),
            ..Pop3Quirks::default()
        };
        world.sandbox.mail().set_pop3_quirks(ALICE, quirks)?;
        let replica = world.start().await?;

        let event: MailQuarantined = world.base.first_event("support").await?;
        let mails = world.mails("support", 3).await?;

        let subjects = mails.iter().map(|mail| mail.subject.as_deref());
        assert!(subjects.eq([Some("Mail 1"), Some("Mail 3"), Some("Mail 4")]));
        assert_eq!(event.attempts, 3, "{uidl:?}");
        // It is asked for no more: each further session comes to its end.
        further_looks(&world, 3).await?;
        let broken_off = world.sandbox.mail().counters().faults;
        further_looks(&world, 3).await?;
        assert_eq!(world.sandbox.mail().counters().faults, broken_off);
        let told = world.base.events::<MailQuarantined>("support").await?;
        assert_eq!(told.len(), 1, "{uidl:?}");
        world.finish(replica).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_that_breaks_each_session_holds_those_behind_it_up_for_four_sessions() -> Result<()> {
    let world = World::over(Protocol::Pop3).await?;
    world.account("support", |_| {}).await?;
    for number in 1..=5 {
        world.deliver(mail(number))?;
    }
    let quirks = Pop3Quirks {
        broken: [3].into(),
        ..Pop3Quirks::default()
    };
    world.sandbox.mail().set_pop3_quirks(ALICE, quirks)?;
    let replica = world.start().await?;

    let event: MailQuarantined = world.base.first_event("support").await?;

    assert_eq!(event.attempts, 4);
    world.mails("support", 4).await?;
    world.finish(replica).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_that_ends_far_before_its_size_is_set_aside() -> Result<()> {
    let world = World::over(Protocol::Pop3).await?;
    world.account("support", |_| {}).await?;
    world.deliver(Bytes::from_static(b"Subject: Cut\r\n\r\nhalf\r\n"))?;
    let whole = format!("Subject: Whole\r\n\r\n{}", "x\r\n".repeat(10_000));
    world.deliver(Bytes::from(whole))?;
    let quirks = Pop3Quirks {
        size_error: 100,
        ..Pop3Quirks::default()
    };
    world.sandbox.mail().set_pop3_quirks(ALICE, quirks)?;
    let replica = world.start().await?;

    let event: MailQuarantined = world.base.first_event("support").await?;
    let mails = world.mails("support", 1).await?;

    assert!(
        event.problem.what.contains("announces"),
        "{:?}",
        event.problem
    );
    assert_eq!(mails[0].subject.as_deref(), Some("Whole"));
    world.finish(replica).await
}

async fn mail_that_is_alone_in_its_folder_outlives_a_fault_of_the_server(
    protocol: Protocol,
) -> Result<()> {
    let world = World::over(protocol).await?;
    let account = world.account("support", |_| {}).await?;
    let text = world.refusal("failed");
    world.sandbox.faults().add(rule(
        world.point("imap.fetch"),
        Fault::Reply { text },
        Some(7),
    ))?;
    world.deliver(mail(1))?;
    let replica = world.start().await?;

    world.recorded(&account, 1).await?;

    world.mails("support", 1).await?;
    world.finish(replica).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_over_which_the_server_says_farewell_is_set_aside() -> Result<()> {
    let mut world = World::new().await?;
    world.settings.quarantine_attempts = 1;
    let account = world.account("support", |_| {}).await?;
    world.deliver(mail(1))?;
    let replica = world.start().await?;
    world.recorded(&account, 1).await?;
    let text = "* BYE Server error".to_owned();
    break_one_mail(&world, &Fault::Reply { text })?;

    world.deliver(mail(2))?;
    let event: MailQuarantined = world.base.first_event("support").await?;
    world.deliver(mail(3))?;

    assert_eq!((uid_of(&event.origin), event.attempts), (2, 3));
    world.recorded(&account, 3).await?;
    world.mails("support", 2).await?;
    world.finish(replica).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_that_is_another_with_each_reading_is_set_aside() -> Result<()> {
    let mut world = World::new().await?;
    world.settings.quarantine_attempts = 1;
    world.settings.parse_bytes = 2 << 20;
    let account = world.account("support", |_| {}).await?;
    world.deliver(mail(1))?;
    let replica = world.start().await?;
    world.recorded(&account, 1).await?;
    let mut large = b"Subject: large\r\n\r\n".to_vec();
    large.resize((3 << 20) + 100, b'x');
    // Seven slices are the whole mail; the first one of the second reading differs.
    let text = "* 2 FETCH (UID 2 BODY[]<2097152> {3}\r\nabc)".to_owned();
    for passing in [7, 1 + 7] {
        let fault = FaultRule {
            after: passing,
            ..rule(
                "imap.fetch.body",
                Fault::Reply { text: text.clone() },
                Some(1),
            )
        };
        world.sandbox.faults().add(fault)?;
    }

    world.deliver(large)?;
    let event: MailQuarantined = world.base.first_event("support").await?;
    world.deliver(mail(3))?;

    assert_eq!((uid_of(&event.origin), event.attempts), (2, 2));
    world.recorded(&account, 3).await?;
    world.mails("support", 2).await?;
    world.finish(replica).await
}

/// Each is the nearest neighbour of the other, and ends the session in which it is read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_mails_in_a_row_that_break_the_session_are_set_aside_and_stop_no_other() -> Result<()> {
    let world = World::new().await?;
    let account = world.account("support", |_| {}).await?;
    for number in 1..=4 {
        world.deliver(mail(number))?;
    }
    let quirks = ImapQuirks {
        broken: [Some(2), Some(3)],
        ..ImapQuirks::default()
    };
    world.sandbox.mail().set_imap_quirks(ALICE, quirks)?;
    let replica = world.start().await?;

    within(PATIENCE, "the folder is received", async || {
        let mails = world.base.events::<MailReceived>("support").await?;
        ensure!(mails.len() == 2, "{} mails", mails.len());
        anyhow::Ok(())
    })
    .await?;

    let set_aside = world.base.events::<MailQuarantined>("support").await?;
    let uids: Vec<u32> = set_aside.iter().map(|mail| uid_of(&mail.origin)).collect();
    assert_eq!(uids, [2, 3]);
    world.recorded(&account, 4).await?;
    world.finish(replica).await
}
