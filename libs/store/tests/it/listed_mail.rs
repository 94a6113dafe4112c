//! Which mails of a whole listing are to be fetched, and how long what was seen is remembered.

use anyhow::Result;
use mailmesh_domain::{AccountId, Direction};
use mailmesh_store::listed_mail::{
    self, ListingEntry, find_unseen, finish_gone_post_actions, forget_absent, mark_existing,
    note_listing,
};
use mailmesh_store::{Tx, account_status, mailbox, progress};
use time::{Duration, OffsetDateTime};

use crate::sample::{self, LATER, NOW, entry, recorded};
use crate::world::World;

const FOLDER: &str = "INBOX";

async fn world_with_account() -> Result<(World, AccountId)> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let account = sample::stored(&mut tx, "support", Direction::Inbound).await?;
    tx.commit().await?;
    Ok((world, account))
}

async fn look(
    tx: &mut Tx,
    account: AccountId,
    entries: &[ListingEntry],
    now: OffsetDateTime,
) -> Result<Vec<usize>> {
    note_listing(tx, account, FOLDER, entries, now).await?;
    Ok(find_unseen(tx, account, FOLDER, entries).await?)
}

#[tokio::test]
async fn mails_are_unseen_until_they_are_recorded() -> Result<()> {
    let (world, account) = world_with_account().await?;
    let mut tx = world.database.begin().await?;
    let other = sample::stored(&mut tx, "other", Direction::Inbound).await?;
    let listing = ["a", "b", "A"].map(|uidl| entry(uidl, 10));

    let at_first = look(&mut tx, account, &listing, NOW).await?;
    recorded(&mut tx, account, &listing[1], b"b").await?;
    recorded(&mut tx, other, &listing[0], b"a").await?;
    let then = look(&mut tx, account, &listing, NOW).await?;

    assert_eq!(at_first, [0, 1, 2]);
    assert_eq!(then, [0, 2]);
    assert!(look(&mut tx, account, &[], NOW).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_mail_is_fetched_again_where_its_id_may_mean_another() -> Result<()> {
    let (world, account) = world_with_account().await?;
    for (before, listed, unseen) in [
        (vec![("a", 10)], vec![("a", 10)], vec![]),
        (vec![("a", 10)], vec![("a", 11)], vec![0]),
        // Twice in one listing, and one or two were received.
        (vec![("a", 10)], vec![("a", 10), ("a", 10)], vec![0, 1]),
        (vec![("a", 10)], vec![("a", 10), ("a", 20)], vec![0, 1]),
        (
            vec![("a", 10), ("a", 20)],
            vec![("a", 20), ("b", 1), ("a", 10)],
            vec![1],
        ),
        (
            vec![("a", 10), ("a", 20)],
            vec![("a", 10), ("a", 10)],
            vec![0, 1],
        ),
        (vec![("a", 10), ("a", 20)], vec![("a", 20)], vec![]),
        // Without an id nothing tells.
        (vec![("", 10)], vec![("", 10)], vec![0]),
    ] {
        let mut tx = world.database.begin().await?;
        for (row, (uidl, bytes)) in before.iter().enumerate() {
            let entry = entry(uidl, *bytes);
            recorded(&mut tx, account, &entry, &row.to_be_bytes()).await?;
        }
        let listing: Vec<_> = listed.iter().map(|(id, bytes)| entry(id, *bytes)).collect();

        let found = look(&mut tx, account, &listing, NOW).await?;

        assert_eq!(found, unseen, "{before:?}, then {listed:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_size_that_one_side_does_not_know_tells_nothing() -> Result<()> {
    let (world, account) = world_with_account().await?;
    let unsized_entry = |uidl| ListingEntry {
        listed_bytes: None,
        ..entry(uidl, 1)
    };
    let mut tx = world.database.begin().await?;
    recorded(&mut tx, account, &unsized_entry("read-back"), b"1").await?;
    recorded(&mut tx, account, &entry("sized", 10), b"2").await?;

    let listing = [entry("read-back", 10), unsized_entry("sized")];
    let found = look(&mut tx, account, &listing, NOW).await?;

    assert!(found.is_empty(), "{found:?}");
    Ok(())
}

#[tokio::test]
async fn an_id_that_comes_back_is_fetched_again() -> Result<()> {
    let (world, account) = world_with_account().await?;
    let mut tx = world.database.begin().await?;
    let listing = [entry("a", 10), entry("b", 10)];
    for each in &listing {
        recorded(
            &mut tx,
            account,
            each,
            each.position.within_epoch().as_bytes(),
        )
        .await?;
    }

    let partial = look(&mut tx, account, &listing[..1], NOW).await?;
    let whole = look(&mut tx, account, &listing, LATER).await?;

    assert!(partial.is_empty());
    assert_eq!(whole, [1]);
    Ok(())
}

#[tokio::test]
async fn what_was_there_before_the_account_is_passed_over() -> Result<()> {
    let (world, account) = world_with_account().await?;
    let mut tx = world.database.begin().await?;
    let old = [entry("a", 10), entry("twice", 1), entry("twice", 2)];
    mark_existing(&mut tx, account, FOLDER, &old, NOW).await?;
    mark_existing(&mut tx, account, FOLDER, &old, NOW).await?;

    let mut found = Vec::new();
    for listing in [
        old.to_vec(),
        vec![],
        // As after a listing in part.
        vec![entry("a", 10), entry("new", 10)],
        vec![entry("a", 11)],
        vec![entry("a", 10)],
    ] {
        found.push(look(&mut tx, account, &listing, NOW).await?);
    }

    assert_eq!(found, [vec![], vec![], vec![1], vec![0], vec![]]);
    let absent = "SELECT count(*) FROM listed_mails WHERE absent_since IS NOT NULL";
    tx.commit().await?;
    // The last listing shows `a` again, which is not forgotten then.
    assert_eq!(world.read::<i64>(absent).await?, 1);
    Ok(())
}

#[tokio::test]
async fn recording_again_changes_nothing_and_many_at_once_may_be_one() -> Result<()> {
    let (world, account) = world_with_account().await?;
    let mut tx = world.database.begin().await?;
    let first = recorded(&mut tx, account, &entry("a", 10), b"a").await?;
    recorded(&mut tx, account, &entry("a", 10), b"a").await?;
    let mail = sample::received(account, 1);
    let orphan = sample::received(AccountId::generate(&mailmesh_domain::SystemClock), 1);
    listed_mail::record(&mut tx, &[&mail, &mail, &orphan], None, NOW).await?;
    tx.commit().await?;

    let mails = "SELECT string_agg(mail_id::text, ' ' ORDER BY first_seen_at, listed_mail_id)
                 FROM listed_mails";
    let wanted = format!("{first} {}", mail.id);
    assert_eq!(world.read::<String>(mails).await?, wanted);
    Ok(())
}

#[tokio::test]
async fn post_actions_of_mails_that_are_listed_no_more_are_finished() -> Result<()> {
    let (world, account) = world_with_account().await?;
    let mut tx = world.database.begin().await?;
    let other = sample::stored(&mut tx, "other", Direction::Inbound).await?;
    let listing = [entry("a", 10), entry("b", 10)];
    let gone = recorded(&mut tx, account, &listing[0], b"a").await?;
    let kept = recorded(&mut tx, account, &listing[1], b"b").await?;
    recorded(&mut tx, other, &listing[0], b"a").await?;

    let mut finished = Vec::new();
    for entries in [&listing[..], &listing[1..], &listing[1..]] {
        note_listing(&mut tx, account, FOLDER, entries, NOW).await?;
        finished.push(finish_gone_post_actions(&mut tx, account, FOLDER).await?);
    }

    assert_eq!(finished, [0, 1, 0]);
    let due = mailbox::list_post_actions(&mut tx, account, FOLDER, LATER, 10).await?;
    let due: Vec<_> = due.iter().map(|action| action.mail_id).collect();
    assert_eq!(due, [kept], "{gone} is done");
    let others = mailbox::list_post_actions(&mut tx, other, FOLDER, LATER, 10).await?;
    assert_eq!(others.len(), 1);
    Ok(())
}

#[tokio::test]
async fn absent_mails_are_forgotten_after_a_while_if_the_account_was_reached_since() -> Result<()> {
    let (world, account) = world_with_account().await?;
    let mut tx = world.database.begin().await?;
    for uidl in ["a", "b", "c", "kept"] {
        recorded(&mut tx, account, &entry(uidl, 10), uidl.as_bytes()).await?;
    }
    let listing = [entry("kept", 10)];
    note_listing(&mut tx, account, FOLDER, &listing, NOW).await?;
    // Absence is counted from the first listing that showed it.
    note_listing(&mut tx, account, FOLDER, &listing, LATER).await?;
    account_status::set_proved(&mut tx, &[sample::proof(account, LATER)]).await?;

    let too_early = forget_absent(&mut tx, NOW, 10).await?;
    let unreached = forget_absent(&mut tx, LATER, 10).await?;
    let proved = [sample::proof(account, LATER + Duration::SECOND)];
    account_status::set_proved(&mut tx, &proved).await?;
    let mut forgotten = Vec::new();
    for _ in 0..3 {
        forgotten.push(forget_absent(&mut tx, LATER, 2).await?);
    }

    assert_eq!((too_early, unreached), (0, 0));
    assert_eq!(forgotten, [2, 1, 0]);
    let left = find_unseen(&mut tx, account, FOLDER, &listing).await?;
    assert!(left.is_empty());
    // What was received of them goes as long after they were gone as at IMAP.
    let too_early = mailbox::forget_gone(&mut tx, NOW, 10).await?;
    let gone = mailbox::forget_gone(&mut tx, LATER, 10).await?;
    assert_eq!((too_early, gone), (0, 3));
    Ok(())
}

#[tokio::test]
async fn an_id_is_known_also_while_it_is_absent() -> Result<()> {
    let (world, account) = world_with_account().await?;
    let mut tx = world.database.begin().await?;
    let listing = ["a", "b"].map(|uidl| entry(uidl, 10));

    let before = listed_mail::has_known_position(&mut tx, account, FOLDER, &listing).await?;
    recorded(&mut tx, account, &listing[1], b"b").await?;
    note_listing(&mut tx, account, FOLDER, &[], LATER).await?;
    let after = listed_mail::has_known_position(&mut tx, account, FOLDER, &listing).await?;
    let others = listed_mail::has_known_position(&mut tx, account, "Other", &listing).await?;

    assert!(!before && after && !others);
    Ok(())
}

#[tokio::test]
async fn mails_that_are_passed_over_are_told_from_received_ones() -> Result<()> {
    let (world, account) = world_with_account().await?;
    let mut tx = world.database.begin().await?;
    let listing = ["a", "b", "c"].map(|uidl| entry(uidl, 10));
    mark_existing(&mut tx, account, FOLDER, &listing[2..], NOW).await?;
    recorded(&mut tx, account, &listing[1], b"b").await?;

    let passed = listed_mail::find_passed_over(&mut tx, account, FOLDER, &listing).await?;
    let resized = [entry("c", 11)];
    let resized = listed_mail::find_passed_over(&mut tx, account, FOLDER, &resized).await?;

    assert_eq!((passed, resized), (vec![2], Vec::new()));
    Ok(())
}

#[tokio::test]
async fn nothing_is_seen_of_an_account_with_another_server() -> Result<()> {
    let (world, account) = world_with_account().await?;
    let mut tx = world.database.begin().await?;
    recorded(&mut tx, account, &entry("1", 10), b"one").await?;

    progress::void(&mut tx, account).await?;

    let found = look(&mut tx, account, &[entry("1", 10)], LATER).await?;
    assert_eq!(found, [0]);
    Ok(())
}
