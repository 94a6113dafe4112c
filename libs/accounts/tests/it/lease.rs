use std::collections::BTreeSet;

use anyhow::Result;
use mailmesh_accounts::LeaseChange;
use mailmesh_domain::AccountId;

use crate::world::World;

#[tokio::test]
async fn one_replica_gains_every_account_and_hears_of_new_and_disabled_ones() -> Result<()> {
    let mut world = World::with_accounts(3).await?;
    let mut worker = world.replica().await?;
    worker.until(|it| it.working == world.accounts).await?;

    world.add("late").await?;
    worker.until(|it| it.working == world.accounts).await?;
    let gone = *world.accounts.first().expect("there are four");
    world.disable(gone).await?;
    let change = worker.next().await?;

    assert_eq!(change, LeaseChange::Lost(vec![gone]));
    worker.stop().await
}

#[tokio::test]
async fn what_was_released_and_taken_back_is_gained_again() -> Result<()> {
    let world = World::with_accounts(2).await?;
    let mut worker = world.replica().await?;
    worker.until(|it| it.working == world.accounts).await?;

    let released: Vec<AccountId> = worker.working.iter().copied().take(1).collect();
    worker.release(&released);
    let change = worker.next().await?;

    assert_eq!(change, LeaseChange::Gained(released));
    worker.stop().await
}

#[tokio::test]
async fn surplus_is_chosen_once_and_each_account_ends_with_one_replica() -> Result<()> {
    let world = World::with_accounts(8).await?;
    let mut first = world.replica().await?;
    first.until(|it| it.working.len() == 8).await?;

    let mut second = world.replica().await?;
    first.until(|it| it.surplus.len() == 4).await?;
    // Ending work takes time: it is released one by one, with looks between them.
    for id in first.surplus.clone() {
        first.release(&[id]);
        second.until(|it| it.working.contains(&id)).await?;
    }

    assert_eq!(first.working.len(), 4);
    assert_eq!(second.working.len(), 4);
    let both: BTreeSet<AccountId> = first.working.union(&second.working).copied().collect();
    assert_eq!(both, world.accounts);
    first.stop().await?;
    second.until(|it| it.working == world.accounts).await?;
    second.stop().await
}

#[tokio::test]
async fn account_given_up_for_a_replica_that_left_comes_back() -> Result<()> {
    let world = World::with_accounts(2).await?;
    let mut first = world.replica().await?;
    first.until(|it| it.working == world.accounts).await?;
    let second = world.replica().await?;
    first.until(|it| it.surplus.len() == 1).await?;

    second.stop().await?;
    let surplus: Vec<AccountId> = first.surplus.iter().copied().collect();
    first.release(&surplus);
    first.until(|it| it.working == world.accounts).await?;

    first.stop().await
}
