//! What tells a mail that was received from a whole listing before from a new one.

use std::collections::HashSet;

use anyhow::Result;
use mailmesh_domain::{AccountId, Direction};
use mailmesh_secrets::sha256;
use mailmesh_store::listed_mail::{
    FetchedEntry, ListingEntry, adopt_known, find_unseen, finish_gone_post_actions, note_listing,
};
use mailmesh_store::{Tx, mailbox};

use crate::sample::{self, LATER, NOW, entry, recorded};
use crate::world::World;

fn fetched(ordinal: u64, uidl: &str, content: &[u8]) -> FetchedEntry {
    FetchedEntry {
        ordinal,
        entry: entry(uidl, 10),
        sha256: sha256(content),
    }
}

async fn adopt(tx: &mut Tx, account: AccountId, mails: &[FetchedEntry]) -> Result<HashSet<u64>> {
    Ok(adopt_known(tx, account, "INBOX", mails).await?)
}

async fn note(tx: &mut Tx, account: AccountId, listing: &[ListingEntry]) -> Result<Vec<usize>> {
    note_listing(tx, account, "INBOX", listing, LATER).await?;
    Ok(find_unseen(tx, account, "INBOX", listing).await?)
}

#[tokio::test]
async fn a_mail_that_comes_back_is_known_and_other_content_under_its_id_is_new() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let account = sample::stored(&mut tx, "support", Direction::Inbound).await?;
    let listing = [entry("back", 11), entry("reused", 10)];
    recorded(&mut tx, account, &listing[0], b"one").await?;
    recorded(&mut tx, account, &listing[1], b"two").await?;
    note(&mut tx, account, &[]).await?;

    let mails = [
        fetched(7, "back", b"one"),
        fetched(8, "reused", b"other content"),
    ];
    let known = adopt(&mut tx, account, &mails).await?;

    assert_eq!(known, HashSet::from([7]));
    // With the size that is listed now.
    let now_listed = [entry("back", 10), entry("reused", 10)];
    assert_eq!(note(&mut tx, account, &now_listed).await?, [1]);
    recorded(&mut tx, account, &now_listed[1], b"other content").await?;
    assert!(note(&mut tx, account, &now_listed).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn mails_that_were_numbered_anew_are_known_copy_by_copy() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let account = sample::stored(&mut tx, "support", Direction::Inbound).await?;
    let first = recorded(&mut tx, account, &entry("1", 10), b"same").await?;
    let second = recorded(&mut tx, account, &entry("2", 10), b"same").await?;
    let listing = ["x", "y", "z", "n"].map(|uidl| entry(uidl, 10));
    assert_eq!(note(&mut tx, account, &listing).await?, [0, 1, 2, 3]);

    let mails = [
        fetched(11, "x", b"same"),
        fetched(12, "y", b"same"),
        fetched(13, "z", b"same"),
        fetched(14, "n", b"new"),
    ];
    let one = adopt(&mut tx, account, &mails[..1]).await?;
    let again = adopt(&mut tx, account, &mails[..1]).await?;
    let rest = adopt(&mut tx, account, &mails[1..]).await?;

    assert_eq!(one, HashSet::from([11]));
    assert_eq!(again, one);
    // Two were received: the third copy is a new mail.
    assert_eq!(rest, HashSet::from([12]));
    assert_eq!(note(&mut tx, account, &listing).await?, [2, 3]);
    // What is still to be done with them is done where they stand now.
    finish_gone_post_actions(&mut tx, account, "INBOX").await?;
    let due = mailbox::list_post_actions(&mut tx, account, "INBOX", LATER, 10).await?;
    let mut due: Vec<_> = due
        .into_iter()
        .map(|due| (due.mail_id, due.position))
        .collect();
    due.sort_by(|one, two| one.1.cmp(&two.1));
    assert_eq!(due, [(first, "x".to_owned()), (second, "y".to_owned())]);
    Ok(())
}

#[tokio::test]
async fn a_copy_under_a_further_id_is_a_new_mail() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let account = sample::stored(&mut tx, "support", Direction::Inbound).await?;
    let other = sample::stored(&mut tx, "other", Direction::Inbound).await?;
    recorded(&mut tx, account, &entry("1", 10), b"same").await?;
    recorded(&mut tx, other, &entry("2", 10), b"elsewhere").await?;
    note(&mut tx, other, &[]).await?;
    note(&mut tx, account, &[entry("1", 10), entry("2", 10)]).await?;

    let mails = [fetched(1, "2", b"same"), fetched(2, "3", b"elsewhere")];
    let known = adopt(&mut tx, account, &mails).await?;

    assert!(known.is_empty(), "{known:?}");
    assert!(adopt(&mut tx, account, &[]).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn twins_under_one_id_are_one_mail_and_not_fetched_for_ever() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let account = sample::stored(&mut tx, "support", Direction::Inbound).await?;
    let listing = [entry("hash", 10), entry("hash", 10)];
    let mails = [fetched(1, "hash", b"same"), fetched(2, "hash", b"same")];

    let at_first = adopt(&mut tx, account, &mails).await?;
    recorded(&mut tx, account, &listing[0], b"same").await?;
    let unseen = note(&mut tx, account, &listing).await?;
    let then = adopt(&mut tx, account, &mails).await?;

    assert_eq!(at_first, HashSet::from([2]));
    assert_eq!(unseen, [0, 1]);
    assert_eq!(then, HashSet::from([1, 2]));
    assert!(note(&mut tx, account, &listing).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn mails_without_ids_are_known_by_their_content_alone() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let account = sample::stored(&mut tx, "support", Direction::Inbound).await?;
    let gone = recorded(&mut tx, account, &entry("", 10), b"gone").await?;
    let kept = recorded(&mut tx, account, &entry("", 10), b"kept").await?;
    assert_eq!(note(&mut tx, account, &[entry("", 10)]).await?, [0]);

    let mails = [fetched(1, "", b"kept"), fetched(2, "", b"new")];
    let known = adopt(&mut tx, account, &mails).await?;
    let finished = finish_gone_post_actions(&mut tx, account, "INBOX").await?;

    assert_eq!(known, HashSet::from([1]));
    assert_eq!(finished, 1, "{gone} was deleted");
    let due = mailbox::list_post_actions(&mut tx, account, "INBOX", NOW, 10).await?;
    assert_eq!(due.first().map(|due| due.mail_id), Some(kept));
    Ok(())
}
