use serde_json::{Map, Value, json};

use super::{ProviderState, TENANT_ID};
use crate::fault::Fault;
use crate::settings::{ClientSettings, Personality};
use crate::token::TokenSet;

const ID_TOKEN_SECONDS: i64 = 3_600;

/// Returns the claims about the owner that the scopes allow.
pub(super) fn describe_owner(
    provider: &ProviderState,
    address: &str,
    scopes: &[String],
) -> Map<String, Value> {
    let mut claims = Map::new();
    let mut tell = |name: &str, value: Value| {
        claims.insert(name.to_owned(), value);
    };
    tell("sub", json!(provider.subject(address)));
    if provider.has_scope(scopes, "email") {
        tell("email", json!(address));
        // Microsoft never vouches for an address.
        if provider.personality != Personality::Microsoft {
            tell("email_verified", json!(true));
        }
    }
    if provider.has_scope(scopes, "profile") {
        tell("name", json!(address.split('@').next()));
        tell("preferred_username", json!(address));
    }
    claims
}

/// Returns the claims of an id token, as a fault may have changed them.
pub(super) fn describe_sign_in(
    provider: &ProviderState,
    tenant: Option<&str>,
    client: &ClientSettings,
    tokens: &TokenSet,
    nonce: Option<&str>,
) -> Value {
    let now = provider.clock.now().unix_timestamp();
    let mut claims = describe_owner(provider, &tokens.address, &tokens.scopes);
    let mut tell = |name: &str, value: Value| {
        claims.insert(name.to_owned(), value);
    };
    tell("iss", json!(provider.issuer(tenant)));
    tell("aud", json!(client.client_id));
    tell("azp", json!(client.client_id));
    tell("iat", json!(now));
    tell("exp", json!(now + ID_TOKEN_SECONDS));
    if let Some(nonce) = nonce {
        tell("nonce", json!(nonce));
    }
    if provider.personality == Personality::Microsoft {
        tell("tid", json!(TENANT_ID));
        tell("oid", json!(provider.subject(&tokens.address)));
    }
    let address = Some(tokens.address.as_str());
    if let Some(Fault::Reply { text }) = provider.faults.take("oauth.id_token", address) {
        merge(&mut claims, &text);
    }
    Value::Object(claims)
}

/// Adds the fields of a JSON object, or takes away those that are null.
fn merge(claims: &mut Map<String, Value>, changes: &str) {
    let Ok(changes) = serde_json::from_str::<Map<String, Value>>(changes) else {
        tracing::warn!("A fault for an id token is not a JSON object");
        return;
    };
    for (name, value) in changes {
        if value.is_null() {
            claims.remove(&name);
        } else {
            claims.insert(name, value);
        }
    }
}
