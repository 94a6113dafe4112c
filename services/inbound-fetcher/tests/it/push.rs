//! Servers that end each session as soon as it waits for changes.

use anyhow::{Context, Result, ensure};
use mailmesh_domain::AccountState;
use mailmesh_events::account::AccountFailing;
use mailmesh_sandbox::{Fault, ImapQuirks};
use mailmesh_store::account_status;
use mailmesh_testkit::eventually;

use crate::fault::rule;
use crate::world::{ALICE, World, mail};

async fn is_polled_and_said(quirks: ImapQuirks, fault: Option<Fault>) -> Result<()> {
    let world = World::new().await?;
    let account = world
        .account("support", |account| account.poll_interval_seconds = 1)
        .await?;
    world.sandbox.mail().set_imap_quirks(ALICE, quirks)?;
    if let Some(fault) = fault {
        world.sandbox.faults().add(rule("imap.idle", fault, None))?;
    }
    world.deliver(mail(1))?;
    let replica = world.start().await?;
    let problem = eventually("it is said that the server is polled", async || {
        let mut tx = world.base.begin().await?;
        let found = account_status::list_by_ids(&mut tx, &[account.id]).await?;
        tx.commit().await?;
        let status = found.into_iter().next().context("no status")?;
        ensure!(status.state == AccountState::Active, "{}", status.state);
        status.problem.context("no problem")
    })
    .await?;
    assert!(problem.what.contains("IDLE"), "{problem:?}");
    let sign_ins = world.sandbox.mail().sign_ins(ALICE)?;
    assert!(sign_ins <= 5, "{sign_ins}");

    for number in 2..=4 {
        world.deliver(mail(number))?;
        world.recorded(&account, number).await?;
    }

    assert_eq!(world.sandbox.mail().sign_ins(ALICE)?, sign_ins);
    let failing = world.base.events::<AccountFailing>("support").await?;
    assert!(failing.is_empty(), "{failing:?}");
    world.mails("support", 4).await?;
    world.finish(replica).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_that_says_farewell_in_idle_is_polled_after_a_few_sign_ins() -> Result<()> {
    let quirks = ImapQuirks {
        ends_idle: true,
        ..ImapQuirks::default()
    };
    is_polled_and_said(quirks, None).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_that_hangs_up_in_idle_is_polled_after_a_few_sign_ins() -> Result<()> {
    is_polled_and_said(ImapQuirks::default(), Some(Fault::Cut)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_that_ends_each_session_with_its_token_is_signed_in_to_ever_less_often() -> Result<()>
{
    let world = World::new().await?;
    let account = world.account("support", |_| {}).await?;
    let text = "* BYE Session expired, please login again".to_owned();
    world
        .sandbox
        .faults()
        .add(rule("imap.idle", Fault::Reply { text }, None))?;
    let replica = world.start().await?;
    eventually("some sessions have ended", async || {
        let sign_ins = world.sandbox.mail().sign_ins(ALICE)?;
        ensure!(sign_ins >= 5, "{sign_ins}");
        anyhow::Ok(())
    })
    .await?;
    let begun = std::time::Instant::now();
    eventually("two more have", async || {
        let sign_ins = world.sandbox.mail().sign_ins(ALICE)?;
        ensure!(sign_ins >= 8, "{sign_ins}");
        anyhow::Ok(())
    })
    .await?;

    assert!(begun.elapsed().as_millis() > 1_000, "{:?}", begun.elapsed());
    world.sandbox.faults().clear();
    world.deliver(mail(1))?;
    world.recorded(&account, 1).await?;
    world.finish(replica).await
}
