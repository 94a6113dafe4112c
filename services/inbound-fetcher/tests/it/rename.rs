//! Folders that are renamed at the server and in the account's settings: their mails are known.

use std::time::Duration;

use anyhow::Result;
use mailmesh_domain::AfterReceive;
use mailmesh_events::mail::{MailReceived, MailboxReset, ResetReason};
use mailmesh_sandbox::Flags;
use mailmesh_store::account::Account;
use mailmesh_testkit::eventually;
use tokio::time::Instant;

use crate::world::{ALICE, World, mail};

async fn account_of(
    world: &World,
    folder: &str,
    adjust: impl FnOnce(&mut Account),
) -> Result<Account> {
    world
        .account("support", |account| {
            account.folders = vec![folder.to_owned()];
            adjust(account);
        })
        .await
}

fn append(world: &World, folder: &str, number: u32) -> Result<()> {
    let store = world.sandbox.mail();
    store.append(ALICE, folder, mail(number), Flags::default())?;
    Ok(())
}

/// Renames the folder at the server, lets a mail come to it, and only then names it in the settings.
async fn rename(world: &World, account: &mut Account, to: &str, number: u32) -> Result<()> {
    let from = account.folders.concat();
    world.sandbox.mail().rename_folder(ALICE, &from, to)?;
    append(world, to, number)?;
    account.folders = vec![to.to_owned()];
    world.update(account).await
}

/// Waits until all mails up to this UID of the folder are dealt with.
async fn recorded(world: &World, account: &Account, folder: &str, uid: u64) -> Result<()> {
    eventually("the cursor has moved", async || {
        let mut tx = world.base.begin().await?;
        let cursors = mailmesh_store::mailbox::list_cursors(&mut tx, &[account.id]).await?;
        let mut cursors = cursors.into_iter();
        let found = cursors.find(|cursor| cursor.folder == folder);
        let reached = found.map(|cursor| (cursor.ordinal, cursor.rescan_until));
        anyhow::ensure!(reached == Some((uid, None)), "{reached:?}");
        anyhow::Ok(())
    })
    .await
}

