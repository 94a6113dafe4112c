use axum::Json;
use axum::extract::State;
use http::StatusCode;
use mailmesh_domain::{Authorisation, SignInId};
use mailmesh_secrets::{ExposeSecret, random_token, sha256};
use mailmesh_store::{account, client_configuration, sign_in};
use serde::Serialize;
use time::{Duration, OffsetDateTime};
use tracing::info;

use crate::access::{Caller, Modeller};
use crate::context::SharedContext;
use crate::error::ApiError;
use crate::extract::PathKey;

const LINK_BYTES: usize = 32;
const VALID_FOR: Duration = Duration::hours(1);

#[derive(Debug, Serialize)]
pub(super) struct SignInLink {
    /// For the mailbox's owner; leads to the provider once.
    url: String,
    #[serde(with = "time::serde::rfc3339")]
    expires_at: OffsetDateTime,
}

pub(super) async fn create(
    caller: Modeller,
    State(app): State<SharedContext>,
    PathKey(key): PathKey,
) -> Result<(StatusCode, Json<SignInLink>), ApiError> {
    caller.check_account(&key, "account")?;
    let mut tx = app.begin().await?;
    let account = account::find_by_key(&mut tx, &key).await?;
    let account = account.ok_or(ApiError::NotFound { what: "account" })?;
    if account.authorisation != Authorisation::OAuth2 {
        return Err(ApiError::conflict(
            format!("the account's authorisation is {}", account.authorisation),
            "Only accounts with authorisation oauth2 sign in.",
        ));
    }
    let client = match account.client_configuration_id {
        Some(id) => client_configuration::find_without_secret(&mut tx, id).await?,
        None => None,
    };
    if let Some(client) = client.filter(|client| client.flow.is_app()) {
        return Err(ApiError::conflict(
            format!(
                "nobody signs in with the client configuration {}: its flow is {}",
                client.key, client.flow
            ),
            "Nothing needs to be done: its tokens are fetched by themselves. What is wrong, if anything, stands in the account's problem.",
        ));
    }
    let link = random_token(LINK_BYTES);
    let link = link.expose_secret();
    let now = app.now();
    let expires_at = now + VALID_FOR;
    let id = SignInId::generate(&*app.replica.clock);
    let hash = sha256(link.as_bytes());
    sign_in::insert(&mut tx, id, account.id, &hash, expires_at, now).await?;
    app.commit(tx).await?;
    info!(account.id = %account.id, account.key = %key, "Sign-in link made");
    let url = app.public.connect_url(link).to_string();
    Ok((StatusCode::CREATED, Json(SignInLink { url, expires_at })))
}
