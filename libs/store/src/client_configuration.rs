//! `client_configurations`: the OAuth clients that the administrator registered.

use std::collections::BTreeMap;

use mailmesh_domain::{ClientConfigurationId, Flow, Key, TokenEndpointAuth};
use mailmesh_events::Problem;
use mailmesh_secrets::SealContext;
use serde_json::Value;
use sqlx::types::Json;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::convert::{RowOf, one_row, to_json};
use crate::{RowSecret, StoreError, Tx};

/// One OAuth client.
#[derive(Debug, Clone)]
pub struct ClientConfiguration {
    pub id: ClientConfigurationId,
    /// Its key in URLs and commands.
    pub key: Key,
    /// Its name, for people.
    pub name: String,
    /// The provider profile, such as `google` or `custom`.
    pub profile: String,
    /// How it comes to its tokens; never changed.
    pub flow: Flow,
    /// The client id that the provider gave.
    pub client_id: String,
    /// The client secret; absent for a public client.
    pub client_secret: RowSecret,
    /// What it signs with: a private key in PEM, or a service account's JSON key.
    pub private_key: RowSecret,
    /// The certificate that is registered for the private key.
    pub certificate_pem: Option<String>,
    /// The origin of the token endpoint that the secret is sent to; absent before its first use.
    pub token_origin: Option<String>,
    /// How the client proves itself; by discovery when absent.
    pub token_endpoint_auth: Option<TokenEndpointAuth>,
    /// The issuer or discovery URL.
    pub issuer: Option<String>,
    /// The authorisation endpoint, when it is not discovered.
    pub authorize_url: Option<String>,
    /// The token endpoint, when it is not discovered.
    pub token_url: Option<String>,
    /// The userinfo endpoint, when it is not discovered.
    pub userinfo_url: Option<String>,
    /// The key set, when it is not discovered.
    pub jwks_url: Option<String>,
    /// The scopes to ask for.
    pub scopes: Vec<String>,
    /// The claim that holds the mailbox's address.
    pub identity_claim: Option<String>,
    /// Further parameters of the authorisation request.
    pub extra_authorize_parameters: BTreeMap<String, String>,
    /// The private CA of the provider's servers, in PEM.
    pub ca_pem: Option<String>,
    /// Whether its redirect URI is the one without its key, which one configuration may use.
    pub is_redirect_shared: bool,
    /// Usable for inbound accounts.
    pub is_inbound: bool,
    /// Usable for outbound accounts.
    pub is_outbound: bool,
    /// Why the provider refuses the client as a whole, if it does.
    pub refusal: Option<Problem>,
    pub created_at: OffsetDateTime,
    pub updated_at: OffsetDateTime,
}

impl ClientConfiguration {
    /// Returns what the client secret of this row is sealed for.
    pub fn secret_context(id: ClientConfigurationId) -> SealContext {
        SealContext {
            table: "client_configurations",
            column: "client_secret_sealed",
            row: *id.as_uuid().as_bytes(),
        }
    }

    /// Returns what the private key of this row is sealed for.
    pub fn private_key_context(id: ClientConfigurationId) -> SealContext {
        SealContext {
            column: "private_key_sealed",
            ..Self::secret_context(id)
        }
    }
}

#[expect(
    clippy::struct_excessive_bools,
    reason = "columns, independent of each other"
)]
#[derive(sqlx_macros::FromRow)]
struct Row {
    client_configuration_id: Uuid,
    key: String,
    name: String,
    profile: String,
    flow: String,
    client_id: String,
    client_secret_sealed: Option<Vec<u8>>,
    has_client_secret: bool,
    private_key_sealed: Option<Vec<u8>>,
    has_private_key: bool,
    certificate_pem: Option<String>,
    token_origin: Option<String>,
    token_endpoint_auth: Option<String>,
    issuer: Option<String>,
    authorize_url: Option<String>,
    token_url: Option<String>,
    userinfo_url: Option<String>,
    jwks_url: Option<String>,
    scopes: Vec<String>,
    identity_claim: Option<String>,
    extra_authorize_parameters: Value,
    ca_pem: Option<String>,
    is_redirect_shared: bool,
    is_inbound: bool,
    is_outbound: bool,
    refusal: Option<Value>,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
}

