use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::claim::describe_owner;
use super::counter::AtomicCounters;
use super::{ProviderState, find_bearer};
use crate::fault::http::stumble;

/// Answers who owns an access token.
pub(super) async fn show(
    State(provider): State<Arc<ProviderState>>,
    headers: HeaderMap,
) -> Response {
    AtomicCounters::add(&provider.counters.userinfo_requests);
    let holder = find_bearer(&headers).map(|token| provider.tokens.check_access(token));
    let address = match &holder {
        Some(Ok(holder)) => Some(holder.address.as_str()),
        _ => None,
    };
    if let Some(response) = stumble(&provider.faults, "oauth.userinfo", address).await {
        return response;
    }
    let holder = match holder {
        Some(Ok(holder)) => holder,
        Some(Err(_)) => {
            return challenge(StatusCode::UNAUTHORIZED, "Bearer error=\"invalid_token\"");
        }
        None => return challenge(StatusCode::UNAUTHORIZED, "Bearer"),
    };
    let has = |scope| provider.has_scope(&holder.scopes, scope);
    if !has("openid") && !has("email") && !has("profile") {
        let reason = "Bearer error=\"insufficient_scope\", scope=\"openid\"";
        return challenge(StatusCode::FORBIDDEN, reason);
    }
    Json(describe_owner(&provider, &holder.address, &holder.scopes)).into_response()
}

fn challenge(status: StatusCode, value: &'static str) -> Response {
    (status, [(header::WWW_AUTHENTICATE, value)]).into_response()
}
