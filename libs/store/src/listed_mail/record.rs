use mailmesh_domain::AccountId;
use time::OffsetDateTime;

use super::listing::{ListingEntry, chunks};
use crate::convert::to_bigint;
use crate::mailbox::ReceivedMail;
use crate::{StoreError, Tx};

/// Records mails of many accounts in one statement: as listed, so that one that is recorded counts as listed again, or as
/// absent. One that is listed under an absent mail's id is fetched, and known if it has the same content.
///
/// # Errors
/// When the database fails.
pub async fn record(
    tx: &mut Tx,
    mails: &[&ReceivedMail],
    absent_since: Option<OffsetDateTime>,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO listed_mails AS l
             (account_id, folder, position, sha256, mail_id, listed_bytes, first_seen_at,
              absent_since)
         -- A statement may change a row only once, and two mails may share id and content.
         SELECT DISTINCT ON (m.account_id, m.folder, m.position, m.sha256)
                m.account_id, m.folder, m.position, m.sha256, m.mail_id, m.listed_bytes, $7, $8
         FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[], $5::uuid[], $6::bigint[])
              AS m (account_id, folder, position, sha256, mail_id, listed_bytes)
         JOIN accounts a ON a.account_id = m.account_id
         ORDER BY m.account_id, m.folder, m.position, m.sha256, m.listed_bytes
         ON CONFLICT (account_id, folder, position, sha256) DO UPDATE
         SET absent_since = CASE WHEN $8::timestamptz IS NOT NULL THEN l.absent_since END,
             listed_bytes = coalesce(excluded.listed_bytes, l.listed_bytes)",
    )
    .bind(column(mails, |mail| mail.account_id.as_uuid()))
    .bind(column(mails, |mail| mail.folder.as_str()))
    .bind(column(mails, |mail| mail.position.within_epoch()))
    .bind(column(mails, |mail| mail.sha256.as_slice()))
    .bind(column(mails, |mail| mail.id.as_uuid()))
    .bind(column(mails, |mail| mail.listed_bytes.map(to_bigint)))
    .bind(now)
    .bind(absent_since)
    .execute(tx.connection())
    .await
    .map_err(StoreError::query("record listed mails"))?;
    Ok(())
}

/// Records mails that are never to be fetched: those that were there before the account was, and those set aside unread.
///
/// # Errors
/// When the database fails.
pub async fn mark_existing(
    tx: &mut Tx,
    account: AccountId,
    folder: &str,
    entries: &[ListingEntry],
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    for chunk in chunks(entries) {
        sqlx::query(
            "INSERT INTO listed_mails
                 (account_id, folder, position, listed_bytes, copies, first_seen_at)
             SELECT $1, $2, e.position,
                    CASE WHEN min(e.listed_bytes) = max(e.listed_bytes)
                         THEN min(e.listed_bytes) END,
                    count(*), $5
             FROM unnest($3::text[], $4::bigint[]) AS e (position, listed_bytes)
             -- What has no id cannot be told from what comes later.
             WHERE e.position <> ''
             GROUP BY e.position
             ON CONFLICT (account_id, folder, position, sha256) DO NOTHING",
        )
        .bind(account.as_uuid())
        .bind(folder)
        .bind(chunk.positions)
        .bind(chunk.bytes)
        .bind(now)
        .execute(tx.connection())
        .await
        .map_err(StoreError::query("mark listed mails as existing"))?;
    }
    Ok(())
}

fn column<'a, T>(mails: &[&'a ReceivedMail], of: impl Fn(&'a ReceivedMail) -> T) -> Vec<T> {
    mails.iter().map(|mail| of(mail)).collect()
}
