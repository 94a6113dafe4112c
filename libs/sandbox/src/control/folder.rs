use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;

use super::{ControlError, Desk};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewName {
    name: String,
}

pub(super) async fn create(
    State(desk): State<Arc<Desk>>,
    Path(address): Path<String>,
    Json(new): Json<NewName>,
) -> Result<StatusCode, ControlError> {
    desk.provider.mail.create_folder(&address, &new.name)?;
    Ok(StatusCode::CREATED)
}

pub(super) async fn rename(
    State(desk): State<Arc<Desk>>,
    Path((address, folder)): Path<(String, String)>,
    Json(new): Json<NewName>,
) -> Result<StatusCode, ControlError> {
    let mail = &desk.provider.mail;
    mail.rename_folder(&address, &folder, &new.name)?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn remove(
    State(desk): State<Arc<Desk>>,
    Path((address, folder)): Path<(String, String)>,
) -> Result<StatusCode, ControlError> {
    desk.provider.mail.delete_folder(&address, &folder)?;
    Ok(StatusCode::NO_CONTENT)
}
