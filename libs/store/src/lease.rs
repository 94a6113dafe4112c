//! `account_leases`: which replica tries to run which account. Judged by the database's clock.

use mailmesh_domain::{AccountId, Direction, ReplicaId};
use uuid::Uuid;

use crate::replica::DEAD_AFTER_SECONDS;
use crate::{StoreError, Tx};

/// Extends every lease of a replica in one statement, and returns the accounts it still holds.
/// Accounts that were disabled meanwhile are given up.
///
/// # Errors
/// When the database fails.
pub async fn renew(
    tx: &mut Tx,
    replica: ReplicaId,
    direction: Direction,
) -> Result<Vec<AccountId>, StoreError> {
    let operation = StoreError::query("renew leases");
    sqlx::query(
        "UPDATE account_leases l SET replica_id = NULL, expires_at = '-infinity'
         FROM accounts a
         WHERE l.replica_id = $1 AND a.account_id = l.account_id AND NOT a.is_enabled",
    )
    .bind(replica.as_uuid())
    .execute(tx.connection())
    .await
    .map_err(&operation)?;
    let ids: Vec<Uuid> = sqlx::query_scalar(
        "UPDATE account_leases l
         SET expires_at = clock_timestamp() + make_interval(secs => $2)
         FROM accounts a
         WHERE l.replica_id = $1 AND a.account_id = l.account_id AND a.direction = $3
         RETURNING l.account_id",
    )
    .bind(replica.as_uuid())
    .bind(f64::from(DEAD_AFTER_SECONDS))
    .bind(direction.as_str())
    .fetch_all(tx.connection())
    .await
    .map_err(&operation)?;
    Ok(ids.into_iter().map(AccountId::from_uuid).collect())
}

/// Counts the enabled accounts of a direction.
///
/// # Errors
/// When the database fails.
pub async fn count_enabled(tx: &mut Tx, direction: Direction) -> Result<i64, StoreError> {
    sqlx::query_scalar("SELECT count(*) FROM accounts WHERE direction = $1 AND is_enabled")
        .bind(direction.as_str())
        .fetch_one(tx.connection())
        .await
        .map_err(StoreError::query("count accounts"))
}

/// Takes up to `limit` accounts that nobody holds.
///
/// # Errors
/// When the database fails.
pub async fn acquire(
    tx: &mut Tx,
    replica: ReplicaId,
    direction: Direction,
    limit: i64,
) -> Result<Vec<AccountId>, StoreError> {
    let ids: Vec<Uuid> = sqlx::query_scalar(
        "UPDATE account_leases l
         SET replica_id = $1, expires_at = clock_timestamp() + make_interval(secs => $2)
         FROM (
             SELECT f.account_id FROM account_leases f
             JOIN accounts a ON a.account_id = f.account_id
             WHERE a.direction = $3 AND a.is_enabled
               AND (f.replica_id IS NULL OR f.expires_at < clock_timestamp())
             ORDER BY f.account_id
             LIMIT $4
             FOR UPDATE OF f SKIP LOCKED
         ) free
         WHERE l.account_id = free.account_id
         RETURNING l.account_id",
    )
    .bind(replica.as_uuid())
    .bind(f64::from(DEAD_AFTER_SECONDS))
    .bind(direction.as_str())
    .bind(limit)
    .fetch_all(tx.connection())
    .await
    .map_err(StoreError::query("acquire leases"))?;
    Ok(ids.into_iter().map(AccountId::from_uuid).collect())
}

/// Gives accounts up, so that others need not wait for the leases to end.
///
/// # Errors
/// When the database fails.
pub async fn release(
    tx: &mut Tx,
    replica: ReplicaId,
    accounts: &[AccountId],
) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = accounts.iter().map(|id| id.as_uuid()).collect();
    sqlx::query(
        "UPDATE account_leases SET replica_id = NULL, expires_at = '-infinity'
         WHERE replica_id = $1 AND account_id = ANY($2)",
    )
    .bind(replica.as_uuid())
    .bind(ids)
    .execute(tx.connection())
    .await
    .map_err(StoreError::query("release leases"))?;
    Ok(())
}
