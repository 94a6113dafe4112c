use mailmesh_domain::MailId;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{StoreError, Tx};

/// Notes of a bounded number of mails that were sent or taken back before a moment that their bodies
/// go, oldest first, and returns their ids. One that failed keeps its body, to be sent after all.
///
/// # Errors
/// When the database fails.
pub async fn drop_bodies(
    tx: &mut Tx,
    before: OffsetDateTime,
    limit: i64,
) -> Result<Vec<MailId>, StoreError> {
    let ids: Vec<Uuid> = sqlx::query_scalar(
        "UPDATE outbound_mails SET chunks = 0 WHERE mail_id = ANY (ARRAY(
             SELECT mail_id FROM outbound_mails
             WHERE state IN ('sent', 'cancelled') AND chunks > 0 AND finished_at < $1
             ORDER BY finished_at LIMIT $2 FOR UPDATE SKIP LOCKED))
         RETURNING mail_id",
    )
    .bind(before)
    .bind(limit)
    .fetch_all(tx.connection())
    .await
    .map_err(StoreError::query("drop the bodies of sent mails"))?;
    Ok(ids.into_iter().map(MailId::from_uuid).collect())
}
