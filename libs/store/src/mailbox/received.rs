use std::borrow::Borrow;

use mailmesh_domain::{AccountId, MailId, Position};
use time::OffsetDateTime;

use crate::convert::to_bigint;
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
    /// Where it stands in the folder.
    pub position: Position,
    /// Its number in the order in which the folder is received.
    pub ordinal: u64,
    /// The fingerprint: SHA-256 of the raw mail.
    pub sha256: [u8; 32],
    /// The raw mail's size.
    pub size_bytes: u64,
    /// How many chunks hold the raw mail.
    pub chunks: u32,
    /// Its size by the server's listing, if it was listed with one; of an event that was read back it is not known.
    pub listed_bytes: Option<u64>,
    /// Whether something is still to be done with it on the server.
    pub is_post_action_due: bool,
}

/// Records mails of many accounts in one statement; those that are recorded stay as they are. For mails of any source,
/// call [`crate::progress::record`].
///
/// # Errors
/// When the database fails.
pub async fn insert<M: Borrow<ReceivedMail> + Sync>(
    tx: &mut Tx,
    mails: &[M],
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO received_mails
             (mail_id, account_id, folder, epoch, position, ordinal, sha256, size_bytes, chunks,
              is_post_action_due, recorded_at)
         SELECT m.mail_id, m.account_id, m.folder, m.epoch, m.position, m.ordinal, m.sha256,
                m.size_bytes, m.chunks, m.is_post_action_due, $11
         FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::bigint[],
                     $7::bytea[], $8::bigint[], $9::bigint[], $10::boolean[])
              AS m (mail_id, account_id, folder, epoch, position, ordinal, sha256, size_bytes,
                    chunks, is_post_action_due)
         JOIN accounts a ON a.account_id = m.account_id
         ON CONFLICT (mail_id) DO NOTHING",
    )
    .bind(column(mails, |mail| mail.id.as_uuid()))
    .bind(column(mails, |mail| mail.account_id.as_uuid()))
    .bind(column(mails, |mail| mail.folder.as_str()))
    .bind(column(mails, |mail| {
        mail.position.epoch().as_str().to_owned()
    }))
    .bind(column(mails, |mail| mail.position.within_epoch()))
    .bind(column(mails, |mail| to_bigint(mail.ordinal)))
    .bind(column(mails, |mail| mail.sha256.as_slice()))
    .bind(column(mails, |mail| to_bigint(mail.size_bytes)))
    .bind(column(mails, |mail| i64::from(mail.chunks)))
    .bind(column(mails, |mail| mail.is_post_action_due))
    .bind(now)
    .execute(tx.connection())
    .await
    .map_err(StoreError::query("record received mails"))?;
    Ok(())
}

fn column<'a, M: Borrow<ReceivedMail>, T>(
    mails: &'a [M],
    of: impl Fn(&'a ReceivedMail) -> T,
) -> Vec<T> {
    mails.iter().map(|mail| of(mail.borrow())).collect()
}