/// Returns the numbers of the announced mails, in the order of their events, with their folders.
async fn announced(world: &World) -> Result<Vec<(String, String)>> {
    let mails = world.base.events::<MailReceived>("support").await?;
    let announced = mails.into_iter().map(|mail| {
        let number = mail.subject.unwrap_or_default().replace("Mail ", "");
        (number, mail.origin.folder)
    });
    Ok(announced.collect())
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    let pairs = expected.iter();
    pairs
        .map(|(number, folder)| ((*number).to_owned(), (*folder).to_owned()))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn folder_that_is_renamed_in_the_settings_announces_only_what_is_new() -> Result<()> {
    let world = World::new().await?;
    world.sandbox.mail().create_folder(ALICE, "Old")?;
    let mut account = account_of(&world, "Old", |_| {}).await?;
    for number in 1..=3 {
        append(&world, "Old", number)?;
    }
    let replica = world.start().await?;
    recorded(&world, &account, "Old", 3).await?;

    rename(&world, &mut account, "New", 4).await?;
    recorded(&world, &account, "New", 4).await?;
    append(&world, "New", 5)?;
    recorded(&world, &account, "New", 5).await?;
    let reset: MailboxReset = world.base.first_event("support").await?;

    let (folder, reason) = (reset.folder.as_str(), reset.reason);
    assert_eq!((folder, reason), ("New", ResetReason::FolderRenamed));
    let first = ["1", "2", "3"].map(|number| (number, "Old"));
    let expected = [first.as_slice(), &[("4", "New"), ("5", "New")]].concat();
    assert_eq!(announced(&world).await?, pairs(&expected));

    rename(&world, &mut account, "Old", 6).await?;
    recorded(&world, &account, "Old", 6).await?;
    let expected = [expected.as_slice(), &[("6", "Old")]].concat();
    assert_eq!(announced(&world).await?, pairs(&expected));
    world.finish(replica).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_of_before_the_first_activation_stays_left_alone_after_a_rename() -> Result<()> {
    let world = World::new().await?;
    world.sandbox.mail().create_folder(ALICE, "Old")?;
    append(&world, "Old", 1)?;
    // The server tells whole seconds.
    let delivered_at = Instant::now();
    eventually("a second has passed", async || {
        anyhow::ensure!(delivered_at.elapsed() > Duration::from_millis(1_100));
        anyhow::Ok(())
    })
    .await?;
    let adjust = |account: &mut Account| account.receive_existing = false;
    let mut account = account_of(&world, "Old", adjust).await?;
    let replica = world.start().await?;
    recorded(&world, &account, "Old", 1).await?;
    append(&world, "Old", 2)?;
    recorded(&world, &account, "Old", 2).await?;

    rename(&world, &mut account, "New", 3).await?;
    recorded(&world, &account, "New", 3).await?;
    append(&world, "New", 4)?;
    recorded(&world, &account, "New", 4).await?;

    let expected = [("2", "Old"), ("3", "New"), ("4", "New")];
    assert_eq!(announced(&world).await?, pairs(&expected));
    world.finish(replica).await
}

/// Another folder of the list is no renamed one: what was there before stays left alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_folder_in_the_settings_is_activated_as_a_new_one() -> Result<()> {
    let world = World::new().await?;
    for folder in ["Old", "New"] {
        world.sandbox.mail().create_folder(ALICE, folder)?;
    }
    append(&world, "New", 1)?;
    let adjust = |account: &mut Account| account.receive_existing = false;
    let mut account = account_of(&world, "Old", adjust).await?;
    let replica = world.start().await?;
    recorded(&world, &account, "Old", 0).await?;
    append(&world, "Old", 2)?;
    recorded(&world, &account, "Old", 1).await?;

    account.folders = vec!["New".to_owned()];
    world.update(&mut account).await?;
    recorded(&world, &account, "New", 1).await?;
    append(&world, "New", 3)?;
    recorded(&world, &account, "New", 2).await?;

    let expected = [("2", "Old"), ("3", "New")];
    assert_eq!(announced(&world).await?, pairs(&expected));
    assert!(
        world
            .base
            .events::<MailboxReset>("support")
            .await?
            .is_empty()
    );
    world.finish(replica).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn owner_killed_within_a_rename_leaves_no_second_event() -> Result<()> {
    let mut world = World::new().await?;
    world.settings.chunk_mails = 10;
    world.sandbox.mail().create_folder(ALICE, "Old")?;
    let mut account = account_of(&world, "Old", |account| {
        account.receive_existing = false;
        account.after_receive = AfterReceive::MarkSeen;
    })
    .await?;
    let first = world.start().await?;
    recorded(&world, &account, "Old", 0).await?;
    for number in 1..=200 {
        append(&world, "Old", number)?;
    }
    recorded(&world, &account, "Old", 200).await?;

    rename(&world, &mut account, "New", 201).await?;
    eventually("the second reading has begun", async || {
        let mut tx = world.base.begin().await?;
        let cursors = mailmesh_store::mailbox::list_cursors(&mut tx, &[account.id]).await?;
        let mut cursors = cursors.iter();
        let has_begun = cursors.any(|cursor| cursor.folder == "New" && cursor.ordinal > 0);
        anyhow::ensure!(has_begun, "{cursors:?}");
        anyhow::Ok(())
    })
    .await?;
    first.kill().await;
    let second = world.start().await?;

    recorded(&world, &account, "New", 201).await?;
    let mails = world.mails("support", 201).await?;
    assert_eq!(mails[200].subject.as_deref(), Some("Mail 201"));
    eventually("all mails are marked", async || {
        let mails = world.sandbox.mail().list(ALICE, "New")?;
        let unseen = mails
            .iter()
            .filter(|mail| !mail.flags.to_string().contains("Seen"));
        let unseen = unseen.count();
        anyhow::ensure!(unseen == 0, "{unseen} are not");
        anyhow::Ok(())
    })
    .await?;
    world.finish(second).await
}

async fn two_folders(world: &World) -> Result<Account> {
    for folder in ["A", "B"] {
        world.sandbox.mail().create_folder(ALICE, folder)?;
    }
    for (folder, number) in [("A", 1), ("A", 2), ("B", 3), ("B", 4), ("B", 5)] {
        append(world, folder, number)?;
    }
    let adjust = |account: &mut Account| account.folders = vec!["A".to_owned(), "B".to_owned()];
    account_of(world, "A", adjust).await
}

const OF_TWO: [(&str, &str); 5] = [("1", "A"), ("2", "A"), ("3", "B"), ("4", "B"), ("5", "B")];

/// Returns the announced mails in the order of their numbers: folders are independent of each other.
async fn announced_by_number(world: &World) -> Result<Vec<(String, String)>> {
    let mut announced = announced(world).await?;
    announced.sort();
    Ok(announced)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn folders_that_swap_their_names_announce_only_what_is_new() -> Result<()> {
    let world = World::new().await?;
    let account = two_folders(&world).await?;
    let replica = world.start().await?;
    recorded(&world, &account, "A", 2).await?;
    recorded(&world, &account, "B", 3).await?;

    for (from, to) in [("A", "T"), ("B", "A"), ("T", "B")] {
        world.sandbox.mail().rename_folder(ALICE, from, to)?;
    }
    append(&world, "A", 6)?;
    recorded(&world, &account, "A", 4).await?;
    recorded(&world, &account, "B", 2).await?;

    let expected = [OF_TWO.as_slice(), &[("6", "A")]].concat();
    assert_eq!(announced_by_number(&world).await?, pairs(&expected));
    world.finish(replica).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn folder_that_moved_on_while_a_new_one_took_its_name_is_known() -> Result<()> {
    let world = World::new().await?;
    let mut account = two_folders(&world).await?;
    let replica = world.start().await?;
    recorded(&world, &account, "A", 2).await?;
    recorded(&world, &account, "B", 3).await?;

    world.sandbox.mail().rename_folder(ALICE, "A", "X")?;
    world.sandbox.mail().create_folder(ALICE, "A")?;
    append(&world, "A", 6)?;
    recorded(&world, &account, "A", 1).await?;
    account.folders = ["A", "X", "B"].map(str::to_owned).to_vec();
    append(&world, "X", 7)?;
    world.update(&mut account).await?;
    recorded(&world, &account, "X", 3).await?;

    let expected = [OF_TWO.as_slice(), &[("6", "A"), ("7", "X")]].concat();
    assert_eq!(announced_by_number(&world).await?, pairs(&expected));
    world.finish(replica).await
}
