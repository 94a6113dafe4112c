use mailmesh_domain::{ApiKeyId, ClientConfigurationId, GrantId, Key, MailId, Protocol};
use uuid::Uuid;

use super::Account;
use super::row::{Row, select_without_password};
use crate::{StoreError, Tx};

/// Finds an account by key, without its password, locking it until the transaction ends.
///
/// # Errors
/// When the database fails.
pub async fn find_for_update(tx: &mut Tx, key: &Key) -> Result<Option<Account>, StoreError> {
    let row: Option<Row> = sqlx::query_as(select_without_password!("WHERE key = $1 FOR UPDATE"))
        .bind(key.as_str())
        .fetch_optional(tx.connection())
        .await
        .map_err(StoreError::query("find an account to change"))?;
    row.map(TryFrom::try_from).transpose()
}

/// Lists the accounts that use a client configuration, by key, without their passwords.
///
/// # Errors
/// When the database fails.
pub async fn list_by_client(
    tx: &mut Tx,
    client: ClientConfigurationId,
) -> Result<Vec<Account>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(select_without_password!(
        "WHERE client_configuration_id = $1 ORDER BY key"
    ))
    .bind(client.as_uuid())
    .fetch_all(tx.connection())
    .await
    .map_err(StoreError::query(
        "list the accounts of a client configuration",
    ))?;
    rows.into_iter().map(TryFrom::try_from).collect()
}

/// Counts the accounts of each client configuration that has any.
///
/// # Errors
/// When the database fails.
pub async fn count_by_client(tx: &mut Tx) -> Result<Vec<(ClientConfigurationId, i64)>, StoreError> {
    let rows: Vec<(Uuid, i64)> = sqlx::query_as(
        "SELECT client_configuration_id, count(*) FROM accounts
         WHERE client_configuration_id IS NOT NULL GROUP BY client_configuration_id",
    )
    .fetch_all(tx.connection())
    .await
    .map_err(StoreError::query(
        "count the accounts of client configurations",
    ))?;
    Ok(rows
        .into_iter()
        .map(|(id, count)| (ClientConfigurationId::from_uuid(id), count))
        .collect())
}

/// Finds the grant that an account of this client configuration and login has; with a key, only an account that was made
/// with that key.
///
/// # Errors
/// When the database fails.
pub async fn find_grant(
    tx: &mut Tx,
    client: ClientConfigurationId,
    login: &str,
    made_with: Option<ApiKeyId>,
) -> Result<Option<GrantId>, StoreError> {
    let grant: Option<Uuid> = sqlx::query_scalar(
        "SELECT grant_id FROM accounts
         WHERE client_configuration_id = $1 AND lower(login) = lower($2) AND grant_id IS NOT NULL
           AND ($3::uuid IS NULL OR signs_in_for = $3)
         ORDER BY account_id LIMIT 1",
    )
    .bind(client.as_uuid())
    .bind(login)
    .bind(made_with.map(ApiKeyId::as_uuid))
    .fetch_optional(tx.connection())
    .await
    .map_err(StoreError::query("find the grant of a login"))?;
    Ok(grant.map(GrantId::from_uuid))
}

/// Lists what the accounts speak that share an account's grant, its own protocol among them.
///
/// # Errors
/// When the database fails.
pub async fn list_protocols(tx: &mut Tx, account: &Account) -> Result<Vec<Protocol>, StoreError> {
    let names: Vec<String> = sqlx::query_scalar(
        "SELECT DISTINCT protocol FROM accounts
         WHERE account_id = $1
            OR (client_configuration_id = $2 AND lower(login) = lower($3)
                AND authorisation = 'oauth2')
         ORDER BY protocol",
    )
    .bind(account.id.as_uuid())
    .bind(
        account
            .client_configuration_id
            .map(ClientConfigurationId::as_uuid),
    )
    .bind(&account.login)
    .fetch_all(tx.connection())
    .await
    .map_err(StoreError::query("list the protocols of a mailbox"))?;
    // A name of a later release is nothing that is asked for here.
    Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
}

/// Returns whether an account of the same client configuration has the same server already: host, port, protection and
/// private CA.
///
/// # Errors
/// When the database fails.
pub async fn has_known_server(tx: &mut Tx, account: &Account) -> Result<bool, StoreError> {
    let client = account.client_configuration_id;
    let Some(server) = &account.server else {
        return Ok(false);
    };
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM accounts
         WHERE client_configuration_id = $1 AND authorisation = 'oauth2' AND lower(host) = lower($2)
           AND port = $3 AND encryption = $4 AND ca_pem IS NOT DISTINCT FROM $5)",
    )
    .bind(client.map(ClientConfigurationId::as_uuid))
    .bind(&server.host)
    .bind(i32::from(server.port))
    .bind(server.encryption.as_str())
    .bind(&account.ca_pem)
    .fetch_one(tx.connection())
    .await
    .map_err(StoreError::query("look for a client's server"))
}

/// Returns whether an account has this host and port that an administrator has named.
///
/// # Errors
/// When the database fails.
pub async fn is_trusted_host(tx: &mut Tx, host: &str, port: u16) -> Result<bool, StoreError> {
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM accounts
         WHERE is_host_trusted AND lower(host) = lower($1) AND port = $2)",
    )
    .bind(host)
    .bind(i32::from(port))
    .fetch_one(tx.connection())
    .await
    .map_err(StoreError::query("look for a host that is trusted"))
}

/// Returns the account of a mail that was received or is to be sent, and its key.
///
/// # Errors
/// When the database fails.
pub async fn find_key_by_mail(tx: &mut Tx, mail: MailId) -> Result<Option<Key>, StoreError> {
    let key: Option<String> = sqlx::query_scalar(
        "SELECT a.key FROM accounts a
         WHERE a.account_id = (SELECT account_id FROM received_mails WHERE mail_id = $1
                               UNION ALL
                               SELECT account_id FROM outbound_mails WHERE mail_id = $1 LIMIT 1)",
    )
    .bind(mail.as_uuid())
    .fetch_optional(tx.connection())
    .await
    .map_err(StoreError::query("find the account of a mail"))?;
    Ok(key.and_then(|key| Key::try_new(key).ok()))
}
