use mailmesh_domain::{AccountId, Epoch};

use crate::{StoreError, Tx};

/// Voids how far an account's folders were read. Call [`crate::progress::void`].
///
/// # Errors
/// When the database fails.
pub(crate) async fn void_cursors(tx: &mut Tx, account: AccountId) -> Result<(), StoreError> {
    sqlx::query("UPDATE mailbox_cursors SET epoch = $2 WHERE account_id = $1")
        .bind(account.as_uuid())
        .bind(Epoch::void().as_str())
        .execute(tx.connection())
        .await
        .map_err(StoreError::query("void cursors"))?;
    Ok(())
}
