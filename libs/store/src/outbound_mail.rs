//! `outbound_mails`: the durable queue of mail to send.

mod accept;
mod block;
mod body;
mod cancel;
mod list;
mod outcome;
mod recover;
mod row;
mod uncertain;

use mailmesh_domain::{AccountId, MailId, OutboundState, UncertainPolicy};
use mailmesh_events::Problem;
use mailmesh_events::mail::RecipientOutcome;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{StoreError, Tx};
pub use accept::{AcceptResult, NewOutboundMail, insert, is_recorded};
use block::show_blocks;
pub use block::{Block, QueuePlace, block, is_news, list_untold, set_told, unblock};
pub use body::drop_bodies;
pub use cancel::{
    CancelRequest, CancelResult, cancel, claim_cancels, delete_cancels, has_kept_cancels,
    keep_cancel, settle_cancel,
};
pub use list::{QueueSize, list, measure_queue};
pub use outcome::{Outcome, record_outcomes, resolve_uncertain};
pub use recover::{RecoveredAttempts, recover, recover_lost};
use row::{Row, columns};
pub use uncertain::{UncertainMail, claim_uncertain, list_known};

/// A recipient of an outbound mail and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    pub address: String,
    /// Its end state, once there is one: accepted, or refused for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<bool>,
    /// The server's last reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<String>,
    /// The last attempt that was committed without this recipient, whom the server refused for
    /// a while: if that attempt is uncertain, the recipient surely has no copy of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out_of: Option<i32>,
}

impl Recipient {
    /// Makes a recipient whom nothing is known of.
    pub const fn new(address: String) -> Self {
        Self {
            address,
            accepted: None,
            reply: None,
            left_out_of: None,
        }
    }

    /// Returns this recipient's part of an event.
    pub fn outcome(&self) -> RecipientOutcome {
        RecipientOutcome {
            address: self.address.clone(),
            accepted: self.accepted.unwrap_or(false),
            reply: self.reply.clone(),
        }
    }
}

/// A mail in the queue, or what became of it.
#[derive(Debug, Clone)]
pub struct OutboundMail {
    pub id: MailId,
    /// The account it is sent through.
    pub account_id: AccountId,
    /// The key under which it is sent once.
    pub idempotency_key: String,
    /// Whether the caller chose that key.
    pub is_key_given: bool,
    /// The `Message-ID` header.
    pub message_id: String,
    /// The envelope's sender.
    pub envelope_from: String,
    /// The envelope's recipients.
    pub recipients: Vec<Recipient>,
    /// The raw mail's size.
    pub size_bytes: u64,
    /// SHA-256 of the raw mail, as it was accepted; none of mails that were queued before hashes were kept.
    pub raw_sha256: Option<[u8; 32]>,
    /// How many chunks hold the raw mail; none once its body was dropped.
    pub chunks: u32,
    /// Where it stands.
    pub state: OutboundState,
    /// The number of the last attempt.
    pub attempts: i32,
    /// How many attempts count on the schedule.
    pub failures: i32,
    /// When the next attempt is due.
    pub due_at: OffsetDateTime,
    /// What to do when delivery stays unknown.
    pub on_uncertain: UncertainPolicy,
    /// What the last attempt failed with.
    pub problem: Option<Problem>,
    /// The server's final reply.
    pub reply: Option<String>,
    /// The trace that asked for it.
    pub trace_parent: Option<String>,
    /// The command's sequence in `MAIL_SEND`; none for a mail of an earlier release.
    pub stream_sequence: Option<u64>,
    /// When it was accepted.
    pub created_at: OffsetDateTime,
    /// When it reached an end state.
    pub finished_at: Option<OffsetDateTime>,
}

impl OutboundMail {
    /// Returns the idempotency key, if the caller chose it.
    pub fn given_key(&self) -> Option<String> {
        self.is_key_given.then(|| self.idempotency_key.clone())
    }

    /// Returns the recipients as they are if the server took the mail in its last attempt: those who
    /// were left out of it have no end yet.
    pub fn recipients_if_sent(&self) -> Vec<Recipient> {
        let mut recipients = self.recipients.clone();
        for recipient in &mut recipients {
            if recipient.left_out_of != Some(self.attempts) {
                recipient.accepted = recipient.accepted.or(Some(true));
            }
        }
        recipients
    }
}

