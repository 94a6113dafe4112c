use mailmesh_domain::AccountId;
use mailmesh_events::Problem;
use mailmesh_events::mail::Origin;
use time::OffsetDateTime;

use crate::convert::to_json;
use crate::{StoreError, Tx};

/// How often a mail could not be read, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MailFailures {
    /// How often.
    pub attempts: i32,
    pub first_failed_at: OffsetDateTime,
}

/// Counts one failure to read a mail, and returns all there were.
///
/// # Errors
/// When the database fails.
pub async fn count_failure(
    tx: &mut Tx,
    account: AccountId,
    origin: &Origin,
    problem: &Problem,
    now: OffsetDateTime,
) -> Result<MailFailures, StoreError> {
    let (attempts, first_failed_at) = sqlx::query_as(
        "INSERT INTO quarantined_mails AS q
             (account_id, folder, epoch, position, attempts, problem, first_failed_at, updated_at)
         VALUES ($1, $2, $3, $4, 1, $5, $6, $6)
         ON CONFLICT (account_id, folder, epoch, position) DO UPDATE
         SET attempts = q.attempts + 1, problem = excluded.problem, updated_at = excluded.updated_at
         RETURNING attempts, first_failed_at",
    )
    .bind(account.as_uuid())
    .bind(&origin.folder)
    .bind(origin.position.epoch().as_str())
    .bind(origin.position.within_epoch())
    .bind(to_json(Some(problem)))
    .bind(now)
    .fetch_one(tx.connection())
    .await
    .map_err(StoreError::query("count a mail's failure"))?;
    Ok(MailFailures {
        attempts,
        first_failed_at,
    })
}

/// Gives a mail up for good; moved out of its folder and back it is another. Returns whether it was
/// not given up before.
///
/// # Errors
/// When the database fails.
pub async fn quarantine(
    tx: &mut Tx,
    account: AccountId,
    origin: &Origin,
    now: OffsetDateTime,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "UPDATE quarantined_mails SET quarantined_at = $5
         WHERE account_id = $1 AND folder = $2 AND epoch = $3 AND position = $4
           AND quarantined_at IS NULL",
    )
    .bind(account.as_uuid())
    .bind(&origin.folder)
    .bind(origin.position.epoch().as_str())
    .bind(origin.position.within_epoch())
    .bind(now)
    .execute(tx.connection())
    .await
    .map_err(StoreError::query("quarantine a mail"))?;
    Ok(done.rows_affected() == 1)
}
