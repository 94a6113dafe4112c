use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{ControlError, Desk};
use crate::mailbox::MailStoreError;
use crate::token::GrantRequest;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Owner {
    address: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Life {
    seconds: u64,
}

/// Gives tokens without a browser, as if the owner had consented.
pub(super) async fn issue(
    State(desk): State<Arc<Desk>>,
    Json(request): Json<GrantRequest>,
) -> Result<Json<Value>, ControlError> {
    if desk.provider.mail.find(&request.address).is_none() {
        return Err(MailStoreError::UnknownMailbox.into());
    }
    let tokens = desk.provider.tokens.issue(&request);
    Ok(Json(json!({
        "access_token": tokens.access_token,
        "refresh_token": tokens.refresh_token,
        "expires_in": tokens.expires_in_seconds,
        "scopes": tokens.scopes,
    })))
}

pub(super) async fn expire(State(desk): State<Arc<Desk>>, Json(owner): Json<Owner>) -> Json<Value> {
    let expired = desk.provider.tokens.expire_access(&owner.address);
    Json(json!({"expired": expired}))
}

pub(super) async fn revoke(State(desk): State<Arc<Desk>>, Json(owner): Json<Owner>) -> Json<Value> {
    let revoked = desk.provider.tokens.revoke_address(&owner.address);
    desk.provider.consents.forget(&owner.address);
    Json(json!({"revoked": revoked}))
}

pub(super) async fn set_life(State(desk): State<Arc<Desk>>, Json(life): Json<Life>) -> StatusCode {
    desk.provider.tokens.set_access_seconds(life.seconds);
    StatusCode::NO_CONTENT
}

pub(super) async fn rotate_key(State(desk): State<Arc<Desk>>) -> Result<StatusCode, ControlError> {
    desk.provider.key.rotate()?;
    Ok(StatusCode::NO_CONTENT)
}
