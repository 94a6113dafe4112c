//! `send_attempts`: each attempt, with the stage it was about to enter.

use std::collections::HashSet;

use mailmesh_domain::MailId;
use uuid::Uuid;

use crate::{StoreError, Tx};

/// Records, for many mails in one statement, that their attempts are about to commit: from here on the provider may have the mail.
/// Returns those whose attempt is still theirs: the others were taken over and must not go on.
///
/// # Errors
/// When the database fails.
pub async fn enter_committing(
    tx: &mut Tx,
    attempts: &[(MailId, i32)],
) -> Result<HashSet<MailId>, StoreError> {
    let ids: Vec<Uuid> = attempts.iter().map(|(id, _)| id.as_uuid()).collect();
    let numbers: Vec<i32> = attempts.iter().map(|(_, attempt)| *attempt).collect();
    let entered: Vec<Uuid> = sqlx::query_scalar(
        "UPDATE send_attempts a SET stage = 'committing', committing_at = clock_timestamp()
         FROM unnest($1::uuid[], $2::integer[]) AS p (mail_id, attempt)
         WHERE a.mail_id = p.mail_id AND a.attempt = p.attempt AND a.stage = 'started'
         RETURNING a.mail_id",
    )
    .bind(ids)
    .bind(numbers)
    .fetch_all(tx.connection())
    .await
    .map_err(StoreError::query("record the stage committing"))?;
    Ok(entered.into_iter().map(MailId::from_uuid).collect())
}
