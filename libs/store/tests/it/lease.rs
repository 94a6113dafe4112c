use std::collections::HashSet;

use anyhow::Result;
use mailmesh_domain::{AccountId, Direction, ReplicaId};
use mailmesh_store::{Database, account, lease, replica};

use crate::sample;
use crate::world::World;

/// Two replicas that live, and accounts that nobody holds.
struct Mesh {
    world: World,
    accounts: HashSet<AccountId>,
    first: ReplicaId,
    second: ReplicaId,
}

impl Mesh {
    async fn of(count: usize) -> Result<Self> {
        let world = World::new().await?;
        let mut tx = world.database.begin().await?;
        let mut accounts = HashSet::new();
        for number in 0..count {
            let key = format!("a{number}");
            accounts.insert(sample::stored(&mut tx, &key, Direction::Inbound).await?);
        }
        let (first, second) = (sample::replica(), sample::replica());
        replica::beat(&mut tx, first, "inbound-fetcher").await?;
        replica::beat(&mut tx, second, "inbound-fetcher").await?;
        tx.commit().await?;
        Ok(Self {
            world,
            accounts,
            first,
            second,
        })
    }

    async fn acquire(&self, replica: ReplicaId, limit: i64) -> Result<HashSet<AccountId>> {
        acquire(&self.world.database, replica, limit).await
    }

    async fn renew(&self, replica: ReplicaId) -> Result<HashSet<AccountId>> {
        let mut tx = self.world.database.begin().await?;
        let held = lease::renew(&mut tx, replica, Direction::Inbound).await?;
        tx.commit().await?;
        Ok(held.into_iter().collect())
    }

    async fn release(&self, replica: ReplicaId, accounts: &HashSet<AccountId>) -> Result<()> {
        let mut tx = self.world.database.begin().await?;
        let accounts: Vec<AccountId> = accounts.iter().copied().collect();
        lease::release(&mut tx, replica, &accounts).await?;
        Ok(tx.commit().await?)
    }

    /// As if the replica had been silent for so long that it counts as dead.
    async fn fall_silent(&self, replica: ReplicaId) -> Result<()> {
        self.world
            .execute(&format!(
                "UPDATE replicas SET seen_at = seen_at - interval '11 s' WHERE replica_id = '{replica}'"
            ))
            .await
    }
}

async fn acquire(
    database: &Database,
    replica: ReplicaId,
    limit: i64,
) -> Result<HashSet<AccountId>> {
    let mut tx = database.begin().await?;
    let taken = lease::acquire(&mut tx, replica, Direction::Inbound, limit).await?;
    tx.commit().await?;
    Ok(taken.into_iter().collect())
}

#[tokio::test]
async fn replicas_that_acquire_at_once_share_without_overlap() -> Result<()> {
    let mesh = Mesh::of(10).await?;

    let (first, second) =
        tokio::try_join!(mesh.acquire(mesh.first, 5), mesh.acquire(mesh.second, 5))?;
    // One may have met the other's rows while they were locked; the next look takes what is left.
    let first_more = mesh
        .acquire(mesh.first, 5 - i64::try_from(first.len())?)
        .await?;
    let second_more = mesh
        .acquire(mesh.second, 5 - i64::try_from(second.len())?)
        .await?;

    let first: HashSet<AccountId> = first.union(&first_more).copied().collect();
    let second: HashSet<AccountId> = second.union(&second_more).copied().collect();
    assert_eq!((first.len(), second.len()), (5, 5));
    assert!(first.is_disjoint(&second));
    assert_eq!(&(&first | &second), &mesh.accounts);
    Ok(())
}

#[tokio::test]
async fn what_one_replica_holds_another_cannot_take() -> Result<()> {
    let mesh = Mesh::of(3).await?;
    assert_eq!(mesh.acquire(mesh.first, 10).await?, mesh.accounts);

    assert!(mesh.acquire(mesh.second, 10).await?.is_empty());
    assert!(mesh.renew(mesh.second).await?.is_empty());
    assert_eq!(mesh.renew(mesh.first).await?, mesh.accounts);
    Ok(())
}

