//! `api_keys`: who may call the admin API. Only hashes are stored.

use mailmesh_domain::{ApiKeyId, Role};
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
    pub created_at: OffsetDateTime,
    pub revoked_at: Option<OffsetDateTime>,
}

#[derive(sqlx_macros::FromRow)]
struct Row {
    api_key_id: Uuid,
    name: String,
    role: String,
    created_at: OffsetDateTime,
    revoked_at: Option<OffsetDateTime>,
}

impl TryFrom<Row> for ApiKey {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let of = RowOf {
            table: "api_keys",
            id: row.api_key_id,
        };
        Ok(Self {
            id: ApiKeyId::from_uuid(row.api_key_id),
            name: row.name,
            role: of.parse("role", &row.role)?,
            created_at: row.created_at,
            revoked_at: row.revoked_at,
        })
    }
}

/// Stores a key's hash.
///
/// # Errors
/// When the database fails.
pub async fn insert(tx: &mut Tx, key: &ApiKey, hash: &[u8; 32]) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO api_keys (api_key_id, name, role, key_hash, created_at) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(key.id.as_uuid())
    .bind(&key.name)
    .bind(key.role.as_str())
    .bind(hash.as_slice())
    .bind(key.created_at)
    .execute(tx.connection())
    .await
    .map_err(StoreError::query("insert an API key"))?;
    Ok(())
}

/// Finds the key, not revoked, with this hash.
///
/// # Errors
/// When the database fails.
pub async fn find_by_hash(tx: &mut Tx, hash: &[u8; 32]) -> Result<Option<ApiKey>, StoreError> {
    let row: Option<Row> = sqlx::query_as(
        "SELECT api_key_id, name, role, created_at, revoked_at FROM api_keys
         WHERE key_hash = $1 AND revoked_at IS NULL",
    )
    .bind(hash.as_slice())
    .fetch_optional(tx.connection())
    .await
    .map_err(StoreError::query("find an API key"))?;
    row.map(ApiKey::try_from).transpose()
}

/// Lists all keys, revoked ones included.
///
/// # Errors
/// When the database fails.
pub async fn list(tx: &mut Tx) -> Result<Vec<ApiKey>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT api_key_id, name, role, created_at, revoked_at FROM api_keys ORDER BY created_at",
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
