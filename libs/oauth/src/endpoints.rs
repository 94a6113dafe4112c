use mailmesh_domain::TokenEndpointAuth;
use serde::{Deserialize, Serialize};
use url::Url;

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
