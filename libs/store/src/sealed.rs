//! The sealed columns of all tables, for who seals them anew under another key, or asks whether a key opens them.
//!
//! `sign_ins.verifier_sealed` is not among them: it ends after a quarter of an hour.

use mailmesh_domain::{AccountId, ClientConfigurationId, GrantId};
use mailmesh_secrets::{SealContext, SealedSecret};
use uuid::Uuid;

use crate::account::Account;
use crate::client_configuration::ClientConfiguration;
use crate::convert::RowOf;
use crate::grant::Grant;
use crate::{StoreError, Tx};

/// A column that holds sealed secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealedColumn {
    /// Secrets of OAuth clients.
    ClientSecret,
    /// Private keys of OAuth clients.
    PrivateKey,
    /// Passwords of accounts.
    Password,
    /// Access tokens of grants.
    AccessToken,
    /// Refresh tokens of grants.
    RefreshToken,
}

/// A sealed secret and its place.
#[derive(Debug, Clone)]
pub struct StoredSecret {
    /// What it is sealed for.
    pub context: SealContext,
    pub sealed: SealedSecret,
}

macro_rules! statements {
    ($table:literal, $id:literal, $column:literal) => {
        (
            concat!(
                "SELECT ",
                $id,
                ", ",
                $column,
                " FROM ",
                $table,
                " WHERE ",
                $column,
                " IS NOT NULL AND ",
                $id,
                " > $1 ORDER BY ",
                $id,
                " LIMIT $2"
            ),
            concat!(
                "SELECT ",
                $id,
                ", ",
                $column,
                " FROM ",
                $table,
                " WHERE ",
                $column,
                " IS NOT NULL ORDER BY ",
                $id,
                " DESC LIMIT $1"
            ),
            concat!(
                "UPDATE ",
                $table,
                " SET ",
                $column,
                " = $3 WHERE ",
                $id,
                " = $1 AND ",
                $column,
                " = $2"
            ),
        )
    };
}

impl SealedColumn {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::ClientSecret,
        Self::PrivateKey,
        Self::Password,
        Self::AccessToken,
        Self::RefreshToken,
    ];

    fn context(self, row: Uuid) -> SealContext {
        match self {
            Self::ClientSecret => {
                ClientConfiguration::secret_context(ClientConfigurationId::from_uuid(row))
            }
            Self::PrivateKey => {
                ClientConfiguration::private_key_context(ClientConfigurationId::from_uuid(row))
            }
            Self::Password => Account::password_context(AccountId::from_uuid(row)),
            Self::AccessToken => Grant::access_context(GrantId::from_uuid(row)),
            Self::RefreshToken => Grant::refresh_context(GrantId::from_uuid(row)),
        }
    }

    const fn statements(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::ClientSecret => statements!(
                "client_configurations",
                "client_configuration_id",
                "client_secret_sealed"
            ),
            Self::PrivateKey => statements!(
                "client_configurations",
                "client_configuration_id",
                "private_key_sealed"
            ),
            Self::Password => statements!("accounts", "account_id", "password_sealed"),
            Self::AccessToken => statements!("grants", "grant_id", "access_token_sealed"),
            Self::RefreshToken => statements!("grants", "grant_id", "refresh_token_sealed"),
        }
    }
}

/// Lists secrets of a column after a row, by row.
///
/// # Errors
/// When the database fails or a row holds no sealed secret.
pub async fn list(
    tx: &mut Tx,
    column: SealedColumn,
    after: Option<[u8; 16]>,
    limit: i64,
) -> Result<Vec<StoredSecret>, StoreError> {
    let (select, _, _) = column.statements();
    let rows: Vec<(Uuid, Vec<u8>)> = sqlx::query_as(select)
        .bind(Uuid::from_bytes(after.unwrap_or_default()))
        .bind(limit)
        .fetch_all(tx.connection())
        .await
        .map_err(StoreError::query("list sealed secrets"))?;
    read(column, rows)
}

/// Lists the secrets of the rows of a column that were made last, newest first.
///
/// # Errors
/// When the database fails or a row holds no sealed secret.
pub async fn list_newest(
    tx: &mut Tx,
    column: SealedColumn,
    limit: i64,
) -> Result<Vec<StoredSecret>, StoreError> {
    let (_, select, _) = column.statements();
    let rows: Vec<(Uuid, Vec<u8>)> = sqlx::query_as(select)
        .bind(limit)
        .fetch_all(tx.connection())
        .await
        .map_err(StoreError::query("list the newest sealed secrets"))?;
    read(column, rows)
}

fn read(column: SealedColumn, rows: Vec<(Uuid, Vec<u8>)>) -> Result<Vec<StoredSecret>, StoreError> {
    rows.into_iter()
        .map(|(id, bytes)| {
            let context = column.context(id);
            let of = RowOf {
                table: context.table,
                id,
            };
            let sealed = SealedSecret::from_bytes(bytes).map_err(|_| of.bad(context.column))?;
            Ok(StoredSecret { context, sealed })
        })
        .collect()
}

/// Replaces a secret by the same one, sealed anew. Returns false when it was changed or deleted meanwhile.
///
/// # Errors
/// When the database fails.
pub async fn replace(
    tx: &mut Tx,
    column: SealedColumn,
    secret: &StoredSecret,
    sealed_anew: &SealedSecret,
) -> Result<bool, StoreError> {
    let (_, _, update) = column.statements();
    let done = sqlx::query(update)
        .bind(Uuid::from_bytes(secret.context.row))
        .bind(secret.sealed.as_bytes())
        .bind(sealed_anew.as_bytes())
        .execute(tx.connection())
        .await
        .map_err(StoreError::query("seal a secret anew"))?;
    Ok(done.rows_affected() == 1)
}
