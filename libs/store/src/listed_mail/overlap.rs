use mailmesh_domain::AccountId;

use super::listing::{ListingEntry, chunks};
use crate::{StoreError, Tx};

/// Returns whether any id of a listing was seen before, also if it was absent since. None of them in a mailbox that was
/// read before tells that its server numbered all mails anew.
///
/// # Errors
/// When the database fails.
pub async fn has_known_position(
    tx: &mut Tx,
    account: AccountId,
    folder: &str,
    entries: &[ListingEntry],
) -> Result<bool, StoreError> {
    for chunk in chunks(entries) {
        let is_known = sqlx::query_scalar(
            "SELECT EXISTS (
                 SELECT FROM unnest($3::text[]) AS e (position)
                 JOIN listed_mails m
                     ON m.account_id = $1 AND m.folder = $2 AND m.position = e.position)",
        )
        .bind(account.as_uuid())
        .bind(folder)
        .bind(chunk.positions)
        .fetch_one(tx.connection())
        .await
        .map_err(StoreError::query("look for known positions"))?;
        if is_known {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns the indices of those entries that are passed over unfetched, by id and size: what was there before the account
/// was, and what was set aside unread.
///
/// # Errors
/// When the database fails.
pub async fn find_passed_over(
    tx: &mut Tx,
    account: AccountId,
    folder: &str,
    entries: &[ListingEntry],
) -> Result<Vec<usize>, StoreError> {
    let mut passed = Vec::new();
    for chunk in chunks(entries) {
        let places: Vec<i64> = sqlx::query_scalar(
            "SELECT e.place
             FROM unnest($3::text[], $4::bigint[]) WITH ORDINALITY
                  AS e (position, listed_bytes, place)
             WHERE EXISTS (
                 SELECT FROM listed_mails m
                 WHERE m.account_id = $1 AND m.folder = $2 AND m.position = e.position
                   AND m.sha256 IS NULL AND m.listed_bytes IS NOT DISTINCT FROM e.listed_bytes)",
        )
        .bind(account.as_uuid())
        .bind(folder)
        .bind(chunk.positions)
        .bind(chunk.bytes)
        .fetch_all(tx.connection())
        .await
        .map_err(StoreError::query("look for mails that are passed over"))?;
        // The database counts from one.
        passed.extend(places.into_iter().filter_map(|place| {
            let index = usize::try_from(place).ok()?.checked_sub(1)?;
            chunk.places.get(index).copied()
        }));
    }
    passed.sort_unstable();
    Ok(passed)
}
