use std::collections::{HashMap, HashSet};

use mailmesh_domain::{AccountId, Key, MailId, UncertainPolicy};
use sqlx::types::Json;
use time::OffsetDateTime;
use uuid::Uuid;

use super::Recipient;
use crate::convert::to_bigint;
use crate::{StoreError, Tx};

/// A mail to put into the queue.
#[derive(Debug, Clone)]
pub struct NewOutboundMail {
    pub id: MailId,
    /// The account to send it through.
    pub account_id: AccountId,
    /// The key under which it is sent once.
    pub idempotency_key: String,
    /// Whether the caller chose that key.
    pub is_key_given: bool,
    /// Hash of the request: distinguishes a repeated request from a different one with the same key.
    pub content_sha256: [u8; 32],
    /// The `Message-ID` header.
    pub message_id: String,
    /// The envelope's sender.
    pub envelope_from: String,
    /// The envelope's recipients.
    pub recipients: Vec<Recipient>,
    /// The raw mail's size.
    pub size_bytes: u64,
    /// SHA-256 of the raw mail.
    pub raw_sha256: [u8; 32],
    /// How many chunks hold the raw mail.
    pub chunks: u32,
    /// What to do when delivery stays unknown.
    pub on_uncertain: UncertainPolicy,
    /// The trace that asked for it.
    pub trace_parent: Option<String>,
    /// The command's sequence in `MAIL_SEND`.
    pub stream_sequence: u64,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AcceptResult {
    /// It is in the queue.
    New,
    /// The same request was accepted before, as this mail.
    Repeated(MailId),
    /// Another request was accepted under this key, as this mail.
    KeyTaken(MailId),
}

/// Puts mails into the queue in one statement, and returns the result of each. Of one key
/// twice among them, the first counts.
///
/// # Errors
/// When the database fails, or a mail that held a key was deleted meanwhile: try again.
pub async fn insert(
    tx: &mut Tx,
    mails: &[NewOutboundMail],
    now: OffsetDateTime,
) -> Result<Vec<AcceptResult>, StoreError> {
    let inserted: HashSet<Uuid> = write(tx, mails, now).await?.into_iter().collect();
    let holders = if inserted.len() == mails.len() {
        HashMap::new()
    } else {
        find_holders(tx, mails).await?
    };
    let mut seen = HashSet::new();
    mails
        .iter()
        .map(|mail| {
            // The very same mail twice was inserted once.
            if inserted.contains(&mail.id.as_uuid()) && seen.insert(mail.id) {
                return Ok(AcceptResult::New);
            }
            let key = (mail.account_id.as_uuid(), mail.idempotency_key.clone());
            match holders.get(&key) {
                Some((holder, hash)) if hash.as_slice() == mail.content_sha256 => {
                    Ok(AcceptResult::Repeated(MailId::from_uuid(*holder)))
                }
                Some((holder, _)) => Ok(AcceptResult::KeyTaken(MailId::from_uuid(*holder))),
                None => Err(StoreError::RowGone {
                    operation: "find the mail that holds an idempotency key",
                }),
            }
        })
        .collect()
}

async fn write(
    tx: &mut Tx,
    mails: &[NewOutboundMail],
    now: OffsetDateTime,
) -> Result<Vec<Uuid>, StoreError> {
    fn texts(mails: &[NewOutboundMail], of: fn(&NewOutboundMail) -> &str) -> Vec<&str> {
        mails.iter().map(of).collect()
    }
    sqlx::query_scalar(
        "WITH living AS (
             SELECT account_id FROM accounts WHERE account_id = ANY ($2) AND deleted_at IS NULL
             FOR KEY SHARE
         )
         INSERT INTO outbound_mails
             (mail_id, account_id, idempotency_key, is_key_given, content_sha256, message_id,
              envelope_from, recipients, size_bytes, chunks, on_uncertain, trace_parent,
              stream_sequence, raw_sha256, state, due_at, created_at)
         SELECT m.mail_id, m.account_id, m.idempotency_key, m.is_key_given, m.content_sha256,
                m.message_id, m.envelope_from, m.recipients, m.size_bytes, m.chunks,
                m.on_uncertain, m.trace_parent, m.stream_sequence, m.raw_sha256, 'queued', $14, $14
         FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::boolean[], $5::bytea[], $6::text[],
                     $7::text[], $8::jsonb[], $9::bigint[], $10::integer[], $11::text[], $12::text[],
                     $13::bigint[], $15::bytea[])
              WITH ORDINALITY
              AS m (mail_id, account_id, idempotency_key, is_key_given, content_sha256, message_id,
                    envelope_from, recipients, size_bytes, chunks, on_uncertain, trace_parent,
                    stream_sequence, raw_sha256, position)
         WHERE NOT EXISTS (SELECT 1 FROM accounts a WHERE a.account_id = m.account_id
                           AND a.account_id NOT IN (SELECT account_id FROM living))
         ORDER BY m.account_id, m.idempotency_key, m.position
         ON CONFLICT DO NOTHING
         RETURNING mail_id",
    )
    .bind(mails.iter().map(|m| m.id.as_uuid()).collect::<Vec<_>>())
    .bind(mails.iter().map(|m| m.account_id.as_uuid()).collect::<Vec<_>>())
    .bind(texts(mails, |m| &m.idempotency_key))
    .bind(mails.iter().map(|m| m.is_key_given).collect::<Vec<_>>())
    .bind(mails.iter().map(|m| m.content_sha256.as_slice()).collect::<Vec<_>>())
    .bind(texts(mails, |m| &m.message_id))
    .bind(texts(mails, |m| &m.envelope_from))
    .bind(mails.iter().map(|m| Json(&m.recipients)).collect::<Vec<_>>())
    .bind(mails.iter().map(|m| i64::try_from(m.size_bytes).unwrap_or(i64::MAX)).collect::<Vec<_>>())
    .bind(mails.iter().map(|m| i32::try_from(m.chunks).unwrap_or(i32::MAX)).collect::<Vec<_>>())
    .bind(texts(mails, |m| m.on_uncertain.as_str()))
    .bind(mails.iter().map(|m| m.trace_parent.as_deref()).collect::<Vec<_>>())
    .bind(mails.iter().map(|m| to_bigint(m.stream_sequence)).collect::<Vec<_>>())
    .bind(now)
    .bind(mails.iter().map(|m| m.raw_sha256.as_slice()).collect::<Vec<_>>())
    .fetch_all(tx.connection())
    .await
    .map_err(StoreError::query("queue mails"))
}

