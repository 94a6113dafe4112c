use anyhow::Result;
use mailmesh_domain::{Direction, Epoch, Position};
use mailmesh_store::mailbox::{self, UnreadMail};

use crate::sample::{self, LATER, NOW};
use crate::world::World;

fn unread(uid_validity: u64, uid: u32) -> UnreadMail {
    let position = sample::position(uid_validity, uid);
    UnreadMail::new("INBOX", &position, u64::from(uid), None)
}

fn nameless(place: u64, listed_bytes: u64) -> UnreadMail {
    let position = Position::Pop3 { uidl: None };
    UnreadMail::new("INBOX", &position, place, Some(listed_bytes))
}

#[tokio::test]
async fn failures_are_counted_per_mail() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let account = sample::stored(&mut tx, "support", Direction::Inbound).await?;
    let problem = sample::problem();

    let mut counts = Vec::new();
    for (mail, now) in [
        (unread(5, 1), NOW),
        (unread(5, 1), LATER),
        (unread(5, 2), LATER),
        (unread(6, 1), NOW),
    ] {
        let count = mailbox::count_failure(&mut tx, account, &mail, &problem, now).await?;
        counts.push((count.attempts, count.first_failed_at));
    }

    assert_eq!(counts, [(1, NOW), (2, NOW), (1, LATER), (1, NOW)]);
    Ok(())
}

#[tokio::test]
async fn a_mail_is_given_up_once() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let account = sample::stored(&mut tx, "support", Direction::Inbound).await?;
    let (broken, fine) = (unread(5, 1), unread(5, 2));
    mailbox::count_failure(&mut tx, account, &broken, &sample::problem(), NOW).await?;

    let first = mailbox::quarantine(&mut tx, account, &broken, NOW).await?;
    let again = mailbox::quarantine(&mut tx, account, &broken, LATER).await?;
    let unknown = mailbox::quarantine(&mut tx, account, &fine, NOW).await?;

    assert_eq!((first, again, unknown), (true, false, false));
    Ok(())
}

#[tokio::test]
async fn mails_without_ids_are_known_by_place_and_size_for_a_while() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let account = sample::stored(&mut tx, "support", Direction::Inbound).await?;
    let problem = sample::problem();
    for mail in [nameless(2, 10), nameless(3, 10), unread(5, 1)] {
        mailbox::count_failure(&mut tx, account, &mail, &problem, NOW).await?;
        mailbox::quarantine(&mut tx, account, &mail, NOW).await?;
    }
    let before = NOW - time::Duration::SECOND;
    let listing = [nameless(1, 10), nameless(2, 10), nameless(3, 11)];

    let at_once = mailbox::find_quarantined(&mut tx, account, "INBOX", &listing, before).await?;
    let later = mailbox::find_quarantined(&mut tx, account, "INBOX", &listing, NOW).await?;

    assert_eq!(at_once, [1]);
    assert!(later.is_empty(), "{later:?}");
    let again = mailbox::quarantine(&mut tx, account, &nameless(2, 10), LATER).await?;
    let gone = mailbox::quarantine(&mut tx, account, &nameless(3, 10), LATER).await?;
    let other = mailbox::quarantine(&mut tx, account, &unread(5, 1), LATER).await?;
    assert_eq!((again, gone, other), (false, false, false));
    let found = mailbox::find_quarantined(&mut tx, account, "INBOX", &listing, NOW).await?;
    assert_eq!(found, [1]);
    tx.commit().await?;
    let rows = "SELECT count(*) FROM quarantined_mails";
    assert_eq!(world.read::<i64>(rows).await?, 2);
    Ok(())
}

#[tokio::test]
async fn counts_follow_a_folder_to_its_new_name() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let account = sample::stored(&mut tx, "support", Direction::Inbound).await?;
    let problem = sample::problem();
    let at = |folder, uid_validity, uid| {
        UnreadMail::new(folder, &sample::position(uid_validity, uid), 0, None)
    };
    for mail in [
        at("Old", 5, 1),
        at("Old", 5, 1),
        at("Older", 5, 1),
        at("Old", 5, 2),
        at("Old", 6, 1),
        at("INBOX", 5, 2),
        at("INBOX", 5, 2),
    ] {
        mailbox::count_failure(&mut tx, account, &mail, &problem, NOW).await?;
    }
    mailbox::quarantine(&mut tx, account, &at("Old", 5, 2), NOW).await?;

    let former = ["Old", "Older", "INBOX"].map(str::to_owned);
    for _ in 0..2 {
        let epoch = Epoch::of_uid_validity(5);
        mailbox::rename_quarantined(&mut tx, account, "INBOX", &former, &epoch).await?;
    }

    tx.commit().await?;
    let rows = "SELECT string_agg(concat_ws(' ', folder, epoch, position, attempts,
                       quarantined_at IS NOT NULL), ', ' ORDER BY folder, position)
                FROM quarantined_mails";
    let found = world.read::<String>(rows).await?;
    assert_eq!(found, "INBOX 5 1 2 f, INBOX 5 2 2 t, Old 6 1 1 f");
    Ok(())
}
