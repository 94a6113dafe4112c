//! `accounts`: mailboxes, each used in one direction.

mod delete;
mod lookup;
mod row;

use mailmesh_domain::{
    AccountId, AfterReceive, ApiKeyId, Authorisation, ClientConfigurationId, Direction, Encryption,
    GrantId, Key, Protocol,
};
use mailmesh_secrets::SealContext;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{RowSecret, StoreError, Tx};
pub use delete::{delete, remove_deleted};
pub use lookup::{
    count_by_client, find_for_update, find_grant, find_key_by_mail, has_known_server,
    is_trusted_host, list_by_client, list_protocols,
};
use row::{Row, select, select_without_password};

/// Where a mail server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAddress {
    pub host: String,
    pub port: u16,
    /// How the connection is protected.
    pub encryption: Encryption,
}

/// A mailbox used in one direction, as an operator set it.
#[derive(Debug, Clone)]
pub struct Account {
    pub id: AccountId,
    /// Its key, as in subjects.
    pub key: Key,
    /// Its name, for people.
    pub name: String,
    /// Whether it is to be worked on.
    pub is_enabled: bool,
    /// Which way mail flows.
    pub direction: Direction,
    /// What its server speaks.
    pub protocol: Protocol,
    /// Its server; none where the protocol needs none to be named.
    pub server: Option<ServerAddress>,
    /// Whether an administrator has named the host, so that it may be anywhere; of others only public addresses are
    /// connected to.
    pub is_host_trusted: bool,
    /// How the account proves itself.
    pub authorisation: Authorisation,
    /// The login, usually the mailbox's address.
    pub login: String,
    /// The password; read only by functions for services that sign in.
    pub password: RowSecret,
    /// The OAuth client.
    pub client_configuration_id: Option<ClientConfigurationId>,
    /// The API key, not an administrator's, that gave the account its login: only a sign-in for an account of that key is
    /// given to it. Absent: it shares the sign-ins of its login.
    pub signs_in_for: Option<ApiKeyId>,
    /// The consent in use.
    pub grant_id: Option<GrantId>,
    /// The addresses that mail may be sent from; the first is the default.
    pub from_addresses: Vec<String>,
    /// The watched folders.
    pub folders: Vec<String>,
    /// Whether mail that lies in a folder at activation is received too.
    pub receive_existing: bool,
    /// How often a folder is looked at even when the server announces nothing.
    pub poll_interval_seconds: u32,
    /// What becomes of a mail after its event was confirmed.
    pub after_receive: AfterReceive,
    /// For how many days `AfterReceive::Delete` leaves a mail on the server; none: it is deleted at once.
    pub delete_after_days: Option<u32>,
    /// The folder that `AfterReceive::Move` moves to.
    pub move_to: Option<String>,
    /// How many connections may be open at once.
    pub max_connections: u32,
    /// The private CA of the server, in PEM.
    pub ca_pem: Option<String>,
    /// Counts up with every change. What is seen of an account is recorded with it, so that it counts only until what decides
    /// whether the server lets the account in is changed.
    pub revision: i64,
    pub created_at: OffsetDateTime,
    pub updated_at: OffsetDateTime,
}

impl Account {
    /// Returns the server of an account whose protocol needs one.
    ///
    /// # Errors
    /// [`StoreError::BadRow`] when the row names none.
    pub fn server_address(&self) -> Result<&ServerAddress, StoreError> {
        self.server.as_ref().ok_or_else(|| StoreError::BadRow {
            table: "accounts",
            column: "host",
            id: self.id.to_string(),
        })
    }

    /// Returns the host of the account's server; empty where it names none.
    pub fn host(&self) -> &str {
        self.server.as_ref().map_or("", |server| &server.host)
    }

    /// Returns what the password of this row is sealed for.
    pub fn password_context(id: AccountId) -> SealContext {
        SealContext {
            table: "accounts",
            column: "password_sealed",
            row: *id.as_uuid().as_bytes(),
        }
    }
}

/// Stores a new account, with its status and lease rows.
///
/// # Errors
/// [`StoreError::Conflict`] when the key is taken.
pub async fn insert(tx: &mut Tx, account: &Account) -> Result<(), StoreError> {
    row::write(
        tx,
        account,
        "INSERT INTO accounts
             (account_id, key, name, is_enabled, direction, protocol, host, port, encryption,
              authorisation, login, password_sealed, client_configuration_id, grant_id,
              from_addresses, folders, receive_existing, poll_interval_seconds, after_receive,
              move_to, max_connections, ca_pem, updated_at, created_at, revision,
              delete_after_days, is_host_trusted, signs_in_for)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,
                 $19, $20, $21, $22, $23, $23, $24, $25, $26, $27)",
        "insert an account",
    )
    .await?;
    let state = match account.authorisation {
        Authorisation::OAuth2 => "sign_in_needed",
        Authorisation::Password | Authorisation::None => "active",
    };
    let operation = StoreError::query("insert an account's status");
    sqlx::query("INSERT INTO account_status (account_id, state, changed_at) VALUES ($1, $2, $3)")
        .bind(account.id.as_uuid())
        .bind(state)
        .bind(account.created_at)
        .execute(tx.connection())
        .await
        .map_err(&operation)?;
    sqlx::query("INSERT INTO account_leases (account_id) VALUES ($1)")
        .bind(account.id.as_uuid())
        .execute(tx.connection())
        .await
        .map_err(&operation)?;
    Ok(())
}

