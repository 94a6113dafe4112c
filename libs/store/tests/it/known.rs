//! What tells a mail that was received before from a new one.

use std::collections::HashSet;
use std::str::FromStr;

use anyhow::Result;
use mailmesh_domain::{AccountId, Direction, FailureCause, Position};
use mailmesh_events::Problem;
use mailmesh_secrets::sha256;
use mailmesh_store::mailbox::{self, FoundMail, ReceivedMail, UnreadMail};
use mailmesh_store::{Tx, mailbox::DuePostAction};

use crate::sample::{self, NOW};
use crate::world::World;

fn found(uid_validity: u64, uid: u32, sha256: [u8; 32]) -> FoundMail {
    FoundMail {
        ordinal: u64::from(uid),
        position: sample::position(uid_validity, uid),
        sha256,
    }
}

/// A mail in a folder that something is to be done with, so that its row can be looked at.
fn received(account: AccountId, folder: &str, uid: u32, content: &[u8]) -> ReceivedMail {
    ReceivedMail {
        folder: folder.to_owned(),
        sha256: sha256(content),
        is_post_action_due: true,
        ..sample::received(account, uid)
    }
}

async fn rows(tx: &mut Tx, account: AccountId, folder: &str) -> Result<Vec<DuePostAction>> {
    Ok(mailbox::list_post_actions(tx, account, folder, NOW, 100).await?)
}

fn row(mail: &ReceivedMail, position: &Position) -> DuePostAction {
    DuePostAction {
        mail_id: mail.id,
        epoch: position.epoch(),
        position: position.within_epoch(),
        ordinal: position.ordinal().unwrap_or_default(),
    }
}

#[tokio::test]
async fn fingerprints_tell_seen_mail_from_new() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let account = sample::stored(&mut tx, "support", Direction::Inbound).await?;
    let other = sample::stored(&mut tx, "other", Direction::Inbound).await?;
    let seen = received(account, "INBOX", 1, b"seen");
    // The same mail may lie in a folder twice.
    let twin = received(account, "INBOX", 3, b"seen");
    let elsewhere = received(other, "INBOX", 2, b"elsewhere");
    let archived = received(account, "Archive", 4, b"archived");
    let mails = [seen.clone(), elsewhere, archived, twin.clone()];
    mailbox::insert(&mut tx, &mails, NOW).await?;

    let asked = [
        found(6, 10, seen.sha256),
        found(6, 11, sha256(b"elsewhere")),
        found(6, 12, sha256(b"archived")),
        found(6, 13, sha256(b"new")),
        found(6, 14, seen.sha256),
        found(6, 15, seen.sha256),
    ];
    let epoch = sample::position(6, 1).epoch();
    let (first, rest) = asked.split_at(1);
    let known = mailbox::renumber_known(&mut tx, account, "INBOX", &epoch, first).await?;
    let again = mailbox::renumber_known(&mut tx, account, "INBOX", &epoch, first).await?;
    let further = mailbox::renumber_known(&mut tx, account, "INBOX", &epoch, rest).await?;

    assert_eq!(known, HashSet::from([10]));
    assert_eq!(again, known);
    // Two were received: the third copy is a new mail.
    assert_eq!(further, HashSet::from([14]));
    let moved = [
        row(&seen, &sample::position(6, 10)),
        row(&twin, &sample::position(6, 14)),
    ];
    assert_eq!(rows(&mut tx, account, "INBOX").await?, moved);
    let none = mailbox::renumber_known(&mut tx, account, "INBOX", &epoch, &[]).await?;
    assert!(none.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_mail_is_known_under_another_name_of_its_folder() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let account = sample::stored(&mut tx, "support", Direction::Inbound).await?;
    let mail = received(account, "Old", 7, b"one");
    mailbox::insert(&mut tx, std::slice::from_ref(&mail), NOW).await?;
    let (asked, former) = ([found(5, 7, mail.sha256)], ["Old".to_owned()]);

    let known = mailbox::adopt_renamed(&mut tx, account, "New", &former, &asked).await?;
    let again = mailbox::adopt_renamed(&mut tx, account, "New", &former, &asked).await?;

    assert_eq!(known, HashSet::from([7]));
    assert_eq!(again, known);
    assert!(rows(&mut tx, account, "Old").await?.is_empty());
    let renamed = row(&mail, &sample::position(5, 7));
    assert_eq!(rows(&mut tx, account, "New").await?, [renamed]);
    Ok(())
}

