use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mailmesh_secrets::{ExposeSecret, SecretString, random_token, sha256};
use oauth2::{CsrfToken, Scope};
use url::Url;

use crate::client::Client;
use crate::endpoints::Endpoints;
use crate::error::OAuthError;
use crate::id_token::is_issuer;

/// A PKCE pair (RFC 7636, S256), fresh for every sign-in.
#[derive(Debug, Clone)]
pub struct Pkce {
    /// Kept until the code is exchanged.
    pub verifier: SecretString,
    /// Sent in the authorise URL.
    pub challenge: String,
}

impl Pkce {
    /// Makes a new pair.
    pub fn generate() -> Self {
        let verifier = random_token(32);
        let challenge = URL_SAFE_NO_PAD.encode(sha256(verifier.expose_secret().as_bytes()));
        Self {
            verifier,
            challenge,
        }
    }
}

/// What is particular to one sign-in.
#[derive(Debug, Clone, Copy)]
pub struct AuthorizeRequest<'a> {
    /// Ties the answer to the question.
    pub state: &'a str,
    /// Ties the id token to the question; sent when identity is asked for.
    pub nonce: Option<&'a str>,
    pub challenge: &'a str,
    /// The address that is expected to sign in.
    pub login_hint: Option<&'a str>,
}

/// What the protocol decides; neither the client's extra parameters nor the URL may change them.
pub const RESERVED_PARAMETERS: [&str; 9] = [
    "response_type",
    "client_id",
    "redirect_uri",
    "scope",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
    "request_uri",
];

/// Returns the URL to which the person's browser is sent.
pub fn authorize_url(
    endpoints: &Endpoints,
    client: &Client,
    request: &AuthorizeRequest<'_>,
) -> Url {
    // RFC 9700 §2.1.1 recommends PKCE for confidential clients, too.
    let mut extra = vec![
        ("code_challenge", request.challenge),
        ("code_challenge_method", "S256"),
    ];
    let optional = [
        ("nonce", request.nonce.filter(|_| client.asks_identity())),
        ("login_hint", request.login_hint),
    ];
    extra.extend(
        optional
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    for (name, value) in &client.extra_authorize {
        let is_taken =
            RESERVED_PARAMETERS.contains(&name.as_str()) || extra.iter().any(|(n, _)| n == name);
        if !is_taken {
            extra.push((name, value));
        }
    }

    let mut endpoints = endpoints.clone();
    endpoints.authorize = without(&endpoints.authorize, &extra);
    let protocol = client.protocol(&endpoints);
    let mut url = protocol
        .authorize_url(|| CsrfToken::new(request.state.to_owned()))
        .add_scopes(client.scopes.iter().cloned().map(Scope::new));
    for (name, value) in extra {
        url = url.add_extra_param(name, value);
    }
    url.url().0
}

// Administrators paste authorise URLs with a query of their own (`?prompt=&access_type=offline`);
// a parameter given twice is an error at most providers.
fn without(authorize: &Url, taken: &[(&str, &str)]) -> Url {
    let mut url = authorize.clone();
    let is_taken =
        |name: &str| RESERVED_PARAMETERS.contains(&name) || taken.iter().any(|(n, _)| *n == name);
    let kept: Vec<(String, String)> = authorize
        .query_pairs()
        .filter(|(name, _)| !is_taken(name))
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    url.set_query(None);
    if !kept.is_empty() {
        url.query_pairs_mut().extend_pairs(kept);
    }
    url
}

/// Checks the `iss` parameter of an authorisation answer (RFC 9207), so that an answer of one
/// provider cannot be passed off as another's.
///
/// # Errors
/// [`OAuthError::MixedUp`] when it names another issuer, or is absent though promised.
pub fn check_issuer_parameter(
    endpoints: &Endpoints,
    issuer: Option<&str>,
) -> Result<(), OAuthError> {
    let is_right = match (issuer, &endpoints.issuer) {
        (Some(answered), Some(expected)) => is_issuer(expected, answered, None),
        (None, _) => !endpoints.iss_parameter_supported,
        (Some(_), None) => true,
    };
    is_right.then_some(()).ok_or(OAuthError::MixedUp)
}

#[cfg(test)]
mod tests;
