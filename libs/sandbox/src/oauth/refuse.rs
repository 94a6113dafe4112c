use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;

use super::ProviderState;
use super::failure::TokenFailure;
use crate::settings::Personality;
use crate::token::random_bytes;

/// Answers a refusal as the provider does.
pub(super) fn refuse(provider: &ProviderState, failure: TokenFailure) -> Response {
    let (status, body) = match provider.personality {
        Personality::Standard => {
            let (status, error) = failure.standard();
            let description = failure.to_string();
            (
                status,
                json!({"error": error, "error_description": description}),
            )
        }
        Personality::Google => {
            let (status, error, description) = failure.google();
            (
                status,
                json!({"error": error, "error_description": description}),
            )
        }
        Personality::Microsoft => {
            let (status, error, code) = failure.microsoft();
            (
                status,
                microsoft_body(provider, error, code, &failure.to_string()),
            )
        }
    };
    let mut response = (status, uncached(Json(body))).into_response();
    if status == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static("Basic realm=\"sandbox\"");
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

/// Builds the body Entra answers failures with.
fn microsoft_body(provider: &ProviderState, error: &str, code: u32, description: &str) -> Value {
    let now = provider.clock.now();
    let timestamp = now.format(&Rfc3339).unwrap_or_default();
    let (trace_id, correlation_id) = (random_guid(), random_guid());
    json!({
        "error": error,
        "error_description": format!(
            "AADSTS{code}: {description} Trace ID: {trace_id} Correlation ID: {correlation_id} Timestamp: {timestamp}"
        ),
        "error_codes": [code],
        "timestamp": timestamp,
        "trace_id": trace_id,
        "correlation_id": correlation_id,
        "error_uri": format!("{}/error?code={code}", provider.base_url),
    })
}

fn random_guid() -> String {
    uuid::Builder::from_random_bytes(random_bytes())
        .into_uuid()
        .to_string()
}

/// Token answers must not be kept by anything on the way (RFC 6749 §5.1).
pub(super) fn uncached(answer: impl IntoResponse) -> impl IntoResponse {
    (
        [
            (header::CACHE_CONTROL, "no-store"),
            (header::PRAGMA, "no-cache"),
        ],
        answer,
    )
}
