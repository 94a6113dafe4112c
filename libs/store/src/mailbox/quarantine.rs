use mailmesh_domain::{AccountId, Epoch, Position};
use mailmesh_events::Problem;
use time::OffsetDateTime;

use crate::convert::to_json;
use crate::{StoreError, Tx};

/// What identifies a mail that was never read, from one session to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadMail {
    folder: String,
    epoch: String,
    position: String,
}

impl UnreadMail {
    /// `place` is the mail's ordinal in its session, and `listed_bytes` its size by the listing. They stand for a mail whose
    /// server gives no ids: until an earlier mail is gone, they name it.
    pub fn new(folder: &str, position: &Position, place: u64, listed_bytes: Option<u64>) -> Self {
        let within = if position.is_nameless() {
            // Begins as no id does: RFC 1939 §7 leaves no blank in them.
            format!(" {place} {}", listed_bytes.unwrap_or_default())
        } else {
            position.within_epoch()
        };
        Self {
            folder: folder.to_owned(),
            epoch: position.epoch().as_str().to_owned(),
            position: within,
        }
    }
}

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
    mail: &UnreadMail,
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
    .bind(&mail.folder)
    .bind(&mail.epoch)
    .bind(&mail.position)
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

/// Gives a mail up; moved out of its folder and back it is another. Returns whether it was not given up before.
///
/// # Errors
/// When the database fails.
pub async fn quarantine(
    tx: &mut Tx,
    account: AccountId,
    mail: &UnreadMail,
    now: OffsetDateTime,
) -> Result<bool, StoreError> {
    let is_first: Option<bool> = sqlx::query_scalar(
        "UPDATE quarantined_mails q SET quarantined_at = $5
         FROM (SELECT quarantined_at FROM quarantined_mails
               WHERE account_id = $1 AND folder = $2 AND epoch = $3 AND position = $4
               FOR UPDATE) before
         WHERE q.account_id = $1 AND q.folder = $2 AND q.epoch = $3 AND q.position = $4
         RETURNING before.quarantined_at IS NULL",
    )
    .bind(account.as_uuid())
    .bind(&mail.folder)
    .bind(&mail.epoch)
    .bind(&mail.position)
    .bind(now)
    .fetch_optional(tx.connection())
    .await
    .map_err(StoreError::query("quarantine a mail"))?;
    Ok(is_first.unwrap_or_default())
}

/// Returns the indices of those of a folder's mails without ids that were given up after a moment, and forgets all others
/// that are not among them: a mail that stands elsewhere by now is tried anew. `mails` are all that the server lists.
///
/// # Errors
/// When the database fails.
pub async fn find_quarantined(
    tx: &mut Tx,
    account: AccountId,
    folder: &str,
    mails: &[UnreadMail],
    after: OffsetDateTime,
) -> Result<Vec<usize>, StoreError> {
    let operation = StoreError::query("look for quarantined mails");
    let positions: Vec<&str> = mails.iter().map(|mail| mail.position.as_str()).collect();
    sqlx::query(
        "DELETE FROM quarantined_mails
         WHERE account_id = $1 AND folder = $2 AND starts_with(position, ' ')
           AND position <> ALL ($3)",
    )
    .bind(account.as_uuid())
    .bind(folder)
    .bind(&positions)
    .execute(tx.connection())
    .await
    .map_err(&operation)?;
    let places: Vec<i64> = sqlx::query_scalar(
        "SELECT m.place FROM unnest($3::text[]) WITH ORDINALITY AS m (position, place)
         JOIN quarantined_mails q USING (position)
         WHERE q.account_id = $1 AND q.folder = $2 AND starts_with(q.position, ' ')
           AND q.quarantined_at > $4
         ORDER BY m.place",
    )
    .bind(account.as_uuid())
    .bind(folder)
    .bind(&positions)
    .bind(after)
    .fetch_all(tx.connection())
    .await
    .map_err(&operation)?;
    // The database counts from one.
    let indices = places
        .into_iter()
        .filter_map(|place| usize::try_from(place).ok()?.checked_sub(1));
    Ok(indices.collect())
}

/// Gives a folder the counts of mails that could not be read under its former names. Where both names have one, the higher
/// counts.
///
/// # Errors
/// When the database fails.
pub async fn rename_quarantined(
    tx: &mut Tx,
    account: AccountId,
    folder: &str,
    former: &[String],
    epoch: &Epoch,
) -> Result<(), StoreError> {
    sqlx::query(
        "WITH moved AS (
             DELETE FROM quarantined_mails
             WHERE account_id = $1 AND folder = ANY($3) AND folder <> $2 AND epoch = $4
             RETURNING *
         )
         INSERT INTO quarantined_mails AS q
             (account_id, folder, epoch, position, attempts, problem, quarantined_at,
              first_failed_at, updated_at)
         -- A statement may change a row only once.
         SELECT DISTINCT ON (position)
                account_id, $2, epoch, position, attempts, problem, quarantined_at,
                first_failed_at, updated_at
         FROM moved ORDER BY position, attempts DESC
         ON CONFLICT (account_id, folder, epoch, position) DO UPDATE
         SET attempts = greatest(q.attempts, excluded.attempts),
             quarantined_at = coalesce(q.quarantined_at, excluded.quarantined_at),
             first_failed_at = least(q.first_failed_at, excluded.first_failed_at)",
    )
    .bind(account.as_uuid())
    .bind(folder)
    .bind(former)
    .bind(epoch.as_str())
    .execute(tx.connection())
    .await
    .map_err(StoreError::query("rename a folder's quarantined mails"))?;
    Ok(())
}
