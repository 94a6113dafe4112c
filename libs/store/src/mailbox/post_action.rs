use mailmesh_domain::{AccountId, Epoch, MailId};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::convert::RowOf;
use crate::{StoreError, Tx};

/// A mail on the server that something is still to be done with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DuePostAction {
    pub mail_id: MailId,
    /// The epoch within which the position means the mail.
    pub epoch: Epoch,
    /// Where it stands.
    pub position: String,
    /// Its number in the order in which the folder was received.
    pub ordinal: u64,
}

/// Lists mails of a folder that something is to be done with on the server by now, those first that were recorded first:
/// an account may leave a mail there for some days.
///
/// # Errors
/// When the database fails.
pub async fn list_post_actions(
    tx: &mut Tx,
    account: AccountId,
    folder: &str,
    now: OffsetDateTime,
    limit: i64,
) -> Result<Vec<DuePostAction>, StoreError> {
    let rows: Vec<(Uuid, String, String, i64)> = sqlx::query_as(
        "SELECT mail_id, epoch, position, ordinal FROM received_mails
         WHERE account_id = $1 AND folder = $2 AND is_post_action_due
           -- Without a number of days, whatever the clock of the replica that recorded the mail said.
           AND recorded_at <= coalesce(
               $3 - (SELECT make_interval(days => delete_after_days)
                     FROM accounts WHERE account_id = $1),
               'infinity')
         ORDER BY recorded_at, ordinal LIMIT $4",
    )
    .bind(account.as_uuid())
    .bind(folder)
    .bind(now)
    .bind(limit)
    .fetch_all(tx.connection())
    .await
    .map_err(StoreError::query("list due post-actions"))?;
    rows.into_iter()
        .map(|(mail_id, epoch, position, ordinal)| {
            let of = RowOf {
                table: "received_mails",
                id: mail_id,
            };
            Ok(DuePostAction {
                mail_id: MailId::from_uuid(mail_id),
                epoch: Epoch::from_stored(epoch),
                position,
                ordinal: of.number("ordinal", ordinal)?,
            })
        })
        .collect()
}

/// Records that nothing more is to be done with these mails on the server.
///
/// # Errors
/// When the database fails.
pub async fn finish_post_actions(tx: &mut Tx, mails: &[MailId]) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = mails.iter().map(|id| id.as_uuid()).collect();
    sqlx::query("UPDATE received_mails SET is_post_action_due = false WHERE mail_id = ANY($1)")
        .bind(ids)
        .execute(tx.connection())
        .await
        .map_err(StoreError::query("finish post-actions"))?;
    Ok(())
}

/// Records that something is to be done with these mails on the server, as they were found where their events said.
///
/// # Errors
/// When the database fails.
pub async fn demand_post_actions(tx: &mut Tx, mails: &[MailId]) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = mails.iter().map(|id| id.as_uuid()).collect();
    sqlx::query("UPDATE received_mails SET is_post_action_due = true WHERE mail_id = ANY($1)")
        .bind(ids)
        .execute(tx.connection())
        .await
        .map_err(StoreError::query("demand post-actions"))?;
    Ok(())
}

/// Records that the server has moved or deleted these mails: they are gone from their folder.
///
/// # Errors
/// When the database fails.
pub async fn record_gone(
    tx: &mut Tx,
    mails: &[MailId],
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = mails.iter().map(|id| id.as_uuid()).collect();
    sqlx::query(
        "UPDATE received_mails SET is_post_action_due = false, gone_at = $2
         WHERE mail_id = ANY($1)",
    )
    .bind(ids)
    .bind(now)
    .execute(tx.connection())
    .await
    .map_err(StoreError::query("record mails that are gone"))?;
    Ok(())
}

/// Deletes up to `limit` rows of mails that were moved or deleted on their server before a moment; returns how many. Mails that
/// stay in their folder keep their rows for ever: when the server numbers its mails anew, only these tell seen from new.
///
/// # Errors
/// When the database fails.
pub async fn forget_gone(
    tx: &mut Tx,
    before: OffsetDateTime,
    limit: i64,
) -> Result<u64, StoreError> {
    let done = sqlx::query(
        "DELETE FROM received_mails WHERE mail_id = ANY (ARRAY(
             SELECT mail_id FROM received_mails WHERE gone_at < $1
             ORDER BY gone_at LIMIT $2 FOR UPDATE SKIP LOCKED))",
    )
    .bind(before)
    .bind(limit)
    .execute(tx.connection())
    .await
    .map_err(StoreError::query("forget mails that are gone"))?;
    Ok(done.rows_affected())
}
