use std::collections::HashSet;

use mailmesh_domain::AccountId;

use super::listing::ListingEntry;
use crate::convert::to_bigint;
use crate::{StoreError, Tx};

/// A listed mail whose content was fetched.
#[derive(Debug, Clone)]
pub struct FetchedEntry {
    /// Its number in the session.
    pub ordinal: u64,
    /// As it was listed.
    pub entry: ListingEntry,
    /// The fingerprint: SHA-256 of the raw mail.
    pub sha256: [u8; 32],
}

/// Finds those fetched mails that were received before, and has them listed where they stand: the same content under the
/// same id, or under a new one while its old id is absent, as after a server numbered its mails anew. Each row stands
/// for one mail, so that a copy under a further id is new; of twins under one id only the first is. Asked again after a
/// crash, it finds the same. Returns their ordinals.
///
/// # Errors
/// When the database fails.
pub async fn adopt_known(
    tx: &mut Tx,
    account: AccountId,
    folder: &str,
    mails: &[FetchedEntry],
) -> Result<HashSet<u64>, StoreError> {
    let known: Vec<i64> = sqlx::query_scalar(
        "WITH asked AS (
             SELECT ordinal, position, sha256, listed_bytes,
                    row_number() OVER (PARTITION BY position, sha256 ORDER BY ordinal) AS twin,
                    count(*) OVER (PARTITION BY position, sha256) AS copies
             FROM unnest($3::bigint[], $4::text[], $5::bytea[], $6::bigint[])
                  AS a (ordinal, position, sha256, listed_bytes)
         ), rows AS (
             SELECT listed_mail_id, position, sha256, absent_since, first_seen_at
             FROM listed_mails WHERE account_id = $1 AND folder = $2 AND sha256 = ANY($5)
         ), current AS (
             SELECT r.listed_mail_id, a.ordinal, a.position, a.listed_bytes, a.copies
             FROM asked a JOIN rows r ON r.position = a.position AND r.sha256 = a.sha256
             WHERE a.twin = 1
         ), open AS (
             SELECT ordinal, position, sha256, listed_bytes, copies,
                    row_number() OVER (PARTITION BY sha256 ORDER BY ordinal) AS place
             FROM asked WHERE twin = 1 AND ordinal NOT IN (SELECT ordinal FROM current)
         ), old AS (
             SELECT listed_mail_id, sha256,
                    row_number() OVER (PARTITION BY sha256
                                       ORDER BY first_seen_at, listed_mail_id) AS place
             FROM rows
             WHERE absent_since IS NOT NULL
               AND listed_mail_id NOT IN (SELECT listed_mail_id FROM current)
         ), adopted AS (
             SELECT * FROM current
             UNION ALL
             SELECT listed_mail_id, ordinal, position, listed_bytes, copies
             FROM open JOIN old USING (sha256, place)
         ), listed AS (
             UPDATE listed_mails l
             SET position = a.position, absent_since = NULL,
                 listed_bytes = coalesce(a.listed_bytes, l.listed_bytes),
                 copies = greatest(l.copies, a.copies)
             FROM adopted a
             WHERE l.listed_mail_id = a.listed_mail_id
               AND (l.position <> a.position OR l.absent_since IS NOT NULL
                    OR l.listed_bytes IS DISTINCT FROM a.listed_bytes OR l.copies < a.copies)
             RETURNING l.mail_id, l.position
         ), moved AS (
             UPDATE received_mails r SET position = l.position
             FROM listed l WHERE r.mail_id = l.mail_id AND r.position <> l.position
         )
         SELECT ordinal FROM asked WHERE twin > 1 UNION SELECT ordinal FROM adopted",
    )
    .bind(account.as_uuid())
    .bind(folder)
    .bind(column(mails, |mail| to_bigint(mail.ordinal)))
    .bind(column(mails, |mail| mail.entry.position.within_epoch()))
    .bind(column(mails, |mail| mail.sha256.as_slice()))
    .bind(column(mails, |mail| mail.entry.listed_bytes.map(to_bigint)))
    .fetch_all(tx.connection())
    .await
    .map_err(StoreError::query("look for listed mails by content"))?;
    let known = known.into_iter().map(u64::try_from);
    Ok(known.filter_map(Result::ok).collect())
}

fn column<'a, T>(mails: &'a [FetchedEntry], of: impl Fn(&'a FetchedEntry) -> T) -> Vec<T> {
    mails.iter().map(of).collect()
}
