use futures_util::future::BoxFuture;
use serde_json::Value;
use time::OffsetDateTime;

use crate::client::Client;
use crate::endpoints::Endpoints;
use crate::error::OAuthError;
use crate::http::HttpClient;
use crate::id_token::{self, Claims, IdTokenError};
use crate::operation::Operation;
use crate::token::TokenAnswer;

const USUAL_CLAIMS: [&str; 3] = ["email", "preferred_username", "upn"];

/// Whose token it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The provider's lasting name for the person; addresses change.
    pub subject: String,
    /// Who says so; absent when only the userinfo said it.
    pub issuer: Option<String>,
    /// Microsoft's tenant.
    pub tenant: Option<String>,
    pub address: Option<String>,
    /// The claim that held the address.
    pub claim: Option<String>,
}

/// Finds out whose tokens these are: from the verified id token, and from the userinfo where the id
/// token is silent. Neither identity nor address may be absent where `openid` was asked for or a
/// claim is configured. An answer without an id token where `openid` was asked for is refused: whoever could suppress it
/// would decide which checks are made.
///
/// # Errors
/// [`OAuthError::NoMailbox`] when nothing names the mailbox; others when the id token is refused, or
/// the userinfo is needed and cannot be had. As the tokens stay good, a transient failure may be tried
/// again with the same answer.
pub fn identify<'a>(
    http: &'a HttpClient,
    endpoints: &'a Endpoints,
    client: &'a Client,
    answer: &'a TokenAnswer,
    nonce: Option<&'a str>,
    now: OffsetDateTime,
) -> BoxFuture<'a, Result<Option<Identity>, OAuthError>> {
    Box::pin(async move {
        let signed = match &answer.id_token {
            Some(token) => {
                Some(id_token::verify(http, endpoints, client, token, nonce, now).await?)
            }
            None if client.asks_identity() => {
                return Err(OAuthError::IdToken(IdTokenError::Missing));
            }
            None => None,
        };
        if let Some(claims) = &signed
            && find_address(claims, &[claims], client).is_some()
        {
            return identity(claims, None, client).map(Some);
        }
        let userinfo = ask_userinfo(http, endpoints, answer).await?;
        match (signed, userinfo) {
            (Some(signed), Some(userinfo)) => {
                // Without this check the userinfo of one person could be shown for another's token.
                if userinfo.get("sub").and_then(Value::as_str)
                    != signed.get("sub").and_then(Value::as_str)
                {
                    return Err(OAuthError::IdToken(IdTokenError::Subject));
                }
                identity(&signed, Some(&userinfo), client).map(Some)
            }
            (Some(claims), None) => identity(&claims, None, client).map(Some),
            (None, Some(claims)) => identity_of_userinfo(&claims, client).map(Some),
            (None, None) if must_name_mailbox(client) => Err(no_mailbox(client)),
            (None, None) => Ok(None),
        }
    })
}

// Without it, whoever signs in anywhere would be taken for the owner of the mailbox.
fn must_name_mailbox(client: &Client) -> bool {
    client.asks_identity() || client.identity_claim.is_some()
}

fn no_mailbox(client: &Client) -> OAuthError {
    OAuthError::NoMailbox {
        looked_at: match &client.identity_claim {
            Some(claim) => vec![claim.clone()],
            None => USUAL_CLAIMS.map(str::to_owned).to_vec(),
        },
    }
}

async fn ask_userinfo(
    http: &HttpClient,
    endpoints: &Endpoints,
    answer: &TokenAnswer,
) -> Result<Option<Claims>, OAuthError> {
    let Some(url) = &endpoints.userinfo else {
        return Ok(None);
    };
    let operation = Operation::Userinfo;
    match http.get(operation, url, Some(&answer.access_token)).await {
        Ok(Value::Object(claims)) => Ok(Some(claims)),
        Ok(_) => Err(OAuthError::unreadable(operation, "answer is no object")),
        // Microsoft's userinfo wants a Graph token and refuses one for mail; that proves nothing.
        Err(OAuthError::Refused(refusal)) if matches!(refusal.status, Some(400..=407)) => {
            tracing::debug!(status = refusal.status, "Userinfo refused the mail token");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Whoever is asked who signed in must say so: an answer that names no mailbox, or only one that is not verified, is no
/// reason to give the sign-in to any.
fn identity_of_userinfo(claims: &Claims, client: &Client) -> Result<Identity, OAuthError> {
    match identity(claims, None, client) {
        Ok(found) if found.address.is_none() => Err(no_mailbox(client)),
        Err(OAuthError::IdToken(IdTokenError::Subject)) => Err(OAuthError::unreadable(
            Operation::Userinfo,
            "answer has neither sub nor id",
        )),
        other => other,
    }
}

fn identity(
    signed: &Claims,
    userinfo: Option<&Claims>,
    client: &Client,
) -> Result<Identity, OAuthError> {
    let text = |name| signed.get(name).and_then(Value::as_str).map(str::to_owned);
    let subject = text("sub").or_else(|| plain_id(signed));
    let all: Vec<&Claims> = [Some(signed), userinfo].into_iter().flatten().collect();
    let (claim, address) = find_address(userinfo.unwrap_or(signed), &all, client).unzip();
    if address.is_none() && must_name_mailbox(client) {
        return Err(no_mailbox(client));
    }
    Ok(Identity {
        subject: subject.ok_or(OAuthError::IdToken(IdTokenError::Subject))?,
        issuer: text("iss"),
        tenant: text("tid"),
        address,
        claim,
    })
}

// OAuth providers older than OpenID Connect say `id`.
fn plain_id(claims: &Claims) -> Option<String> {
    match claims.get("id")? {
        Value::String(id) if !id.is_empty() => Some(id.clone()),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    }
}

/// `all` is what is known of the person: an address that any of it calls unverified counts nowhere.
fn find_address(claims: &Claims, all: &[&Claims], client: &Client) -> Option<(String, String)> {
    let text = |name: &str| {
        let text = claims.get(name)?.as_str()?.trim();
        Some(text).filter(|text| !text.is_empty())
    };
    if let Some(claim) = &client.identity_claim {
        return Some((claim.clone(), text(claim)?.to_owned()));
    }
    USUAL_CLAIMS
        .into_iter()
        // `preferred_username` may be any name; only an address names a mailbox.
        .find_map(|claim| {
            let address = text(claim).filter(|text| text.contains('@'))?;
            // Keycloak and others fill `preferred_username` with whatever email the person typed in.
            let is_doubted = all.iter().any(|claims| is_unverified(claims, address));
            (!is_doubted).then(|| (claim.to_owned(), address.to_owned()))
        })
}

fn is_unverified(claims: &Claims, address: &str) -> bool {
    let is_denied = match claims.get("email_verified") {
        Some(Value::Bool(verified)) => !verified,
        Some(Value::String(verified)) => {
            ["false", "0", "no"].contains(&verified.trim().to_ascii_lowercase().as_str())
        }
        Some(Value::Number(verified)) => verified.as_f64() == Some(0.0),
        _ => false,
    };
    let email = claims.get("email").and_then(Value::as_str);
    let is_same =
        email.is_some_and(|email| email.trim().to_lowercase() == address.trim().to_lowercase());
    is_denied && is_same
}