#[tokio::test]
async fn a_mail_of_a_renamed_folder_is_new_if_anything_but_the_name_differs() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let account = sample::stored(&mut tx, "support", Direction::Inbound).await?;
    let other = sample::stored(&mut tx, "other", Direction::Inbound).await?;
    let mails = [
        received(account, "Old", 7, b"one"),
        received(account, "Watched", 8, b"two"),
        received(other, "Old", 9, b"three"),
    ];
    mailbox::insert(&mut tx, &mails, NOW).await?;

    let asked = [
        found(6, 7, sha256(b"one")),
        found(5, 17, sha256(b"one")),
        found(5, 8, sha256(b"two")),
        found(5, 9, sha256(b"three")),
    ];
    let former = ["Old".to_owned()];
    let known = mailbox::adopt_renamed(&mut tx, account, "New", &former, &asked).await?;
    let changed = found(5, 7, sha256(b"changed"));
    let of_changed = mailbox::adopt_renamed(&mut tx, account, "New", &former, &[changed]).await?;

    assert!(known.is_empty() && of_changed.is_empty());
    assert_eq!(rows(&mut tx, account, "Old").await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn only_one_of_two_former_folders_with_the_same_mail_gives_it_up() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let account = sample::stored(&mut tx, "support", Direction::Inbound).await?;
    let (one, two) = (
        received(account, "One", 7, b"same"),
        received(account, "Two", 7, b"same"),
    );
    mailbox::insert(&mut tx, &[one, two], NOW).await?;
    let former = ["Two".to_owned(), "One".to_owned()];

    let asked = [found(5, 7, sha256(b"same"))];
    let known = mailbox::adopt_renamed(&mut tx, account, "New", &former, &asked).await?;
    let again = mailbox::adopt_renamed(&mut tx, account, "New", &former, &asked).await?;

    assert_eq!((known.len(), again.len()), (1, 1));
    assert_eq!(rows(&mut tx, account, "New").await?.len(), 1);
    assert_eq!(rows(&mut tx, account, "One").await?.len(), 1);
    assert!(rows(&mut tx, account, "Two").await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn folders_of_an_epoch_are_listed_with_their_last_mail() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let account = sample::stored(&mut tx, "support", Direction::Inbound).await?;
    let other = sample::stored(&mut tx, "other", Direction::Inbound).await?;
    let mails = [
        received(account, "A", 1, b"first"),
        received(account, "A", 4, b"second"),
        received(account, "B", 2, b"third"),
        received(other, "C", 9, b"fourth"),
    ];
    mailbox::insert(&mut tx, &mails, NOW).await?;
    let epoch = mails[0].position.epoch();

    let folders = mailbox::list_folders_of_epoch(&mut tx, account, &epoch).await?;
    let none = sample::position(77, 1).epoch();
    let of_none = mailbox::list_folders_of_epoch(&mut tx, account, &none).await?;

    assert_eq!(folders, [("A".to_owned(), 4), ("B".to_owned(), 2)]);
    assert_eq!(of_none, []);
    Ok(())
}

#[tokio::test]
async fn mail_is_known_at_its_position_by_content_and_one_that_failed_by_position() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let account = sample::stored(&mut tx, "support", Direction::Inbound).await?;
    let seen = received(account, "INBOX", 1, b"seen");
    mailbox::insert(&mut tx, std::slice::from_ref(&seen), NOW).await?;
    let unread = UnreadMail::new("INBOX", &sample::position(1, 9), 9, None);
    let problem = Problem::new("broken", FailureCause::Unknown);
    mailbox::count_failure(&mut tx, account, &unread, &problem, NOW).await?;

    let epoch = u64::from_str(seen.position.epoch().as_str())?;
    for (folder, mail, expected) in [
        ("INBOX", found(epoch, 1, seen.sha256), Some(true)),
        ("INBOX", found(epoch, 2, seen.sha256), None),
        ("INBOX", found(epoch, 1, sha256(b"other")), Some(false)),
        ("INBOX", found(epoch + 1, 1, seen.sha256), None),
        ("Archive", found(epoch, 1, seen.sha256), None),
        ("INBOX", found(1, 9, sha256(b"any")), None),
    ] {
        let known = mailbox::had_content(&mut tx, account, folder, &mail).await?;
        assert_eq!(known, expected, "{folder} {mail:?}");
        let failed = mailbox::has_failed(&mut tx, account, folder, &mail.position).await?;
        assert_eq!(
            failed,
            mail.position == sample::position(1, 9),
            "{folder} {mail:?}"
        );
    }
    Ok(())
}