/// Claims due mails of an account for an attempt each, and records that the attempts started.
/// Claims nothing when this replica no longer holds the account's lease, and no mail that is asked to be taken back: that is
/// what makes an acknowledged `mail.cancel` hold, whichever replica took it and whenever its mail came.
///
/// # Errors
/// When the database fails.
pub async fn claim_due(
    tx: &mut Tx,
    replica: mailmesh_domain::ReplicaId,
    account: AccountId,
    limit: i64,
    now: OffsetDateTime,
) -> Result<Vec<OutboundMail>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(concat!(
        "WITH due AS (
             SELECT mail_id FROM outbound_mails m
             WHERE account_id = $1 AND state = 'queued' AND due_at <= $2
               AND EXISTS (SELECT 1 FROM account_leases l
                           WHERE l.account_id = $1 AND l.replica_id = $4)
               AND NOT EXISTS (SELECT 1 FROM outbound_cancels c
                               WHERE c.account_id = $1 AND c.mail_id = m.mail_id)
               AND NOT EXISTS (SELECT 1 FROM outbound_cancels c
                               WHERE c.account_id = $1 AND c.mail_id IS NULL
                                 AND c.idempotency_key = m.idempotency_key)
             ORDER BY due_at, mail_id LIMIT $3
             FOR UPDATE SKIP LOCKED
         ), claimed AS (
             UPDATE outbound_mails m
             SET state = 'sending', attempts = m.attempts + 1, claimed_by = $4
             FROM due WHERE m.mail_id = due.mail_id
             RETURNING m.*
         ), started AS (
             INSERT INTO send_attempts (mail_id, attempt, replica_id, stage, started_at)
             SELECT mail_id, attempts, $4, 'started', $2 FROM claimed
         )
         SELECT ",
        columns!(),
        " FROM claimed ORDER BY due_at, mail_id"
    ))
    .bind(account.as_uuid())
    .bind(now)
    .bind(limit)
    .bind(replica.as_uuid())
    .fetch_all(tx.connection())
    .await
    .map_err(StoreError::query("claim mails to send"))?;
    rows.into_iter().map(TryFrom::try_from).collect()
}

/// Returns when the next mail of each account is due, for those that have one queued; not before its block ends.
///
/// # Errors
/// When the database fails.
pub async fn next_due(
    tx: &mut Tx,
    accounts: &[AccountId],
) -> Result<Vec<(AccountId, OffsetDateTime)>, StoreError> {
    let ids: Vec<Uuid> = accounts.iter().map(|id| id.as_uuid()).collect();
    let rows: Vec<(Uuid, OffsetDateTime)> = sqlx::query_as(
        "SELECT a.account_id, greatest(d.due_at, b.blocked_until) AS due_at
         FROM unnest($1::uuid[]) AS a (account_id)
         LEFT JOIN outbound_blocks b ON b.account_id = a.account_id
         CROSS JOIN LATERAL (
             SELECT m.due_at FROM outbound_mails m
             WHERE m.account_id = a.account_id AND m.state = 'queued'
             ORDER BY m.due_at LIMIT 1
         ) d",
    )
    .bind(ids)
    .fetch_all(tx.connection())
    .await
    .map_err(StoreError::query("look for the next due mails"))?;
    Ok(rows
        .into_iter()
        .map(|(id, due_at)| (AccountId::from_uuid(id), due_at))
        .collect())
}

/// Finds a mail.
///
/// # Errors
/// When the database fails.
pub async fn find(tx: &mut Tx, id: MailId) -> Result<Option<OutboundMail>, StoreError> {
    let row: Option<Row> = sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM outbound_mails WHERE mail_id = $1"
    ))
    .bind(id.as_uuid())
    .fetch_optional(tx.connection())
    .await
    .map_err(StoreError::query("find an outbound mail"))?;
    let mut found: Option<OutboundMail> = row.map(TryFrom::try_from).transpose()?;
    show_blocks(tx, found.as_mut_slice()).await?;
    Ok(found)
}

/// Deletes a bounded number of mails that ended before a moment, and returns their ids.
///
/// # Errors
/// When the database fails.
pub async fn delete_finished(
    tx: &mut Tx,
    before: OffsetDateTime,
    limit: i64,
) -> Result<Vec<MailId>, StoreError> {
    let ids: Vec<Uuid> = sqlx::query_scalar(
        "DELETE FROM outbound_mails WHERE mail_id = ANY (ARRAY(
             SELECT mail_id FROM outbound_mails WHERE finished_at < $1
             ORDER BY finished_at LIMIT $2 FOR UPDATE SKIP LOCKED))
         RETURNING mail_id",
    )
    .bind(before)
    .bind(limit)
    .fetch_all(tx.connection())
    .await
    .map_err(StoreError::query("delete finished mails"))?;
    Ok(ids.into_iter().map(MailId::from_uuid).collect())
}