type Holders = HashMap<(Uuid, String), (Uuid, Vec<u8>)>;

async fn find_holders(tx: &mut Tx, mails: &[NewOutboundMail]) -> Result<Holders, StoreError> {
    let accounts: Vec<Uuid> = mails.iter().map(|m| m.account_id.as_uuid()).collect();
    let keys: Vec<&str> = mails.iter().map(|m| m.idempotency_key.as_str()).collect();
    let rows: Vec<(Uuid, String, Uuid, Vec<u8>)> = sqlx::query_as(
        "SELECT m.account_id, m.idempotency_key, m.mail_id, m.content_sha256
         FROM outbound_mails m
         JOIN (SELECT DISTINCT account_id, idempotency_key
               FROM unnest($1::uuid[], $2::text[]) AS u (account_id, idempotency_key)) k
           ON k.account_id = m.account_id AND k.idempotency_key = m.idempotency_key",
    )
    .bind(accounts)
    .bind(keys)
    .fetch_all(tx.connection())
    .await
    .map_err(StoreError::query(
        "find the mails that hold idempotency keys",
    ))?;
    Ok(rows
        .into_iter()
        .map(|(account, key, mail, hash)| ((account, key), (mail, hash)))
        .collect())
}

/// Returns whether a command is recorded: as the mail of this id, or as a repetition of the key's mail.
///
/// # Errors
/// When the database fails.
pub async fn is_recorded(
    tx: &mut Tx,
    id: MailId,
    account: &Key,
    idempotency_key: &str,
) -> Result<bool, StoreError> {
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM outbound_mails WHERE mail_id = $1)
             OR EXISTS (SELECT 1 FROM accounts a
                        JOIN outbound_mails m ON m.account_id = a.account_id
                        WHERE a.key = $2 AND m.idempotency_key = $3)",
    )
    .bind(id.as_uuid())
    .bind(account.as_str())
    .bind(idempotency_key)
    .fetch_one(tx.connection())
    .await
    .map_err(StoreError::query("look for the mail of a command"))
}
