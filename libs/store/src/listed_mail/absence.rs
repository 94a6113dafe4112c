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
