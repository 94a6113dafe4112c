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
