//! `replicas`: which processes live.

use mailmesh_domain::ReplicaId;
use mailmesh_events::Problem;

use crate::convert::to_json;
use crate::{StoreError, Tx};

/// A process that was not heard of for so long counts as dead; leases end then.
pub const DEAD_AFTER_SECONDS: i32 = 10;

/// Says that this process lives, and returns how many of its service do.
///
/// # Errors
/// When the database fails.
pub async fn beat(tx: &mut Tx, id: ReplicaId, service: &str) -> Result<i64, StoreError> {
    let operation = StoreError::query("record the replica's heartbeat");
    sqlx::query(
        "INSERT INTO replicas (replica_id, service, seen_at) VALUES ($1, $2, clock_timestamp())
         ON CONFLICT (replica_id) DO UPDATE SET seen_at = clock_timestamp()",
    )
    .bind(id.as_uuid())
    .bind(service)
    .execute(tx.connection())
    .await
    .map_err(&operation)?;
    sqlx::query_scalar(
        "SELECT count(*) FROM replicas
         WHERE service = $1 AND seen_at > clock_timestamp() - make_interval(secs => $2)",
    )
    .bind(service)
    .bind(f64::from(DEAD_AFTER_SECONDS))
    .fetch_one(tx.connection())
    .await
    .map_err(&operation)
}

/// Says what keeps all of this process's work from being done, or that nothing does.
///
/// # Errors
/// When the database fails.
pub async fn set_problem(
    tx: &mut Tx,
    id: ReplicaId,
    problem: Option<&Problem>,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE replicas SET problem = $2 WHERE replica_id = $1")
        .bind(id.as_uuid())
        .bind(to_json(problem))
        .execute(tx.connection())
        .await
        .map_err(StoreError::query("record the replica's problem"))?;
    Ok(())
}

/// Forgets this process, and every one that has long been dead. What they left is taken over all
/// the same: one that is not known counts as dead.
///
/// # Errors
/// When the database fails.
pub async fn remove(tx: &mut Tx, id: ReplicaId) -> Result<(), StoreError> {
    sqlx::query(
        "DELETE FROM replicas r
         WHERE replica_id = $1 OR seen_at < clock_timestamp() - interval '1 day'",
    )
    .bind(id.as_uuid())
    .execute(tx.connection())
    .await
    .map_err(StoreError::query("remove the replica"))?;
    Ok(())
}

/// Counts the replicas of each service that live.
///
/// # Errors
/// When the database fails.
pub async fn count_alive(tx: &mut Tx) -> Result<Vec<(String, i64)>, StoreError> {
    sqlx::query_as(
        "SELECT service, count(*) FROM replicas
         WHERE seen_at > clock_timestamp() - make_interval(secs => $1)
         GROUP BY service ORDER BY service",
    )
    .bind(f64::from(DEAD_AFTER_SECONDS))
    .fetch_all(tx.connection())
    .await
    .map_err(StoreError::query("count the replicas"))
}
