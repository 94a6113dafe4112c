use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{ControlError, Desk};
use crate::fault::{FaultRule, FaultState};

pub(super) async fn list(State(desk): State<Arc<Desk>>) -> Json<Vec<FaultState>> {
    Json(desk.provider.faults.list())
}

pub(super) async fn add(
    State(desk): State<Arc<Desk>>,
    Json(rule): Json<FaultRule>,
) -> Result<(StatusCode, Json<Value>), ControlError> {
    let id = desk.provider.faults.add(rule)?;
    Ok((StatusCode::CREATED, Json(json!({"id": id}))))
}

pub(super) async fn clear(State(desk): State<Arc<Desk>>) -> StatusCode {
    desk.provider.faults.clear();
    StatusCode::NO_CONTENT
}

pub(super) async fn remove(
    State(desk): State<Arc<Desk>>,
    Path(id): Path<u64>,
) -> Result<StatusCode, ControlError> {
    if desk.provider.faults.remove(id) {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(ControlError::Missing { what: "fault" })
    }
}
