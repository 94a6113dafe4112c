use std::collections::HashSet;

use mailmesh_domain::{MailId, OutboundState};
use mailmesh_events::Problem;
use sqlx::types::Json;
use time::OffsetDateTime;
use uuid::Uuid;

use super::row::{Row, columns};
use super::{OutboundMail, Recipient};
use crate::{StoreError, Tx};

/// What an attempt led to.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub mail_id: MailId,
    /// The attempt's number.
    pub attempt: i32,
    /// Where the mail stands now.
    pub state: OutboundState,
    /// How many attempts count on the schedule now.
    pub failures: i32,
    /// When the next attempt is due, in state `queued`.
    pub due_at: OffsetDateTime,
    /// What became of each recipient.
    pub recipients: Vec<Recipient>,
    /// What the attempt failed with.
    pub problem: Option<Problem>,
    /// The server's final reply.
    pub reply: Option<String>,
}

/// Records outcomes of many accounts in one statement, and returns the mails whose row was still
/// at that attempt. An outcome that comes late may settle an uncertain mail, never a newer attempt. How
/// the attempt itself ended is written once: one that was uncertain counts as such for ever.
///
/// # Errors
/// When the database fails.
pub async fn record_outcomes(
    tx: &mut Tx,
    outcomes: &[Outcome],
    now: OffsetDateTime,
) -> Result<HashSet<MailId>, StoreError> {
    let ids: Vec<Uuid> = outcomes.iter().map(|o| o.mail_id.as_uuid()).collect();
    let attempts: Vec<i32> = outcomes.iter().map(|o| o.attempt).collect();
    let updated: Vec<Uuid> = sqlx::query_scalar(
        "WITH p AS (
             SELECT * FROM unnest($1::uuid[], $2::integer[], $3::text[], $4::integer[],
                                  $5::timestamptz[], $6::jsonb[], $7::jsonb[], $8::text[])
                  AS u (mail_id, attempt, state, failures, due_at, recipients, problem, reply)
         ), finished AS (
             UPDATE send_attempts a
             SET stage = 'finished', finished_at = $9, outcome = p.state
             FROM p WHERE a.mail_id = p.mail_id AND a.attempt = p.attempt AND a.stage <> 'finished'
         )
         UPDATE outbound_mails m
         SET state = p.state, failures = p.failures, due_at = p.due_at,
             recipients = p.recipients, problem = p.problem, reply = p.reply, claimed_by = NULL,
             finished_at = CASE WHEN p.state IN ('sent', 'failed') THEN $9 END
         FROM p
         WHERE m.mail_id = p.mail_id AND m.attempts = p.attempt
           AND m.state IN ('sending', 'uncertain')
         RETURNING m.mail_id",
    )
    .bind(ids)
    .bind(attempts)
    .bind(
        outcomes
            .iter()
            .map(|o| o.state.as_str())
            .collect::<Vec<_>>(),
    )
    .bind(outcomes.iter().map(|o| o.failures).collect::<Vec<_>>())
    .bind(outcomes.iter().map(|o| o.due_at).collect::<Vec<_>>())
    .bind(
        outcomes
            .iter()
            .map(|o| Json(&o.recipients))
            .collect::<Vec<_>>(),
    )
    .bind(
        outcomes
            .iter()
            .map(|o| o.problem.as_ref().map(Json))
            .collect::<Vec<_>>(),
    )
    .bind(
        outcomes
            .iter()
            .map(|o| o.reply.as_deref())
            .collect::<Vec<_>>(),
    )
    .bind(now)
    .fetch_all(tx.connection())
    .await
    .map_err(StoreError::query("record outcomes"))?;
    Ok(updated.into_iter().map(MailId::from_uuid).collect())
}

/// Decides an uncertain mail: `queued` to send it again, `sent` or `failed` to end it. Returns it
/// when it was uncertain. One that is to be `sent` is queued again for those whom its attempt left out.
///
/// # Errors
/// When the database fails.
pub async fn resolve_uncertain(
    tx: &mut Tx,
    id: MailId,
    state: OutboundState,
    now: OffsetDateTime,
) -> Result<Option<OutboundMail>, StoreError> {
    let Some(mail) = lock_uncertain(tx, id).await? else {
        return Ok(None);
    };
    let (state, recipients) = if state == OutboundState::Sent {
        let recipients = mail.recipients_if_sent();
        let is_open = recipients.iter().any(|one| one.accepted.is_none());
        let rest = if is_open {
            OutboundState::Queued
        } else {
            state
        };
        (rest, recipients)
    } else {
        (state, mail.recipients)
    };
    let row: Option<Row> = sqlx::query_as(concat!(
        "UPDATE outbound_mails
         SET state = $2, due_at = $3, recipients = $4,
             problem = CASE WHEN $2 = 'failed' THEN problem END,
             finished_at = CASE WHEN $2 IN ('sent', 'failed') THEN $3 END
         WHERE mail_id = $1 AND state = 'uncertain'
         RETURNING ",
        columns!()
    ))
    .bind(id.as_uuid())
    .bind(state.as_str())
    .bind(now)
    .bind(Json(&recipients))
    .fetch_optional(tx.connection())
    .await
    .map_err(StoreError::query("decide an uncertain mail"))?;
    row.map(TryFrom::try_from).transpose()
}

async fn lock_uncertain(tx: &mut Tx, id: MailId) -> Result<Option<OutboundMail>, StoreError> {
    // FOR UPDATE would wait for attempts that are being inserted: their foreign key holds the row FOR KEY SHARE.
    let row: Option<Row> = sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM outbound_mails WHERE mail_id = $1 AND state = 'uncertain' FOR NO KEY UPDATE"
    ))
    .bind(id.as_uuid())
    .fetch_optional(tx.connection())
    .await
    .map_err(StoreError::query("lock an uncertain mail"))?;
    row.map(TryFrom::try_from).transpose()
}
