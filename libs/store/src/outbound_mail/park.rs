use std::time::Duration;

use mailmesh_domain::{AccountId, MailId, MustAct, ReplicaId};
use mailmesh_events::Problem;
use sqlx::types::Json;
use time::OffsetDateTime;
use uuid::Uuid;

use super::OutboundMail;
use super::row::{Row, columns};
use crate::{StoreError, Tx};

/// How long due mails wait, and why.
#[derive(Debug, Clone, Copy)]
pub struct Parking<'a> {
    /// What keeps the account from sending.
    pub problem: &'a Problem,
    /// When it is looked at again.
    pub until: OffsetDateTime,
    pub now: OffsetDateTime,
}

/// The mails that were put off.
#[derive(Debug, Default)]
pub struct Parked {
    /// How many there are.
    pub count: usize,
    /// Those that did not wait for the same reason before.
    pub told: Vec<OutboundMail>,
}

/// Returns whether a reason to wait differs from the one last published: its kind is
/// different or, where a person must act, its code. Its text does not count, as servers end theirs with
/// the id of a session; nor do the codes of what passes by itself, which alternate.
pub fn is_news(known: Option<&Problem>, problem: &Problem) -> bool {
    known.is_none_or(|known| {
        known.kind != problem.kind || (for_a_person(problem) && known.code != problem.code)
    })
}

fn for_a_person(problem: &Problem) -> bool {
    problem.must_act != MustAct::Nobody
}

/// Puts the due mails of an account off without an attempt, because the account itself cannot send.
///
/// [`is_news`] decides what counts as the same reason.
///
/// # Errors
/// When the database fails.
pub async fn park(
    tx: &mut Tx,
    replica: ReplicaId,
    account: AccountId,
    parking: Parking<'_>,
    limit: i64,
) -> Result<Parked, StoreError> {
    let parked: Vec<(Uuid, bool)> = sqlx::query_as(
        "WITH due AS (
             SELECT mail_id, problem ->> 'kind' AS kind, problem ->> 'code' AS code
             FROM outbound_mails
             WHERE account_id = $1 AND state = 'queued' AND due_at <= $2
               AND EXISTS (SELECT 1 FROM account_leases l
                           WHERE l.account_id = $1 AND l.replica_id = $6)
             ORDER BY due_at, mail_id LIMIT $5
             FOR UPDATE SKIP LOCKED
         )
         UPDATE outbound_mails m SET due_at = $3, problem = $4, is_parked = true
         FROM due WHERE m.mail_id = due.mail_id
         RETURNING m.mail_id,
             due.kind IS DISTINCT FROM ($4::jsonb ->> 'kind')
             OR ($7 AND due.code IS DISTINCT FROM ($4::jsonb ->> 'code'))",
    )
    .bind(account.as_uuid())
    .bind(parking.now)
    .bind(parking.until)
    .bind(Json(parking.problem))
    .bind(limit)
    .bind(replica.as_uuid())
    .bind(for_a_person(parking.problem))
    .fetch_all(tx.connection())
    .await
    .map_err(StoreError::query("put mails off"))?;
    let news = parked.iter().filter(|(_, is_news)| *is_news);
    let news: Vec<Uuid> = news.map(|(id, _)| *id).collect();
    Ok(Parked {
        count: parked.len(),
        told: list(tx, &news).await?,
    })
}

async fn list(tx: &mut Tx, mails: &[Uuid]) -> Result<Vec<OutboundMail>, StoreError> {
    if mails.is_empty() {
        return Ok(Vec::new());
    }
    let rows: Vec<Row> = sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM outbound_mails WHERE mail_id = ANY($1) ORDER BY mail_id"
    ))
    .bind(mails)
    .fetch_all(tx.connection())
    .await
    .map_err(StoreError::query("list mails that were put off"))?;
    rows.into_iter().map(TryFrom::try_from).collect()
}

/// Mails that were made due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resumed {
    /// How many there are.
    pub count: usize,
    /// When the last of them would have been due: where the next call begins.
    pub last_due_at: Option<OffsetDateTime>,
}

/// Makes a bounded number of mails due that wait for their account alone, in the order in which they
/// would have been due from `since` on. What is locked is being decided elsewhere and passed over.
///
/// # Errors
/// When the database fails.
pub async fn resume(
    tx: &mut Tx,
    account: AccountId,
    since: OffsetDateTime,
    limit: i64,
    now: OffsetDateTime,
) -> Result<Resumed, StoreError> {
    let (count, last_due_at): (i64, Option<OffsetDateTime>) = sqlx::query_as(
        "WITH waiting AS (
             SELECT mail_id, due_at FROM outbound_mails
             WHERE account_id = $1 AND state = 'queued' AND due_at > $4 AND due_at >= $2
               AND (is_parked OR failures = 0
                    OR problem ->> 'kind' IN ('needs_sign_in', 'needs_administrator'))
             ORDER BY due_at, mail_id LIMIT $3
             FOR NO KEY UPDATE SKIP LOCKED
         ), resumed AS (
             UPDATE outbound_mails m SET due_at = $4, is_parked = false
             FROM waiting WHERE m.mail_id = waiting.mail_id
             RETURNING waiting.due_at
         )
         SELECT count(*), max(due_at) FROM resumed",
    )
    .bind(account.as_uuid())
    .bind(since)
    .bind(limit)
    .bind(now)
    .fetch_one(tx.connection())
    .await
    .map_err(StoreError::query("make parked mails due"))?;
    Ok(Resumed {
        count: usize::try_from(count).unwrap_or_default(),
        last_due_at,
    })
}

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
