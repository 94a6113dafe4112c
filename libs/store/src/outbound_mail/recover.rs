use mailmesh_domain::{AccountId, MailId, ReplicaId};
use mailmesh_events::Problem;
use sqlx::types::Json;
use time::OffsetDateTime;
use uuid::Uuid;

use super::OutboundMail;
use super::row::{Row, columns};
use crate::replica::DEAD_AFTER_SECONDS;
use crate::{StoreError, Tx};

/// Attempts that were left behind.
#[derive(Debug, Default)]
pub struct RecoveredAttempts {
    /// Back in the queue: surely unsent.
    pub requeued: Vec<AccountId>,
    /// Uncertain now: the provider may have them.
    pub uncertain: Vec<OutboundMail>,
}

/// Ends the attempts that other replicas left behind on accounts that this one holds. One that was
/// not committing is surely unsent, and closing its row keeps it so; one that was is uncertain once
/// its replica is dead.
///
/// # Errors
/// When the database fails.
pub async fn recover(
    tx: &mut Tx,
    accounts: &[AccountId],
    replica: ReplicaId,
    problem: &Problem,
    now: OffsetDateTime,
) -> Result<RecoveredAttempts, StoreError> {
    let accounts: Vec<Uuid> = accounts.iter().map(|id| id.as_uuid()).collect();
    // Whoever records outcomes or stages locks many rows in an order of its own: what is locked now is
    // looked at again next time.
    let left: Vec<LeftBehind> = sqlx::query_as(
        "SELECT m.mail_id, a.stage FROM outbound_mails m
         JOIN send_attempts a ON a.mail_id = m.mail_id AND a.attempt = m.attempts
         WHERE m.account_id = ANY($1) AND m.state = 'sending' AND m.claimed_by <> $2
           AND (a.stage = 'started'
                OR NOT EXISTS (SELECT 1 FROM replicas r WHERE r.replica_id = m.claimed_by
                     AND r.seen_at > clock_timestamp() - make_interval(secs => $3)))
         FOR NO KEY UPDATE OF m, a SKIP LOCKED",
    )
    .bind(&accounts)
    .bind(replica.as_uuid())
    .bind(f64::from(DEAD_AFTER_SECONDS))
    .fetch_all(tx.connection())
    .await
    .map_err(StoreError::query("look for attempts that were left behind"))?;
    end(tx, &left, problem, now).await
}

/// Ends the attempts of this very replica that it knows nothing of: claimed before `started_before`
/// by a transaction whose answer was lost, or dropped by a task that failed.
///
/// # Errors
/// When the database fails.
pub async fn recover_lost(
    tx: &mut Tx,
    accounts: &[AccountId],
    replica: ReplicaId,
    in_hand: &[MailId],
    problem: &Problem,
    (started_before, now): (OffsetDateTime, OffsetDateTime),
) -> Result<RecoveredAttempts, StoreError> {
    let accounts: Vec<Uuid> = accounts.iter().map(|id| id.as_uuid()).collect();
    let in_hand: Vec<Uuid> = in_hand.iter().map(|id| id.as_uuid()).collect();
    let lost: Vec<LeftBehind> = sqlx::query_as(
        "SELECT m.mail_id, a.stage FROM outbound_mails m
         JOIN send_attempts a ON a.mail_id = m.mail_id AND a.attempt = m.attempts
         WHERE m.account_id = ANY($1) AND m.state = 'sending' AND m.claimed_by = $2
           AND m.mail_id <> ALL($3) AND a.started_at < $4
         FOR NO KEY UPDATE OF m, a SKIP LOCKED",
    )
    .bind(&accounts)
    .bind(replica.as_uuid())
    .bind(&in_hand)
    .bind(started_before)
    .fetch_all(tx.connection())
    .await
    .map_err(StoreError::query("look for attempts that were lost"))?;
    end(tx, &lost, problem, now).await
}

/// A mail and the stage of its attempt.
type LeftBehind = (Uuid, String);

async fn end(
    tx: &mut Tx,
    left: &[LeftBehind],
    problem: &Problem,
    now: OffsetDateTime,
) -> Result<RecoveredAttempts, StoreError> {
    if left.is_empty() {
        return Ok(RecoveredAttempts::default());
    }
    let (unsent, committing): (Vec<_>, Vec<_>) =
        left.iter().partition(|(_, stage)| stage == "started");
    let ids = |of: Vec<&LeftBehind>| -> Vec<Uuid> { of.into_iter().map(|(id, _)| *id).collect() };
    let (unsent, committing) = (ids(unsent), ids(committing));
    close(tx, &unsent, "left_behind", now).await?;
    close(tx, &committing, "uncertain", now).await?;
    Ok(RecoveredAttempts {
        requeued: requeue(tx, &unsent, now).await?,
        uncertain: doubt(tx, &committing, problem, now).await?,
    })
}

async fn close(
    tx: &mut Tx,
    mails: &[Uuid],
    outcome: &str,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE send_attempts a SET stage = 'finished', finished_at = $2, outcome = $3
         FROM outbound_mails m
         WHERE m.mail_id = ANY($1) AND a.mail_id = m.mail_id AND a.attempt = m.attempts",
    )
    .bind(mails)
    .bind(now)
    .bind(outcome)
    .execute(tx.connection())
    .await
    .map_err(StoreError::query("close attempts"))?;
    Ok(())
}

async fn doubt(
    tx: &mut Tx,
    mails: &[Uuid],
    problem: &Problem,
    now: OffsetDateTime,
) -> Result<Vec<OutboundMail>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(concat!(
        "UPDATE outbound_mails SET state = 'uncertain', problem = $2, due_at = $3
         WHERE mail_id = ANY($1) AND state = 'sending' RETURNING ",
        columns!()
    ))
    .bind(mails)
    .bind(Json(problem))
    .bind(now)
    .fetch_all(tx.connection())
    .await
    .map_err(StoreError::query("call mails uncertain"))?;
    rows.into_iter().map(TryFrom::try_from).collect()
}

async fn requeue(
    tx: &mut Tx,
    mails: &[Uuid],
    now: OffsetDateTime,
) -> Result<Vec<AccountId>, StoreError> {
    let accounts: Vec<Uuid> = sqlx::query_scalar(
        "UPDATE outbound_mails SET state = 'queued', due_at = $2, claimed_by = NULL
         WHERE mail_id = ANY($1) AND state = 'sending'
         RETURNING account_id",
    )
    .bind(mails)
    .bind(now)
    .fetch_all(tx.connection())
    .await
    .map_err(StoreError::query("queue mails again"))?;
    Ok(accounts.into_iter().map(AccountId::from_uuid).collect())
}
