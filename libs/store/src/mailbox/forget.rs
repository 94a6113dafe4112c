use mailmesh_domain::{AccountId, Epoch};

use crate::{StoreError, Tx};

/// Voids how far an account's folders were read, because it names another server or login now, which may be the same
/// mailbox by another name: each folder is read again from its beginning, and fingerprints decide which mails are new.
///
/// # Errors
/// When the database fails.
pub async fn void_cursors(tx: &mut Tx, account: AccountId) -> Result<(), StoreError> {
    sqlx::query("UPDATE mailbox_cursors SET epoch = $2 WHERE account_id = $1")
        .bind(account.as_uuid())
        .bind(Epoch::void().as_str())
        .execute(tx.connection())
        .await
        .map_err(StoreError::query("void cursors"))?;
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
