use std::collections::HashSet;

use anyhow::Result;
use mailmesh_domain::{AccountId, Direction, SystemClock};
use mailmesh_secrets::sha256;
use mailmesh_store::mailbox::{self, DuePostAction};

use crate::sample::{self, LATER, NOW};
use crate::world::World;

#[tokio::test]
async fn mails_of_many_accounts_are_recorded_at_once() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let one = sample::stored(&mut tx, "one", Direction::Inbound).await?;
    let two = sample::stored(&mut tx, "two", Direction::Inbound).await?;
    let mails = [
        sample::received(one, 1),
        sample::received(one, u32::MAX),
        sample::received(two, 1),
    ];

    mailbox::insert(&mut tx, &mails, NOW).await?;

    for mail in &mails {
        let found = mailbox::find(&mut tx, mail.id).await?;
        assert_eq!(format!("{found:?}"), format!("{:?}", Some(mail)));
    }
    assert!(mailbox::find(&mut tx, sample::mail_id()).await?.is_none());
    Ok(())
}

#[tokio::test]
async fn a_recorded_mail_stays_as_it_is() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let account = sample::stored(&mut tx, "support", Direction::Inbound).await?;
    let mut mail = sample::received(account, 1);
    mail.is_post_action_due = true;
    mailbox::insert(&mut tx, std::slice::from_ref(&mail), NOW).await?;
    mailbox::finish_post_actions(&mut tx, &[mail.id]).await?;

    let fresh = sample::received(account, 2);
    mailbox::insert(
        &mut tx,
        &[mail.clone(), fresh.clone(), fresh.clone()],
        LATER,
    )
    .await?;

    let kept = mailbox::find(&mut tx, mail.id).await?.unwrap();
    assert!(!kept.is_post_action_due);
    assert!(mailbox::find(&mut tx, fresh.id).await?.is_some());
    Ok(())
}

#[tokio::test]
async fn the_mails_of_an_account_deleted_meanwhile_are_passed_over() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let account = sample::stored(&mut tx, "support", Direction::Inbound).await?;
    let kept = sample::received(account, 1);
    let orphan = sample::received(AccountId::generate(&SystemClock), 1);

    mailbox::insert(&mut tx, &[orphan.clone(), kept.clone()], NOW).await?;

    assert!(mailbox::find(&mut tx, kept.id).await?.is_some());
    assert!(mailbox::find(&mut tx, orphan.id).await?.is_none());
    Ok(())
}

#[tokio::test]
async fn fingerprints_tell_seen_mail_from_new() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let account = sample::stored(&mut tx, "support", Direction::Inbound).await?;
    let other = sample::stored(&mut tx, "other", Direction::Inbound).await?;
    let (seen, elsewhere) = (sample::received(account, 1), sample::received(other, 2));
    let mut archived = sample::received(account, 4);
    archived.folder = "Archive".to_owned();
    // The same mail may lie in a folder twice.
    let mut twin = sample::received(account, 3);
    twin.sha256 = seen.sha256;
    let mails = [seen.clone(), elsewhere.clone(), archived.clone(), twin];
    mailbox::insert(&mut tx, &mails, NOW).await?;

    let asked = [
        (10, seen.sha256),
        (11, elsewhere.sha256),
        (12, archived.sha256),
        (13, sha256(b"new")),
        (14, seen.sha256),
        (15, seen.sha256),
    ];
    let (first, rest) = asked.split_at(1);
    let known = mailbox::renumber_known(&mut tx, account, "INBOX", 6, first).await?;
    let again = mailbox::renumber_known(&mut tx, account, "INBOX", 6, first).await?;
    let further = mailbox::renumber_known(&mut tx, account, "INBOX", 6, rest).await?;

    assert_eq!(known, HashSet::from([10]));
    assert_eq!(again, known);
    // Two were received: the third copy is a new mail.
    assert_eq!(further, HashSet::from([14]));
    let row = mailbox::find(&mut tx, seen.id).await?.unwrap();
    assert_eq!((row.uid_validity, row.uid), (6, 10));
    let none = mailbox::renumber_known(&mut tx, account, "INBOX", 6, &[]).await?;
    assert!(none.is_empty());
    Ok(())
}

#[tokio::test]
async fn post_actions_are_listed_by_uid_until_they_are_done() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let account = sample::stored(&mut tx, "support", Direction::Inbound).await?;
    let other = sample::stored(&mut tx, "other", Direction::Inbound).await?;
    let mut mails: Vec<_> = [7, 3, 5]
        .map(|uid| sample::received(account, uid))
        .into_iter()
        .chain([sample::received(other, 1)])
        .collect();
    for mail in &mut mails {
        mail.is_post_action_due = true;
    }
    mails.push(sample::received(account, 4));
    let mut archived = sample::received(account, 1);
    archived.folder = "Archive".to_owned();
    archived.is_post_action_due = true;
    mails.push(archived);
    mailbox::insert(&mut tx, &mails, NOW).await?;

    let due = mailbox::list_post_actions(&mut tx, account, "INBOX", 2).await?;
    mailbox::finish_post_actions(&mut tx, &[due[0].mail_id, due[1].mail_id]).await?;
    let left = mailbox::list_post_actions(&mut tx, account, "INBOX", 10).await?;

    let uids: Vec<u32> = due.iter().map(|action| action.uid).collect();
    assert_eq!(uids, [3, 5]);
    let last = DuePostAction {
        mail_id: mails[0].id,
        uid_validity: 5,
        uid: 7,
    };
    assert_eq!(left, [last]);
    Ok(())
}

#[tokio::test]
async fn a_deleted_account_takes_its_mails_along() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let account = sample::stored(&mut tx, "support", Direction::Inbound).await?;
    let mail = sample::received(account, 1);
    mailbox::insert(&mut tx, std::slice::from_ref(&mail), NOW).await?;

    mailmesh_store::account::delete(&mut tx, account).await?;

    assert!(mailbox::find(&mut tx, mail.id).await?.is_none());
    Ok(())
}
