use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::ProviderState;
use super::app;
use super::claim::describe_sign_in;
use super::code::{Approval, CodeRefusal};
use super::counter::AtomicCounters;
use super::failure::TokenFailure;
use super::fields::FormFields;
use super::refuse::{refuse, uncached};
use super::statement;
use super::token_request::{TokenRequestEnd, fail_at};
use crate::settings::{ClientSettings, Personality};
use crate::token::{GrantRequest, TokenSet};

/// The token endpoint.
pub(super) async fn redeem(
    State(provider): State<Arc<ProviderState>>,
    tenant: Option<Path<String>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    AtomicCounters::add(&provider.counters.token_requests);
    let tenant = tenant.as_deref().map(String::as_str);
    match answer(&provider, tenant, &headers, &body).await {
        Ok(tokens) => uncached(Json(tokens)).into_response(),
        Err(TokenRequestEnd::Refused(failure)) => refuse(&provider, failure),
        Err(TokenRequestEnd::Faulted(response)) => response,
    }
}

async fn answer(
    provider: &ProviderState,
    tenant: Option<&str>,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Value, TokenRequestEnd> {
    fail_at(provider, "oauth.token", None).await?;
    if !is_form(headers) {
        return Err(TokenFailure::NotAForm.into());
    }
    let fields = FormFields::parse(body);
    if fields.get("grant_type") == Some(app::JWT_BEARER) {
        let tokens = app::act_for_mailbox(provider, tenant, &fields).await?;
        fail_at(provider, "oauth.after_token", Some(&tokens.address)).await?;
        return Ok(describe(provider, &tokens));
    }
    let client = statement::authenticate(provider, tenant, headers, &fields)?;
    let (tokens, nonce) = match fields.get("grant_type") {
        Some("client_credentials") => {
            let tokens = app::act_as_client(provider, tenant, &client, &fields).await?;
            (tokens, None)
        }
        Some("authorization_code") => exchange(provider, &client, &fields).await?,
        Some("refresh_token") => (refresh(provider, &client, &fields).await?, None),
        Some(_) => return Err(TokenFailure::UnsupportedGrant.into()),
        None => return Err(TokenFailure::Missing("grant_type").into()),
    };
    fail_at(provider, "oauth.after_token", Some(&tokens.address)).await?;
    let is_first = fields.get("grant_type") == Some("authorization_code");
    let mut answer = describe(provider, &tokens);
    // A refresh may answer without one (OpenID Connect Core §12.2); the strict provider does.
    let wanted = is_first || provider.personality != Personality::Standard;
    if wanted && provider.has_scope(&tokens.scopes, "openid") {
        let claims = describe_sign_in(provider, tenant, &client, &tokens, nonce.as_deref());
        match provider.key.sign(&claims) {
            Ok(id_token) => {
                if let Some(fields) = answer.as_object_mut() {
                    fields.insert("id_token".to_owned(), json!(id_token));
                }
            }
            Err(error) => tracing::error!(error = &error as &dyn std::error::Error, "No id token"),
        }
    }
    Ok(answer)
}

fn describe(provider: &ProviderState, tokens: &TokenSet) -> Value {
    let mut answer = Map::new();
    let mut tell = |name: &str, value: Value| {
        answer.insert(name.to_owned(), value);
    };
    tell("access_token", json!(tokens.access_token));
    tell("token_type", json!("Bearer"));
    tell("expires_in", json!(tokens.expires_in_seconds));
    tell("scope", json!(provider.scope_names(&tokens.scopes)));
    if let Some(refresh_token) = &tokens.refresh_token {
        tell("refresh_token", json!(refresh_token));
    }
    Value::Object(answer)
}

async fn exchange(
    provider: &ProviderState,
    client: &ClientSettings,
    fields: &FormFields,
) -> Result<(TokenSet, Option<String>), TokenRequestEnd> {
    let code = fields.get("code").ok_or(TokenFailure::Missing("code"))?;
    let address = provider.codes.find_address(code);
    fail_at(provider, "oauth.token.code", address.as_deref()).await?;
    let redeemed = provider.codes.redeem(
        code,
        provider.clock.now(),
        |approval| check_exchange(approval, client, fields),
        |approval| {
            let tokens = provider.tokens.issue(&GrantRequest {
                address: approval.address.clone(),
                client_id: approval.client_id.clone(),
                scopes: approval.scopes.clone(),
                offline: approval.offline,
            });
            (tokens.grant, tokens)
        },
    );
    match redeemed {
        Ok((approval, tokens)) => {
            let count = |counts: &mut super::counter::MailboxCounts| counts.code_exchanges += 1;
            provider.counters.add_for(&tokens.address, count);
            Ok((tokens, approval.nonce))
        }
        Err(CodeRefusal::Failure(failure)) => Err(failure.into()),
        Err(CodeRefusal::Reused { grant }) => {
            if provider.personality == Personality::Standard {
                provider.tokens.revoke_grant(grant);
            }
            Err(TokenFailure::ReusedCode.into())
        }
    }
}

fn check_exchange(
    approval: &Approval,
    client: &ClientSettings,
    fields: &FormFields,
) -> Result<(), TokenFailure> {
    if approval.client_id != client.client_id {
        return Err(TokenFailure::CodeOfOtherClient);
    }
    let redirect_uri = fields
        .get("redirect_uri")
        .ok_or(TokenFailure::Missing("redirect_uri"))?;
    if approval.redirect_uri != redirect_uri {
        return Err(TokenFailure::OtherRedirectUri);
    }
    match (&approval.challenge, fields.get("code_verifier")) {
        (None, None) => Ok(()),
        (Some(_), None) => Err(TokenFailure::MissingVerifier),
        // Accepting it would let an attacker strip the challenge on the way (RFC 9700 §4.8.2).
        (None, Some(_)) => Err(TokenFailure::UnexpectedVerifier),
        (Some(challenge), Some(verifier)) => {
            let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, verifier.as_bytes());
            if URL_SAFE_NO_PAD.encode(digest) == *challenge {
                Ok(())
            } else {
                Err(TokenFailure::WrongVerifier)
            }
        }
    }
}

async fn refresh(
    provider: &ProviderState,
    client: &ClientSettings,
    fields: &FormFields,
) -> Result<TokenSet, TokenRequestEnd> {
    let token = fields
        .get("refresh_token")
        .ok_or(TokenFailure::Missing("refresh_token"))?;
    let address = provider
        .tokens
        .find_owner(token)
        .map(|(_, address)| address);
    let result = refresh_for(provider, client, fields, token, address.as_deref()).await;
    if let Some(address) = &address {
        provider.counters.add_for(address, |counts| match &result {
            Ok(_) => counts.refreshes += 1,
            Err(_) => counts.refused_refreshes += 1,
        });
    }
    result
}

async fn refresh_for(
    provider: &ProviderState,
    client: &ClientSettings,
    fields: &FormFields,
    token: &str,
    address: Option<&str>,
) -> Result<TokenSet, TokenRequestEnd> {
    fail_at(provider, "oauth.token.refresh", address).await?;
    let scopes: Vec<String> = fields
        .words("scope")
        .map(|scope| provider.canonical_scope(scope))
        .collect();
    let scopes = (!scopes.is_empty()).then_some(scopes.as_slice());
    provider
        .tokens
        .refresh(token, &client.client_id, scopes)
        .map_err(|refusal| TokenFailure::Refresh(refusal).into())
}

fn is_form(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.starts_with("application/x-www-form-urlencoded"))
}
