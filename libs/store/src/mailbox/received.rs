use std::collections::HashSet;

use mailmesh_domain::{AccountId, MailId};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::convert::RowOf;
use crate::{StoreError, Tx};

/// A mail whose event the stream has confirmed.
#[derive(Debug, Clone)]
pub struct ReceivedMail {
    /// The mail; also its event's id.
    pub id: MailId,
    /// The account that found it.
    pub account_id: AccountId,
    /// The folder it was found in.
    pub folder: String,
    /// The folder's UIDVALIDITY.
    pub uid_validity: u32,
    /// Its UID.
    pub uid: u32,
    /// The fingerprint: SHA-256 of the raw mail.
    pub sha256: [u8; 32],
    /// The raw mail's size.
    pub size_bytes: u64,
    /// How many chunks hold the raw mail.
    pub chunks: u32,
    /// Whether something is still to be done with it on the server.
    pub is_post_action_due: bool,
}

/// A mail on the server that something is still to be done with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DuePostAction {
    /// The mail.
    pub mail_id: MailId,
    /// The folder's UIDVALIDITY when it was received.
    pub uid_validity: u32,
    /// Its UID.
    pub uid: u32,
}

/// Records mails of many accounts in one statement; those that are recorded stay as they are.
///
/// # Errors
/// When the database fails.
pub async fn insert(
    tx: &mut Tx,
    mails: &[ReceivedMail],
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let column = |of: fn(&ReceivedMail) -> u32| -> Vec<i64> {
        mails.iter().map(|mail| i64::from(of(mail))).collect()
    };
    sqlx::query(
        "INSERT INTO received_mails
             (mail_id, account_id, folder, uid_validity, uid, sha256, size_bytes, chunks,
              is_post_action_due, recorded_at)
         SELECT m.mail_id, m.account_id, m.folder, m.uid_validity, m.uid, m.sha256, m.size_bytes,
                m.chunks, m.is_post_action_due, $10
         FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bigint[], $5::bigint[], $6::bytea[],
                     $7::bigint[], $8::bigint[], $9::boolean[])
              AS m (mail_id, account_id, folder, uid_validity, uid, sha256, size_bytes, chunks,
                    is_post_action_due)
         JOIN accounts a ON a.account_id = m.account_id
         ON CONFLICT (mail_id) DO NOTHING",
    )
    .bind(mails.iter().map(|m| m.id.as_uuid()).collect::<Vec<Uuid>>())
    .bind(
        mails
            .iter()
            .map(|m| m.account_id.as_uuid())
            .collect::<Vec<Uuid>>(),
    )
    .bind(
        mails
            .iter()
            .map(|m| m.folder.as_str())
            .collect::<Vec<&str>>(),
    )
    .bind(column(|mail| mail.uid_validity))
    .bind(column(|mail| mail.uid))
    .bind(
        mails
            .iter()
            .map(|m| m.sha256.as_slice())
            .collect::<Vec<&[u8]>>(),
    )
    .bind(
        mails
            .iter()
            .map(|m| number(m.size_bytes))
            .collect::<Vec<i64>>(),
    )
    .bind(column(|mail| mail.chunks))
    .bind(
        mails
            .iter()
            .map(|m| m.is_post_action_due)
            .collect::<Vec<bool>>(),
    )
    .bind(now)
    .execute(tx.connection())
    .await
    .map_err(StoreError::query("record received mails"))?;
    Ok(())
}

