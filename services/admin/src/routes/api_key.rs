use axum::Json;
use axum::extract::State;
use http::StatusCode;
use mailmesh_domain::{ApiKeyId, Key, Role};
use mailmesh_secrets::{ExposeSecret, SecretString};
use mailmesh_store::api_key::{self as store, ApiKey};
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use tracing::info;

use crate::access::{Administrator, Caller, new_key};
use crate::context::{ServiceContext, SharedContext};
use crate::error::ApiError;
use crate::extract::{JsonBody, PathId};
use crate::field::{Faults, Field};

const MOST_ACCOUNTS: usize = 1000;
const MOST_DAYS: i64 = 3_650;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ApiKeyInput {
    name: Field<String>,
    role: Field<Role>,
    /// The accounts that the key is for; all when absent.
    accounts: Field<Vec<String>>,
    /// Whether raw mails and attachments may be read.
    raw_mail: Field<bool>,
    /// For how many days the key is accepted; until it is revoked when absent.
    valid_days: Field<i64>,
}

#[derive(Debug, Serialize)]
pub(super) struct ApiKeyView {
    id: ApiKeyId,
    name: String,
    role: Role,
    accounts: Option<Vec<Key>>,
    raw_mail: bool,
    /// The id of the key that it was made with; null when it was made on the host.
    made_by: Option<ApiKeyId>,
    #[serde(with = "time::serde::rfc3339::option")]
    expires_at: Option<OffsetDateTime>,
    /// To the minute.
    #[serde(with = "time::serde::rfc3339::option")]
    last_used_at: Option<OffsetDateTime>,
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
            accounts: key.accounts,
            raw_mail: key.may_read_raw,
            made_by: key.made_by,
            expires_at: key.expires_at,
            last_used_at: key.last_used_at,
            created_at: key.created_at,
            revoked_at: key.revoked_at,
        }
    }
}

pub(super) async fn list(
    _: Administrator,
    State(app): State<SharedContext>,
) -> Result<Json<ApiKeyList>, ApiError> {
    let mut tx = app.begin().await?;
    let keys = store::list(&mut tx).await?;
    let api_keys = keys.into_iter().map(ApiKeyView::from).collect();
    Ok(Json(ApiKeyList { api_keys }))
}

pub(super) async fn create(
    caller: Administrator,
    State(app): State<SharedContext>,
    JsonBody(input, faults): JsonBody<ApiKeyInput>,
) -> Result<(StatusCode, Json<Made>), ApiError> {
    let (row, key, hash) = read(input, faults, &app, caller.key().id)?;
    let mut tx = app.begin().await?;
    store::insert(&mut tx, &row, &hash).await?;
    app.commit(tx).await?;
    info!(api_key.id = %row.id, role = %row.role, "API key made");
    let made = Made {
        view: row.into(),
        key: key.expose_secret().to_owned(),
    };
    Ok((StatusCode::CREATED, Json(made)))
}

fn read(
    input: ApiKeyInput,
    mut faults: Faults,
    app: &ServiceContext,
    made_by: ApiKeyId,
) -> Result<(ApiKey, SecretString, [u8; 32]), ApiError> {
    let name = input.name.over(None).unwrap_or_default();
    faults.text("name", &name, 200);
    let role = input.role.over(None).unwrap_or_else(|| {
        faults.add("role", "is required: viewer, modeller or administrator");
        Role::Viewer
    });
    let is_administrator = role == Role::Administrator;
    let accounts = input
        .accounts
        .over(None)
        .map(|keys| read_accounts(&keys, &mut faults));
    if is_administrator && accounts.is_some() {
        faults.add("accounts", "must be left out for the role administrator");
    }
    let may_read_raw = input.raw_mail.over(None).unwrap_or(is_administrator);
    if is_administrator && !may_read_raw {
        faults.add("raw_mail", "must be true for the role administrator");
    }
    let days = input.valid_days.over(None);
    let days = days.map(|days| faults.number("valid_days", days, 1, MOST_DAYS));
    faults.finish()?;
    let (key, hash) = new_key();
    let now = app.now();
    let row = ApiKey {
        id: ApiKeyId::generate(&*app.replica.clock),
        name,
        role,
        accounts,
        may_read_raw,
        made_by: Some(made_by),
        created_at: now,
        expires_at: days.map(|days| now + Duration::days(i64::from(days))),
        last_used_at: None,
        revoked_at: None,
    };
    Ok((row, key, hash))
}

/// An account may be named before it is made: then the key may make it.
fn read_accounts(keys: &[String], faults: &mut Faults) -> Vec<Key> {
    if keys.is_empty() || keys.len() > MOST_ACCOUNTS {
        faults.add(
            "accounts",
            format!("must hold 1 to {MOST_ACCOUNTS} keys of accounts"),
        );
    }
    let keys = keys.iter().take(MOST_ACCOUNTS).enumerate();
    let read = keys.filter_map(|(index, text)| match Key::try_new(text) {
        Ok(key) => Some(key),
        Err(fault) => {
            faults.add(format!("accounts[{index}]"), fault);
            None
        }
    });
    read.collect()
}

pub(super) async fn revoke(
    _: Administrator,
    State(app): State<SharedContext>,
    PathId(id): PathId<ApiKeyId>,
) -> Result<StatusCode, ApiError> {
    let mut tx = app.begin().await?;
    // Locks all keys: of two administrators that revoke each other's key at the same time, one must remain.
    store::lock_and_check_any(&mut tx).await?;
    let keys = store::list(&mut tx).await?;
    // One that ends by itself would lock everybody out later.
    let mut others = keys.iter().filter(|key| {
        let is_lasting = key.revoked_at.is_none() && key.expires_at.is_none();
        key.id != id && key.role == Role::Administrator && is_lasting
    });
    if !keys
        .iter()
        .any(|key| key.id == id && key.revoked_at.is_none())
    {
        return Err(ApiError::NotFound { what: "API key" });
    }
    if others.next().is_none() {
        return Err(ApiError::conflict(
            "it is the last key with the role administrator that does not end",
            "Make another administrator's key without valid_days first.",
        ));
    }
    store::revoke(&mut tx, id, app.now()).await?;
    app.commit(tx).await?;
    app.known_keys.forget();
    info!(api_key.id = %id, "API key revoked");
    Ok(StatusCode::NO_CONTENT)
}
