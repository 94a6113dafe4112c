use anyhow::{Context, Result};
use mailmesh_domain::{AccountId, Direction, Epoch};
use mailmesh_store::mailbox::{self, Cursor, NewestMail};
use mailmesh_store::{Tx, progress};

use crate::sample::{self, LATER, NOW};
use crate::world::World;

async fn cursor(tx: &mut Tx, account: AccountId, folder: &str) -> Result<Cursor> {
    let found = mailbox::list_cursors(tx, &[account]).await?;
    let mut found = found.into_iter().filter(|cursor| cursor.folder == folder);
    found.next().context("the folder has no cursor")
}

fn epoch(uid_validity: u64) -> Epoch {
    Epoch::of_uid_validity(uid_validity)
}

fn newest(ordinal: u64) -> NewestMail {
    NewestMail {
        ordinal,
        received_at: Some(NOW),
        sha256: Some([8; 32]),
    }
}

/// The inbox after a mail of epoch 5.
fn inbox(account_id: AccountId, ordinal: u64) -> Cursor {
    Cursor {
        account_id,
        folder: "INBOX".to_owned(),
        epoch: epoch(5),
        ordinal,
        activated_at: NOW,
        rescan_until: None,
        newest: None,
    }
}

/// An account whose inbox was activated at UIDVALIDITY 5 after UID 10.
async fn activated(tx: &mut Tx, key: &str) -> Result<AccountId> {
    let account = sample::stored(tx, key, Direction::Inbound).await?;
    mailbox::activate(tx, &inbox(account, 10)).await?;
    Ok(account)
}

#[tokio::test]
async fn a_folder_is_activated_once() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let account = activated(&mut tx, "support").await?;

    let later = Cursor {
        epoch: epoch(6),
        activated_at: LATER,
        ..inbox(account, 99)
    };
    mailbox::activate(&mut tx, &later).await?;
    let reports = Cursor {
        folder: "Reports".to_owned(),
        epoch: Epoch::from_stored("any text".to_owned()),
        rescan_until: Some(u64::from(u32::MAX) + 1),
        newest: Some(newest(8)),
        ..inbox(account, u64::from(u32::MAX))
    };
    mailbox::activate(&mut tx, &reports).await?;

    let kept = cursor(&mut tx, account, "INBOX").await?;
    assert_eq!(kept, inbox(account, 10));
    assert_eq!(cursor(&mut tx, account, "Reports").await?, reports);
    Ok(())
}

#[tokio::test]
async fn cursors_move_forward_only() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let one = activated(&mut tx, "one").await?;
    let two = activated(&mut tx, "two").await?;
    let mut ahead = cursor(&mut tx, one, "INBOX").await?;
    ahead.ordinal = 20;
    let mut back = cursor(&mut tx, two, "INBOX").await?;
    back.ordinal = 9;

    mailbox::move_cursors(&mut tx, &[ahead, back], LATER).await?;

    assert_eq!(cursor(&mut tx, one, "INBOX").await?.ordinal, 20);
    assert_eq!(cursor(&mut tx, two, "INBOX").await?.ordinal, 10);
    Ok(())
}

#[tokio::test]
async fn a_cursor_that_is_moved_twice_at_once_takes_the_farther() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let account = activated(&mut tx, "support").await?;
    let at = |ordinal, cursor: &Cursor| Cursor {
        ordinal,
        ..cursor.clone()
    };
    let start = cursor(&mut tx, account, "INBOX").await?;

    let moves = [at(12, &start), at(15, &start), at(13, &start)];
    mailbox::move_cursors(&mut tx, &moves, LATER).await?;

    assert_eq!(cursor(&mut tx, account, "INBOX").await?.ordinal, 15);
    Ok(())
}

