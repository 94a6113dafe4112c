//! `outbound_blocks`: why an account cannot send and until when, in one row, however much mail it has queued.

use std::collections::HashMap;

use mailmesh_domain::{AccountId, MailId, MustAct, OutboundState, ReplicaId};
use mailmesh_events::Problem;
use serde_json::Value;
use sqlx::types::Json;
use time::OffsetDateTime;
use uuid::Uuid;

use super::OutboundMail;
use super::row::{Row, columns};
use crate::convert::RowOf;
use crate::{StoreError, Tx};

/// What keeps an account from sending.
#[derive(Debug, Clone, Copy)]
pub struct Block<'a> {
    pub problem: &'a Problem,
    /// When its mail is due again, unless the block is lifted before.
    pub until: OffsetDateTime,
}

/// A place in the order in which an account's queued mails are due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueuePlace {
    pub due_at: OffsetDateTime,
    pub mail_id: MailId,
}

impl From<&OutboundMail> for QueuePlace {
    fn from(mail: &OutboundMail) -> Self {
        Self {
            due_at: mail.due_at,
            mail_id: mail.id,
        }
    }
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

/// Blocks an account, or changes its block; nothing is done when this replica no longer holds the account's lease. Its mails
/// stay as they are. For a person's problem that was not published before, their owners are to be told anew: what passes by
/// itself is published once per mail, as such reasons alternate.
///
/// # Errors
/// When the database fails.
pub async fn block(
    tx: &mut Tx,
    replica: ReplicaId,
    account: AccountId,
    block: Block<'_>,
) -> Result<(), StoreError> {
    let Block { problem, until } = block;
    let code = problem.code.as_deref().unwrap_or_default();
    let reason = for_a_person(problem).then(|| format!("{:?} {code}", problem.kind));
    sqlx::query(
        "INSERT INTO outbound_blocks (account_id, blocked_until, problem, reason)
         SELECT $1, $2, $3, coalesce($4, '')
         WHERE EXISTS (SELECT 1 FROM account_leases l
                       WHERE l.account_id = $1 AND l.replica_id = $5)
         ON CONFLICT (account_id) DO UPDATE
         SET blocked_until = excluded.blocked_until, problem = excluded.problem,
             reason = coalesce($4, outbound_blocks.reason),
             told_due_at = CASE WHEN coalesce($4, outbound_blocks.reason) = outbound_blocks.reason
                                THEN outbound_blocks.told_due_at END,
             told_mail_id = CASE WHEN coalesce($4, outbound_blocks.reason) = outbound_blocks.reason
                                 THEN outbound_blocks.told_mail_id END",
    )
    .bind(account.as_uuid())
    .bind(until)
    .bind(Json(problem))
    .bind(reason)
    .bind(replica.as_uuid())
    .execute(tx.connection())
    .await
    .map_err(StoreError::query("block an account"))?;
    Ok(())
}

/// Lifts the block of an account: its mails are due when they were.
///
/// # Errors
/// When the database fails.
pub async fn unblock(tx: &mut Tx, account: AccountId) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE outbound_blocks SET blocked_until = NULL
         WHERE account_id = $1 AND blocked_until IS NOT NULL",
    )
    .bind(account.as_uuid())
    .execute(tx.connection())
    .await
    .map_err(StoreError::query("lift the block of an account"))?;
    Ok(())
}

/// Lists due mails of a blocked account behind those whose wait was published, in the order in which they are due.
///
/// # Errors
/// When the database fails.
pub async fn list_untold(
    tx: &mut Tx,
    account: AccountId,
    now: OffsetDateTime,
    limit: i64,
) -> Result<Vec<OutboundMail>, StoreError> {
    let told: Option<(Option<OffsetDateTime>, Option<Uuid>)> = sqlx::query_as(
        "SELECT told_due_at, told_mail_id FROM outbound_blocks
         WHERE account_id = $1 AND blocked_until IS NOT NULL",
    )
    .bind(account.as_uuid())
    .fetch_optional(tx.connection())
    .await
    .map_err(StoreError::query("find the block of an account"))?;
    let Some((due_at, mail_id)) = told else {
        return Ok(Vec::new());
    };
    let rows: Vec<Row> = sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM outbound_mails
         WHERE account_id = $1 AND state = 'queued' AND due_at <= $2
           AND (due_at, mail_id) > ($3, $4)
         ORDER BY due_at, mail_id LIMIT $5"
    ))
    .bind(account.as_uuid())
    .bind(now)
    .bind(due_at.unwrap_or(OffsetDateTime::UNIX_EPOCH))
    .bind(mail_id.unwrap_or_default())
    .bind(limit)
    .fetch_all(tx.connection())
    .await
    .map_err(StoreError::query("list mails that wait for their account"))?;
    rows.into_iter().map(TryFrom::try_from).collect()
}

/// Records up to which place in the queue the wait was published.
///
/// # Errors
/// When the database fails.
pub async fn set_told(
    tx: &mut Tx,
    account: AccountId,
    through: QueuePlace,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE outbound_blocks SET told_due_at = $2, told_mail_id = $3 WHERE account_id = $1",
    )
    .bind(account.as_uuid())
    .bind(through.due_at)
    .bind(through.mail_id.as_uuid())
    .execute(tx.connection())
    .await
    .map_err(StoreError::query("record what was published of a wait"))?;
    Ok(())
}

#[derive(sqlx_macros::FromRow)]
struct BlockRow {
    account_id: Uuid,
    blocked_until: OffsetDateTime,
    problem: Value,
}

/// Shows queued mails of blocked accounts as they are: due with their account, for its reason.
pub(super) async fn show_blocks(tx: &mut Tx, mails: &mut [OutboundMail]) -> Result<(), StoreError> {
    let queued = mails
        .iter_mut()
        .filter(|mail| mail.state == OutboundState::Queued);
    let queued: Vec<&mut OutboundMail> = queued.collect();
    if queued.is_empty() {
        return Ok(());
    }
    let accounts: Vec<Uuid> = queued
        .iter()
        .map(|mail| mail.account_id.as_uuid())
        .collect();
    let rows: Vec<BlockRow> = sqlx::query_as(
        "SELECT account_id, blocked_until, problem FROM outbound_blocks
         WHERE account_id = ANY($1) AND blocked_until IS NOT NULL",
    )
    .bind(accounts)
    .fetch_all(tx.connection())
    .await
    .map_err(StoreError::query("list the blocks of accounts"))?;
    let blocks: HashMap<Uuid, BlockRow> =
        rows.into_iter().map(|row| (row.account_id, row)).collect();
    for mail in queued {
        let Some(block) = blocks.get(&mail.account_id.as_uuid()) else {
            continue;
        };
        if mail.due_at < block.blocked_until {
            let of = RowOf {
                table: "outbound_blocks",
                id: block.account_id,
            };
            mail.due_at = block.blocked_until;
            mail.problem = of.json("problem", Some(block.problem.clone()))?;
        }
    }
    Ok(())
}
