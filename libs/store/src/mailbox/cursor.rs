use mailmesh_domain::AccountId;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::convert::RowOf;
use crate::{StoreError, Tx};

/// How far a folder was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// The account.
    pub account_id: AccountId,
    /// The folder.
    pub folder: String,
    /// The UIDVALIDITY that `last_uid` belongs to.
    pub uid_validity: u32,
    /// The last UID whose event was confirmed and recorded.
    pub last_uid: u32,
    /// When the folder was first looked at.
    pub activated_at: OffsetDateTime,
    /// While a renumbered folder is read again: the last UID that may be a known mail.
    pub rescan_until_uid: Option<u32>,
}

#[derive(sqlx_macros::FromRow)]
struct Row {
    account_id: Uuid,
    folder: String,
    uid_validity: i64,
    last_uid: i64,
    activated_at: OffsetDateTime,
    rescan_until_uid: Option<i64>,
}

impl TryFrom<Row> for Cursor {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let of = RowOf {
            table: "mailbox_cursors",
            id: row.account_id,
        };
        let rescan = row.rescan_until_uid;
        Ok(Self {
            account_id: AccountId::from_uuid(row.account_id),
            folder: row.folder,
            uid_validity: of.number("uid_validity", row.uid_validity)?,
            last_uid: of.number("last_uid", row.last_uid)?,
            activated_at: row.activated_at,
            rescan_until_uid: rescan
                .map(|uid| of.number("rescan_until_uid", uid))
                .transpose()?,
        })
    }
}

/// Loads the cursors of many accounts in one statement.
///
/// # Errors
/// When the database fails.
pub async fn list_cursors(tx: &mut Tx, accounts: &[AccountId]) -> Result<Vec<Cursor>, StoreError> {
    let ids: Vec<Uuid> = accounts.iter().map(|id| id.as_uuid()).collect();
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT account_id, folder, uid_validity, last_uid, activated_at, rescan_until_uid
         FROM mailbox_cursors WHERE account_id = ANY($1)",
    )
    .bind(ids)
    .fetch_all(tx.connection())
    .await
    .map_err(StoreError::query("load mailbox cursors"))?;
    rows.into_iter().map(TryFrom::try_from).collect()
}

/// Starts watching a folder after `last_uid`, unless it is watched already.
///
/// # Errors
/// When the database fails.
pub async fn activate(
    tx: &mut Tx,
    account: AccountId,
    folder: &str,
    uid_validity: u32,
    last_uid: u32,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO mailbox_cursors
             (account_id, folder, uid_validity, last_uid, activated_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $5)
         ON CONFLICT (account_id, folder) DO NOTHING",
    )
    .bind(account.as_uuid())
    .bind(folder)
    .bind(i64::from(uid_validity))
    .bind(i64::from(last_uid))
    .bind(now)
    .execute(tx.connection())
    .await
    .map_err(StoreError::query("activate a folder"))?;
    Ok(())
}

/// Moves cursors forward, for many accounts in one statement. A cursor never moves back, and one
/// of another UIDVALIDITY stays.
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
    let validities: Vec<i64> = cursors.iter().map(|c| i64::from(c.uid_validity)).collect();
    let uids: Vec<i64> = cursors.iter().map(|c| i64::from(c.last_uid)).collect();
    sqlx::query(
        "UPDATE mailbox_cursors c
         SET last_uid = greatest(c.last_uid, p.last_uid), updated_at = $5
         FROM (
             SELECT account_id, folder, uid_validity, max(last_uid) AS last_uid
             FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::bigint[])
                  AS u (account_id, folder, uid_validity, last_uid)
             GROUP BY account_id, folder, uid_validity
         ) p
         WHERE c.account_id = p.account_id AND c.folder = p.folder
           AND c.uid_validity = p.uid_validity",
    )
    .bind(ids)
    .bind(folders)
    .bind(validities)
    .bind(uids)
    .bind(now)
    .execute(tx.connection())
    .await
    .map_err(StoreError::query("move mailbox cursors"))?;
    Ok(())
}

/// Starts a renumbered folder from the beginning; until `rescan_until_uid` fingerprints decide.
/// Returns whether it had another UIDVALIDITY before.
///
/// # Errors
/// When the database fails.
pub async fn reset(
    tx: &mut Tx,
    account: AccountId,
    folder: &str,
    uid_validity: u32,
    rescan_until_uid: u32,
    now: OffsetDateTime,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "UPDATE mailbox_cursors
         SET uid_validity = $3, last_uid = 0, rescan_until_uid = $4, updated_at = $5
         WHERE account_id = $1 AND folder = $2 AND uid_validity <> $3",
    )
    .bind(account.as_uuid())
    .bind(folder)
    .bind(i64::from(uid_validity))
    .bind(i64::from(rescan_until_uid))
    .bind(now)
    .execute(tx.connection())
    .await
    .map_err(StoreError::query("reset a mailbox cursor"))?;
    Ok(done.rows_affected() == 1)
}

/// Ends the reading again of a renumbered folder, unless it was renumbered once more.
///
/// # Errors
/// When the database fails.
pub async fn finish_rescan(
    tx: &mut Tx,
    account: AccountId,
    folder: &str,
    uid_validity: u32,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE mailbox_cursors SET rescan_until_uid = NULL
         WHERE account_id = $1 AND folder = $2 AND uid_validity = $3",
    )
    .bind(account.as_uuid())
    .bind(folder)
    .bind(i64::from(uid_validity))
    .execute(tx.connection())
    .await
    .map_err(StoreError::query("finish reading a folder again"))?;
    Ok(())
}
