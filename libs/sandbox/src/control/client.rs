use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{ControlError, Desk};
use crate::settings::{ApplicationSettings, ClientSettings};

pub(super) async fn list(State(desk): State<Arc<Desk>>) -> Json<Value> {
    let clients: Vec<Value> = desk
        .provider
        .clients
        .list()
        .iter()
        .map(|client| json!({"client_id": client.client_id, "redirect_uris": client.redirect_uris}))
        .collect();
    Json(json!(clients))
}

pub(super) async fn register(
    State(desk): State<Arc<Desk>>,
    Json(client): Json<ClientSettings>,
) -> Result<StatusCode, ControlError> {
    desk.provider.clients.register(client)?;
    Ok(StatusCode::CREATED)
}

pub(super) async fn register_application(
    State(desk): State<Arc<Desk>>,
    Json(application): Json<ApplicationSettings>,
) -> StatusCode {
    desk.provider.applications.register(application);
    StatusCode::CREATED
}

pub(super) async fn remove(
    State(desk): State<Arc<Desk>>,
    Path(client_id): Path<String>,
) -> Result<StatusCode, ControlError> {
    if desk.provider.clients.remove(&client_id) {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(ControlError::Missing { what: "client" })
    }
}
