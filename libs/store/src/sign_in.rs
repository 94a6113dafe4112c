//! `sign_ins`: consents under way. One link, one state, each used once.

use mailmesh_domain::{AccountId, ClientConfigurationId, SignInId};
use mailmesh_secrets::{SealContext, SealedSecret};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::convert::{RowOf, one_row};
use crate::{StoreError, Tx};

/// A consent under way, as the callback needs it.
#[derive(Debug, Clone)]
pub struct SignIn {
    pub id: SignInId,
    pub account_id: AccountId,
    /// The hash of the cookie that binds it to one browser.
    pub browser_hash: Vec<u8>,
    /// The nonce that the id token must repeat.
    pub nonce: String,
    /// The PKCE verifier, sealed.
    pub verifier: SealedSecret,
    /// The client configuration that it was started with, and when that was last changed.
    pub client: Option<(ClientConfigurationId, OffsetDateTime)>,
}

/// What a started sign-in is bound to.
#[derive(Debug, Clone)]
pub struct Start<'a> {
    /// The hash of the `state` parameter.
    pub state_hash: &'a [u8; 32],
    /// The hash of the browser's cookie.
    pub browser_hash: &'a [u8; 32],
    pub nonce: &'a str,
    /// The PKCE verifier, sealed.
    pub verifier: &'a SealedSecret,
    /// The client configuration, and when it was last changed.
    pub client: (ClientConfigurationId, OffsetDateTime),
}

impl SignIn {
    /// Returns what the verifier of this row is sealed for.
    pub fn verifier_context(id: SignInId) -> SealContext {
        SealContext {
            table: "sign_ins",
            column: "verifier_sealed",
            row: *id.as_uuid().as_bytes(),
        }
    }
}

/// Stores a one-time link, and forgets those that have ended.
///
/// # Errors
/// When the database fails.
pub async fn insert(
    tx: &mut Tx,
    id: SignInId,
    account: AccountId,
    link_hash: &[u8; 32],
    expires_at: OffsetDateTime,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    let operation = StoreError::query("store a sign-in link");
    sqlx::query("DELETE FROM sign_ins WHERE expires_at < $1 - interval '1 day'")
        .bind(now)
        .execute(tx.connection())
        .await
        .map_err(&operation)?;
    sqlx::query(
        "INSERT INTO sign_ins (sign_in_id, account_id, link_hash, expires_at, created_at)
         VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(id.as_uuid())
    .bind(account.as_uuid())
    .bind(link_hash.as_slice())
    .bind(expires_at)
    .bind(now)
    .execute(tx.connection())
    .await
    .map_err(&operation)?;
    Ok(())
}

/// Finds the link that was not followed to its end and has not expired, locking it.
///
/// # Errors
/// When the database fails.
pub async fn find_link(
    tx: &mut Tx,
    link_hash: &[u8; 32],
    now: OffsetDateTime,
) -> Result<Option<(SignInId, AccountId)>, StoreError> {
    let row: Option<(Uuid, Uuid)> = sqlx::query_as(
        "SELECT sign_in_id, account_id FROM sign_ins
         WHERE link_hash = $1 AND finished_at IS NULL AND expires_at > $2 FOR UPDATE",
    )
    .bind(link_hash.as_slice())
    .bind(now)
    .fetch_optional(tx.connection())
    .await
    .map_err(StoreError::query("find a sign-in link"))?;
    Ok(row.map(|(id, account)| (SignInId::from_uuid(id), AccountId::from_uuid(account))))
}

/// Returns the account that a link was made for, used or not, as long as the link is remembered.
///
/// # Errors
/// When the database fails.
pub async fn find_account_of_link(
    tx: &mut Tx,
    link_hash: &[u8; 32],
) -> Result<Option<AccountId>, StoreError> {
    let id: Option<Uuid> =
        sqlx::query_scalar("SELECT account_id FROM sign_ins WHERE link_hash = $1")
            .bind(link_hash.as_slice())
            .fetch_optional(tx.connection())
            .await
            .map_err(StoreError::query("look for a sign-in link"))?;
    Ok(id.map(AccountId::from_uuid))
}

/// Binds a sign-in to a state, a browser, a nonce and a verifier. Following the link again starts
/// anew and voids what came before; it neither ends the link, because mail scanners open links before
/// people do, nor makes it last longer.
///
/// # Errors
/// [`StoreError::RowGone`] when it is gone.
pub async fn start(
    tx: &mut Tx,
    id: SignInId,
    start: &Start<'_>,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    let operation = "start a sign-in";
    let done = sqlx::query(
        "UPDATE sign_ins SET state_hash = $2, browser_hash = $3, nonce = $4, verifier_sealed = $5,
                             started_at = $6, client_configuration_id = $7, client_updated_at = $8
         WHERE sign_in_id = $1 AND finished_at IS NULL",
    )
    .bind(id.as_uuid())
    .bind(start.state_hash.as_slice())
    .bind(start.browser_hash.as_slice())
    .bind(start.nonce)
    .bind(start.verifier.as_bytes())
    .bind(now)
    .bind(start.client.0.as_uuid())
    .bind(start.client.1)
    .execute(tx.connection())
    .await
    .map_err(StoreError::query(operation))?;
    one_row(&done, operation)
}

#[derive(sqlx_macros::FromRow)]
struct Row {
    sign_in_id: Uuid,
    account_id: Uuid,
    browser_hash: Vec<u8>,
    nonce: String,
    verifier_sealed: Vec<u8>,
    client_configuration_id: Option<Uuid>,
    client_updated_at: Option<OffsetDateTime>,
}

/// Consumes a state: whoever comes second, or a quarter of an hour after the start, finds none. That
/// the link may have ended meanwhile is no matter.
///
/// # Errors
/// When the database fails.
pub async fn consume(
    tx: &mut Tx,
    state_hash: &[u8; 32],
    now: OffsetDateTime,
) -> Result<Option<SignIn>, StoreError> {
    let row: Option<Row> = sqlx::query_as(
        "UPDATE sign_ins SET finished_at = $2
         WHERE state_hash = $1 AND finished_at IS NULL
           AND started_at > $2 - interval '15 minutes'
         RETURNING sign_in_id, account_id, browser_hash, nonce, verifier_sealed,
                   client_configuration_id, client_updated_at",
    )
    .bind(state_hash.as_slice())
    .bind(now)
    .fetch_optional(tx.connection())
    .await
    .map_err(StoreError::query("consume a sign-in"))?;
    row.map(|row| {
        let of = RowOf {
            table: "sign_ins",
            id: row.sign_in_id,
        };
        Ok(SignIn {
            id: SignInId::from_uuid(row.sign_in_id),
            account_id: AccountId::from_uuid(row.account_id),
            browser_hash: row.browser_hash,
            nonce: row.nonce,
            verifier: SealedSecret::from_bytes(row.verifier_sealed)
                .map_err(|_| of.bad("verifier_sealed"))?,
            client: row
                .client_configuration_id
                .map(ClientConfigurationId::from_uuid)
                .zip(row.client_updated_at),
        })
    })
    .transpose()
}
