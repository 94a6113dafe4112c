use mailmesh_domain::{AccountId, MailId, OutboundState};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::OutboundMail;
use super::row::{Row, columns};
use crate::convert::{RowOf, to_bigint};
use crate::{StoreError, Tx};

/// Difference up to which the moments of two commands leave their order to the stream's sequences. More means that the
/// sequences are of two streams: `MAIL_SEND` was deleted and made anew in between, and counts from 1 again.
const SAME_STREAM: Duration = Duration::minutes(1);

/// A `mail.cancel`, which names a mail by id or by key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CancelRequest {
    /// Id of the event that tells what became of it; follows from the command, so that the same command is told once.
    pub event_id: Uuid,
    pub account_id: AccountId,
    /// The command's sequence in `MAIL_SEND`.
    pub stream_sequence: u64,
    /// When the stream stored the command.
    pub stored_at: OffsetDateTime,
    pub mail_id: Option<MailId>,
    /// Counts when there is no id.
    pub idempotency_key: Option<String>,
}

/// What became of a `mail.cancel`.
#[derive(Debug, Clone)]
pub enum CancelResult {
    /// The mail is taken back, now or already before.
    Cancelled(Box<OutboundMail>),
    /// The mail has ended otherwise: sent or failed.
    Ended(Box<OutboundMail>),
    /// The mail is being sent, or may have been: it is not claimed again while the request is kept.
    Open,
    /// The mail of this name was asked for after the cancel.
    NotYetAsked,
    /// There is no such mail, or it has not come yet.
    NotFound,
}

impl CancelRequest {
    /// Returns whether the stream stored this command before the mail's.
    fn is_before(&self, mail: &OutboundMail) -> bool {
        let Some(asked_at) = stored_at(mail.id) else {
            return false;
        };
        if (asked_at - self.stored_at).abs() > SAME_STREAM {
            return self.stored_at < asked_at;
        }
        let sequence = mail.stream_sequence;
        sequence.is_some_and(|sequence| self.stream_sequence < sequence)
    }
}

/// Returns when the stream stored the command of a mail: its id begins with that moment.
fn stored_at(mail: MailId) -> Option<OffsetDateTime> {
    let (seconds, nanoseconds) = mail.as_uuid().get_timestamp()?.to_unix();
    let second = OffsetDateTime::from_unix_timestamp(i64::try_from(seconds).ok()?).ok()?;
    Some(second + Duration::nanoseconds(i64::from(nanoseconds)))
}

/// Takes the mail back that a `mail.cancel` names, if it can be; says what keeps it from being otherwise.
///
/// # Errors
/// When the database fails.
pub async fn settle_cancel(
    tx: &mut Tx,
    request: &CancelRequest,
    now: OffsetDateTime,
) -> Result<CancelResult, StoreError> {
    let Some(mail) = lock(tx, request).await? else {
        return Ok(CancelResult::NotFound);
    };
    if request.is_before(&mail) {
        return Ok(CancelResult::NotYetAsked);
    }
    match mail.state {
        OutboundState::Queued => {
            let cancelled = cancel(tx, request.account_id, Some(mail.id), None, now).await?;
            Ok(cancelled.map_or(CancelResult::Open, |mail| {
                CancelResult::Cancelled(Box::new(mail))
            }))
        }
        OutboundState::Sending | OutboundState::Uncertain => Ok(CancelResult::Open),
        OutboundState::Cancelled => Ok(CancelResult::Cancelled(Box::new(mail))),
        OutboundState::Sent | OutboundState::Failed => Ok(CancelResult::Ended(Box::new(mail))),
    }
}

async fn lock(tx: &mut Tx, request: &CancelRequest) -> Result<Option<OutboundMail>, StoreError> {
    let row: Option<Row> = sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM outbound_mails
         WHERE account_id = $1
           AND (mail_id = $2 OR ($2::uuid IS NULL AND idempotency_key = $3))
         FOR NO KEY UPDATE"
    ))
    .bind(request.account_id.as_uuid())
    .bind(request.mail_id.map(MailId::as_uuid))
    .bind(&request.idempotency_key)
    .fetch_optional(tx.connection())
    .await
    .map_err(StoreError::query("lock a mail that is to be taken back"))?;
    row.map(TryFrom::try_from).transpose()
}

