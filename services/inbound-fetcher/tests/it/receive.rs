//! Mails of every kind become one event each.

use anyhow::Result;
use bytes::Bytes;
use mailmesh_domain::{AfterReceive, Protocol};
use mailmesh_events::mail::{MailReceived, Truncated};
use mailmesh_sandbox::{Fault, FaultRule};
use mailmesh_testkit::eventually;

use crate::world::{ALICE, World, mail, over_each_protocol, uid_of};

over_each_protocol! {
    mails_of_every_kind_become_one_event_each,
    large_mails_keep_their_place_and_their_bytes,
    a_second_run_and_a_human_reading_publish_nothing_again,
    backlog_is_received_in_order_at_a_pace,
}

async fn mails_of_every_kind_become_one_event_each(protocol: Protocol) -> Result<()> {
    let world = World::over(protocol).await?;
    let account = world.account("support", |_| {}).await?;
    let multipart = "From: a@example.com\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nh\u{e4}llo\r\n--b\r\nContent-Type: text/csv; name=t.csv\r\nContent-Disposition: attachment; filename=t.csv\r\n\r\n1,2\r\n--b--\r\n";
    let kinds: [Bytes; 5] = [
        mail(1),
        Bytes::from(multipart),
        Bytes::from_static(b"Subject: raw eight bit \xe4\xf6\r\n\r\n\xff\xfe\r\n"),
        Bytes::new(),
        Bytes::from_static(b"\0\0no header at all"),
    ];
    for raw in &kinds {
        world.deliver(raw.clone())?;
    }
    let replica = world.start().await?;

    let mails = world.mails("support", kinds.len()).await?;

    for (mail, raw) in mails.iter().zip(&kinds) {
        let raw = world.as_shown(raw);
        assert_eq!(world.raw_of(mail).await?, raw);
        assert_eq!(mail.raw.bytes, raw.len() as u64);
        assert_eq!(mail.received_at.is_some(), protocol == Protocol::Imap);
    }
    let uids: Vec<u32> = mails.iter().map(|mail| uid_of(&mail.origin)).collect();
    assert_eq!(uids, [1, 2, 3, 4, 5]);
    assert_eq!(mails[0].subject.as_deref(), Some("Mail 1"));
    assert_eq!(mails[0].message_id.as_deref(), Some("<1@example.com>"));
    assert_eq!(mails[0].from[0].address, "bob@example.com");
    assert_eq!(mails[0].text.as_deref(), Some("Body 1\r\n"));
    assert_eq!(mails[1].subject.as_deref(), Some("Grüße"));
    assert_eq!(mails[1].attachments[0].filename.as_deref(), Some("t.csv"));
    assert_eq!(mails[2].message_id, None);
    assert!(mails[3].parse_problem.is_some() && mails[4].parse_problem.is_some());
    world.recorded(&account, 5).await?;
    world.finish(replica).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_that_arrives_while_idle_is_published_at_once() -> Result<()> {
    let world = World::new().await?;
    let account = world.account("support", |_| {}).await?;
    let replica = world.start().await?;
    world.deliver(mail(1))?;
    world.mails("support", 1).await?;
    world.recorded(&account, 1).await?;

    for number in 2..=20 {
        world.deliver(mail(number))?;
        world.mails("support", number as usize).await?;
    }

    world.recorded(&account, 20).await?;
    world.finish(replica).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_that_arrives_while_other_folders_are_looked_into_waits_for_no_poll() -> Result<()> {
    let world = World::new().await?;
    world
        .account("support", |account| {
            account.folders = vec!["INBOX".to_owned(), "Archive".to_owned()];
            account.poll_interval_seconds = 600;
        })
        .await?;
    let stall = FaultRule {
        after: 1,
        ..FaultRule::once("imap.select", Fault::Stall { seconds: None })
    };
    let id = world.sandbox.faults().add(stall)?;
    let replica = world.start().await?;
    eventually("the other folder is being opened", async || {
        let rules = world.sandbox.faults().list();
        rules.iter().any(|rule| rule.id == id && rule.taken == 1)
    })
    .await?;

    world.deliver(mail(1))?;
    world.sandbox.faults().clear();

    world.mails("support", 1).await?;
    world.finish(replica).await
}

/// Makes a mail of HTML with a small file and a large one.
fn html_with_files(bytes: usize) -> Bytes {
    let mut raw = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>text\r\n--b\r\n\
        Content-Disposition: attachment; filename=a\r\n\r\nabc\r\n--b\r\n\
        Content-Disposition: attachment; filename=b\r\n\r\n"
        .to_vec();
    raw.resize(bytes, b'x');
    Bytes::from(raw)
}

async fn large_mails_keep_their_place_and_their_bytes(protocol: Protocol) -> Result<()> {
    let mut world = World::over(protocol).await?;
    world.settings.parse_bytes = 2 << 20;
    let account = world.account("support", |_| {}).await?;
    let large = |bytes: usize| {
        let mut raw = b"Subject: large\r\n\r\n".to_vec();
        raw.resize(bytes, b'x');
        Bytes::from(raw)
    };
    let kinds = [
        mail(1),
        large(600_000),
        mail(2),
        large(20 << 20),
        mail(3),
        large(512 * 1024),
        mail(4),
        html_with_files(3 << 20),
    ];
    for raw in &kinds {
        world.deliver(raw.clone())?;
    }
    let replica = world.start().await?;

    let mails = world.mails("support", kinds.len()).await?;

    for (number, (mail, raw)) in (1_u32..).zip(mails.iter().zip(&kinds)) {
        assert_eq!(uid_of(&mail.origin), number);
        assert!(
            world.raw_of(mail).await? == world.as_shown(raw),
            "mail {number}"
        );
    }
    assert!(mails[3].truncated.contains(&Truncated::Attachments));
    assert!(mails[3].truncated.contains(&Truncated::Text));
    assert!(!mails[1].truncated.contains(&Truncated::Attachments));
    let sizes: Vec<_> = mails[7].attachments.iter().map(|file| file.bytes).collect();
    assert_eq!(sizes, [Some(3), None]);
    let text = mails[7].text.as_deref().map(str::trim);
    assert_eq!((text, mails[7].text_derived), (Some("text"), true));
    world.recorded(&account, 8).await?;
    world.finish(replica).await
}

async fn a_second_run_and_a_human_reading_publish_nothing_again(protocol: Protocol) -> Result<()> {
    let world = World::over(protocol).await?;
    let account = world.account("support", |_| {}).await?;
    for number in 1..=300 {
        world.deliver(mail(number))?;
    }
    let replica = world.start().await?;
    world.mails("support", 300).await?;
    world.recorded(&account, 300).await?;
    replica.stop().await?;
    world.sandbox.mail().remove(ALICE, "INBOX", 7)?;

    let replica = world.start().await?;
    world.deliver(mail(301))?;

    world.mails("support", 301).await?;
    world.finish(replica).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_of_before_the_activation_is_left_alone_if_asked() -> Result<()> {
    let world = World::new().await?;
    world.deliver(mail(1))?;
    let account = world
        .account("support", |account| account.receive_existing = false)
        .await?;
    let replica = world.start().await?;
    world.recorded(&account, 1).await?;

    world.deliver(mail(2))?;

    let mails = world.mails("support", 1).await?;
    assert_eq!(uid_of(&mails[0].origin), 2);
    world.sandbox.mail().reset_uid_validity(ALICE, "INBOX")?;
    world.sandbox.mail().expire_sessions(ALICE)?;
    world.deliver(mail(3))?;
    let count = async |subject: &str| -> Result<usize> {
        let mails = world.base.events::<MailReceived>("support").await?;
        let is_it = |mail: &&MailReceived| mail.subject.as_deref() == Some(subject);
        Ok(mails.iter().filter(is_it).count())
    };
    eventually("the new mail is published", async || {
        anyhow::ensure!(count("Mail 3").await? == 1, "not yet");
        anyhow::Ok(())
    })
    .await?;
    assert_eq!(count("Mail 2").await?, 1);
    world.finish(replica).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn received_mails_are_marked_moved_or_deleted() -> Result<()> {
    for (action, target) in [
        (AfterReceive::MarkSeen, None),
        (AfterReceive::Move, Some("Archive")),
        (AfterReceive::Delete, None),
    ] {
        let world = World::new().await?;
        world
            .account("support", |account| {
                account.after_receive = action;
                account.move_to = target.map(str::to_owned);
            })
            .await?;
        world.deliver(mail(1))?;
        world.deliver(mail(2))?;
        let replica = world.start().await?;
        world.mails("support", 2).await?;

        eventually("the mails are dealt with", async || {
            let mails = world.sandbox.mail().list(ALICE, "INBOX")?;
            let is_done = match action {
                AfterReceive::MarkSeen => {
                    mails.len() == 2
                        && mails
                            .iter()
                            .all(|mail| mail.flags.to_string().contains("Seen"))
                }
                _ => mails.is_empty(),
            };
            anyhow::ensure!(is_done, "{} mails left", mails.len());
            anyhow::Ok(())
        })
        .await?;

        if let Some(target) = target {
            assert_eq!(world.sandbox.mail().list(ALICE, target)?.len(), 2);
        }
        world.finish(replica).await?;
    }
    Ok(())
}

async fn backlog_is_received_in_order_at_a_pace(protocol: Protocol) -> Result<()> {
    let world = World::with_streams(|streams| streams.events_max_bytes = 256 << 20)
        .await?
        .with(protocol);
    let account = world.account("support", |_| {}).await?;
    let body = "x".repeat(10_000);
    for number in 1..=3_000 {
        world.deliver(format!("Subject: {number}\r\n\r\n{body}\r\n"))?;
    }
    let begun = std::time::Instant::now();
    let replica = world.start().await?;

    world.recorded(&account, 3_000).await?;

    println!("3,000 mails in {:?}", begun.elapsed());
    let mails = world.mails("support", 3_000).await?;
    let uids = mails.iter().map(|mail| uid_of(&mail.origin));
    assert!(uids.eq(1..=3_000));
    world.finish(replica).await
}
