use mailmesh_domain::{AccountId, Epoch};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::convert::{RowOf, to_bigint};
use crate::{StoreError, Tx};

/// How far a folder was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    pub account_id: AccountId,
    pub folder: String,
    /// The epoch that `ordinal` belongs to.
    pub epoch: Epoch,
    /// The last mail whose event was confirmed and recorded.
    pub ordinal: u64,
    /// When the folder was first looked at.
    pub activated_at: OffsetDateTime,
    /// While a folder is read again: the last ordinal that may be a known mail's.
    pub rescan_until: Option<u64>,
    /// The mail with the highest ordinal up to the cursor's that is known.
    pub newest: Option<NewestMail>,
}

/// What tells that an ordinal still means the same mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewestMail {
    pub ordinal: u64,
    /// When the server received it, by its own date.
    pub received_at: Option<OffsetDateTime>,
    /// The fingerprint: SHA-256 of the raw mail. None if it was there before the folder was watched.
    pub sha256: Option<[u8; 32]>,
}

#[derive(sqlx_macros::FromRow)]
struct Row {
    account_id: Uuid,
    folder: String,
    epoch: String,
    ordinal: i64,
    activated_at: OffsetDateTime,
    rescan_until_ordinal: Option<i64>,
    newest_ordinal: Option<i64>,
    newest_received_at: Option<OffsetDateTime>,
    newest_sha256: Option<Vec<u8>>,
}

impl TryFrom<Row> for Cursor {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let of = RowOf {
            table: "mailbox_cursors",
            id: row.account_id,
        };
        let rescan = row.rescan_until_ordinal;
        let newest = row.newest_ordinal.map(|ordinal| {
            Ok(NewestMail {
                ordinal: of.number("newest_ordinal", ordinal)?,
                received_at: row.newest_received_at,
                sha256: row
                    .newest_sha256
                    .map(|bytes| of.number("newest_sha256", bytes))
                    .transpose()?,
            })
        });
        Ok(Self {
            account_id: AccountId::from_uuid(row.account_id),
            folder: row.folder,
            epoch: Epoch::from_stored(row.epoch),
            ordinal: of.number("ordinal", row.ordinal)?,
            activated_at: row.activated_at,
            rescan_until: rescan
                .map(|ordinal| of.number("rescan_until_ordinal", ordinal))
                .transpose()?,
            newest: newest.transpose()?,
        })
    }
}

/// Loads the cursors of many accounts in one statement, also those of folders that are no longer watched.
///
/// # Errors
/// When the database fails.
pub async fn list_cursors(tx: &mut Tx, accounts: &[AccountId]) -> Result<Vec<Cursor>, StoreError> {
    let ids: Vec<Uuid> = accounts.iter().map(|id| id.as_uuid()).collect();
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT account_id, folder, epoch, ordinal, activated_at, rescan_until_ordinal,
                newest_ordinal, newest_received_at, newest_sha256
         FROM mailbox_cursors WHERE account_id = ANY($1)",
    )
    .bind(ids)
    .fetch_all(tx.connection())
    .await
    .map_err(StoreError::query("load mailbox cursors"))?;
    rows.into_iter().map(TryFrom::try_from).collect()
}

/// Starts watching a folder after the cursor, unless it is watched already.
///
/// # Errors
/// When the database fails.
pub async fn activate(tx: &mut Tx, cursor: &Cursor) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO mailbox_cursors
             (account_id, folder, epoch, ordinal, activated_at, updated_at, rescan_until_ordinal,
              newest_ordinal, newest_received_at, newest_sha256)
         VALUES ($1, $2, $3, $4, $5, $5, $6, $7, $8, $9)
         ON CONFLICT (account_id, folder) DO NOTHING",
    )
    .bind(cursor.account_id.as_uuid())
    .bind(&cursor.folder)
    .bind(cursor.epoch.as_str())
    .bind(to_bigint(cursor.ordinal))
    .bind(cursor.activated_at)
    .bind(cursor.rescan_until.map(to_bigint))
    .bind(cursor.newest.as_ref().map(|mail| to_bigint(mail.ordinal)))
    .bind(cursor.newest.as_ref().and_then(|mail| mail.received_at))
    .bind(cursor.newest.as_ref().and_then(|mail| mail.sha256))
    .execute(tx.connection())
    .await
    .map_err(StoreError::query("activate a folder"))?;
    Ok(())
}

