use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::counter::AtomicCounters;
use super::{ProviderState, TENANT_ID, is_shared_authority};
use crate::fault::http::stumble;
use crate::settings::Personality;

/// Answers both discovery documents; with a tenant in the path, Microsoft's.
pub(super) async fn show(
    State(provider): State<Arc<ProviderState>>,
    tenant: Option<Path<String>>,
) -> Response {
    if let Some(response) = stumble(&provider.faults, "oauth.discovery", None).await {
        return response;
    }
    let document = match tenant {
        Some(Path(tenant)) => tenant_document(&provider, &tenant),
        None => root_document(&provider),
    };
    Json(document).into_response()
}

/// Answers the key set.
pub(super) async fn show_keys(State(provider): State<Arc<ProviderState>>) -> Response {
    AtomicCounters::add(&provider.counters.key_requests);
    if let Some(response) = stumble(&provider.faults, "oauth.jwks", None).await {
        return response;
    }
    Json(provider.key.key_set()).into_response()
}

fn root_document(provider: &ProviderState) -> Value {
    let base = &provider.base_url;
    let mut document = common_document(provider, base);
    if let Value::Object(fields) = &mut document {
        fields.insert("jwks_uri".to_owned(), json!(format!("{base}/jwks")));
        if provider.personality != Personality::Microsoft {
            let revoke = format!("{base}/revoke");
            fields.insert("revocation_endpoint".to_owned(), json!(revoke));
        }
        if provider.personality == Personality::Standard {
            let introspect = format!("{base}/introspect");
            fields.insert("introspection_endpoint".to_owned(), json!(introspect));
            let name = "authorization_response_iss_parameter_supported";
            fields.insert(name.to_owned(), json!(true));
        }
    }
    document
}

fn tenant_document(provider: &ProviderState, tenant: &str) -> Value {
    let base = &provider.base_url;
    let authority = format!("{base}/{tenant}/oauth2/v2.0");
    // The shared authorities name a template for an issuer, which clients must fill with the token's `tid`.
    let issuer = if is_shared_authority(tenant) {
        format!("{base}/{{tenantid}}/v2.0")
    } else {
        provider.issuer(Some(tenant))
    };
    let mut document = common_document(provider, &issuer);
    if let Value::Object(fields) = &mut document {
        let keys = format!("{base}/{tenant}/discovery/v2.0/keys");
        fields.insert("jwks_uri".to_owned(), json!(keys));
        for name in ["authorize", "token"] {
            let field = match name {
                "authorize" => "authorization_endpoint",
                _ => "token_endpoint",
            };
            fields.insert(field.to_owned(), json!(format!("{authority}/{name}")));
        }
        fields.insert("tenant_region_scope".to_owned(), json!(TENANT_ID));
    }
    document
}

fn common_document(provider: &ProviderState, issuer: &str) -> Value {
    let base = &provider.base_url;
    json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{base}/authorize"),
        "token_endpoint": format!("{base}/token"),
        "userinfo_endpoint": format!("{base}/userinfo"),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "form_post"],
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials", super::app::JWT_BEARER],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": ["RS256", "PS256", "ES256"],
        "code_challenge_methods_supported": ["S256"],
        "scopes_supported": ["openid", "email", "profile", "offline_access"],
        "claims_supported": ["sub", "iss", "aud", "exp", "iat", "nonce", "email", "name"],
    })
}
