use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::ProviderState;
use super::counter::AtomicCounters;
use super::failure::TokenFailure;
use super::fields::FormFields;
use super::refuse::refuse;
use crate::fault::http::stumble;

/// Answers whether a token is active, and whose it is (RFC 7662).
pub(super) async fn introspect(
    State(provider): State<Arc<ProviderState>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    AtomicCounters::add(&provider.counters.introspections);
    let fields = FormFields::parse(&body);
    if let Some(response) = stumble(&provider.faults, "oauth.introspect", None).await {
        return response;
    }
    if let Err(failure) = provider.clients.authenticate(&headers, &fields) {
        return refuse(&provider, failure);
    }
    match fields.get("token") {
        Some(token) => Json(describe(&provider, token)).into_response(),
        None => refuse(&provider, TokenFailure::Missing("token")),
    }
}

fn describe(provider: &ProviderState, token: &str) -> Value {
    let (holder, kind) = match provider.tokens.check_access(token) {
        Ok(holder) => (Some(holder), "Bearer"),
        Err(_) => (provider.tokens.check_refresh(token), "refresh_token"),
    };
    let (Some(holder), Some((client_id, _))) = (holder, provider.tokens.find_owner(token)) else {
        return json!({"active": false});
    };
    let mut answer = Map::new();
    let mut tell = |name: &str, value: Value| {
        answer.insert(name.to_owned(), value);
    };
    tell("active", json!(true));
    tell("scope", json!(holder.scopes.join(" ")));
    tell("client_id", json!(client_id));
    tell("username", json!(holder.address));
    tell("token_type", json!(kind));
    tell("sub", json!(provider.subject(&holder.address)));
    tell("iss", json!(provider.base_url));
    if let Some(expires_at) = provider.tokens.find_expiry(token) {
        tell("exp", json!(expires_at.unix_timestamp()));
    }
    Value::Object(answer)
}
