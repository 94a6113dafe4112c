//! Accounts whose settings were never tried, or were changed since.

use anyhow::{Context, Result, ensure};
use mailmesh_domain::{AccountState, Protocol};
use mailmesh_events::account::{AccountFailing, AccountRecovered};
use mailmesh_store::account::Account;
use mailmesh_store::account_status::{self, AccountStatus};
use mailmesh_testkit::eventually;

use crate::world::{World, mail, over_each_protocol};

over_each_protocol! {
    new_account_is_unproved_until_its_first_work_has_passed,
    problem_of_a_certificate_is_gone_the_moment_its_authority_is_given,
}

async fn status(world: &World, account: &Account) -> Result<AccountStatus> {
    let mut tx = world.base.begin().await?;
    let found = account_status::list_by_ids(&mut tx, &[account.id]).await?;
    tx.commit().await?;
    found.into_iter().next().context("no status")
}

async fn becomes(world: &World, account: &Account, state: AccountState) -> Result<AccountStatus> {
    eventually("the account is in that state", async || {
        let status = status(world, account).await?;
        ensure!(status.state == state, "{status:?}");
        anyhow::Ok(status)
    })
    .await
}

async fn new_account_is_unproved_until_its_first_work_has_passed(protocol: Protocol) -> Result<()> {
    let world = World::over(protocol).await?;
    let mut account = world.account("support", |_| {}).await?;
    world.base.beat_services().await?;
    let before = status(&world, &account).await?;

    let replica = world.start().await?;
    let worked = becomes(&world, &account, AccountState::Active).await?;
    account.login.push('x');
    world.update(&mut account).await?;
    let changed = status(&world, &account).await?;

    assert_eq!(before.state, AccountState::Unproved);
    assert!(worked.proved_at.is_some());
    assert_eq!(changed.state, AccountState::Unproved);
    assert_eq!(changed.proved_at, None);
    becomes(&world, &account, AccountState::Failing).await?;
    let failing: AccountFailing = world.base.first_event("support").await?;
    assert!(failing.is_unproved);
    world.finish(replica).await
}

async fn problem_of_a_certificate_is_gone_the_moment_its_authority_is_given(
    protocol: Protocol,
) -> Result<()> {
    let world = World::over(protocol).await?;
    let mut authority = None;
    let take = |account: &mut Account| authority = account.ca_pem.take();
    let mut account = world.account("support", take).await?;
    let replica = world.start().await?;
    let failing = becomes(&world, &account, AccountState::Failing).await?;

    account.ca_pem = authority;
    world.update(&mut account).await?;
    let corrected = status(&world, &account).await?;

    let problem = failing.problem.context("no problem")?;
    assert!(problem.action.contains("ca_pem"), "{problem:?}");
    assert_eq!(corrected.problem, None);
    assert!(
        [AccountState::Unproved, AccountState::Active].contains(&corrected.state),
        "{corrected:?}"
    );
    becomes(&world, &account, AccountState::Active).await?;
    let recovered: AccountRecovered = world.base.first_event("support").await?;
    assert_eq!(recovered.was, AccountState::Failing);
    world.deliver(mail(1))?;
    world.mails("support", 1).await?;
    world.finish(replica).await
}
