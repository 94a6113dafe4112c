use mailmesh_domain::AccountId;

use crate::{StoreError, Tx};

/// Forgets how far an account's folders were read, because it names another mailbox now.
///
/// # Errors
/// When the database fails.
pub async fn delete_cursors(tx: &mut Tx, account: AccountId) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM mailbox_cursors WHERE account_id = $1")
        .bind(account.as_uuid())
        .execute(tx.connection())
        .await
        .map_err(StoreError::query("delete cursors"))?;
    Ok(())
}
