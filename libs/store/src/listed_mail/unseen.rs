use mailmesh_domain::AccountId;

use super::listing::{Chunk, ListingEntry, chunks};
use crate::{StoreError, Tx};

/// Returns the indices of those entries of a whole listing that must be fetched to tell whether they are new: no mail of
/// that id is there that could be it. Too many are returned rather than too few, and all that have no id.
///
/// # Errors
/// When the database fails.
pub async fn find_unseen(
    tx: &mut Tx,
    account: AccountId,
    folder: &str,
    entries: &[ListingEntry],
) -> Result<Vec<usize>, StoreError> {
    let mut unseen = Vec::new();
    for chunk in chunks(entries) {
        find_in_chunk(tx, account, folder, chunk, &mut unseen).await?;
    }
    unseen.sort_unstable();
    Ok(unseen)
}

async fn find_in_chunk(
    tx: &mut Tx,
    account: AccountId,
    folder: &str,
    chunk: Chunk,
    unseen: &mut Vec<usize>,
) -> Result<(), StoreError> {
    // Entries and rows are laid together and counted by id, and by id and size. To pair them would take the square of a
    // mailbox whose server gives all mails one id.
    let rows: Vec<i64> = sqlx::query_scalar(
        "WITH both_sides AS (
             SELECT place, position, listed_bytes, 1 AS listed, 0 AS present
             FROM unnest($3::text[], $4::bigint[]) WITH ORDINALITY
                  AS e (position, listed_bytes, place)
             UNION ALL
             SELECT NULL, position, listed_bytes, 0, copies
             FROM listed_mails
             WHERE account_id = $1 AND folder = $2 AND position >= $5 AND position < $6
               AND position <> ''
               -- An id that was absent may be used again. Of a mail that was never fetched the size is all that is known.
               AND (absent_since IS NULL OR (sha256 IS NULL AND listed_bytes IS NOT NULL))
         ), counted AS (
             SELECT place, listed_bytes,
                    sum(listed - present) OVER same_id AS id_lacks,
                    sum(listed - present) OVER same_size AS size_lacks,
                    coalesce(sum(present) FILTER (WHERE listed_bytes IS NULL) OVER same_id, 0)
                        AS unsized
             FROM both_sides
             WINDOW same_id AS (PARTITION BY position),
                    same_size AS (PARTITION BY position, listed_bytes)
         )
         SELECT place FROM counted
         WHERE place IS NOT NULL
           AND (id_lacks > 0 OR (listed_bytes IS NOT NULL AND size_lacks > unsized))",
    )
    .bind(account.as_uuid())
    .bind(folder)
    .bind(chunk.positions)
    .bind(chunk.bytes)
    .bind(chunk.from)
    .bind(chunk.until)
    .fetch_all(tx.connection())
    .await
    .map_err(StoreError::query("look for unseen mails"))?;
    // The database counts from one.
    let found = rows.into_iter().filter_map(|row| {
        let index = usize::try_from(row).ok()?.checked_sub(1)?;
        chunk.places.get(index).copied()
    });
    unseen.extend(found);
    Ok(())
}
