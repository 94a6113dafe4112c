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
/// claim is configured.
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
            None => None,
        };
        if let Some(claims) = &signed
            && find_address(claims, client).is_some()
        {
            return identity(claims, claims, client).map(Some);
        }
        let userinfo = ask_userinfo(http, endpoints, client, answer, signed.is_some()).await?;
        match (signed, userinfo) {
            (Some(signed), Some(userinfo)) => {
                // Without this check the userinfo of one person could be shown for another's token.
                if userinfo.get("sub").and_then(Value::as_str)
                    != signed.get("sub").and_then(Value::as_str)
                {
                    return Err(OAuthError::IdToken(IdTokenError::Subject));
                }
                identity(&signed, &userinfo, client).map(Some)
            }
            (Some(claims), None) | (None, Some(claims)) => {
                identity(&claims, &claims, client).map(Some)
            }
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
    client: &Client,
    answer: &TokenAnswer,
    is_known: bool,
) -> Result<Option<Claims>, OAuthError> {
    let Some(url) = &endpoints.userinfo else {
        return Ok(None);
    };
    let operation = Operation::Userinfo;
    match http.get(operation, url, Some(&answer.access_token)).await {
        Ok(Value::Object(claims)) => Ok(Some(claims)),
        Ok(_) => Err(OAuthError::unreadable(operation, "answer is no object")),
        // Microsoft's userinfo wants a Graph token and refuses one for mail; that proves nothing.
        Err(OAuthError::Refused(refusal))
            if matches!(refusal.status, Some(400..=407))
                && (is_known || !client.asks_identity()) =>
        {
            tracing::debug!(status = refusal.status, "Userinfo refused the mail token");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn identity(
    signed: &Claims,
    address_claims: &Claims,
    client: &Client,
) -> Result<Identity, OAuthError> {
    let text = |name| signed.get(name).and_then(Value::as_str).map(str::to_owned);
    let subject = text("sub").or_else(|| plain_id(signed));
    let (claim, address) = find_address(address_claims, client).unzip();
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

fn find_address(claims: &Claims, client: &Client) -> Option<(String, String)> {
    let text = |name: &str| claims.get(name)?.as_str().filter(|text| !text.is_empty());
    if let Some(claim) = &client.identity_claim {
        return Some((claim.clone(), text(claim)?.to_owned()));
    }
    USUAL_CLAIMS
        .into_iter()
        .filter(|claim| *claim != "email" || !is_unverified(claims))
        // `preferred_username` may be any name; only an address names a mailbox.
        .find_map(|claim| Some((claim, text(claim).filter(|text| text.contains('@'))?)))
        .map(|(claim, address)| (claim.to_owned(), address.to_owned()))
}

fn is_unverified(claims: &Claims) -> bool {
    match claims.get("email_verified") {
        Some(Value::Bool(verified)) => !verified,
        Some(Value::String(verified)) => verified.eq_ignore_ascii_case("false"),
        _ => false,
    }
}
