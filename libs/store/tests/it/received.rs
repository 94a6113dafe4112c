use anyhow::Result;
use mailmesh_domain::{AccountId, AfterReceive, Direction, MailId, SystemClock};
use mailmesh_store::account;
use mailmesh_store::mailbox::{self, DuePostAction, ReceivedMail};
use time::Duration;

use crate::sample::{self, LATER, NOW};
use crate::world::World;

/// A mail's row as text, without what the database adds.
async fn row(world: &World, id: MailId) -> Result<Option<String>> {
    let columns = "folder, epoch, position, ordinal, size_bytes, chunks,
                   is_post_action_due";
    world
        .read(&format!(
            "SELECT max(concat_ws(' ', account_id, {columns})) FROM received_mails
             WHERE mail_id = '{id}'"
        ))
        .await
}

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
    tx.commit().await?;

    for mail in &mails {
        let (account, ordinal) = (mail.account_id, mail.ordinal);
        let wanted = format!("{account} INBOX 5 {ordinal} {ordinal} 2048 1 f");
        assert_eq!(row(&world, mail.id).await?, Some(wanted));
        let sha256 = format!(
            "SELECT sha256 FROM received_mails WHERE mail_id = '{}'",
            mail.id
        );
        assert_eq!(world.read::<Vec<u8>>(&sha256).await?, mail.sha256);
    }
    assert_eq!(row(&world, sample::mail_id()).await?, None);
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
    tx.commit().await?;

    let kept = row(&world, mail.id).await?.unwrap();
    assert!(kept.ends_with(" f"), "{kept}");
    assert!(row(&world, fresh.id).await?.is_some());
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
    tx.commit().await?;

    assert!(row(&world, kept.id).await?.is_some());
    assert!(row(&world, orphan.id).await?.is_none());
    Ok(())
}

#[tokio::test]
async fn post_actions_are_listed_in_order_until_they_are_done() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let account = sample::stored(&mut tx, "support", Direction::Inbound).await?;
    let other = sample::stored(&mut tx, "other", Direction::Inbound).await?;
    let mut mails: Vec<_> = [7, 3, 15]
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

    let due = mailbox::list_post_actions(&mut tx, account, "INBOX", LATER, 2).await?;
    mailbox::finish_post_actions(&mut tx, &[due[0].mail_id, due[1].mail_id]).await?;
    let left = mailbox::list_post_actions(&mut tx, account, "INBOX", LATER, 10).await?;

    let ordinals: Vec<u64> = due.iter().map(|action| action.ordinal).collect();
    assert_eq!(ordinals, [3, 7]);
    let position = sample::position(5, 15);
    let last = DuePostAction {
        mail_id: mails[2].id,
        epoch: position.epoch(),
        position: position.within_epoch(),
        ordinal: 15,
    };
    assert_eq!(left, [last]);
    Ok(())
}

#[tokio::test]
async fn a_mail_is_left_on_the_server_for_the_days_that_the_account_says() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let mut account = sample::account("support", Direction::Inbound)?;
    account.after_receive = AfterReceive::Delete;
    account.move_to = None;
    account.delete_after_days = Some(7);
    account::insert(&mut tx, &account).await?;
    for (uid, recorded_at) in [(1, NOW), (2, LATER)] {
        let mail = ReceivedMail {
            is_post_action_due: true,
            ..sample::received(account.id, uid)
        };
        mailbox::insert(&mut tx, &[mail], recorded_at).await?;
    }

    let mut due = Vec::new();
    for now in [LATER, NOW + Duration::days(7), LATER + Duration::days(7)] {
        let listed = mailbox::list_post_actions(&mut tx, account.id, "INBOX", now, 10).await?;
        due.push(listed.iter().map(|each| each.ordinal).collect::<Vec<_>>());
    }

    assert_eq!(due, [vec![], vec![1], vec![1, 2]]);
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
    tx.commit().await?;

    assert!(row(&world, mail.id).await?.is_none());
    Ok(())
}

#[tokio::test]
async fn only_what_is_long_gone_from_its_folder_is_forgotten() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let account = sample::stored(&mut tx, "support", Direction::Inbound).await?;
    let mails = [1, 2, 3, 4].map(|uid| sample::received(account, uid));
    mailbox::insert(&mut tx, &mails, NOW).await?;
    mailbox::record_gone(&mut tx, &[mails[0].id, mails[1].id], NOW).await?;
    mailbox::record_gone(&mut tx, &[mails[2].id], LATER).await?;

    let first = mailbox::forget_gone(&mut tx, LATER, 1).await?;
    let second = mailbox::forget_gone(&mut tx, LATER, 10).await?;
    tx.commit().await?;

    assert_eq!((first, second), (1, 1));
    for (mail, is_kept) in mails.iter().zip([false, false, true, true]) {
        assert_eq!(row(&world, mail.id).await?.is_some(), is_kept);
    }
    Ok(())
}
