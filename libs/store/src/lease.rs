//! `account_leases`: which replica tries to run which account. A lease lasts as long as its
//! replica's heart beats, by the database's clock: to keep ten thousand costs one written row.

use mailmesh_domain::{AccountId, Direction, ReplicaId};
use uuid::Uuid;

use crate::replica::DEAD_AFTER_SECONDS;
use crate::{StoreError, Tx};

/// One term of a replica as an account's owner: what it writes of the account counts while this is the lease's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseTerm {
    pub account_id: AccountId,
    pub replica_id: ReplicaId,
    /// Counts up each time that the lease is acquired.
    pub generation: i64,
}

/// Returns the accounts that a replica still holds, after giving up those that were disabled.
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
        "UPDATE account_leases l SET replica_id = NULL
         FROM accounts a
         WHERE l.replica_id = $1 AND a.account_id = l.account_id AND NOT a.is_enabled",
    )
    .bind(replica.as_uuid())
    .execute(tx.connection())
    .await
    .map_err(&operation)?;
    let ids: Vec<Uuid> = sqlx::query_scalar(
        "SELECT l.account_id FROM account_leases l
         JOIN accounts a ON a.account_id = l.account_id
         WHERE l.replica_id = $1 AND a.direction = $2",
    )
    .bind(replica.as_uuid())
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

/// Takes up to `limit` accounts that nobody holds, or somebody dead. The taker must have beaten.
///
/// # Errors
/// When the database fails.
pub async fn acquire(
    tx: &mut Tx,
    replica: ReplicaId,
    direction: Direction,
    limit: i64,
) -> Result<Vec<AccountId>, StoreError> {
    // SKIP LOCKED: replicas that look at once take different accounts, and none waits for another. Who is dead is told by the
    // database's clock, since the replicas' own differ.
    // The holders are found by skipping through the index: of the accounts that somebody alive
    // holds nothing is read.
    let ids: Vec<Uuid> = sqlx::query_scalar(
        "WITH RECURSIVE holder AS (
             (SELECT replica_id FROM account_leases WHERE replica_id IS NOT NULL
              ORDER BY replica_id LIMIT 1)
             UNION ALL
             SELECT (SELECT l.replica_id FROM account_leases l
                     WHERE l.replica_id > holder.replica_id ORDER BY l.replica_id LIMIT 1)
             FROM holder WHERE holder.replica_id IS NOT NULL
         ), dead AS (
             SELECT holder.replica_id FROM holder
             WHERE holder.replica_id <> $1 AND NOT EXISTS (
                 SELECT 1 FROM replicas r WHERE r.replica_id = holder.replica_id
                   AND r.seen_at > clock_timestamp() - make_interval(secs => $2))
         ), free AS (
             SELECT nobodys.account_id FROM (
                 SELECT f.account_id FROM account_leases f
                 JOIN accounts a ON a.account_id = f.account_id
                 WHERE f.replica_id IS NULL AND a.direction = $3 AND a.is_enabled
                 LIMIT $4 FOR UPDATE OF f SKIP LOCKED
             ) nobodys
             UNION ALL
             SELECT theirs.account_id FROM dead CROSS JOIN LATERAL (
                 SELECT f.account_id FROM account_leases f
                 JOIN accounts a ON a.account_id = f.account_id
                 WHERE f.replica_id = dead.replica_id AND a.direction = $3 AND a.is_enabled
                 LIMIT $4 FOR UPDATE OF f SKIP LOCKED
             ) theirs
             LIMIT $4
         )
         UPDATE account_leases SET replica_id = $1, generation = generation + 1
         WHERE account_id = ANY (ARRAY(SELECT account_id FROM free))
         RETURNING account_id",
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

/// Lists the present terms of a replica among these accounts.
///
/// # Errors
/// When the database fails.
pub async fn list_terms(
    tx: &mut Tx,
    replica: ReplicaId,
    accounts: &[AccountId],
) -> Result<Vec<LeaseTerm>, StoreError> {
    let ids: Vec<Uuid> = accounts.iter().map(|id| id.as_uuid()).collect();
    let rows: Vec<(Uuid, i64)> = sqlx::query_as(
        "SELECT account_id, generation FROM account_leases
         WHERE account_id = ANY($1) AND replica_id = $2",
    )
    .bind(ids)
    .bind(replica.as_uuid())
    .fetch_all(tx.connection())
    .await
    .map_err(StoreError::query("read leases"))?;
    let term = |(account, generation)| LeaseTerm {
        account_id: AccountId::from_uuid(account),
        replica_id: replica,
        generation,
    };
    Ok(rows.into_iter().map(term).collect())
}

/// Gives accounts up, so that others need not wait until this replica is dead.
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
        "UPDATE account_leases SET replica_id = NULL
         WHERE replica_id = $1 AND account_id = ANY($2)",
    )
    .bind(replica.as_uuid())
    .bind(ids)
    .execute(tx.connection())
    .await
    .map_err(StoreError::query("release leases"))?;
    Ok(())
}