impl TryFrom<Row> for ClientConfiguration {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let of = RowOf {
            table: "client_configurations",
            id: row.client_configuration_id,
        };
        let auth = row.token_endpoint_auth.as_deref();
        Ok(Self {
            id: ClientConfigurationId::from_uuid(row.client_configuration_id),
            key: Key::try_new(row.key).map_err(|_| of.bad("key"))?,
            name: row.name,
            profile: row.profile,
            flow: of.parse("flow", &row.flow)?,
            client_id: row.client_id,
            client_secret: RowSecret::of_columns(
                row.has_client_secret,
                of.sealed("client_secret_sealed", row.client_secret_sealed)?,
            ),
            private_key: RowSecret::of_columns(
                row.has_private_key,
                of.sealed("private_key_sealed", row.private_key_sealed)?,
            ),
            certificate_pem: row.certificate_pem,
            token_origin: row.token_origin,
            token_endpoint_auth: auth
                .map(|text| of.parse("token_endpoint_auth", text))
                .transpose()?,
            issuer: row.issuer,
            authorize_url: row.authorize_url,
            token_url: row.token_url,
            userinfo_url: row.userinfo_url,
            jwks_url: row.jwks_url,
            scopes: row.scopes,
            identity_claim: row.identity_claim,
            extra_authorize_parameters: of
                .json(
                    "extra_authorize_parameters",
                    Some(row.extra_authorize_parameters),
                )?
                .unwrap_or_default(),
            ca_pem: row.ca_pem,
            is_redirect_shared: row.is_redirect_shared,
            is_inbound: row.is_inbound,
            is_outbound: row.is_outbound,
            refusal: of.json("refusal", row.refusal)?,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

macro_rules! select {
    ($secrets:literal, $rest:literal) => {
        concat!(
            "SELECT client_configuration_id, key, name, profile, flow, client_id, ",
            $secrets,
            ", has_client_secret, has_private_key, certificate_pem, token_origin, token_endpoint_auth,
                    issuer, authorize_url, token_url, userinfo_url, jwks_url,
                    scopes, identity_claim, extra_authorize_parameters, ca_pem,
                    is_redirect_shared, is_inbound, is_outbound, refusal, created_at, updated_at
             FROM client_configurations ",
            $rest
        )
    };
}

/// For a role that may not read secrets and keys, sealed as they are.
macro_rules! select_without_secret {
    ($rest:literal) => {
        select!(
            "NULL::bytea AS client_secret_sealed, NULL::bytea AS private_key_sealed",
            $rest
        )
    };
}

/// Stores a new one.
///
/// # Errors
/// [`StoreError::Conflict`] when the key is taken.
pub async fn insert(tx: &mut Tx, client: &ClientConfiguration) -> Result<(), StoreError> {
    write(
        tx,
        client,
        "INSERT INTO client_configurations
             (client_configuration_id, key, name, profile, client_id, client_secret_sealed,
              token_endpoint_auth, issuer, authorize_url, token_url, userinfo_url, jwks_url,
              scopes, identity_claim, extra_authorize_parameters, ca_pem,
              is_inbound, is_outbound, updated_at, created_at, token_origin, is_redirect_shared,
              private_key_sealed, certificate_pem, flow)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $19, $20, $21,
                 $22, $23, $24)",
        "insert a client configuration",
    )
    .await
}

macro_rules! update {
    ($secrets:literal, $unread:literal) => {
        concat!(
            "UPDATE client_configurations
             SET key = $2, name = $3, profile = $4, client_id = $5,
                 token_endpoint_auth = $7, issuer = $8, authorize_url = $9, token_url = $10,
                 userinfo_url = $11, jwks_url = $12, scopes = $13,
                 identity_claim = $14, extra_authorize_parameters = $15, ca_pem = $16,
                 is_inbound = $17, is_outbound = $18, updated_at = $19, token_origin = $20,
                 is_redirect_shared = $21, certificate_pem = $23, refusal = NULL",
            $secrets,
            " WHERE client_configuration_id = $1 AND flow = $24 AND ",
            $unread
        )
    };
}

/// Stores a changed one; a refusal by the provider is forgotten, since the cause may be mended.
///
/// # Errors
/// [`StoreError::RowGone`] when it was deleted meanwhile.
pub async fn update(tx: &mut Tx, client: &ClientConfiguration) -> Result<(), StoreError> {
    // COALESCE would read the columns. Each parameter must stand somewhere.
    let is_unread = |secret: &RowSecret| *secret == RowSecret::Unread;
    let statement = match (
        is_unread(&client.client_secret),
        is_unread(&client.private_key),
    ) {
        (true, true) => update!("", "$6::bytea IS NULL AND $22::bytea IS NULL"),
        (true, false) => update!(", private_key_sealed = $22", "$6::bytea IS NULL"),
        (false, true) => update!(", client_secret_sealed = $6", "$22::bytea IS NULL"),
        (false, false) => update!(
            ", client_secret_sealed = $6, private_key_sealed = $22",
            "true"
        ),
    };
    write(tx, client, statement, "update a client configuration").await
}

async fn write(
    tx: &mut Tx,
    client: &ClientConfiguration,
    statement: &'static str,
    operation: &'static str,
) -> Result<(), StoreError> {
    let done = sqlx::query(statement)
        .bind(client.id.as_uuid())
        .bind(client.key.as_str())
        .bind(&client.name)
        .bind(&client.profile)
        .bind(&client.client_id)
        .bind(client.client_secret.bytes())
        .bind(client.token_endpoint_auth.map(TokenEndpointAuth::as_str))
        .bind(&client.issuer)
        .bind(&client.authorize_url)
        .bind(&client.token_url)
        .bind(&client.userinfo_url)
        .bind(&client.jwks_url)
        .bind(&client.scopes)
        .bind(&client.identity_claim)
        .bind(Json(&client.extra_authorize_parameters))
        .bind(&client.ca_pem)
        .bind(client.is_inbound)
        .bind(client.is_outbound)
        .bind(client.updated_at)
        .bind(&client.token_origin)
        .bind(client.is_redirect_shared)
        .bind(client.private_key.bytes())
        .bind(&client.certificate_pem)
        .bind(client.flow.as_str())
        .execute(tx.connection())
        .await
        .map_err(StoreError::query(operation))?;
    one_row(&done, operation)
}

/// Lists all, by key, without their secrets.
///
/// # Errors
/// When the database fails.
pub async fn list(tx: &mut Tx) -> Result<Vec<ClientConfiguration>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(select_without_secret!("ORDER BY key"))
        .fetch_all(tx.connection())
        .await
        .map_err(StoreError::query("list client configurations"))?;
    rows.into_iter().map(TryFrom::try_from).collect()
}

/// Finds one by key, without its secret.
///
/// # Errors
/// When the database fails.
pub async fn find_by_key(
    tx: &mut Tx,
    key: &Key,
) -> Result<Option<ClientConfiguration>, StoreError> {
    let row: Option<Row> = sqlx::query_as(select_without_secret!("WHERE key = $1"))
        .bind(key.as_str())
        .fetch_optional(tx.connection())
        .await
        .map_err(StoreError::query("find a client configuration"))?;
    row.map(TryFrom::try_from).transpose()
}

/// Finds one by key, without its secret, locking it until the transaction ends.
///
/// # Errors
/// When the database fails.
pub async fn find_for_update(
    tx: &mut Tx,
    key: &Key,
) -> Result<Option<ClientConfiguration>, StoreError> {
    let row: Option<Row> = sqlx::query_as(select_without_secret!("WHERE key = $1 FOR UPDATE"))
        .bind(key.as_str())
        .fetch_optional(tx.connection())
        .await
        .map_err(StoreError::query("find a client configuration to change"))?;
    row.map(TryFrom::try_from).transpose()
}

/// Finds one by id, with its secret.
///
/// # Errors
/// When the database fails.
pub async fn find(
    tx: &mut Tx,
    id: ClientConfigurationId,
) -> Result<Option<ClientConfiguration>, StoreError> {
    let row: Option<Row> = sqlx::query_as(select!(
        "client_secret_sealed, private_key_sealed",
        "WHERE client_configuration_id = $1"
    ))
    .bind(id.as_uuid())
    .fetch_optional(tx.connection())
    .await
    .map_err(StoreError::query("find a client configuration"))?;
    row.map(TryFrom::try_from).transpose()
}

/// As [`find`], without the secret.
///
/// # Errors
/// When the database fails.
pub async fn find_without_secret(
    tx: &mut Tx,
    id: ClientConfigurationId,
) -> Result<Option<ClientConfiguration>, StoreError> {
    let row: Option<Row> =
        sqlx::query_as(select_without_secret!("WHERE client_configuration_id = $1"))
            .bind(id.as_uuid())
            .fetch_optional(tx.connection())
            .await
            .map_err(StoreError::query(
                "find a client configuration without its secret",
            ))?;
    row.map(TryFrom::try_from).transpose()
}

/// Binds the client secret to the token endpoint that it was first used at, unless it is bound or was changed since it
/// was read. Returns whether it did.
///
/// # Errors
/// When the database fails.
pub async fn bind_token_origin(
    tx: &mut Tx,
    client: &ClientConfiguration,
    origin: &str,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "UPDATE client_configurations SET token_origin = $3
         WHERE client_configuration_id = $1 AND updated_at = $2 AND token_origin IS NULL",
    )
    .bind(client.id.as_uuid())
    .bind(client.updated_at)
    .bind(origin)
    .execute(tx.connection())
    .await
    .map_err(StoreError::query(
        "bind a client secret to its token endpoint",
    ))?;
    Ok(done.rows_affected() == 1)
}

