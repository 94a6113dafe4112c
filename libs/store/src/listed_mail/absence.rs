use mailmesh_domain::AccountId;
use time::OffsetDateTime;

use super::listing::{Chunk, ListingEntry, chunks};
use crate::{StoreError, Tx};

/// Takes a complete listing in, before anything of it is fetched: rows it does not show are absent from now on. Whether
/// a mail that was absent is there again only its content tells, unless it was never fetched: then its id and size do.
///
/// # Errors
/// When the database fails.
pub async fn note_listing(
    tx: &mut Tx,
    account: AccountId,
    folder: &str,
    entries: &[ListingEntry],
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    for chunk in chunks(entries) {
        note_chunk(tx, account, folder, chunk, now).await?;
    }
    Ok(())
}

async fn note_chunk(
    tx: &mut Tx,
    account: AccountId,
    folder: &str,
    chunk: Chunk,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    // Lists are hashed once for each IN below. Postgres expects ten rows of an array, and would pair those of a join.
    sqlx::query(
        "WITH listed AS (
             SELECT position, listed_bytes
             FROM unnest($3::text[], $4::bigint[]) AS e (position, listed_bytes)
             WHERE position <> ''
         ), sized AS (
             SELECT position, listed_bytes FROM listed WHERE listed_bytes IS NOT NULL
         ), unsized AS (
             SELECT position FROM listed WHERE listed_bytes IS NULL
         )
         UPDATE listed_mails
         SET absent_since = CASE WHEN absent_since IS NULL THEN $7::timestamptz END
         WHERE account_id = $1 AND folder = $2 AND position >= $5 AND position < $6
           AND CASE
                   WHEN absent_since IS NOT NULL
                       THEN sha256 IS NULL AND listed_bytes IS NOT NULL
                            AND (position, listed_bytes) IN (SELECT * FROM sized)
                   WHEN listed_bytes IS NULL
                       THEN position NOT IN (SELECT position FROM listed)
                   ELSE (position, listed_bytes) NOT IN (SELECT * FROM sized)
                        AND position NOT IN (SELECT * FROM unsized)
               END",
    )
    .bind(account.as_uuid())
    .bind(folder)
    .bind(chunk.positions)
    .bind(chunk.bytes)
    .bind(chunk.from)
    .bind(chunk.until)
    .bind(now)
    .execute(tx.connection())
    .await
    .map_err(StoreError::query("note a listing"))?;
    Ok(())
}

/// Finishes the post-actions of mails that are listed no more: POP3 deletes when the session has ended well, so that the
/// next listing is the first to show it. Ask once all that [`super::find_unseen`] named was fetched and known mails
/// adopted, and before post-actions are listed: an id may name another mail by now. Returns how many there were.
///
/// # Errors
/// When the database fails.
pub async fn finish_gone_post_actions(
    tx: &mut Tx,
    account: AccountId,
    folder: &str,
) -> Result<u64, StoreError> {
    let done = sqlx::query(
        "UPDATE received_mails r SET is_post_action_due = false
         FROM listed_mails l
         WHERE l.account_id = $1 AND l.folder = $2 AND l.absent_since IS NOT NULL
           AND r.mail_id = l.mail_id AND r.account_id = $1 AND r.folder = $2
           AND r.is_post_action_due",
    )
    .bind(account.as_uuid())
    .bind(folder)
    .execute(tx.connection())
    .await
    .map_err(StoreError::query("finish post-actions of absent mails"))?;
    Ok(done.rows_affected())
}

/// Forgets up to `limit` mails that have been absent since before a moment, of accounts that were reached after it: what
/// was listed in part just before an account stood still for long must not come as new. What was received of them counts as
/// gone since then, unless it is still listed; [`crate::mailbox::forget_gone`] removes it. Returns how many there were.
///
/// # Errors
/// When the database fails.
pub async fn forget_absent(
    tx: &mut Tx,
    before: OffsetDateTime,
    limit: i64,
) -> Result<u64, StoreError> {
    let forgotten: i64 = sqlx::query_scalar(
        "WITH forgotten AS (
             DELETE FROM listed_mails WHERE listed_mail_id = ANY (ARRAY(
                 SELECT l.listed_mail_id FROM listed_mails l
                 JOIN account_status s ON s.account_id = l.account_id AND s.proved_at > $1
                 WHERE l.absent_since < $1
                 ORDER BY l.absent_since LIMIT $2 FOR UPDATE OF l SKIP LOCKED))
             RETURNING account_id, sha256, mail_id, absent_since
         ), gone AS (
             UPDATE received_mails r SET gone_at = f.absent_since
             FROM forgotten f
             WHERE r.mail_id = f.mail_id AND r.gone_at IS NULL
               AND NOT EXISTS (
                   SELECT 1 FROM listed_mails l
                   WHERE l.account_id = f.account_id AND l.sha256 = f.sha256
                     AND l.mail_id = f.mail_id AND l.absent_since IS NULL)
         )
         SELECT count(*) FROM forgotten",
    )
    .bind(before)
    .bind(limit)
    .fetch_one(tx.connection())
    .await
    .map_err(StoreError::query("forget absent mails"))?;
    Ok(u64::try_from(forgotten).unwrap_or_default())
}

/// Makes all of an account's mails absent. Call [`crate::progress::void`].
///
/// # Errors
/// When the database fails.
pub(crate) async fn void(tx: &mut Tx, account: AccountId) -> Result<(), StoreError> {
    // Small servers count their ids from 1: another's mail could be taken for one that was seen.
    sqlx::query(
        "UPDATE listed_mails SET absent_since =
             (SELECT updated_at FROM accounts WHERE account_id = $1)
         WHERE account_id = $1 AND absent_since IS NULL",
    )
    .bind(account.as_uuid())
    .execute(tx.connection())
    .await
    .map_err(StoreError::query("void listed mails"))?;
    Ok(())
}
