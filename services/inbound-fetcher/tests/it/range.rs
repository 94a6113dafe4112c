//! Servers that answer a request for a part of a mail with all of it, or with less than was asked for.

use anyhow::Result;
use bytes::Bytes;
use mailmesh_events::mail::MailQuarantined;
use mailmesh_sandbox::ImapQuirks;

use crate::world::{ALICE, World, mail, uid_of};

fn large(number: u32, bytes: usize) -> Bytes {
    let line = format!("{number} {}\r\n", "x".repeat(70));
    let body = line.repeat(bytes / line.len());
    Bytes::from(format!("Subject: Large {number}\r\n\r\n{body}"))
}

async fn receives_whole(quirks: ImapQuirks) -> Result<()> {
    let world = World::new().await?;
    let account = world.account("support", |_| {}).await?;
    world.sandbox.mail().set_imap_quirks(ALICE, quirks)?;
    let mut sent = Vec::new();
    for number in 0..4 {
        let raw = large(number, 700_000);
        world.deliver(raw.clone())?;
        sent.push(raw);
        world.deliver(mail(number))?;
        sent.push(mail(number));
    }
    let replica = world.start().await?;
    // It is more than is held in memory, so that it is read twice.
    let raw = large(9, 9_000_000);
    world.deliver(raw.clone())?;
    sent.push(raw);

    let mut mails = world.mails("support", sent.len()).await?;
    mails.sort_by_key(|mail| uid_of(&mail.origin));
    for (mail, raw) in mails.iter().zip(&sent) {
        assert_eq!(mail.raw.bytes, u64::try_from(raw.len())?);
        assert!(world.raw_of(mail).await? == raw, "{:?}", mail.subject);
    }
    world.recorded(&account, u32::try_from(sent.len())?).await?;
    assert!(
        world
            .base
            .events::<MailQuarantined>("support")
            .await?
            .is_empty()
    );
    world.finish(replica).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_that_ignores_ranges_has_its_mails_received_whole() -> Result<()> {
    receives_whole(ImapQuirks {
        ignores_ranges: true,
        ..ImapQuirks::default()
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_that_answers_with_less_has_its_mails_received_whole() -> Result<()> {
    receives_whole(ImapQuirks {
        answered_at_most: Some(65_536),
        ..ImapQuirks::default()
    })
    .await
}
