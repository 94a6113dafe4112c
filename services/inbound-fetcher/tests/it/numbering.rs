//! Servers that give UIDs again under the same UIDVALIDITY: no mail is lost, none is announced twice, and it is told.

use anyhow::{Result, ensure};
use mailmesh_domain::Position;
use mailmesh_events::mail::{MailReceived, MailboxReset, ResetReason};
use mailmesh_sandbox::ImapQuirks;
use mailmesh_store::account::Account;
use mailmesh_testkit::{RunningReplica, eventually};

use crate::world::{ALICE, World, mail};

/// A replica that has received mails 1 to 40.
async fn forty() -> Result<(World, Account, RunningReplica)> {
    let world = World::new().await?;
    let account = world.account("support", |_| {}).await?;
    for number in 1..=40 {
        world.deliver(mail(number))?;
    }
    let replica = world.start().await?;
    world.mails("support", 40).await?;
    world.recorded(&account, 40).await?;
    Ok((world, account, replica))
}

async fn subjects(world: &World) -> Result<Vec<String>> {
    let mails = world.base.events::<MailReceived>("support").await?;
    let mut subjects: Vec<String> = mails.into_iter().filter_map(|mail| mail.subject).collect();
    subjects.sort_unstable();
    Ok(subjects)
}

/// Checks that mails 1 to `last` were announced, each once, and how often a reset was told.
async fn check(world: World, replica: RunningReplica, last: u32, resets: usize) -> Result<()> {
    let mut expected: Vec<String> = (1..=last).map(|number| format!("Mail {number}")).collect();
    expected.sort_unstable();
    world.mails("support", expected.len()).await?;
    assert_eq!(subjects(&world).await?, expected);
    let told = eventually("the reset is told", async || {
        let told = world.base.events::<MailboxReset>("support").await?;
        ensure!(told.len() >= resets, "{told:?}");
        anyhow::Ok(told)
    })
    .await?;
    let reasons: Vec<ResetReason> = told.iter().map(|reset| reset.reason).collect();
    assert_eq!(reasons, vec![ResetReason::NumberingWentBack; resets]);
    world.finish(replica).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mails_below_the_cursor_are_received_after_the_numbering_went_back() -> Result<()> {
    let (world, account, replica) = forty().await?;

    world.sandbox.mail().rewind(ALICE, "INBOX", 10)?;
    world.deliver(mail(41))?;
    world.deliver(mail(42))?;
    world.sandbox.mail().expire_sessions(ALICE)?;

    let mails = world.mails("support", 42).await?;
    let position = Position::Imap {
        uid_validity: match mails[0].origin.position {
            Position::Imap { uid_validity, .. } => uid_validity,
            Position::Pop3 { .. } => 0,
        },
        uid: 10,
        restarts: 1,
    };
    assert_eq!(mails[40].origin.position, position);
    world.recorded(&account, 11).await?;
    // From here on it counts as any other.
    world.sandbox.mail().expire_sessions(ALICE)?;
    world.deliver(mail(43))?;
    check(world, replica, 43, 1).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_that_passed_the_cursor_again_hide_no_mail() -> Result<()> {
    let (world, _, replica) = forty().await?;
    replica.stop().await?;

    world.sandbox.mail().rewind(ALICE, "INBOX", 36)?;
    for number in 41..=47 {
        world.deliver(mail(number))?;
    }

    let replica = world.start().await?;
    check(world, replica, 47, 1).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_given_again_under_the_same_dates_hide_no_mail() -> Result<()> {
    let (world, account, replica) = forty().await?;
    let quirks = ImapQuirks {
        dates_alike: true,
        ..ImapQuirks::default()
    };
    world.sandbox.mail().set_imap_quirks(ALICE, quirks)?;
    world.deliver(mail(41))?;
    world.recorded(&account, 41).await?;
    replica.stop().await?;

    world.sandbox.mail().rewind(ALICE, "INBOX", 36)?;
    for number in 42..=47 {
        world.deliver(mail(number))?;
    }

    let replica = world.start().await?;
    world.mails("support", 47).await?;
    world.recorded(&account, 41).await?;
    replica.stop().await?;

    // Below the newest, which is gone.
    world.sandbox.mail().rewind(ALICE, "INBOX", 36)?;
    for number in 48..=53 {
        world.deliver(mail(number))?;
    }
    world.sandbox.mail().remove(ALICE, "INBOX", 41)?;
    world.deliver(mail(54))?;

    let replica = world.start().await?;
    world.mails("support", 53).await?;
    let found = subjects(&world).await?;
    let is_found = |number: u32| found.contains(&format!("Mail {number}"));
    assert!((1..=52).all(is_found) && is_found(54), "{found:?}");
    world.finish(replica).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn emptied_folder_that_counts_from_one_again_hides_no_mail() -> Result<()> {
    let (world, account, replica) = forty().await?;

    world.sandbox.mail().rewind(ALICE, "INBOX", 1)?;
    world.sandbox.mail().expire_sessions(ALICE)?;
    world.recorded(&account, 0).await?;
    for number in 41..=43 {
        world.deliver(mail(number))?;
    }

    world.mails("support", 43).await?;
    check(world, replica, 43, 1).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbering_that_goes_back_twice_is_told_twice() -> Result<()> {
    let (world, account, replica) = forty().await?;

    for (uid, number) in [(38, 41), (30, 42)] {
        world.sandbox.mail().rewind(ALICE, "INBOX", uid)?;
        world.deliver(mail(number))?;
        world.sandbox.mail().expire_sessions(ALICE)?;
        world.recorded(&account, uid).await?;
    }

    check(world, replica, 42, 2).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_that_was_removed_is_no_sign_of_a_numbering_that_went_back() -> Result<()> {
    let (world, account, replica) = forty().await?;

    for uid in [40, 39, 1] {
        world.sandbox.mail().remove(ALICE, "INBOX", uid)?;
        world.sandbox.mail().expire_sessions(ALICE)?;
    }
    world.deliver(mail(41))?;
    world.recorded(&account, 41).await?;
    world.sandbox.mail().remove(ALICE, "INBOX", 41)?;
    world.sandbox.mail().expire_sessions(ALICE)?;
    world.deliver(mail(42))?;
    world.recorded(&account, 42).await?;

    check(world, replica, 42, 0).await
}
