//! Grants of clients that need no person: they begin without a token, and `token-refresh` fetches it like any other.

use mailmesh_domain::{ClientConfigurationId, Flow, GrantId, Key};
use mailmesh_secrets::SealedSecret;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::convert::RowOf;
use crate::{StoreError, Tx};

/// A mailbox whose client needs no person, with an account that has no grant yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppLogin {
    pub client_configuration_id: ClientConfigurationId,
    pub flow: Flow,
    /// As an account writes it.
    pub login: String,
}

/// Lists mailboxes that need a grant, with the lock on an account of each. None while another replica is at it: two could
/// each hold one account of a mailbox that the other waits for.
///
/// # Errors
/// When the database fails.
pub async fn list_logins_without_grant(
    tx: &mut Tx,
    limit: i64,
) -> Result<Vec<AppLogin>, StoreError> {
    let failed = StoreError::query("look for accounts without a grant");
    let is_alone: bool =
        sqlx::query_scalar("SELECT pg_try_advisory_xact_lock(hashtext('mailmesh app grants'))")
            .fetch_one(tx.connection())
            .await
            .map_err(&failed)?;
    if !is_alone {
        return Ok(Vec::new());
    }
    // Accounts that wait for a person are never read: of each client, the flow comes first. An account that was made with a key
    // on another's login never gets that mailbox's tokens without its owner.
    let rows: Vec<(Uuid, String, String)> = sqlx::query_as(
        "SELECT c.client_configuration_id, c.flow, a.login FROM client_configurations c
         CROSS JOIN LATERAL (
             SELECT login FROM accounts
             WHERE client_configuration_id = c.client_configuration_id AND grant_id IS NULL
               AND authorisation = 'oauth2' AND is_enabled AND signs_in_for IS NULL
             LIMIT $1 FOR UPDATE SKIP LOCKED
         ) a
         WHERE c.flow <> 'user' LIMIT $1",
    )
    .bind(limit)
    .fetch_all(tx.connection())
    .await
    .map_err(&failed)?;
    let mut logins: Vec<AppLogin> = Vec::new();
    for (client, flow, login) in rows {
        let of = RowOf {
            table: "client_configurations",
            id: client,
        };
        let client_configuration_id = ClientConfigurationId::from_uuid(client);
        let is_known = logins.iter().any(|other| {
            other.client_configuration_id == client_configuration_id
                && other.login.to_lowercase() == login.to_lowercase()
        });
        if !is_known {
            logins.push(AppLogin {
                client_configuration_id,
                flow: of.parse("flow", &flow)?,
                login,
            });
        }
    }
    Ok(logins)
}

/// Gives the accounts of a mailbox its grant: the one that it has, else a new one without a token, which is due at once.
/// Returns the accounts. `no_token` is an empty text, sealed for the new row: services of an earlier release read the column,
/// too, and wait because the token has ended.
///
/// # Errors
/// When the database fails.
pub async fn start_app_grant(
    tx: &mut Tx,
    login: &AppLogin,
    (id, no_token): (GrantId, &SealedSecret),
    now: OffsetDateTime,
) -> Result<Vec<Key>, StoreError> {
    let failed = StoreError::query("start an application's grant");
    sqlx::query(
        "INSERT INTO grants
             (grant_id, client_configuration_id, flow, subject, address, scopes, state,
              access_token_sealed, generation, access_expires_at, refresh_due_at, created_at, updated_at)
         VALUES ($1, $2, $3, lower($4), $4, '{}', 'active', $5, 0, $6, $6, $6, $6)
         ON CONFLICT (client_configuration_id, subject) DO NOTHING",
    )
    .bind(id.as_uuid())
    .bind(login.client_configuration_id.as_uuid())
    .bind(login.flow.as_str())
    .bind(&login.login)
    .bind(no_token.as_bytes())
    .bind(now)
    .execute(tx.connection())
    .await
    .map_err(&failed)?;
    let keys: Vec<String> = sqlx::query_scalar(
        "UPDATE accounts a SET grant_id = g.grant_id, revision = a.revision + 1,
             connection_revision = a.revision + 1, updated_at = $3
         FROM grants g
         WHERE g.client_configuration_id = $1 AND g.subject = lower($2)
           AND a.client_configuration_id = $1 AND lower(a.login) = lower($2)
           AND a.grant_id IS NULL AND a.authorisation = 'oauth2' AND a.signs_in_for IS NULL
         RETURNING a.key",
    )
    .bind(login.client_configuration_id.as_uuid())
    .bind(&login.login)
    .bind(now)
    .fetch_all(tx.connection())
    .await
    .map_err(&failed)?;
    Ok(keys
        .into_iter()
        .filter_map(|key| Key::try_new(key).ok())
        .collect())
}

/// Returns how the tokens of a grant come; none when it is gone.
///
/// # Errors
/// When the database fails.
pub async fn find_flow(tx: &mut Tx, id: GrantId) -> Result<Option<Flow>, StoreError> {
    let flow: Option<String> = sqlx::query_scalar("SELECT flow FROM grants WHERE grant_id = $1")
        .bind(id.as_uuid())
        .fetch_optional(tx.connection())
        .await
        .map_err(StoreError::query("read the flow of a grant"))?;
    let of = RowOf {
        table: "grants",
        id,
    };
    flow.map(|flow| of.parse("flow", &flow)).transpose()
}
