use anyhow::{Context, Result};
use mailmesh_domain::{AccountId, Direction};
use mailmesh_store::Tx;
use mailmesh_store::mailbox::{self, Cursor};

use crate::sample::{self, LATER, NOW};
use crate::world::World;

async fn cursor(tx: &mut Tx, account: AccountId, folder: &str) -> Result<Cursor> {
    let found = mailbox::list_cursors(tx, &[account]).await?;
    let mut found = found.into_iter().filter(|cursor| cursor.folder == folder);
    found.next().context("the folder has no cursor")
}

/// An account whose inbox was activated at UIDVALIDITY 5 after UID 10.
async fn activated(tx: &mut Tx, key: &str) -> Result<AccountId> {
    let account = sample::stored(tx, key, Direction::Inbound).await?;
    mailbox::activate(tx, account, "INBOX", 5, 10, NOW).await?;
    Ok(account)
}

#[tokio::test]
async fn a_folder_is_activated_once() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let account = activated(&mut tx, "support").await?;

    mailbox::activate(&mut tx, account, "INBOX", 6, 99, LATER).await?;
    mailbox::activate(&mut tx, account, "Reports", u32::MAX, u32::MAX, LATER).await?;

    let wanted = Cursor {
        account_id: account,
        folder: "INBOX".to_owned(),
        uid_validity: 5,
        last_uid: 10,
        activated_at: NOW,
        rescan_until_uid: None,
    };
    assert_eq!(cursor(&mut tx, account, "INBOX").await?, wanted);
    let reports = cursor(&mut tx, account, "Reports").await?;
    assert_eq!(
        (reports.uid_validity, reports.last_uid),
        (u32::MAX, u32::MAX)
    );
    Ok(())
}

#[tokio::test]
async fn cursors_move_forward_only() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let one = activated(&mut tx, "one").await?;
    let two = activated(&mut tx, "two").await?;
    let mut ahead = cursor(&mut tx, one, "INBOX").await?;
    ahead.last_uid = 20;
    let mut back = cursor(&mut tx, two, "INBOX").await?;
    back.last_uid = 9;

    mailbox::move_cursors(&mut tx, &[ahead, back], LATER).await?;

    assert_eq!(cursor(&mut tx, one, "INBOX").await?.last_uid, 20);
    assert_eq!(cursor(&mut tx, two, "INBOX").await?.last_uid, 10);
    Ok(())
}

#[tokio::test]
async fn a_cursor_that_is_moved_twice_at_once_takes_the_farther() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let account = activated(&mut tx, "support").await?;
    let at = |last_uid, cursor: &Cursor| Cursor {
        last_uid,
        ..cursor.clone()
    };
    let start = cursor(&mut tx, account, "INBOX").await?;

    let moves = [at(12, &start), at(15, &start), at(13, &start)];
    mailbox::move_cursors(&mut tx, &moves, LATER).await?;

    assert_eq!(cursor(&mut tx, account, "INBOX").await?.last_uid, 15);
    Ok(())
}

#[tokio::test]
async fn a_cursor_of_another_uidvalidity_stays() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let account = activated(&mut tx, "support").await?;
    let start = cursor(&mut tx, account, "INBOX").await?;
    let mut stale = start.clone();
    stale.uid_validity = 4;
    stale.last_uid = 99;
    let mut other_folder = start.clone();
    other_folder.folder = "Reports".to_owned();

    mailbox::move_cursors(&mut tx, &[stale, other_folder], LATER).await?;

    let cursors = mailbox::list_cursors(&mut tx, &[account]).await?;
    assert_eq!(cursors, [start]);
    Ok(())
}

#[tokio::test]
async fn a_renumbered_folder_begins_anew_once() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let account = activated(&mut tx, "support").await?;

    let was_reset = mailbox::reset(&mut tx, account, "INBOX", 6, 30, LATER).await?;
    let renumbered = cursor(&mut tx, account, "INBOX").await?;
    let mut moved = renumbered.clone();
    moved.last_uid = 3;
    mailbox::move_cursors(&mut tx, &[moved], LATER).await?;
    let was_reset_again = mailbox::reset(&mut tx, account, "INBOX", 6, 40, LATER).await?;

    assert!(was_reset && !was_reset_again);
    assert_eq!((renumbered.uid_validity, renumbered.last_uid), (6, 0));
    assert_eq!(renumbered.rescan_until_uid, Some(30));
    assert_eq!(renumbered.activated_at, NOW);
    let kept = cursor(&mut tx, account, "INBOX").await?;
    assert_eq!((kept.last_uid, kept.rescan_until_uid), (3, Some(30)));

    // Of an owner that was frozen before the folder was renumbered.
    mailbox::finish_rescan(&mut tx, account, "INBOX", 5).await?;
    assert_eq!(cursor(&mut tx, account, "INBOX").await?, kept);
    mailbox::finish_rescan(&mut tx, account, "INBOX", 6).await?;
    let finished = cursor(&mut tx, account, "INBOX").await?;
    assert_eq!((finished.last_uid, finished.rescan_until_uid), (3, None));
    Ok(())
}