#[tokio::test]
async fn a_silent_replicas_accounts_are_taken_over() -> Result<()> {
    let mesh = Mesh::of(3).await?;
    mesh.acquire(mesh.first, 10).await?;
    mesh.fall_silent(mesh.first).await?;

    let taken = mesh.acquire(mesh.second, 2).await?;

    assert_eq!(taken.len(), 2);
    // It wakes up, and still holds what nobody took.
    let kept = mesh.renew(mesh.first).await?;
    assert_eq!(&(&kept | &taken), &mesh.accounts);
    assert_eq!(kept.len(), 1);
    assert_eq!(mesh.renew(mesh.second).await?, taken);
    Ok(())
}

#[tokio::test]
async fn a_heartbeat_keeps_accounts_from_others() -> Result<()> {
    let mesh = Mesh::of(2).await?;
    mesh.acquire(mesh.first, 10).await?;
    mesh.fall_silent(mesh.first).await?;

    let mut tx = mesh.world.database.begin().await?;
    replica::beat(&mut tx, mesh.first, "inbound-fetcher").await?;
    tx.commit().await?;

    assert!(mesh.acquire(mesh.second, 10).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn released_accounts_are_free_at_once() -> Result<()> {
    let mesh = Mesh::of(2).await?;
    mesh.acquire(mesh.first, 10).await?;

    mesh.release(mesh.second, &mesh.accounts).await?;
    assert_eq!(mesh.renew(mesh.first).await?, mesh.accounts);
    mesh.release(mesh.first, &mesh.accounts).await?;

    assert!(mesh.renew(mesh.first).await?.is_empty());
    assert_eq!(mesh.acquire(mesh.second, 10).await?, mesh.accounts);
    Ok(())
}

#[tokio::test]
async fn disabled_and_deleted_accounts_are_given_up() -> Result<()> {
    let mesh = Mesh::of(3).await?;
    mesh.acquire(mesh.first, 10).await?;
    let ids: Vec<AccountId> = mesh.accounts.iter().copied().collect();
    let mut tx = mesh.world.database.begin().await?;
    let mut disabled = account::list_by_ids(&mut tx, &ids[..1]).await?.remove(0);
    disabled.is_enabled = false;
    account::update(&mut tx, &disabled).await?;
    assert!(account::delete(&mut tx, ids[1]).await?);
    tx.commit().await?;

    assert_eq!(mesh.renew(mesh.first).await?, HashSet::from([ids[2]]));
    assert!(mesh.acquire(mesh.second, 10).await?.is_empty());
    let mut tx = mesh.world.database.begin().await?;
    assert_eq!(lease::count_enabled(&mut tx, Direction::Inbound).await?, 1);
    Ok(())
}

#[tokio::test]
async fn each_direction_is_leased_by_itself() -> Result<()> {
    let mesh = Mesh::of(1).await?;
    let mut tx = mesh.world.database.begin().await?;
    let outbound = sample::stored(&mut tx, "out", Direction::Outbound).await?;

    let taken = lease::acquire(&mut tx, mesh.first, Direction::Outbound, 10).await?;

    assert_eq!(taken, [outbound]);
    assert_eq!(lease::count_enabled(&mut tx, Direction::Outbound).await?, 1);
    assert!(
        lease::renew(&mut tx, mesh.first, Direction::Inbound)
            .await?
            .is_empty()
    );
    Ok(())
}

#[tokio::test]
async fn whoever_left_without_releasing_holds_nothing() -> Result<()> {
    let mesh = Mesh::of(2).await?;
    mesh.acquire(mesh.first, 10).await?;

    let mut tx = mesh.world.database.begin().await?;
    replica::remove(&mut tx, mesh.first).await?;
    tx.commit().await?;

    assert_eq!(mesh.acquire(mesh.second, 10).await?, mesh.accounts);
    Ok(())
}
