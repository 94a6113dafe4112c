//! `api_keys`: who may call the admin API. Only hashes are stored.

use std::time::Duration;

use mailmesh_domain::{ApiKeyId, Key, Role};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::convert::RowOf;
use crate::{StoreError, Tx};

/// One key of the admin API.
#[derive(Debug, Clone)]
pub struct ApiKey {
    pub id: ApiKeyId,
    /// What it is for.
    pub name: String,
    /// What its holder may do.
    pub role: Role,
    /// The accounts that it is for; absent: all, and what concerns no account.
    pub accounts: Option<Vec<Key>>,
    /// Whether it may read raw mails and their attachments.
    pub may_read_raw: bool,
    /// The key that it was made with; absent when it was made on the host.
    pub made_by: Option<ApiKeyId>,
    pub created_at: OffsetDateTime,
    pub expires_at: Option<OffsetDateTime>,
    /// To the minute.
    pub last_used_at: Option<OffsetDateTime>,
    pub revoked_at: Option<OffsetDateTime>,
}

impl ApiKey {
    /// Returns whether the key is accepted at this moment.
    pub fn is_valid(&self, now: OffsetDateTime) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|expires_at| expires_at > now)
    }
}

#[derive(sqlx_macros::FromRow)]
struct Row {
    api_key_id: Uuid,
    name: String,
    role: String,
    account_keys: Option<Vec<String>>,
    may_read_raw: bool,
    made_by: Option<Uuid>,
    created_at: OffsetDateTime,
    expires_at: Option<OffsetDateTime>,
    last_used_at: Option<OffsetDateTime>,
    revoked_at: Option<OffsetDateTime>,
}

impl TryFrom<Row> for ApiKey {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let of = RowOf {
            table: "api_keys",
            id: row.api_key_id,
        };
        let key = |text: String| Key::try_new(text).map_err(|_| of.bad("account_keys"));
        let keys = |texts: Vec<String>| texts.into_iter().map(key).collect::<Result<Vec<Key>, _>>();
        Ok(Self {
            id: ApiKeyId::from_uuid(row.api_key_id),
            name: row.name,
            role: of.parse("role", &row.role)?,
            accounts: row.account_keys.map(keys).transpose()?,
            may_read_raw: row.may_read_raw,
            made_by: row.made_by.map(ApiKeyId::from_uuid),
            created_at: row.created_at,
            expires_at: row.expires_at,
            last_used_at: row.last_used_at,
            revoked_at: row.revoked_at,
        })
    }
}

/// Stores a key's hash.
///
/// # Errors
/// When the database fails.
pub async fn insert(tx: &mut Tx, key: &ApiKey, hash: &[u8; 32]) -> Result<(), StoreError> {
    let accounts = key.accounts.as_ref();
    let accounts: Option<Vec<&str>> = accounts.map(|keys| keys.iter().map(Key::as_str).collect());
    sqlx::query(
        "INSERT INTO api_keys
             (api_key_id, name, role, key_hash, created_at, expires_at, made_by, account_keys, may_read_raw)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(key.id.as_uuid())
    .bind(&key.name)
    .bind(key.role.as_str())
    .bind(hash.as_slice())
    .bind(key.created_at)
    .bind(key.expires_at)
    .bind(key.made_by.map(ApiKeyId::as_uuid))
    .bind(accounts)
    .bind(key.may_read_raw)
    .execute(tx.connection())
    .await
    .map_err(StoreError::query("insert an API key"))?;
    Ok(())
}

/// Finds the key, neither revoked nor expired, with this hash.
///
/// # Errors
/// When the database fails.
pub async fn find_by_hash(
    tx: &mut Tx,
    hash: &[u8; 32],
    now: OffsetDateTime,
) -> Result<Option<ApiKey>, StoreError> {
    let row: Option<Row> = sqlx::query_as(
        "SELECT api_key_id, name, role, account_keys, may_read_raw, made_by, created_at, expires_at,
                last_used_at, revoked_at
         FROM api_keys
         WHERE key_hash = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)",
    )
    .bind(hash.as_slice())
    .bind(now)
    .fetch_optional(tx.connection())
    .await
    .map_err(StoreError::query("find an API key"))?;
    row.map(ApiKey::try_from).transpose()
}

/// Returns when a key that was not revoked has expired; none if it has not, or there is none.
///
/// # Errors
/// When the database fails.
pub async fn find_expiry(
    tx: &mut Tx,
    hash: &[u8; 32],
    now: OffsetDateTime,
) -> Result<Option<OffsetDateTime>, StoreError> {
    sqlx::query_scalar(
        "SELECT expires_at FROM api_keys
         WHERE key_hash = $1 AND revoked_at IS NULL AND expires_at <= $2",
    )
    .bind(hash.as_slice())
    .bind(now)
    .fetch_optional(tx.connection())
    .await
    .map_err(StoreError::query("find the expiry of an API key"))
}

/// Lists all keys, revoked ones included.
///
/// # Errors
/// When the database fails.
pub async fn list(tx: &mut Tx) -> Result<Vec<ApiKey>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT api_key_id, name, role, account_keys, may_read_raw, made_by, created_at, expires_at,
                last_used_at, revoked_at
         FROM api_keys ORDER BY created_at",
    )
    .fetch_all(tx.connection())
    .await
    .map_err(StoreError::query("list API keys"))?;
    rows.into_iter().map(ApiKey::try_from).collect()
}

/// Returns whether any key exists, and keeps others from making the first one until the
/// transaction ends.
///
/// # Errors
/// When the database fails.
pub async fn lock_and_check_any(tx: &mut Tx) -> Result<bool, StoreError> {
    let operation = StoreError::query("look for API keys");
    sqlx::query("LOCK TABLE api_keys IN SHARE ROW EXCLUSIVE MODE")
        .execute(tx.connection())
        .await
        .map_err(&operation)?;
    sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM api_keys)")
        .fetch_one(tx.connection())
        .await
        .map_err(&operation)
}

/// Revokes a key; returns whether it was there and valid.
///
/// # Errors
/// When the database fails.
pub async fn revoke(tx: &mut Tx, id: ApiKeyId, now: OffsetDateTime) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "UPDATE api_keys SET revoked_at = $2 WHERE api_key_id = $1 AND revoked_at IS NULL",
    )
    .bind(id.as_uuid())
    .bind(now)
    .execute(tx.connection())
    .await
    .map_err(StoreError::query("revoke an API key"))?;
    Ok(done.rows_affected() == 1)
}

/// Records that a key is in use, once in `rest`, so that calls do not wait for each other's row. Returns whether it did.
///
/// # Errors
/// When the database fails.
pub async fn record_use(
    tx: &mut Tx,
    id: ApiKeyId,
    rest: Duration,
    now: OffsetDateTime,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "UPDATE api_keys SET last_used_at = $2
         WHERE api_key_id = $1
           AND (last_used_at IS NULL OR last_used_at <= $2 - make_interval(secs => $3))",
    )
    .bind(id.as_uuid())
    .bind(now)
    .bind(rest.as_secs_f64())
    .execute(tx.connection())
    .await
    .map_err(StoreError::query("record the use of an API key"))?;
    Ok(done.rows_affected() == 1)
}
