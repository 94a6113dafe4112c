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
