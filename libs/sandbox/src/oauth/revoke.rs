use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::ProviderState;
use super::counter::AtomicCounters;
use super::failure::TokenFailure;
use super::fields::FormFields;
use super::refuse::refuse;
use crate::fault::http::stumble;
use crate::settings::Personality;

/// Ends the grant behind a token (RFC 7009).
pub(super) async fn revoke(
    State(provider): State<Arc<ProviderState>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    AtomicCounters::add(&provider.counters.revocations);
    let fields = FormFields::parse(&body);
    let owner = fields
        .get("token")
        .and_then(|token| provider.tokens.find_owner(token));
    let address = owner.as_ref().map(|(_, address)| address.as_str());
    if let Some(response) = stumble(&provider.faults, "oauth.revoke", address).await {
        return response;
    }
    match end_grant(&provider, &headers, &fields, owner.as_ref()) {
        Ok(()) => StatusCode::OK.into_response(),
        Err(failure) => refuse(&provider, failure),
    }
}

fn end_grant(
    provider: &ProviderState,
    headers: &HeaderMap,
    fields: &FormFields,
    owner: Option<&(String, String)>,
) -> Result<(), TokenFailure> {
    let token = fields.get("token").ok_or(TokenFailure::Missing("token"))?;
    // Google asks for no client here: whoever holds a token may end it.
    let client = match provider.personality {
        Personality::Google => None,
        _ => Some(provider.clients.authenticate(headers, fields)?),
    };
    match (owner, client) {
        (Some((owner, _)), Some(client)) if *owner != client.client_id => {
            Err(TokenFailure::OtherClient)
        }
        (Some((_, address)), _) => {
            provider.tokens.revoke(token);
            provider.consents.forget(address);
            Ok(())
        }
        // RFC 7009 §2.2: an unknown token is as good as a revoked one; Google says so instead.
        (None, Some(_)) => Ok(()),
        (None, None) => Err(TokenFailure::UnknownToken),
    }
}