/// Keeps a `mail.cancel` until its mail has come to an end or can no longer come.
///
/// # Errors
/// When the database fails.
pub async fn keep_cancel(
    tx: &mut Tx,
    request: &CancelRequest,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO outbound_cancels
             (event_id, account_id, stream_sequence, stored_at, mail_id, idempotency_key, looked_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT DO NOTHING",
    )
    .bind(request.event_id)
    .bind(request.account_id.as_uuid())
    .bind(to_bigint(request.stream_sequence))
    .bind(request.stored_at)
    .bind(request.mail_id.map(MailId::as_uuid))
    .bind(&request.idempotency_key)
    .bind(now)
    .execute(tx.connection())
    .await
    .map_err(StoreError::query("keep a cancel"))?;
    Ok(())
}

#[derive(sqlx_macros::FromRow)]
struct CancelRow {
    event_id: Uuid,
    account_id: Uuid,
    stream_sequence: i64,
    stored_at: OffsetDateTime,
    mail_id: Option<Uuid>,
    idempotency_key: Option<String>,
}

/// Returns whether any cancel is kept.
///
/// # Errors
/// When the database fails.
pub async fn has_kept_cancels(tx: &mut Tx) -> Result<bool, StoreError> {
    sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM outbound_cancels)")
        .fetch_one(tx.connection())
        .await
        .map_err(StoreError::query("look for kept cancels"))
}

/// Takes up to `limit` kept cancels, those first that were not looked at for longest, until the transaction ends. Passes over
/// what another replica has taken.
///
/// # Errors
/// When the database fails.
pub async fn claim_cancels(
    tx: &mut Tx,
    limit: i64,
    now: OffsetDateTime,
) -> Result<Vec<CancelRequest>, StoreError> {
    let rows: Vec<CancelRow> = sqlx::query_as(
        "WITH next AS (
             SELECT event_id FROM outbound_cancels
             ORDER BY looked_at LIMIT $1 FOR UPDATE SKIP LOCKED
         )
         UPDATE outbound_cancels c SET looked_at = $2
         FROM next WHERE c.event_id = next.event_id
         RETURNING c.event_id, c.account_id, c.stream_sequence, c.stored_at, c.mail_id,
                   c.idempotency_key",
    )
    .bind(limit)
    .bind(now)
    .fetch_all(tx.connection())
    .await
    .map_err(StoreError::query("take kept cancels"))?;
    let requests = rows.into_iter().map(|row| {
        let of = RowOf {
            table: "outbound_cancels",
            id: row.event_id,
        };
        Ok(CancelRequest {
            event_id: row.event_id,
            account_id: AccountId::from_uuid(row.account_id),
            stream_sequence: of.number("stream_sequence", row.stream_sequence)?,
            stored_at: row.stored_at,
            mail_id: row.mail_id.map(MailId::from_uuid),
            idempotency_key: row.idempotency_key,
        })
    });
    requests.collect()
}

/// Forgets cancels whose outcome is told.
///
/// # Errors
/// When the database fails.
pub async fn delete_cancels(tx: &mut Tx, event_ids: &[Uuid]) -> Result<(), StoreError> {
    if event_ids.is_empty() {
        return Ok(());
    }
    sqlx::query("DELETE FROM outbound_cancels WHERE event_id = ANY($1)")
        .bind(event_ids)
        .execute(tx.connection())
        .await
        .map_err(StoreError::query("forget cancels"))?;
    Ok(())
}

/// Takes back a mail that was not sent yet, named by id or by key; returns it when it could be.
///
/// # Errors
/// When the database fails.
pub async fn cancel(
    tx: &mut Tx,
    account: AccountId,
    id: Option<MailId>,
    idempotency_key: Option<&str>,
    now: OffsetDateTime,
) -> Result<Option<OutboundMail>, StoreError> {
    let row: Option<Row> = sqlx::query_as(concat!(
        "UPDATE outbound_mails SET state = 'cancelled', finished_at = $4
         WHERE account_id = $1 AND state = 'queued'
           AND (mail_id = $2 OR ($2::uuid IS NULL AND idempotency_key = $3))
         RETURNING ",
        columns!()
    ))
    .bind(account.as_uuid())
    .bind(id.map(MailId::as_uuid))
    .bind(idempotency_key)
    .bind(now)
    .fetch_optional(tx.connection())
    .await
    .map_err(StoreError::query("cancel a mail"))?;
    row.map(TryFrom::try_from).transpose()
}