#[tokio::test]
async fn newest_mail_moves_forward_with_the_cursor_and_is_void_in_another_epoch() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let account = activated(&mut tx, "support").await?;
    let start = cursor(&mut tx, account, "INBOX").await?;
    let at = |ordinal, newest: Option<NewestMail>| Cursor {
        ordinal,
        newest,
        ..start.clone()
    };

    for (moved, expected) in [
        (at(12, Some(newest(12))), Some(12)),
        (at(13, None), Some(12)),
        (at(11, Some(newest(11))), Some(12)),
        (at(20, Some(newest(19))), Some(19)),
    ] {
        mailbox::move_cursors(&mut tx, &[at(5, None), moved], LATER).await?;
        let kept = cursor(&mut tx, account, "INBOX").await?.newest;
        assert_eq!(kept, expected.map(newest));
    }

    let anew = Cursor {
        epoch: epoch(5).restarted(),
        ..at(0, None)
    };
    mailbox::reset(&mut tx, &anew, LATER).await?;
    assert_eq!(cursor(&mut tx, account, "INBOX").await?, anew);
    Ok(())
}

#[tokio::test]
async fn a_cursor_of_another_epoch_stays() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let account = activated(&mut tx, "support").await?;
    let start = cursor(&mut tx, account, "INBOX").await?;
    let mut stale = start.clone();
    stale.epoch = epoch(4);
    stale.ordinal = 99;
    let mut other_folder = start.clone();
    other_folder.folder = "Reports".to_owned();

    mailbox::move_cursors(&mut tx, &[stale, other_folder], LATER).await?;

    let cursors = mailbox::list_cursors(&mut tx, &[account]).await?;
    assert_eq!(cursors, [start]);
    Ok(())
}

#[tokio::test]
async fn a_folder_of_another_epoch_begins_anew_once() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let account = activated(&mut tx, "support").await?;
    let anew = |until| Cursor {
        epoch: epoch(6),
        rescan_until: Some(until),
        ..inbox(account, 0)
    };

    let before = mailbox::reset(&mut tx, &anew(30), LATER).await?;
    let renumbered = cursor(&mut tx, account, "INBOX").await?;
    let mut moved = renumbered.clone();
    moved.ordinal = 3;
    mailbox::move_cursors(&mut tx, &[moved], LATER).await?;
    let again = mailbox::reset(&mut tx, &anew(40), LATER).await?;

    assert_eq!((before, again), (Some(epoch(5)), None));
    assert_eq!(renumbered, anew(30));
    let kept = cursor(&mut tx, account, "INBOX").await?;
    assert_eq!((kept.ordinal, kept.rescan_until), (3, Some(30)));

    // Of an owner that was frozen before the folder was renumbered.
    mailbox::finish_rescan(&mut tx, account, "INBOX", &epoch(5)).await?;
    assert_eq!(cursor(&mut tx, account, "INBOX").await?, kept);
    mailbox::finish_rescan(&mut tx, account, "INBOX", &epoch(6)).await?;
    let finished = cursor(&mut tx, account, "INBOX").await?;
    assert_eq!((finished.ordinal, finished.rescan_until), (3, None));
    Ok(())
}

#[tokio::test]
async fn voided_cursors_fit_no_folder_and_keep_their_activation() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let account = activated(&mut tx, "support").await?;
    let other = activated(&mut tx, "other").await?;

    progress::void(&mut tx, account).await?;
    let voided = cursor(&mut tx, account, "INBOX").await?;
    let before = mailbox::reset(&mut tx, &inbox(account, 0), LATER).await?;

    assert!(voided.epoch.is_void());
    assert_eq!((voided.activated_at, before), (NOW, Some(Epoch::void())));
    assert_eq!(cursor(&mut tx, other, "INBOX").await?, inbox(other, 10));
    Ok(())
}

#[tokio::test]
async fn an_activation_is_moved_back_and_never_forward() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let account = activated(&mut tx, "support").await?;
    let before = NOW - time::Duration::HOUR;

    mailbox::backdate(&mut tx, account, "INBOX", LATER).await?;
    let kept = cursor(&mut tx, account, "INBOX").await?;
    mailbox::backdate(&mut tx, account, "INBOX", before).await?;
    let moved = cursor(&mut tx, account, "INBOX").await?;

    assert_eq!((kept.activated_at, moved.activated_at), (NOW, before));
    Ok(())
}
