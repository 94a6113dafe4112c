//! Accounts that failed and whose settings were corrected while no mail waits.

use anyhow::{Context, Result, ensure};
use mailmesh_domain::{AccountState, FailureCause, MustAct};
use mailmesh_events::Problem;
use mailmesh_sandbox::{Fault, FaultRule};
use mailmesh_store::account::{self, Account};
use mailmesh_store::account_status::{self, AccountStatus};
use mailmesh_testkit::eventually;

use crate::custom::change;
use crate::world::{World, send_body};

async fn status(world: &World, account: &Account) -> Result<AccountStatus> {
    let mut tx = world.base.begin().await?;
    let found = account_status::list_by_ids(&mut tx, &[account.id]).await?;
    tx.commit().await?;
    found.into_iter().next().context("no status")
}

#[tokio::test]
async fn account_that_failed_is_signed_in_without_mail_after_it_was_changed() -> Result<()> {
    let mut world = World::new().await?;
    let account = world.add_account("one", 1).await?;
    let cause = FailureCause::CertificateAuthority;
    let problem = Problem::new("the certificate is signed by an unknown authority", cause);
    let failing = AccountState::Failing;
    let recorded = world
        .base
        .set_account_state(&account, failing, Some(&problem));
    recorded.await?;
    let text = "535 5.7.8 Bad credentials".to_owned();
    world.sandbox.faults().add(FaultRule {
        count: None,
        ..FaultRule::once("smtp.auth", Fault::Reply { text })
    })?;
    world.start_sender().await?;
    eventually("the present problem is told", async || {
        let problem = status(&world, &account).await?.problem;
        let problem = problem.context("no problem")?;
        ensure!(problem.what.contains("password"), "{problem:?}");
        ensure!(problem.must_act == MustAct::Administrator, "{problem:?}");
        ensure!(problem.action.contains("password"), "{problem:?}");
        anyhow::Ok(())
    })
    .await?;

    world.sandbox.faults().clear();
    let name = "corrected".to_owned();
    change(
        &mut world,
        &Account {
            name,
            ..account.clone()
        },
    )
    .await?;

    eventually("the account is active", async || {
        let status = status(&world, &account).await?;
        ensure!(status.state == AccountState::Active, "{status:?}");
        ensure!(status.problem.is_none(), "{status:?}");
        anyhow::Ok(())
    })
    .await?;
    world.event("account.recovered").await?;
    world.finish().await
}

#[tokio::test]
async fn problem_of_a_certificate_is_gone_the_moment_its_authority_is_given() -> Result<()> {
    let mut world = World::new().await?;
    let mut account = world.password_account("one", 1)?;
    let authority = account.ca_pem.take();
    world.base.insert_account(&account).await?;
    world.base.beat_services().await?;
    let before = status(&world, &account).await?;
    world.start_sender().await?;
    let body = send_body("one", "b@example.com", "first");
    world.publish("mail.send", body).await?;
    eventually("the certificate is told", async || {
        let status = status(&world, &account).await?;
        let problem = status.problem.context("no problem")?;
        ensure!(problem.action.contains("ca_pem"), "{problem:?}");
        anyhow::Ok(())
    })
    .await?;
    let failing = world.event("account.failing").await?;
    world.event("mail.deferred").await?;

    account.ca_pem = authority;
    let mut tx = world.base.begin().await?;
    account::update(&mut tx, &account).await?;
    tx.commit().await?;
    let corrected = status(&world, &account).await?;

    assert_eq!(before.state, AccountState::Unproved);
    assert_eq!(failing["is_unproved"], true);
    assert_eq!(corrected.problem, None);
    assert_eq!(corrected.state, AccountState::Unproved);
    account.revision += 1;
    change(&mut world, &account).await?;
    world.event("mail.sent").await?;
    world.event("account.recovered").await?;
    let sent = status(&world, &account).await?;
    assert_eq!(sent.state, AccountState::Active);
    assert!(sent.proved_at.is_some());
    world.finish().await
}
