use mailmesh_domain::AccountId;
use uuid::Uuid;

use crate::{StoreError, Tx};

/// Maximum rows of one table that are deleted with the account; what is left goes in parts of this size.
const PART: i64 = 1_000;

/// What grows with the history of an account.
const LARGE: [&str; 4] = [
    "DELETE FROM outbound_mails WHERE ctid = ANY (ARRAY(
         SELECT ctid FROM outbound_mails WHERE account_id = $1 LIMIT $2))",
    "DELETE FROM received_mails WHERE ctid = ANY (ARRAY(
         SELECT ctid FROM received_mails WHERE account_id = $1 LIMIT $2))",
    "DELETE FROM listed_mails WHERE ctid = ANY (ARRAY(
         SELECT ctid FROM listed_mails WHERE account_id = $1 LIMIT $2))",
    "DELETE FROM quarantined_mails WHERE ctid = ANY (ARRAY(
         SELECT ctid FROM quarantined_mails WHERE account_id = $1 LIMIT $2))",
];

/// Deletes an account; returns whether it was there. Nobody finds it from now on, and its key is free. What belongs to it goes
/// with it as far as that takes no long statement; the rest is left to [`remove_deleted`].
///
/// # Errors
/// When the database fails.
pub async fn delete(tx: &mut Tx, id: AccountId) -> Result<bool, StoreError> {
    let operation = StoreError::query("delete an account");
    // Disabled, so that whoever holds it gives it up. What it refers to must be free to be deleted, too.
    let marked = sqlx::query(
        "UPDATE accounts
         SET deleted_at = clock_timestamp(), key = 'deleted-' || account_id, is_enabled = false,
             client_configuration_id = NULL, grant_id = NULL, password_sealed = NULL,
             revision = revision + 1
         WHERE account_id = $1 AND deleted_at IS NULL",
    )
    .bind(id.as_uuid())
    .execute(tx.connection())
    .await
    .map_err(&operation)?;
    if marked.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query("DELETE FROM sign_ins WHERE account_id = $1")
        .bind(id.as_uuid())
        .execute(tx.connection())
        .await
        .map_err(&operation)?;
    remove_part(tx, id.as_uuid()).await?;
    Ok(true)
}

/// Removes a bounded part of what is left of a deleted account; returns how many rows, and none when nothing is left of any.
/// The lock on its row keeps other replicas from the same.
///
/// # Errors
/// When the database fails.
pub async fn remove_deleted(tx: &mut Tx) -> Result<Option<u64>, StoreError> {
    let next: Option<Uuid> = sqlx::query_scalar(
        "SELECT account_id FROM accounts WHERE deleted_at IS NOT NULL
         ORDER BY deleted_at LIMIT 1 FOR UPDATE SKIP LOCKED",
    )
    .fetch_optional(tx.connection())
    .await
    .map_err(StoreError::query("look for deleted accounts"))?;
    match next {
        Some(id) => remove_part(tx, id).await.map(Some),
        None => Ok(None),
    }
}

async fn remove_part(tx: &mut Tx, id: Uuid) -> Result<u64, StoreError> {
    let operation = StoreError::query("remove a part of a deleted account");
    let mut removed = 0;
    for statement in LARGE {
        let done = sqlx::query(statement).bind(id).bind(PART);
        let done = done.execute(tx.connection()).await.map_err(&operation)?;
        removed += done.rows_affected();
        if i64::try_from(done.rows_affected()) == Ok(PART) {
            return Ok(removed);
        }
    }
    let done = sqlx::query("DELETE FROM accounts WHERE account_id = $1").bind(id);
    let done = done.execute(tx.connection()).await.map_err(&operation)?;
    Ok(removed + done.rows_affected())
}