/// Returns whether another configuration than this uses the shared redirect URI, too.
///
/// # Errors
/// When the database fails.
pub async fn has_shared_redirect_besides(
    tx: &mut Tx,
    id: ClientConfigurationId,
) -> Result<bool, StoreError> {
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM client_configurations
         WHERE is_redirect_shared AND client_configuration_id <> $1)",
    )
    .bind(id.as_uuid())
    .fetch_one(tx.connection())
    .await
    .map_err(StoreError::query("look for a shared redirect URI"))
}

/// Records that the provider refuses the client as a whole, or no longer does. Returns whether
/// that changed anything.
///
/// # Errors
/// When the database fails.
pub async fn set_refusal(
    tx: &mut Tx,
    id: ClientConfigurationId,
    refusal: Option<&Problem>,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "UPDATE client_configurations SET refusal = $2
         WHERE client_configuration_id = $1 AND (refusal IS NULL) <> ($2::jsonb IS NULL)",
    )
    .bind(id.as_uuid())
    .bind(to_json(refusal))
    .execute(tx.connection())
    .await
    .map_err(StoreError::query("record a client's refusal"))?;
    Ok(done.rows_affected() == 1)
}

/// Deletes one and its grants; returns whether it was there.
///
/// # Errors
/// [`StoreError::Conflict`] while accounts use it.
pub async fn delete(tx: &mut Tx, id: ClientConfigurationId) -> Result<bool, StoreError> {
    let done = sqlx::query("DELETE FROM client_configurations WHERE client_configuration_id = $1")
        .bind(id.as_uuid())
        .execute(tx.connection())
        .await
        .map_err(StoreError::query("delete a client configuration"))?;
    Ok(done.rows_affected() == 1)
}
