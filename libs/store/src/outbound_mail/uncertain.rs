use std::time::Duration;

use mailmesh_domain::{AccountId, MailId};
use time::OffsetDateTime;
use uuid::Uuid;

use super::OutboundMail;
use super::row::{Row, columns};
use crate::{StoreError, Tx};

/// A mail that the server may have.
#[derive(Debug, Clone)]
pub struct UncertainMail {
    pub mail: OutboundMail,
    /// How long ago its last attempt was about to commit, by the database's clock.
    pub since_commit: Duration,
    /// How many of its attempts ended uncertain.
    pub rounds: i64,
}

#[derive(sqlx_macros::FromRow)]
struct UncertainRow {
    #[sqlx(flatten)]
    row: Row,
    since_commit: f64,
    rounds: i64,
}

impl TryFrom<UncertainRow> for UncertainMail {
    type Error = StoreError;

    fn try_from(uncertain: UncertainRow) -> Result<Self, StoreError> {
        Ok(Self {
            mail: uncertain.row.try_into()?,
            since_commit: Duration::try_from_secs_f64(uncertain.since_commit).unwrap_or_default(),
            rounds: uncertain.rounds,
        })
    }
}

/// Takes the uncertain mails that are due to be looked after, and makes them due again at `until`.
///
/// # Errors
/// When the database fails.
pub async fn claim_uncertain(
    tx: &mut Tx,
    accounts: &[AccountId],
    now: OffsetDateTime,
    until: OffsetDateTime,
    limit: i64,
) -> Result<Vec<UncertainMail>, StoreError> {
    let accounts: Vec<Uuid> = accounts.iter().map(|id| id.as_uuid()).collect();
    let rows: Vec<UncertainRow> = sqlx::query_as(concat!(
        "WITH due AS (
             SELECT mail_id FROM outbound_mails
             WHERE account_id = ANY($1) AND state = 'uncertain' AND due_at <= $2
             ORDER BY due_at LIMIT $4 FOR UPDATE SKIP LOCKED
         ), taken AS (
             UPDATE outbound_mails m SET due_at = $3
             FROM due WHERE m.mail_id = due.mail_id
             RETURNING m.*
         )
         SELECT ",
        columns!(),
        ", extract(epoch FROM clock_timestamp() - coalesce(
                (SELECT coalesce(a.committing_at, a.started_at) FROM send_attempts a
                 WHERE a.mail_id = taken.mail_id AND a.attempt = taken.attempts),
                created_at))::float8 AS since_commit,
            (SELECT count(*) FROM send_attempts a
             WHERE a.mail_id = taken.mail_id AND a.outcome = 'uncertain') AS rounds
         FROM taken"
    ))
    .bind(accounts)
    .bind(now)
    .bind(until)
    .bind(limit)
    .fetch_all(tx.connection())
    .await
    .map_err(StoreError::query("take uncertain mails"))?;
    rows.into_iter().map(TryFrom::try_from).collect()
}

/// Returns which of these mails are in the table.
///
/// # Errors
/// When the database fails.
pub async fn list_known(tx: &mut Tx, ids: &[MailId]) -> Result<Vec<MailId>, StoreError> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.as_uuid()).collect();
    let known: Vec<Uuid> =
        sqlx::query_scalar("SELECT mail_id FROM outbound_mails WHERE mail_id = ANY($1)")
            .bind(ids)
            .fetch_all(tx.connection())
            .await
            .map_err(StoreError::query("look for known mails"))?;
    Ok(known.into_iter().map(MailId::from_uuid).collect())
}
