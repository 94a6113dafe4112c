//! What is done with mails on the server once they are received.

use std::time::Duration;

use anyhow::Result;
use mailmesh_domain::{AccountState, AfterReceive, MustAct};
use mailmesh_events::account::AccountFailing;
use mailmesh_sandbox::Fault;
use mailmesh_store::account::Account;
use mailmesh_store::account_status;
use mailmesh_testkit::eventually;

use crate::fault::rule;
use crate::world::{ALICE, World, mail};

async fn marking_account(world: &World) -> Result<Account> {
    world
        .account("support", |account| {
            account.after_receive = AfterReceive::MarkSeen;
            account.poll_interval_seconds = 1;
        })
        .await
}

async fn seen(world: &World, count: usize) -> Result<()> {
    eventually("the mails are marked", async || {
        let mails = world.sandbox.mail().list(ALICE, "INBOX")?;
        let seen = mails
            .iter()
            .filter(|mail| mail.flags.to_string().contains("Seen"));
        let found = seen.count();
        anyhow::ensure!(found == count, "{found} of {count}");
        anyhow::Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusal_that_passes_is_tried_again_and_told_to_nobody() -> Result<()> {
    let world = World::new().await?;
    let account = marking_account(&world).await?;
    let text = "{tag} NO [UNAVAILABLE] later".to_owned();
    let fault = rule("imap.store", Fault::Reply { text }, Some(2));
    world.sandbox.faults().add(fault)?;
    world.deliver(mail(1))?;
    let replica = world.start().await?;

    seen(&world, 1).await?;

    world.becomes(&account, AccountState::Active).await?;
    let told = world.base.events::<AccountFailing>("support").await?;
    assert!(told.is_empty(), "{told:?}");
    assert_eq!(world.sandbox.mail().counters().imap_sign_ins, 1);
    world.finish(replica).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusal_that_stays_is_told_until_all_is_done() -> Result<()> {
    let world = World::new().await?;
    let account = marking_account(&world).await?;
    let text = "{tag} NO [NOPERM] no".to_owned();
    let fault = rule("imap.store", Fault::Reply { text }, Some(3));
    world.sandbox.faults().add(fault)?;
    world.deliver(mail(1))?;
    let replica = world.start().await?;

    let failing: AccountFailing = world.base.first_event("support").await?;
    assert_eq!(failing.problem.must_act, MustAct::TenantAdministrator);
    world.deliver(mail(2))?;

    seen(&world, 2).await?;
    eventually("the account has recovered", async || {
        let state = world.state(&account).await?;
        anyhow::ensure!(state == AccountState::Active, "{state}");
        anyhow::Ok(())
    })
    .await?;
    assert_eq!(world.sandbox.mail().counters().imap_sign_ins, 1);
    world.finish(replica).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_to_move_to_that_is_not_there_is_named() -> Result<()> {
    let world = World::new().await?;
    world
        .account("support", |account| {
            account.after_receive = AfterReceive::Move;
            account.move_to = Some("Done & dusted".to_owned());
        })
        .await?;
    world.deliver(mail(1))?;
    let replica = world.start().await?;

    let failing: AccountFailing = world.base.first_event("support").await?;

    let problem = failing.problem;
    assert_eq!(problem.must_act, MustAct::Administrator, "{problem:?}");
    assert!(problem.action.contains("move_to"), "{problem:?}");
    assert!(problem.what.contains("Done & dusted"), "{problem:?}");
    world.finish(replica).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_that_an_earlier_owner_published_is_marked_at_once() -> Result<()> {
    let world = World::new().await?;
    let account = marking_account(&world).await?;
    let first = world.start().await?;
    world.deliver(mail(1))?;
    seen(&world, 1).await?;
    // The recorder waits for this row, and so publishes without recording.
    let mut lock = world.base.begin().await?;
    account_status::set_proved(&mut lock, &[world.base.proof(&account, Duration::ZERO)]).await?;
    world.deliver(mail(2))?;
    world.mails("support", 2).await?;
    first.kill().await;
    drop(lock);

    let second = world.start().await?;

    seen(&world, 2).await?;
    world.mails("support", 2).await?;
    world.finish(second).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_is_left_on_the_server_for_the_days_that_the_account_says() -> Result<()> {
    let world = World::new().await?;
    let delete = |account: &mut Account| {
        account.after_receive = AfterReceive::Delete;
        account.delete_after_days = Some(7);
    };
    let mut account = world.account("support", delete).await?;
    world.deliver(mail(1))?;
    let replica = world.start().await?;
    world.mails("support", 1).await?;
    world.recorded(&account, 1).await?;
    world.deliver(mail(2))?;
    world.mails("support", 2).await?;

    assert_eq!(world.sandbox.mail().list(ALICE, "INBOX")?.len(), 2);

    account.delete_after_days = None;
    world.update(&mut account).await?;
    eventually("the mails are deleted", async || {
        let left = world.sandbox.mail().list(ALICE, "INBOX")?.len();
        anyhow::ensure!(left == 0, "{left} are left");
        anyhow::Ok(())
    })
    .await?;
    world.finish(replica).await
}
