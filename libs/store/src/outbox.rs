//! `outbox`: events of committed changes, on their way to the bus.

use mailmesh_domain::ReplicaId;
use mailmesh_events::{EncodedEvent, Headers};
use serde_json::Value;
use sqlx::types::Json;
use time::OffsetDateTime;

use crate::convert::RowOf;
use crate::replica::DEAD_AFTER_SECONDS;
use crate::{StoreError, Tx};

/// Maximum rows that a replica publishes before it deletes them.
pub const MOST_IN_FLIGHT: i64 = 500;

/// One event that waits to be published.
#[derive(Debug, Clone)]
pub struct OutboxRow {
    /// Counts up in the order of insertion.
    pub id: i64,
    pub event: EncodedEvent,
    /// When it was committed, by its replica's clock.
    pub created_at: OffsetDateTime,
    /// A replica that died may have published it.
    pub may_be_stored: bool,
}

#[derive(sqlx_macros::FromRow)]
struct Row {
    outbox_id: i64,
    subject: String,
    event_id: String,
    headers: Value,
    payload: Vec<u8>,
    created_at: OffsetDateTime,
    may_be_stored: bool,
}

/// Adds events in one statement. They are published once the transaction is committed.
///
/// # Errors
/// When the database fails.
pub async fn insert(
    tx: &mut Tx,
    replica: ReplicaId,
    events: &[EncodedEvent],
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    if events.is_empty() {
        return Ok(());
    }
    let subjects: Vec<&str> = events.iter().map(|event| event.subject.as_str()).collect();
    let ids: Vec<&str> = events.iter().map(|event| event.id.as_str()).collect();
    let headers: Vec<Json<&Headers>> = events.iter().map(|event| Json(&event.headers)).collect();
    let payloads: Vec<&[u8]> = events
        .iter()
        .map(|event| event.payload.as_slice())
        .collect();
    // The relay publishes in the order of ids, which are given in the order of insertion.
    sqlx::query(
        "INSERT INTO outbox (replica_id, subject, event_id, headers, payload, created_at)
         SELECT $1, e.subject, e.event_id, e.headers, e.payload, $6
         FROM unnest($2::text[], $3::text[], $4::jsonb[], $5::bytea[])
              WITH ORDINALITY AS e (subject, event_id, headers, payload, position)
         ORDER BY e.position",
    )
    .bind(replica.as_uuid())
    .bind(subjects)
    .bind(ids)
    .bind(headers)
    .bind(payloads)
    .bind(now)
    .execute(tx.connection())
    .await
    .map_err(StoreError::query("insert into the outbox"))?;
    Ok(())
}

/// Lists the oldest rows of a replica that were not set aside.
///
/// # Errors
/// When the database fails.
pub async fn list(
    tx: &mut Tx,
    replica: ReplicaId,
    limit: i64,
) -> Result<Vec<OutboxRow>, StoreError> {
    // A range in place of an equation leaves the order to idx_outbox_replica_id. By the primary key, which Postgres prefers for
    // the first few of an equation, all that other replicas have waiting before them would be read.
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT outbox_id, subject, event_id, headers, payload, created_at, may_be_stored FROM outbox
         WHERE replica_id BETWEEN $1 AND $1 AND refused_at IS NULL
         ORDER BY replica_id, outbox_id LIMIT $2",
    )
    .bind(replica.as_uuid())
    .bind(limit)
    .fetch_all(tx.connection())
    .await
    .map_err(StoreError::query("list the outbox"))?;
    rows.into_iter().map(from_row).collect()
}

fn from_row(row: Row) -> Result<OutboxRow, StoreError> {
    let of = RowOf {
        table: "outbox",
        id: row.outbox_id,
    };
    Ok(OutboxRow {
        id: row.outbox_id,
        event: EncodedEvent {
            subject: row.subject,
            id: row.event_id,
            headers: of.json("headers", Some(row.headers))?.unwrap_or_default(),
            payload: row.payload,
        },
        created_at: row.created_at,
        may_be_stored: row.may_be_stored,
    })
}

/// Deletes rows that were published.
///
/// # Errors
/// When the database fails.
pub async fn delete(tx: &mut Tx, ids: &[i64]) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM outbox WHERE outbox_id = ANY($1)")
        .bind(ids)
        .execute(tx.connection())
        .await
        .map_err(StoreError::query("delete from the outbox"))?;
    Ok(())
}

