//! Which mails of a folder that is read again were received before, under other numbers or under the folder's other name.

use std::collections::HashSet;

use mailmesh_domain::{AccountId, Epoch, Position};

use crate::convert::to_bigint;
use crate::{StoreError, Tx};

/// A mail that was found in a folder and may be known.
#[derive(Debug, Clone)]
pub struct FoundMail {
    /// Its number in the order in which the folder is received.
    pub ordinal: u64,
    /// Where it stands.
    pub position: Position,
    /// The fingerprint: SHA-256 of the raw mail.
    pub sha256: [u8; 32],
}

/// Finds those of a folder's mails whose epoch has ended, by their fingerprints, that were received from it before, and
/// gives their rows the new positions: each row stands for one mail, so that a further copy of a mail is a new one.
/// Asked again after a crash, it finds the same. Returns their ordinals.
///
/// # Errors
/// When the database fails.
pub async fn renumber_known(
    tx: &mut Tx,
    account: AccountId,
    folder: &str,
    epoch: &Epoch,
    mails: &[FoundMail],
) -> Result<HashSet<u64>, StoreError> {
    let known: Vec<i64> = sqlx::query_scalar(
        "WITH asked AS (
             SELECT ordinal, position, sha256
             FROM unnest($4::bigint[], $5::text[], $6::bytea[]) AS a (ordinal, position, sha256)
         ), rows AS (
             SELECT mail_id, epoch, position, ordinal, sha256 FROM received_mails
             WHERE account_id = $1 AND folder = $2 AND sha256 = ANY($6)
         ), current AS (
             SELECT a.ordinal FROM asked a
             JOIN rows r ON r.position = a.position AND r.sha256 = a.sha256 AND r.epoch = $3
         ), open AS (
             SELECT ordinal, position, sha256,
                    row_number() OVER (PARTITION BY sha256 ORDER BY ordinal) AS place
             FROM asked WHERE ordinal NOT IN (SELECT ordinal FROM current)
         ), old AS (
             SELECT mail_id, sha256,
                    row_number() OVER (PARTITION BY sha256 ORDER BY epoch, ordinal) AS place
             FROM rows WHERE epoch <> $3
         ), moved AS (
             UPDATE received_mails r
             SET epoch = $3, position = open.position, ordinal = open.ordinal
             FROM open JOIN old USING (sha256, place)
             WHERE r.mail_id = old.mail_id
             RETURNING r.ordinal
         )
         SELECT ordinal FROM current UNION SELECT ordinal FROM moved",
    )
    .bind(account.as_uuid())
    .bind(folder)
    .bind(epoch.as_str())
    .bind(ordinals(mails))
    .bind(positions(mails))
    .bind(fingerprints(mails))
    .fetch_all(tx.connection())
    .await
    .map_err(StoreError::query("look for fingerprints"))?;
    Ok(to_ordinals(known))
}

/// Finds those of a folder's mails that were received from it under one of its `former` names: the same content at the
/// same position of the same epoch. Their rows get the folder's name; one row for each mail, of the first name that has
/// it. Asked again after a crash, it finds the same. Returns their ordinals.
///
/// # Errors
/// When the database fails.
pub async fn adopt_renamed(
    tx: &mut Tx,
    account: AccountId,
    folder: &str,
    former: &[String],
    mails: &[FoundMail],
) -> Result<HashSet<u64>, StoreError> {
    let epochs: Vec<String> = mails
        .iter()
        .map(|mail| mail.position.epoch().as_str().to_owned())
        .collect();
    let known: Vec<i64> = sqlx::query_scalar(
        "WITH asked AS (
             SELECT ordinal, epoch, position, sha256
             FROM unnest($4::bigint[], $5::text[], $6::text[], $7::bytea[])
                  AS a (ordinal, epoch, position, sha256)
         ), found AS (
             SELECT DISTINCT ON (a.ordinal) a.ordinal, r.mail_id, r.folder
             FROM asked a
             JOIN received_mails r ON r.account_id = $1 AND r.sha256 = a.sha256
                 AND r.epoch = a.epoch AND r.position = a.position
                 AND (r.folder = $2 OR r.folder = ANY($3))
             ORDER BY a.ordinal, r.folder = $2 DESC, array_position($3, r.folder)
         ), renamed AS (
             UPDATE received_mails r SET folder = $2, ordinal = f.ordinal
             FROM found f WHERE r.mail_id = f.mail_id AND f.folder <> $2
         )
         SELECT ordinal FROM found",
    )
    .bind(account.as_uuid())
    .bind(folder)
    .bind(former)
    .bind(ordinals(mails))
    .bind(epochs)
    .bind(positions(mails))
    .bind(fingerprints(mails))
    .fetch_all(tx.connection())
    .await
    .map_err(StoreError::query("look for a renamed folder's mails"))?;
    Ok(to_ordinals(known))
}

