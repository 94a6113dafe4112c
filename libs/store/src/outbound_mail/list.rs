use mailmesh_domain::{AccountId, MailId, OutboundState};
use sqlx::AssertSqlSafe;
use time::OffsetDateTime;
use uuid::Uuid;

use super::OutboundMail;
use super::block::show_blocks;
use super::row::{Row, columns};
use crate::{StoreError, Tx};

/// Lists the mails of an account or of all, of a state or of any, newest first, older than `before` when it is given.
///
/// # Errors
/// When the database fails.
pub async fn list(
    tx: &mut Tx,
    account: Option<AccountId>,
    state: Option<OutboundState>,
    before: Option<MailId>,
    limit: i64,
) -> Result<Vec<OutboundMail>, StoreError> {
    // Each combination is a statement of its own, and states stand in it as they are: a plan for any parameters could use
    // neither the indexes of some states nor those that begin with the account.
    let of_account = account.map_or("", |_| "AND account_id = $3");
    let of_state = state.map_or_else(String::new, |state| format!("AND state = '{state}'"));
    let columns = columns!();
    let statement = format!(
        "SELECT {columns} FROM outbound_mails
         WHERE mail_id < $1 {of_account} {of_state} ORDER BY mail_id DESC LIMIT $2"
    );
    let before = before.map_or(uuid::Uuid::max(), MailId::as_uuid);
    let query = sqlx::query_as(AssertSqlSafe(statement))
        .bind(before)
        .bind(limit);
    let query = match account {
        Some(account) => query.bind(account.as_uuid()),
        None => query,
    };
    let rows: Vec<Row> = query
        .fetch_all(tx.connection())
        .await
        .map_err(StoreError::query("list outbound mails"))?;
    let mails: Result<Vec<OutboundMail>, StoreError> =
        rows.into_iter().map(TryFrom::try_from).collect();
    let mut mails = mails?;
    show_blocks(tx, &mut mails).await?;
    Ok(mails)
}

/// Size and age of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueSize {
    /// Queued mails, counted up to a limit.
    pub mails: u64,
    /// When the mail was due that is due first.
    pub oldest_due_at: Option<OffsetDateTime>,
}

/// Measures the queue of accounts, counting at most `most` mails.
///
/// # Errors
/// When the database fails.
pub async fn measure_queue(
    tx: &mut Tx,
    accounts: &[AccountId],
    most: i64,
) -> Result<QueueSize, StoreError> {
    let accounts: Vec<Uuid> = accounts.iter().map(|id| id.as_uuid()).collect();
    let (mails, oldest_due_at): (i64, Option<OffsetDateTime>) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM (
                     SELECT 1 FROM outbound_mails
                     WHERE account_id = ANY ($1) AND state = 'queued' LIMIT $2) AS counted),
                (SELECT min(first.due_at) FROM unnest($1) AS a (account_id)
                 CROSS JOIN LATERAL (
                     SELECT m.due_at FROM outbound_mails m
                     WHERE m.account_id = a.account_id AND m.state = 'queued'
                     ORDER BY m.due_at LIMIT 1) AS first)",
    )
    .bind(accounts)
    .bind(most)
    .fetch_one(tx.connection())
    .await
    .map_err(StoreError::query("measure the queue"))?;
    Ok(QueueSize {
        mails: u64::try_from(mails).unwrap_or_default(),
        oldest_due_at,
    })
}
