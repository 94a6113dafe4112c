use axum::Json;
use axum::extract::State;
use http::StatusCode;
use mailmesh_domain::{ApiKeyId, Role};
use mailmesh_secrets::ExposeSecret;
use mailmesh_store::api_key::{self as store, ApiKey};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tracing::info;

use crate::access::{Administrator, new_key};
use crate::error::ApiError;
use crate::extract::{JsonBody, PathId};
use crate::field::{Faults, Field};
use crate::state::SharedApp;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ApiKeyInput {
    name: Field<String>,
    role: Field<Role>,
}

#[derive(Debug, Serialize)]
pub(super) struct ApiKeyView {
    id: ApiKeyId,
    name: String,
    role: Role,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    revoked_at: Option<OffsetDateTime>,
}

/// The one answer that holds a key.
#[derive(Serialize)]
pub(super) struct Made {
    #[serde(flatten)]
    view: ApiKeyView,
    key: String,
}

#[derive(Debug, Serialize)]
pub(super) struct ApiKeyList {
    api_keys: Vec<ApiKeyView>,
}

impl From<ApiKey> for ApiKeyView {
    fn from(key: ApiKey) -> Self {
        Self {
            id: key.id,
            name: key.name,
            role: key.role,
            created_at: key.created_at,
            revoked_at: key.revoked_at,
        }
    }
}

pub(super) async fn list(
    _: Administrator,
    State(app): State<SharedApp>,
) -> Result<Json<ApiKeyList>, ApiError> {
    let mut tx = app.begin().await?;
    let keys = store::list(&mut tx).await?;
    let api_keys = keys.into_iter().map(ApiKeyView::from).collect();
    Ok(Json(ApiKeyList { api_keys }))
}

pub(super) async fn create(
    _: Administrator,
    State(app): State<SharedApp>,
    JsonBody(input): JsonBody<ApiKeyInput>,
) -> Result<(StatusCode, Json<Made>), ApiError> {
    let mut faults = Faults::default();
    let name = input.name.over(None).unwrap_or_default();
    faults.text("name", &name, 200);
    let role = input.role.over(None).unwrap_or_else(|| {
        faults.add("role", "is required: viewer, modeller or administrator");
        Role::Viewer
    });
    faults.finish()?;
    let (key, hash) = new_key();
    let row = ApiKey {
        id: ApiKeyId::generate(&*app.replica.clock),
        name,
        role,
        created_at: app.now(),
        revoked_at: None,
    };
    let mut tx = app.begin().await?;
    store::insert(&mut tx, &row, &hash).await?;
    app.commit(tx).await?;
    info!(api_key.id = %row.id, role = %role, "API key made");
    let made = Made {
        view: row.into(),
        key: key.expose_secret().to_owned(),
    };
    Ok((StatusCode::CREATED, Json(made)))
}

pub(super) async fn revoke(
    _: Administrator,
    State(app): State<SharedApp>,
    PathId(id): PathId<ApiKeyId>,
) -> Result<StatusCode, ApiError> {
    let mut tx = app.begin().await?;
    // Locks all keys: of two administrators that revoke each other's key at the same time, one must remain.
    store::lock_and_check_any(&mut tx).await?;
    let keys = store::list(&mut tx).await?;
    let mut others = keys
        .iter()
        .filter(|key| key.id != id && key.role == Role::Administrator && key.revoked_at.is_none());
    if !keys
        .iter()
        .any(|key| key.id == id && key.revoked_at.is_none())
    {
        return Err(ApiError::NotFound { what: "API key" });
    }
    if others.next().is_none() {
        return Err(ApiError::conflict(
            "it is the last key with the role administrator",
            "Make another administrator's key first.",
        ));
    }
    store::revoke(&mut tx, id, app.now()).await?;
    app.commit(tx).await?;
    app.known_keys.forget();
    info!(api_key.id = %id, "API key revoked");
    Ok(StatusCode::NO_CONTENT)
}