/// Moves cursors forward, for many accounts in one statement. A cursor never moves back, and one of another epoch stays.
///
/// # Errors
/// When the database fails.
pub async fn move_cursors(
    tx: &mut Tx,
    cursors: &[Cursor],
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = cursors.iter().map(|c| c.account_id.as_uuid()).collect();
    let folders: Vec<&str> = cursors.iter().map(|c| c.folder.as_str()).collect();
    let epochs: Vec<&str> = cursors.iter().map(|c| c.epoch.as_str()).collect();
    let ordinals: Vec<i64> = cursors.iter().map(|c| to_bigint(c.ordinal)).collect();
    let newest = || cursors.iter().map(|cursor| cursor.newest.as_ref());
    let newest_ordinals: Vec<Option<i64>> = newest()
        .map(|mail| mail.map(|mail| to_bigint(mail.ordinal)))
        .collect();
    let newest_dates: Vec<Option<OffsetDateTime>> = newest()
        .map(|mail| mail.and_then(|mail| mail.received_at))
        .collect();
    let newest_hashes: Vec<Option<[u8; 32]>> = newest()
        .map(|mail| mail.and_then(|mail| mail.sha256))
        .collect();
    sqlx::query(
        "UPDATE mailbox_cursors c
         SET ordinal = greatest(c.ordinal, p.ordinal), updated_at = $5,
             (newest_ordinal, newest_received_at, newest_sha256) = (
                 SELECT n.ordinal, n.received_at, n.sha256
                 FROM (VALUES
                     (c.newest_ordinal, c.newest_received_at, c.newest_sha256),
                     (p.newest_ordinal, p.newest_received_at, p.newest_sha256)
                 ) AS n (ordinal, received_at, sha256)
                 ORDER BY n.ordinal DESC NULLS LAST LIMIT 1
             )
         FROM (
             SELECT DISTINCT ON (account_id, folder, epoch) *
             FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[],
                         $6::bigint[], $7::timestamptz[], $8::bytea[])
                  AS u (account_id, folder, epoch, ordinal,
                        newest_ordinal, newest_received_at, newest_sha256)
             ORDER BY account_id, folder, epoch, ordinal DESC
         ) p
         WHERE c.account_id = p.account_id AND c.folder = p.folder AND c.epoch = p.epoch",
    )
    .bind(ids)
    .bind(folders)
    .bind(epochs)
    .bind(ordinals)
    .bind(now)
    .bind(newest_ordinals)
    .bind(newest_dates)
    .bind(newest_hashes)
    .execute(tx.connection())
    .await
    .map_err(StoreError::query("move mailbox cursors"))?;
    Ok(())
}

/// Starts a folder anew as the cursor says, whose epoch it has from now on; until `rescan_until` fingerprints decide.
/// Returns the epoch before, if it was another: a void one tells that the account was given another server or login.
///
/// # Errors
/// When the database fails.
pub async fn reset(
    tx: &mut Tx,
    cursor: &Cursor,
    now: OffsetDateTime,
) -> Result<Option<Epoch>, StoreError> {
    let before: Option<String> = sqlx::query_scalar(
        "UPDATE mailbox_cursors c
         SET epoch = $3, ordinal = $4, rescan_until_ordinal = $5, updated_at = $6,
             newest_ordinal = NULL, newest_received_at = NULL, newest_sha256 = NULL
         FROM (SELECT epoch FROM mailbox_cursors
               WHERE account_id = $1 AND folder = $2 FOR UPDATE) before
         WHERE c.account_id = $1 AND c.folder = $2 AND before.epoch <> $3
         RETURNING before.epoch",
    )
    .bind(cursor.account_id.as_uuid())
    .bind(&cursor.folder)
    .bind(cursor.epoch.as_str())
    .bind(to_bigint(cursor.ordinal))
    .bind(cursor.rescan_until.map(to_bigint))
    .bind(now)
    .fetch_optional(tx.connection())
    .await
    .map_err(StoreError::query("reset a mailbox cursor"))?;
    Ok(before.map(Epoch::from_stored))
}

/// Notes that a folder was watched earlier than was known, under another name.
///
/// # Errors
/// When the database fails.
pub async fn backdate(
    tx: &mut Tx,
    account: AccountId,
    folder: &str,
    activated_at: OffsetDateTime,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE mailbox_cursors SET activated_at = least(activated_at, $3)
         WHERE account_id = $1 AND folder = $2",
    )
    .bind(account.as_uuid())
    .bind(folder)
    .bind(activated_at)
    .execute(tx.connection())
    .await
    .map_err(StoreError::query("backdate a folder's activation"))?;
    Ok(())
}

/// Ends the reading again of a folder, unless its epoch has ended once more.
///
/// # Errors
/// When the database fails.
pub async fn finish_rescan(
    tx: &mut Tx,
    account: AccountId,
    folder: &str,
    epoch: &Epoch,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE mailbox_cursors SET rescan_until_ordinal = NULL
         WHERE account_id = $1 AND folder = $2 AND epoch = $3",
    )
    .bind(account.as_uuid())
    .bind(folder)
    .bind(epoch.as_str())
    .execute(tx.connection())
    .await
    .map_err(StoreError::query("finish reading a folder again"))?;
    Ok(())
}
