use anyhow::Result;
use mailmesh_store::replica;

use crate::sample;
use crate::world::World;

#[tokio::test]
async fn a_heartbeat_counts_the_living_of_its_service() -> Result<()> {
    let world = World::new().await?;
    let (first, second, other) = (sample::replica(), sample::replica(), sample::replica());
    let mut tx = world.database.begin().await?;

    assert_eq!(replica::beat(&mut tx, first, "inbound-fetcher").await?, 1);
    assert_eq!(replica::beat(&mut tx, second, "inbound-fetcher").await?, 2);
    assert_eq!(replica::beat(&mut tx, other, "admin").await?, 1);
    assert_eq!(replica::beat(&mut tx, first, "inbound-fetcher").await?, 2);
    Ok(())
}

#[tokio::test]
async fn a_silent_replica_is_dead_until_it_beats_again() -> Result<()> {
    let world = World::new().await?;
    let (first, second) = (sample::replica(), sample::replica());
    let mut tx = world.database.begin().await?;
    replica::beat(&mut tx, first, "admin").await?;
    tx.commit().await?;
    world
        .execute("UPDATE replicas SET seen_at = now() - interval '11 s'")
        .await?;
    let mut tx = world.database.begin().await?;

    assert_eq!(replica::beat(&mut tx, second, "admin").await?, 1);
    assert_eq!(replica::beat(&mut tx, first, "admin").await?, 2);
    Ok(())
}

#[tokio::test]
async fn whoever_leaves_is_forgotten_and_so_are_the_long_dead() -> Result<()> {
    let world = World::new().await?;
    let (leaving, staying, dead) = (sample::replica(), sample::replica(), sample::replica());
    let mut tx = world.database.begin().await?;
    for id in [leaving, staying, dead] {
        replica::beat(&mut tx, id, "admin").await?;
    }
    tx.commit().await?;
    world
        .execute(&format!(
            "UPDATE replicas SET seen_at = now() - interval '25 hours' WHERE replica_id = '{dead}'"
        ))
        .await?;

    let mut tx = world.database.begin().await?;
    replica::remove(&mut tx, leaving).await?;
    tx.commit().await?;

    let left: String = world
        .read("SELECT string_agg(replica_id::text, ',') FROM replicas")
        .await?;
    assert_eq!(left, staying.to_string());
    Ok(())
}
