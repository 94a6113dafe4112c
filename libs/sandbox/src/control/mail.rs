use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;

use super::mailbox::FolderChoice;
use super::{ControlError, Desk};
use crate::mailbox::Flags;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewFlags {
    flags: Vec<String>,
}

pub(super) async fn list(
    State(desk): State<Arc<Desk>>,
    Path(address): Path<String>,
    Query(place): Query<FolderChoice>,
) -> Result<Json<Value>, ControlError> {
    let mails = desk.provider.mail.list(&address, place.folder())?;
    let mails: Vec<Value> = mails
        .iter()
        .map(|mail| {
            json!({
                "uid": mail.uid,
                "flags": mail.flags.to_string().split_ascii_whitespace().collect::<Vec<_>>(),
                "received_at": mail.received_at.format(&Rfc3339).ok(),
                "popped": mail.is_popped,
                "bytes": mail.raw.len(),
            })
        })
        .collect();
    Ok(Json(json!(mails)))
}

pub(super) async fn deliver(
    State(desk): State<Arc<Desk>>,
    Path(address): Path<String>,
    Query(place): Query<FolderChoice>,
    raw: Bytes,
) -> Result<(StatusCode, Json<Value>), ControlError> {
    let mail = &desk.provider.mail;
    let uid = match place.folder() {
        "INBOX" => mail.deliver(&address, raw)?,
        folder => mail.append(&address, folder, raw, Flags::default())?,
    };
    Ok((StatusCode::CREATED, Json(json!({"uid": uid}))))
}

pub(super) async fn show(
    State(desk): State<Arc<Desk>>,
    Path((address, uid)): Path<(String, u32)>,
    Query(place): Query<FolderChoice>,
) -> Result<impl IntoResponse, ControlError> {
    let mails = desk.provider.mail.list(&address, place.folder())?;
    let found = mails.into_iter().find(|mail| mail.uid == uid);
    let mail = found.ok_or(ControlError::Missing { what: "mail" })?;
    Ok(([(header::CONTENT_TYPE, "message/rfc822")], mail.raw))
}

pub(super) async fn set_flags(
    State(desk): State<Arc<Desk>>,
    Path((address, uid)): Path<(String, u32)>,
    Query(place): Query<FolderChoice>,
    Json(new): Json<NewFlags>,
) -> Result<StatusCode, ControlError> {
    let mut flags = Flags::default();
    for name in &new.flags {
        flags.add_name(name);
    }
    let mail = &desk.provider.mail;
    found(mail.set_flags(&address, place.folder(), uid, &flags)?)
}

pub(super) async fn remove(
    State(desk): State<Arc<Desk>>,
    Path((address, uid)): Path<(String, u32)>,
    Query(place): Query<FolderChoice>,
) -> Result<StatusCode, ControlError> {
    found(desk.provider.mail.remove(&address, place.folder(), uid)?)
}

fn found(is_found: bool) -> Result<StatusCode, ControlError> {
    if is_found {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(ControlError::Missing { what: "mail" })
    }
}
