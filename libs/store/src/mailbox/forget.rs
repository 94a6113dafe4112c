use mailmesh_domain::AccountId;

use crate::{StoreError, Tx};

/// Voids how far an account's folders were read, because it names another server or login now, which may be the same
/// mailbox by another name: each folder is read again from its beginning, and fingerprints tell seen from new.
///
/// # Errors
/// When the database fails.
pub async fn void_cursors(tx: &mut Tx, account: AccountId) -> Result<(), StoreError> {
    // No folder has UIDVALIDITY 0 (RFC 9051, nz-number), so every one of them counts as renumbered.
    sqlx::query("UPDATE mailbox_cursors SET uid_validity = 0 WHERE account_id = $1")
        .bind(account.as_uuid())
        .execute(tx.connection())
        .await
        .map_err(StoreError::query("void cursors"))?;
    Ok(())
}