/// Sets a row aside that the bus will never take, so that those behind it can go on. It is tried
/// once more when another replica adopts it.
///
/// # Errors
/// When the database fails.
pub async fn set_aside(tx: &mut Tx, id: i64) -> Result<(), StoreError> {
    sqlx::query("UPDATE outbox SET refused_at = clock_timestamp() WHERE outbox_id = $1")
        .bind(id)
        .execute(tx.connection())
        .await
        .map_err(StoreError::query("set an outbox row aside"))?;
    Ok(())
}

/// Takes over up to `limit` of the oldest rows of replicas of the same service that are dead, and returns how many there
/// were. `source` is the CloudEvents source of the service's events: another service may not publish them. The
/// first of each, which its replica had in flight at most, are marked as possibly stored.
///
/// # Errors
/// When the database fails.
pub async fn adopt(
    tx: &mut Tx,
    replica: ReplicaId,
    source: &str,
    limit: i64,
) -> Result<u64, StoreError> {
    let own = Json([["ce-source", source]]);
    // The owners are found by skipping through the index: of a long outbox nothing else is read. Ranges as in `list`.
    let done = sqlx::query(
        "WITH RECURSIVE owner AS (
             (SELECT replica_id FROM outbox ORDER BY replica_id LIMIT 1)
             UNION ALL
             SELECT (SELECT o.replica_id FROM outbox o WHERE o.replica_id > owner.replica_id
                     ORDER BY o.replica_id LIMIT 1)
             FROM owner WHERE owner.replica_id IS NOT NULL
         ), dead AS (
             SELECT owner.replica_id FROM owner
             WHERE owner.replica_id <> $1 AND NOT EXISTS (
                 SELECT 1 FROM replicas r WHERE r.replica_id = owner.replica_id
                   AND r.seen_at > clock_timestamp() - make_interval(secs => $2))
             -- All rows of a replica are of one service: the first one tells.
             AND (SELECT o.headers FROM outbox o
                  WHERE o.replica_id BETWEEN owner.replica_id AND owner.replica_id
                  ORDER BY o.replica_id, o.outbox_id LIMIT 1) @> $5
         ), heritage AS (
             SELECT dead.replica_id, theirs.outbox_id, theirs.refused_at FROM dead CROSS JOIN LATERAL (
                 SELECT o.outbox_id, o.refused_at FROM outbox o
                 WHERE o.replica_id BETWEEN dead.replica_id AND dead.replica_id
                 ORDER BY o.replica_id, o.outbox_id LIMIT $3 FOR UPDATE SKIP LOCKED
             ) theirs
             ORDER BY theirs.outbox_id LIMIT $3
         ), placed AS (
             SELECT outbox_id,
                    count(*) FILTER (WHERE refused_at IS NULL)
                        OVER (PARTITION BY replica_id ORDER BY outbox_id) AS place
             FROM heritage
         )
         UPDATE outbox SET replica_id = $1, refused_at = NULL,
             may_be_stored = may_be_stored
                 OR outbox_id = ANY (ARRAY(SELECT outbox_id FROM placed WHERE place <= $4))
         WHERE outbox_id = ANY (ARRAY(SELECT outbox_id FROM heritage))",
    )
    .bind(replica.as_uuid())
    .bind(f64::from(DEAD_AFTER_SECONDS))
    .bind(limit)
    .bind(2 * MOST_IN_FLIGHT)
    .bind(own)
    .execute(tx.connection())
    .await
    .map_err(StoreError::query("adopt outbox rows"))?;
    Ok(done.rows_affected())
}

/// Returns whether more than `many` rows of a replica wait.
///
/// # Errors
/// When the database fails.
pub async fn has_more_than(tx: &mut Tx, replica: ReplicaId, many: i64) -> Result<bool, StoreError> {
    sqlx::query_scalar(
        "SELECT count(*) > $2
         FROM (SELECT 1 FROM outbox WHERE replica_id = $1 LIMIT $2 + 1) AS waiting",
    )
    .bind(replica.as_uuid())
    .bind(many)
    .fetch_one(tx.connection())
    .await
    .map_err(StoreError::query("look how much waits in the outbox"))
}

/// Counts the rows that wait, those set aside included.
///
/// # Errors
/// When the database fails.
pub async fn count(tx: &mut Tx) -> Result<i64, StoreError> {
    sqlx::query_scalar("SELECT count(*) FROM outbox")
        .fetch_one(tx.connection())
        .await
        .map_err(StoreError::query("count the outbox"))
}