/// `$changed` says of the password whether it is another; what it is can't be compared, as it is sealed anew each time.
macro_rules! update {
    ($changed:literal, $password:literal) => {
        concat!(
            "UPDATE accounts
             SET key = $2, name = $3, is_enabled = $4, direction = $5, protocol = $6, host = $7,
                 port = $8, encryption = $9, authorisation = $10, login = $11,
                 client_configuration_id = $13, grant_id = $14, from_addresses = $15, folders = $16,
                 receive_existing = $17, poll_interval_seconds = $18, after_receive = $19,
                 move_to = $20, max_connections = $21, ca_pem = $22, updated_at = $23,
                 delete_after_days = $25, is_host_trusted = $26,
                 signs_in_for = $27, revision = revision + 1,
                 connection_revision = CASE
                     WHEN (direction, protocol, host, port, encryption, authorisation, login,
                           client_configuration_id, grant_id, ca_pem, folders, after_receive, move_to)
                          IS DISTINCT FROM ($5, $6, $7, $8, $9, $10, $11, $13, $14, $22, $16, $19, $20)
                          OR ",
            $changed,
            "
                     THEN revision + 1 ELSE connection_revision END",
            $password
        )
    };
}

/// Stores a changed account and counts its revision up.
///
/// # Errors
/// [`StoreError::RowGone`] when it was deleted or changed since it was read: else a sign-in that
/// came between would lose its grant.
pub async fn update(tx: &mut Tx, account: &Account) -> Result<(), StoreError> {
    let statement = match account.password {
        // COALESCE would read the column. Each parameter must stand somewhere.
        RowSecret::Unread => {
            update!(
                "false",
                " WHERE account_id = $1 AND revision = $24 AND $12::bytea IS NULL"
            )
        }
        RowSecret::Absent | RowSecret::Sealed(_) => {
            update!(
                "$12 IS NOT NULL OR has_password",
                ", password_sealed = $12 WHERE account_id = $1 AND revision = $24"
            )
        }
    };
    row::write(tx, account, statement, "update an account").await
}

/// Finds an account by key, without its password.
///
/// # Errors
/// When the database fails.
pub async fn find_by_key(tx: &mut Tx, key: &Key) -> Result<Option<Account>, StoreError> {
    let row: Option<Row> = sqlx::query_as(select_without_password!("WHERE key = $1"))
        .bind(key.as_str())
        .fetch_optional(tx.connection())
        .await
        .map_err(StoreError::query("find an account"))?;
    row.map(TryFrom::try_from).transpose()
}

/// Lists all accounts by key, with their passwords.
///
/// # Errors
/// When the database fails.
pub async fn list(tx: &mut Tx) -> Result<Vec<Account>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(select!("ORDER BY key"))
        .fetch_all(tx.connection())
        .await
        .map_err(StoreError::query("list accounts"))?;
    rows.into_iter().map(TryFrom::try_from).collect()
}

/// Lists a page of the accounts in the order of their keys, those behind `after`, without their passwords.
///
/// # Errors
/// When the database fails.
pub async fn list_page(
    tx: &mut Tx,
    among: Option<&[Key]>,
    after: Option<&Key>,
    limit: i64,
) -> Result<Vec<Account>, StoreError> {
    let among: Option<Vec<&str>> = among.map(|keys| keys.iter().map(Key::as_str).collect());
    let rows: Vec<Row> = sqlx::query_as(select_without_password!(
        "WHERE key > $1 AND ($3::text[] IS NULL OR key = ANY ($3)) ORDER BY key LIMIT $2"
    ))
    .bind(after.map_or("", Key::as_str))
    .bind(limit)
    .bind(among)
    .fetch_all(tx.connection())
    .await
    .map_err(StoreError::query("list a page of accounts"))?;
    rows.into_iter().map(TryFrom::try_from).collect()
}

/// Loads many accounts in one statement, with their passwords; those that are gone are missing.
///
/// # Errors
/// When the database fails.
pub async fn list_by_ids(tx: &mut Tx, ids: &[AccountId]) -> Result<Vec<Account>, StoreError> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.as_uuid()).collect();
    let rows: Vec<Row> = sqlx::query_as(select!("WHERE account_id = ANY($1)"))
        .bind(ids)
        .fetch_all(tx.connection())
        .await
        .map_err(StoreError::query("load accounts"))?;
    rows.into_iter().map(TryFrom::try_from).collect()
}