/// Finds those of a renumbered folder's mails, by UID and fingerprint, that were received from it
/// before, and gives their rows the new numbers: each row stands for one mail, so that a further copy
/// of a mail is a new one. Asked again after a crash, it finds the same.
///
/// # Errors
/// When the database fails.
pub async fn renumber_known(
    tx: &mut Tx,
    account: AccountId,
    folder: &str,
    uid_validity: u32,
    mails: &[(u32, [u8; 32])],
) -> Result<HashSet<u32>, StoreError> {
    let uids: Vec<i64> = mails.iter().map(|(uid, _)| i64::from(*uid)).collect();
    let fingerprints: Vec<&[u8]> = mails.iter().map(|(_, sha256)| sha256.as_slice()).collect();
    let known: Vec<i64> = sqlx::query_scalar(
        "WITH asked AS (
             SELECT uid, sha256 FROM unnest($4::bigint[], $5::bytea[]) AS a (uid, sha256)
         ), rows AS (
             SELECT mail_id, uid_validity, uid, sha256 FROM received_mails
             WHERE account_id = $1 AND folder = $2 AND sha256 = ANY($5)
         ), current AS (
             SELECT a.uid, a.sha256 FROM asked a
             JOIN rows r ON r.uid = a.uid AND r.sha256 = a.sha256 AND r.uid_validity = $3
         ), open AS (
             SELECT uid, sha256, row_number() OVER (PARTITION BY sha256 ORDER BY uid) AS place
             FROM asked WHERE uid NOT IN (SELECT uid FROM current)
         ), old AS (
             SELECT mail_id, sha256,
                    row_number() OVER (PARTITION BY sha256 ORDER BY uid_validity, uid) AS place
             FROM rows WHERE uid_validity <> $3
         ), moved AS (
             UPDATE received_mails r SET uid_validity = $3, uid = open.uid
             FROM open JOIN old USING (sha256, place)
             WHERE r.mail_id = old.mail_id
             RETURNING r.uid
         )
         SELECT uid FROM current UNION SELECT uid FROM moved",
    )
    .bind(account.as_uuid())
    .bind(folder)
    .bind(i64::from(uid_validity))
    .bind(uids)
    .bind(fingerprints)
    .fetch_all(tx.connection())
    .await
    .map_err(StoreError::query("look for fingerprints"))?;
    Ok(known
        .into_iter()
        .filter_map(|uid| uid.try_into().ok())
        .collect())
}

#[derive(sqlx_macros::FromRow)]
struct Row {
    mail_id: Uuid,
    account_id: Uuid,
    folder: String,
    uid_validity: i64,
    uid: i64,
    sha256: Vec<u8>,
    size_bytes: i64,
    chunks: i32,
    is_post_action_due: bool,
}

impl TryFrom<Row> for ReceivedMail {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let of = RowOf {
            table: "received_mails",
            id: row.mail_id,
        };
        Ok(Self {
            id: MailId::from_uuid(row.mail_id),
            account_id: AccountId::from_uuid(row.account_id),
            folder: row.folder,
            uid_validity: of.number("uid_validity", row.uid_validity)?,
            uid: of.number("uid", row.uid)?,
            sha256: row.sha256.try_into().map_err(|_| of.bad("sha256"))?,
            size_bytes: of.number("size_bytes", row.size_bytes)?,
            chunks: of.number("chunks", row.chunks)?,
            is_post_action_due: row.is_post_action_due,
        })
    }
}

/// Finds a received mail.
///
/// # Errors
/// When the database fails.
pub async fn find(tx: &mut Tx, id: MailId) -> Result<Option<ReceivedMail>, StoreError> {
    let row: Option<Row> = sqlx::query_as(
        "SELECT mail_id, account_id, folder, uid_validity, uid, sha256, size_bytes, chunks,
                is_post_action_due
         FROM received_mails WHERE mail_id = $1",
    )
    .bind(id.as_uuid())
    .fetch_optional(tx.connection())
    .await
    .map_err(StoreError::query("find a received mail"))?;
    row.map(TryFrom::try_from).transpose()
}

/// Lists mails of a folder that something is still to be done with on the server.
///
/// # Errors
/// When the database fails.
pub async fn list_post_actions(
    tx: &mut Tx,
    account: AccountId,
    folder: &str,
    limit: i64,
) -> Result<Vec<DuePostAction>, StoreError> {
    let rows: Vec<(Uuid, i64, i64)> = sqlx::query_as(
        "SELECT mail_id, uid_validity, uid FROM received_mails
         WHERE account_id = $1 AND folder = $2 AND is_post_action_due ORDER BY uid LIMIT $3",
    )
    .bind(account.as_uuid())
    .bind(folder)
    .bind(limit)
    .fetch_all(tx.connection())
    .await
    .map_err(StoreError::query("list due post-actions"))?;
    rows.into_iter()
        .map(|(mail_id, uid_validity, uid)| {
            let of = RowOf {
                table: "received_mails",
                id: mail_id,
            };
            Ok(DuePostAction {
                mail_id: MailId::from_uuid(mail_id),
                uid_validity: of.number("uid_validity", uid_validity)?,
                uid: of.number("uid", uid)?,
            })
        })
        .collect()
}

/// Records that nothing more is to be done with these mails on the server.
///
/// # Errors
/// When the database fails.
pub async fn finish_post_actions(tx: &mut Tx, mails: &[MailId]) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = mails.iter().map(|id| id.as_uuid()).collect();
    sqlx::query("UPDATE received_mails SET is_post_action_due = false WHERE mail_id = ANY($1)")
        .bind(ids)
        .execute(tx.connection())
        .await
        .map_err(StoreError::query("finish post-actions"))?;
    Ok(())
}
