use mailmesh_domain::TokenEndpointAuth;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::error::OAuthError;

/// Where a provider does what. Without secrets, so it may be stored and shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoints {
    /// Who signs; may hold Microsoft's `{tenantid}`.
    pub issuer: Option<String>,
    pub authorize: Url,
    pub token: Url,
    /// Where a token's owner is named.
    #[serde(default)]
    pub userinfo: Option<Url>,
    /// Where the signing keys are.
    #[serde(default)]
    pub jwks: Option<Url>,
    /// The ways of client authentication that are offered and that we know.
    #[serde(default)]
    pub auth_methods: Vec<TokenEndpointAuth>,
    /// Whether authorisation answers name their issuer (RFC 9207).
    #[serde(default)]
    pub iss_parameter_supported: bool,
}

impl Endpoints {
    /// Returns a provider of which only the two necessary URLs are known.
    pub fn new(authorize: Url, token: Url) -> Self {
        Self {
            issuer: None,
            authorize,
            token,
            userinfo: None,
            jwks: None,
            auth_methods: Vec::new(),
            iss_parameter_supported: false,
        }
    }

    /// Returns the origin (RFC 6454) that client secrets, codes and refresh tokens are sent to.
    pub fn token_origin(&self) -> String {
        self.token.origin().ascii_serialization()
    }

    /// Checks that the client secret goes where it went before; `known` is absent before its first use.
    ///
    /// # Errors
    /// [`OAuthError::TokenEndpointMoved`] when discovery, say, names another origin by now.
    pub fn check_client_origin(&self, known: Option<&str>) -> Result<(), OAuthError> {
        let (from, to) = self.moved(known).unzip();
        match (from, to) {
            (Some(from), Some(to)) => Err(OAuthError::TokenEndpointMoved { from, to }),
            _ => Ok(()),
        }
    }

    /// Checks that a refresh token goes where it came from; `known` is absent for grants from before that was kept.
    ///
    /// # Errors
    /// [`OAuthError::GrantFromElsewhere`].
    pub fn check_grant_origin(&self, known: Option<&str>) -> Result<(), OAuthError> {
        let (from, to) = self.moved(known).unzip();
        match (from, to) {
            (Some(from), Some(to)) => Err(OAuthError::GrantFromElsewhere { from, to }),
            _ => Ok(()),
        }
    }

    fn moved(&self, known: Option<&str>) -> Option<(String, String)> {
        let to = self.token_origin();
        let from = known.filter(|known| *known != to)?;
        Some((from.to_owned(), to))
    }

    /// Returns the way of client authentication to use when the administrator names none.
    pub fn preferred_auth(&self) -> TokenEndpointAuth {
        // RFC 8414: `client_secret_basic` when nothing is advertised.
        [
            TokenEndpointAuth::ClientSecretBasic,
            TokenEndpointAuth::ClientSecretPost,
            TokenEndpointAuth::None,
        ]
        .into_iter()
        .find(|method| self.auth_methods.contains(method))
        .unwrap_or(TokenEndpointAuth::ClientSecretBasic)
    }
}
