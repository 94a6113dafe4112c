use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{ControlError, Desk};
use crate::mailbox::Pop3Quirks;
use crate::settings::MailboxSettings;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FolderChoice {
    folder: Option<String>,
}

impl FolderChoice {
    pub(super) fn folder(&self) -> &str {
        self.folder.as_deref().unwrap_or("INBOX")
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewPassword {
    password: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Load {
    count: usize,
    bytes_each: usize,
}

pub(super) async fn list(State(desk): State<Arc<Desk>>) -> Json<Value> {
    let mail = &desk.provider.mail;
    let mailboxes: Vec<Value> = mail
        .addresses()
        .into_iter()
        .filter_map(|address| {
            let folders = mail.folders(&address).ok()?;
            Some(json!({"address": address, "folders": folders}))
        })
        .collect();
    Json(json!(mailboxes))
}

pub(super) async fn create(
    State(desk): State<Arc<Desk>>,
    Json(mailbox): Json<MailboxSettings>,
) -> Result<StatusCode, ControlError> {
    desk.provider
        .mail
        .create(&mailbox.address, &mailbox.password)?;
    Ok(StatusCode::CREATED)
}

/// Removes a mailbox; its tokens go with it.
pub(super) async fn remove(
    State(desk): State<Arc<Desk>>,
    Path(address): Path<String>,
) -> Result<StatusCode, ControlError> {
    desk.provider.mail.delete(&address)?;
    desk.provider.tokens.revoke_address(&address);
    desk.provider.consents.forget(&address);
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn set_password(
    State(desk): State<Arc<Desk>>,
    Path(address): Path<String>,
    Json(new): Json<NewPassword>,
) -> Result<StatusCode, ControlError> {
    desk.provider.mail.set_password(&address, &new.password)?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn reset_uid_validity(
    State(desk): State<Arc<Desk>>,
    Path(address): Path<String>,
    Query(place): Query<FolderChoice>,
) -> Result<Json<Value>, ControlError> {
    let mail = &desk.provider.mail;
    let uid_validity = mail.reset_uid_validity(&address, place.folder())?;
    Ok(Json(json!({"uid_validity": uid_validity})))
}

pub(super) async fn preload(
    State(desk): State<Arc<Desk>>,
    Path(address): Path<String>,
    Json(load): Json<Load>,
) -> Result<StatusCode, ControlError> {
    desk.provider
        .mail
        .preload(&address, load.count, load.bytes_each)?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn expire_sessions(
    State(desk): State<Arc<Desk>>,
    Path(address): Path<String>,
) -> Result<StatusCode, ControlError> {
    desk.provider.mail.expire_sessions(&address)?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn show_pop3_quirks(
    State(desk): State<Arc<Desk>>,
    Path(address): Path<String>,
) -> Result<Json<Pop3Quirks>, ControlError> {
    Ok(Json(desk.provider.mail.pop3_quirks(&address)?))
}

pub(super) async fn set_pop3_quirks(
    State(desk): State<Arc<Desk>>,
    Path(address): Path<String>,
    Json(quirks): Json<Pop3Quirks>,
) -> Result<StatusCode, ControlError> {
    desk.provider.mail.set_pop3_quirks(&address, quirks)?;
    Ok(StatusCode::NO_CONTENT)
}
