//! Accounts of several folders, of which one is missing: the others go on.

use anyhow::Result;
use mailmesh_domain::{AccountState, MustAct};
use mailmesh_events::account::{AccountFailing, AccountRecovered};
use mailmesh_events::mail::MailReceived;
use mailmesh_sandbox::{Fault, Flags};
use mailmesh_store::account::Account;
use mailmesh_testkit::eventually;

use crate::fault::rule;
use crate::world::{ALICE, World, mail};

const FOLDERS: [&str; 3] = ["First", "Second", "Third"];

async fn account_of_three_folders(world: &World) -> Result<Account> {
    for folder in FOLDERS {
        world.sandbox.mail().create_folder(ALICE, folder)?;
    }
    world
        .account("support", |account| {
            account.folders = FOLDERS.map(str::to_owned).to_vec();
            account.poll_interval_seconds = 1;
        })
        .await
}

fn append(world: &World, folder: &str, number: u32) -> Result<()> {
    let store = world.sandbox.mail();
    store.append(ALICE, folder, mail(number), Flags::default())?;
    Ok(())
}

/// Waits for the mail with this number, and returns its folder.
async fn folder_of(world: &World, number: u32) -> Result<String> {
    let subject = format!("Mail {number}");
    eventually("the mail is published", async || {
        let mails = world.base.events::<MailReceived>("support").await?;
        let mut mails = mails.into_iter();
        let found = mails.find(|mail| mail.subject.as_ref() == Some(&subject));
        let found = found.ok_or_else(|| anyhow::anyhow!("no {subject}"))?;
        anyhow::Ok(found.origin.folder)
    })
    .await
}

async fn state_becomes(world: &World, account: &Account, expected: AccountState) -> Result<()> {
    eventually("the account's state has changed", async || {
        let state = world.state(account).await?;
        anyhow::ensure!(state == expected, "{state}");
        anyhow::Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn folder_that_goes_away_while_watched_holds_up_no_other_and_is_told() -> Result<()> {
    for gone in FOLDERS {
        let world = World::new().await?;
        let account = account_of_three_folders(&world).await?;
        let replica = world.start().await?;
        for (number, folder) in (1..).zip(FOLDERS) {
            append(&world, folder, number)?;
            assert_eq!(folder_of(&world, number).await?, folder);
        }

        let store = world.sandbox.mail();
        store.rename_folder(ALICE, gone, "Elsewhere")?;

        let failing: AccountFailing = world.base.first_event("support").await?;
        // The sandbox ends the session that has the folder open, as some servers do: that of the first folder, or of the one
        // that is just being polled.
        let sign_ins = store.counters().imap_sign_ins;
        assert!(sign_ins <= 2, "{sign_ins}");
        assert_eq!(failing.problem.must_act, MustAct::Administrator);
        assert!(failing.problem.what.contains(gone), "{failing:?}");
        for (number, folder) in (4..).zip(FOLDERS) {
            if folder != gone {
                append(&world, folder, number)?;
                assert_eq!(folder_of(&world, number).await?, folder);
            }
        }
        assert_eq!(world.state(&account).await?, AccountState::Failing);
        assert_eq!(store.counters().imap_sign_ins, sign_ins);

        append(&world, "Elsewhere", 7)?;
        store.rename_folder(ALICE, "Elsewhere", gone)?;
        assert_eq!(folder_of(&world, 7).await?, gone);
        let recovered: AccountRecovered = world.base.first_event("support").await?;
        assert_eq!(recovered.was, AccountState::Failing);
        state_becomes(&world, &account, AccountState::Active).await?;
        world.mails("support", 6).await?;
        world.finish(replica).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn folder_that_was_deleted_before_the_start_holds_up_no_other() -> Result<()> {
    let world = World::new().await?;
    let account = account_of_three_folders(&world).await?;
    world.sandbox.mail().delete_folder(ALICE, "First")?;
    append(&world, "Second", 1)?;
    append(&world, "Third", 2)?;
    let replica = world.start().await?;

    assert_eq!(folder_of(&world, 1).await?, "Second");
    assert_eq!(folder_of(&world, 2).await?, "Third");
    state_becomes(&world, &account, AccountState::Failing).await?;
    // What comes to the first folder that works is pushed.
    append(&world, "Second", 3)?;
    assert_eq!(folder_of(&world, 3).await?, "Second");

    world.sandbox.mail().create_folder(ALICE, "First")?;
    append(&world, "First", 4)?;
    assert_eq!(folder_of(&world, 4).await?, "First");
    state_becomes(&world, &account, AccountState::Active).await?;
    world.finish(replica).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn account_fails_if_all_of_its_folders_do() -> Result<()> {
    let world = World::new().await?;
    let account = account_of_three_folders(&world).await?;
    for folder in FOLDERS {
        world.sandbox.mail().delete_folder(ALICE, folder)?;
    }
    let replica = world.start().await?;

    state_becomes(&world, &account, AccountState::Failing).await?;
    let told: AccountFailing = world.base.first_event("support").await?;
    let names = FOLDERS.map(|name| format!("{name:?}")).join(", ");
    assert!(told.problem.what.contains(&names), "{told:?}");

    for folder in FOLDERS {
        world.sandbox.mail().create_folder(ALICE, folder)?;
    }
    append(&world, "Third", 1)?;
    assert_eq!(folder_of(&world, 1).await?, "Third");
    state_becomes(&world, &account, AccountState::Active).await?;
    world.finish(replica).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_that_the_server_refuses_to_show_ends_no_session_of_other_folders() -> Result<()> {
    let world = World::new().await?;
    let account = account_of_three_folders(&world).await?;
    let text = "{tag} NO failed".to_owned();
    let fault = rule("imap.fetch", Fault::Reply { text }, Some(2));
    world.sandbox.faults().add(fault)?;
    append(&world, "Second", 1)?;
    let replica = world.start().await?;

    assert_eq!(folder_of(&world, 1).await?, "Second");

    state_becomes(&world, &account, AccountState::Active).await?;
    let told = world.base.events::<AccountFailing>("support").await?;
    assert!(told.is_empty(), "{told:?}");
    assert_eq!(world.sandbox.mail().counters().imap_sign_ins, 1);
    world.finish(replica).await
}
