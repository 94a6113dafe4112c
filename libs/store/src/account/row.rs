use mailmesh_domain::{AccountId, ApiKeyId, ClientConfigurationId, GrantId, Key};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Account, ServerAddress};
use crate::convert::{RowOf, one_row};
use crate::{RowSecret, StoreError, Tx};

macro_rules! select {
    ($rest:literal) => {
        crate::account::row::select_as!("password_sealed", $rest)
    };
}
/// For a role that may not read passwords, sealed as they are.
macro_rules! select_without_password {
    ($rest:literal) => {
        crate::account::row::select_as!("NULL::bytea AS password_sealed", $rest)
    };
}
macro_rules! select_as {
    ($password:literal, $rest:literal) => {
        concat!(
            // Columns by name, as not every role may read all of them.
            "SELECT * FROM (SELECT account_id, key, name, is_enabled, direction, protocol, host, port, encryption,
                    authorisation, login, ",
            $password,
            ", has_password, client_configuration_id, grant_id, signs_in_for,
                    from_addresses, folders, receive_existing, poll_interval_seconds, is_host_trusted,
                    after_receive, delete_after_days, move_to, max_connections, ca_pem, revision, created_at, updated_at
             FROM accounts WHERE deleted_at IS NULL) AS accounts ",
            $rest
        )
    };
}
pub(super) use {select, select_as, select_without_password};

#[expect(
    clippy::struct_excessive_bools,
    reason = "columns, independent of each other"
)]
#[derive(sqlx_macros::FromRow)]
pub(super) struct Row {
    account_id: Uuid,
    key: String,
    name: String,
    is_enabled: bool,
    direction: String,
    protocol: String,
    host: Option<String>,
    port: Option<i32>,
    encryption: Option<String>,
    authorisation: String,
    login: String,
    password_sealed: Option<Vec<u8>>,
    has_password: bool,
    client_configuration_id: Option<Uuid>,
    grant_id: Option<Uuid>,
    signs_in_for: Option<Uuid>,
    from_addresses: Vec<String>,
    folders: Vec<String>,
    receive_existing: bool,
    is_host_trusted: bool,
    poll_interval_seconds: i32,
    after_receive: String,
    delete_after_days: Option<i32>,
    move_to: Option<String>,
    max_connections: i32,
    ca_pem: Option<String>,
    revision: i64,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
}

impl TryFrom<Row> for Account {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let of = RowOf {
            table: "accounts",
            id: row.account_id,
        };
        let server = match (row.host, row.port, row.encryption) {
            (Some(host), Some(port), Some(encryption)) => Some(ServerAddress {
                host,
                port: of.number("port", port)?,
                encryption: of.parse("encryption", &encryption)?,
            }),
            _ => None,
        };
        Ok(Self {
            id: AccountId::from_uuid(row.account_id),
            key: Key::try_new(row.key).map_err(|_| of.bad("key"))?,
            name: row.name,
            is_enabled: row.is_enabled,
            direction: of.parse("direction", &row.direction)?,
            protocol: of.parse("protocol", &row.protocol)?,
            server,
            is_host_trusted: row.is_host_trusted,
            authorisation: of.parse("authorisation", &row.authorisation)?,
            login: row.login,
            password: RowSecret::of_columns(
                row.has_password,
                of.sealed("password_sealed", row.password_sealed)?,
            ),
            client_configuration_id: row
                .client_configuration_id
                .map(ClientConfigurationId::from_uuid),
            grant_id: row.grant_id.map(GrantId::from_uuid),
            signs_in_for: row.signs_in_for.map(ApiKeyId::from_uuid),
            from_addresses: row.from_addresses,
            folders: row.folders,
            receive_existing: row.receive_existing,
            poll_interval_seconds: of.number("poll_interval_seconds", row.poll_interval_seconds)?,
            after_receive: of.parse("after_receive", &row.after_receive)?,
            delete_after_days: row
                .delete_after_days
                .map(|days| of.number("delete_after_days", days))
                .transpose()?,
            move_to: row.move_to,
            max_connections: of.number("max_connections", row.max_connections)?,
            ca_pem: row.ca_pem,
            revision: row.revision,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

pub(super) async fn write(
    tx: &mut Tx,
    account: &Account,
    statement: &'static str,
    operation: &'static str,
) -> Result<(), StoreError> {
    let server = account.server.as_ref();
    let days = account.delete_after_days;
    let done = sqlx::query(statement)
        .bind(account.id.as_uuid())
        .bind(account.key.as_str())
        .bind(&account.name)
        .bind(account.is_enabled)
        .bind(account.direction.as_str())
        .bind(account.protocol.as_str())
        .bind(server.map(|server| &server.host))
        .bind(server.map(|server| i32::from(server.port)))
        .bind(server.map(|server| server.encryption.as_str()))
        .bind(account.authorisation.as_str())
        .bind(&account.login)
        .bind(account.password.bytes())
        .bind(
            account
                .client_configuration_id
                .map(ClientConfigurationId::as_uuid),
        )
        .bind(account.grant_id.map(GrantId::as_uuid))
        .bind(&account.from_addresses)
        .bind(&account.folders)
        .bind(account.receive_existing)
        .bind(i32::try_from(account.poll_interval_seconds).unwrap_or(i32::MAX))
        .bind(account.after_receive.as_str())
        .bind(&account.move_to)
        .bind(i32::try_from(account.max_connections).unwrap_or(i32::MAX))
        .bind(&account.ca_pem)
        .bind(account.updated_at)
        .bind(account.revision)
        .bind(days.map(|days| i32::try_from(days).unwrap_or(i32::MAX)))
        .bind(account.is_host_trusted)
        .bind(account.signs_in_for.map(ApiKeyId::as_uuid))
        .execute(tx.connection())
        .await
        .map_err(StoreError::query(operation))?;
    one_row(&done, operation)
}
