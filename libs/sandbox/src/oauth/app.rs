//! Tokens that clients are given without any person.

use super::failure::TokenFailure;
use super::fields::FormFields;
use super::statement::{self, Statement};
use super::token_request::{TokenRequestEnd, fail_at};
use super::{ProviderState, is_shared_authority};
use crate::settings::{ClientSettings, Personality};
use crate::token::{GrantRequest, TokenSet};

pub(super) const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// What Entra calls all that an application was granted of a resource.
const DEFAULT_SCOPE: &str = ".default";
const LONGEST_SECONDS: i64 = 60 * 60;

/// Answers a client that asks in its own name (RFC 6749 §4.4).
pub(super) async fn act_as_client(
    provider: &ProviderState,
    tenant: Option<&str>,
    client: &ClientSettings,
    fields: &FormFields,
) -> Result<TokenSet, TokenRequestEnd> {
    fail_at(provider, "oauth.token.client_credentials", None).await?;
    if tenant.is_some_and(is_shared_authority) {
        return Err(TokenFailure::SharedAuthority.into());
    }
    let application = provider
        .applications
        .find(&client.client_id)
        .filter(|application| !application.scopes.is_empty())
        .ok_or(TokenFailure::NotAllowed)?;
    let mut asked = fields.words("scope").peekable();
    let fits = |scope: &str| match provider.personality {
        Personality::Microsoft => scope.ends_with(DEFAULT_SCOPE),
        Personality::Google | Personality::Standard => {
            application.scopes.iter().any(|other| other == scope)
        }
    };
    let is_missing = provider.personality == Personality::Microsoft && asked.peek().is_none();
    if is_missing || !asked.all(fits) {
        return Err(TokenFailure::NotAppScope.into());
    }
    let client_id = application.client_id.clone();
    let tokens = provider.tokens.issue_to_application(application);
    provider
        .counters
        .add_for(&client_id, |counts| counts.app_tokens += 1);
    Ok(tokens)
}

/// Answers a service account that acts for a mailbox (RFC 7523 §2.1), which needs no other proof.
pub(super) async fn act_for_mailbox(
    provider: &ProviderState,
    tenant: Option<&str>,
    fields: &FormFields,
) -> Result<TokenSet, TokenRequestEnd> {
    let text = fields
        .get("assertion")
        .ok_or(TokenFailure::Missing("assertion"))?;
    let statement = Statement::read(text)?;
    let subject = statement.text("sub").unwrap_or_default();
    fail_at(provider, "oauth.token.jwt_bearer", Some(subject)).await?;
    let issuer = statement.text("iss").unwrap_or_default();
    let application = provider
        .applications
        .find(issuer)
        .ok_or(TokenFailure::UnknownApplication)?;
    statement.check_signature(&application.public_key)?;
    statement.check_time(provider.clock.now(), LONGEST_SECONDS)?;
    statement::check_audience(provider, tenant, &statement)?;
    if provider.mail.find(subject).is_none() {
        return Err(TokenFailure::UnknownMailbox.into());
    }
    let scopes: Vec<String> = statement
        .text("scope")
        .unwrap_or_default()
        .split_ascii_whitespace()
        .map(str::to_owned)
        .collect();
    let is_delegated = scopes
        .iter()
        .all(|scope| application.scopes.contains(scope));
    if scopes.is_empty() || !is_delegated || !application.may_open(subject) {
        return Err(TokenFailure::NotAllowed.into());
    }
    let tokens = provider.tokens.issue(&GrantRequest {
        address: subject.to_owned(),
        client_id: application.client_id.clone(),
        scopes,
        offline: false,
    });
    provider
        .counters
        .add_for(&tokens.address, |counts| counts.app_tokens += 1);
    Ok(tokens)
}