/// As [`list_by_ids`], without the passwords: for a service whose role may not read them.
///
/// # Errors
/// When the database fails.
pub async fn list_without_passwords(
    tx: &mut Tx,
    ids: &[AccountId],
) -> Result<Vec<Account>, StoreError> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.as_uuid()).collect();
    let rows: Vec<Row> = sqlx::query_as(select_without_password!("WHERE account_id = ANY($1)"))
        .bind(ids)
        .fetch_all(tx.connection())
        .await
        .map_err(StoreError::query("load accounts without passwords"))?;
    rows.into_iter().map(TryFrom::try_from).collect()
}

/// Lists the revision and grant of the accounts that a replica holds: what to compare a running
/// account with, without reading all of it.
///
/// # Errors
/// When the database fails.
pub async fn list_revisions(
    tx: &mut Tx,
    ids: &[AccountId],
) -> Result<Vec<(AccountId, i64)>, StoreError> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.as_uuid()).collect();
    let rows: Vec<(Uuid, i64)> =
        sqlx::query_as("SELECT account_id, revision FROM accounts WHERE account_id = ANY($1)")
            .bind(ids)
            .fetch_all(tx.connection())
            .await
            .map_err(StoreError::query("list account revisions"))?;
    Ok(rows
        .into_iter()
        .map(|(id, revision)| (AccountId::from_uuid(id), revision))
        .collect())
}

/// Lists the keys of the accounts that use a grant.
///
/// # Errors
/// When the database fails.
pub async fn list_keys_by_grant(tx: &mut Tx, grant: GrantId) -> Result<Vec<Key>, StoreError> {
    let keys: Vec<String> =
        sqlx::query_scalar("SELECT key FROM accounts WHERE grant_id = $1 ORDER BY key")
            .bind(grant.as_uuid())
            .fetch_all(tx.connection())
            .await
            .map_err(StoreError::query("list the accounts of a grant"))?;
    Ok(keys
        .into_iter()
        .filter_map(|key| Key::try_new(key).ok())
        .collect())
}

fn protocols_with_folders() -> Vec<&'static str> {
    let protocols = Protocol::ALL
        .iter()
        .filter(|protocol| protocol.has_folders());
    protocols.map(|protocol| protocol.as_str()).collect()
}

/// Finds an inbound account of the mailbox that an account sends from: one that shares its grant, or
/// its login and client. One whose protocol has no folders shows no sent mail, and comes last.
///
/// # Errors
/// When the database fails.
pub async fn find_inbound_of(
    tx: &mut Tx,
    account: &Account,
) -> Result<Option<Account>, StoreError> {
    let row: Option<Row> = sqlx::query_as(select!(
        "WHERE direction = 'inbound'
           AND (grant_id = $1
                OR (lower(login) = lower($2) AND client_configuration_id IS NOT DISTINCT FROM $3))
         ORDER BY protocol = ANY($4) DESC, is_enabled DESC, created_at LIMIT 1"
    ))
    .bind(account.grant_id.map(GrantId::as_uuid))
    .bind(&account.login)
    .bind(
        account
            .client_configuration_id
            .map(ClientConfigurationId::as_uuid),
    )
    .bind(protocols_with_folders())
    .fetch_optional(tx.connection())
    .await
    .map_err(StoreError::query("find the inbound account of a mailbox"))?;
    row.map(TryFrom::try_from).transpose()
}

/// Gives a grant to an account and to every other of the same client configuration and login that shares its sign-ins or
/// has had one, and returns their keys.
///
/// # Errors
/// [`StoreError::RowGone`] when the account was deleted meanwhile.
pub async fn attach_grant(
    tx: &mut Tx,
    id: AccountId,
    grant: GrantId,
    now: OffsetDateTime,
) -> Result<Vec<Key>, StoreError> {
    let keys: Vec<String> = sqlx::query_scalar(
        "UPDATE accounts a SET grant_id = $2, revision = a.revision + 1,
             connection_revision = a.revision + 1, updated_at = $3
         FROM accounts signed_in
         WHERE signed_in.account_id = $1 AND a.authorisation = 'oauth2'
           AND (a.account_id = $1
                OR (a.client_configuration_id = signed_in.client_configuration_id
                    AND lower(a.login) = lower(signed_in.login)
                    AND (a.signs_in_for IS NULL OR a.grant_id IS NOT NULL
                         OR a.signs_in_for = signed_in.signs_in_for)))
         RETURNING a.key",
    )
    .bind(id.as_uuid())
    .bind(grant.as_uuid())
    .bind(now)
    .fetch_all(tx.connection())
    .await
    .map_err(StoreError::query("give a grant to accounts"))?;
    if keys.is_empty() {
        return Err(StoreError::RowGone {
            operation: "give a grant to an account",
        });
    }
    Ok(keys
        .into_iter()
        .filter_map(|key| Key::try_new(key).ok())
        .collect())
}