/// Returns whether a mail at this position of the folder could not be read.
///
/// # Errors
/// When the database fails.
pub async fn has_failed(
    tx: &mut Tx,
    account: AccountId,
    folder: &str,
    position: &Position,
) -> Result<bool, StoreError> {
    sqlx::query_scalar(
        "SELECT EXISTS (
             SELECT FROM quarantined_mails
             WHERE account_id = $1 AND folder = $2 AND epoch = $3 AND position = $4
         )",
    )
    .bind(account.as_uuid())
    .bind(folder)
    .bind(position.epoch().as_str())
    .bind(position.within_epoch())
    .fetch_one(tx.connection())
    .await
    .map_err(StoreError::query("look for a mail that failed"))
}

/// Returns whether the mail that was received from the folder at this position had this content; none if none was.
///
/// # Errors
/// When the database fails.
pub async fn had_content(
    tx: &mut Tx,
    account: AccountId,
    folder: &str,
    mail: &FoundMail,
) -> Result<Option<bool>, StoreError> {
    sqlx::query_scalar(
        "SELECT bool_or(sha256 = $5) FROM received_mails
         WHERE account_id = $1 AND folder = $2 AND epoch = $3 AND position = $4",
    )
    .bind(account.as_uuid())
    .bind(folder)
    .bind(mail.position.epoch().as_str())
    .bind(mail.position.within_epoch())
    .bind(mail.sha256.as_slice())
    .fetch_one(tx.connection())
    .await
    .map_err(StoreError::query("look for a mail at its position"))
}

/// Lists the account's folders from which mails of this epoch were received, each with the last ordinal of them.
///
/// Reads all of the account's rows: for a folder that was activated or whose epoch ended, not for each look.
///
/// # Errors
/// When the database fails.
pub async fn list_folders_of_epoch(
    tx: &mut Tx,
    account: AccountId,
    epoch: &Epoch,
) -> Result<Vec<(String, u64)>, StoreError> {
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "SELECT folder, max(ordinal) FROM received_mails
         WHERE account_id = $1 AND epoch = $2 GROUP BY folder ORDER BY folder",
    )
    .bind(account.as_uuid())
    .bind(epoch.as_str())
    .fetch_all(tx.connection())
    .await
    .map_err(StoreError::query("list folders of an epoch"))?;
    let folders = rows
        .into_iter()
        .filter_map(|(folder, ordinal)| Some((folder, u64::try_from(ordinal).ok()?)));
    Ok(folders.collect())
}

fn ordinals(mails: &[FoundMail]) -> Vec<i64> {
    mails.iter().map(|mail| to_bigint(mail.ordinal)).collect()
}

fn positions(mails: &[FoundMail]) -> Vec<String> {
    let positions = mails.iter().map(|mail| mail.position.within_epoch());
    positions.collect()
}

fn fingerprints(mails: &[FoundMail]) -> Vec<&[u8]> {
    mails.iter().map(|mail| mail.sha256.as_slice()).collect()
}

fn to_ordinals(known: Vec<i64>) -> HashSet<u64> {
    known
        .into_iter()
        .filter_map(|ordinal| ordinal.try_into().ok())
        .collect()
}
