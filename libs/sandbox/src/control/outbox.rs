use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{ControlError, Desk};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sink {
    on: bool,
}

pub(super) async fn list(State(desk): State<Arc<Desk>>) -> Json<Value> {
    let submissions: Vec<Value> = desk
        .provider
        .mail
        .outbox()
        .iter()
        .map(|submission| {
            json!({
                "id": submission.id,
                "account": submission.account,
                "sender": submission.sender,
                "recipients": submission.recipients,
                "bytes": submission.raw.len(),
            })
        })
        .collect();
    Json(json!(submissions))
}

pub(super) async fn show(
    State(desk): State<Arc<Desk>>,
    Path(id): Path<u64>,
) -> Result<impl IntoResponse, ControlError> {
    let outbox = desk.provider.mail.outbox();
    let found = outbox.into_iter().find(|submission| submission.id == id);
    let submission = found.ok_or(ControlError::Missing { what: "mail" })?;
    Ok(([(header::CONTENT_TYPE, "message/rfc822")], submission.raw))
}

pub(super) async fn clear(State(desk): State<Arc<Desk>>) -> StatusCode {
    desk.provider.mail.clear_outbox();
    StatusCode::NO_CONTENT
}

pub(super) async fn set_sink(State(desk): State<Arc<Desk>>, Json(sink): Json<Sink>) -> StatusCode {
    desk.provider.mail.sink_mode(sink.on);
    StatusCode::NO_CONTENT
}
