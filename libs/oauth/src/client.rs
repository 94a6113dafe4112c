use mailmesh_domain::{Protocol, TokenEndpointAuth};
use mailmesh_secrets::{ExposeSecret, SecretString};
use oauth2::basic::{
    BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse,
};
use oauth2::{
    AuthType, AuthUrl, ClientId, ClientSecret, EndpointNotSet, EndpointSet, RedirectUrl,
    StandardRevocableToken, TokenUrl,
};
use url::Url;

use crate::endpoints::Endpoints;
use crate::scope::missing_scopes;
use crate::signer::Signer;
use crate::wire::WireTokens;

/// One registration at a provider.
#[derive(Debug, Clone)]
pub struct Client {
    pub client_id: String,
    /// The secret; absent for public clients.
    pub client_secret: Option<SecretString>,
    /// What signs in place of the secret, or for mailboxes.
    pub signer: Option<Signer>,
    /// How id and secret are sent.
    pub auth: TokenEndpointAuth,
    /// Where the provider sends the person back to, exactly as registered.
    pub redirect_uri: Url,
    /// What is asked for.
    pub scopes: Vec<String>,
    /// What is asked for besides where an account of the mailbox speaks the protocol.
    pub protocol_scopes: Vec<(Protocol, Vec<String>)>,
    /// Whether scopes are sent again on refresh: Microsoft wants them, Google does not.
    pub refresh_sends_scopes: bool,
    /// The claim that names the mailbox; the usual ones when absent.
    pub identity_claim: Option<String>,
    /// Further parameters of the authorise URL.
    pub extra_authorize: Vec<(String, String)>,
}

pub(crate) type ProtocolClient = oauth2::Client<
    BasicErrorResponse,
    WireTokens,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

impl Client {
    /// Returns whether the person's identity is asked for.
    pub fn asks_identity(&self) -> bool {
        self.scopes.iter().any(|scope| scope == "openid")
    }

    /// Returns whether access is asked for that lasts: OpenID Connect Core §11 names a scope, Google a parameter of its own.
    pub fn asks_offline_access(&self, endpoints: &Endpoints) -> bool {
        asks_offline(
            &self.scopes,
            self.extra_authorize.iter(),
            Some(&endpoints.authorize),
        )
    }

    /// Returns the client as it asks for what accounts of these protocols need: one grant serves all accounts of a mailbox.
    #[must_use]
    pub fn for_protocols(&self, protocols: &[Protocol]) -> Self {
        let mut client = self.clone();
        for (_, scopes) in self
            .protocol_scopes
            .iter()
            .filter(|(protocol, _)| protocols.contains(protocol))
        {
            let missing = missing_scopes(scopes, &client.scopes);
            client.scopes.extend(missing);
        }
        client
    }

    pub(crate) fn protocol(&self, endpoints: &Endpoints) -> ProtocolClient {
        let client = oauth2::Client::new(ClientId::new(self.client_id.clone()))
            .set_auth_uri(AuthUrl::from_url(endpoints.authorize.clone()))
            .set_token_uri(TokenUrl::from_url(endpoints.token.clone()))
            .set_redirect_uri(RedirectUrl::from_url(self.redirect_uri.clone()))
            .set_auth_type(match self.auth {
                TokenEndpointAuth::ClientSecretBasic => AuthType::BasicAuth,
                TokenEndpointAuth::ClientSecretPost
                | TokenEndpointAuth::PrivateKeyJwt
                | TokenEndpointAuth::None => AuthType::RequestBody,
            });
        match self.secret() {
            Some(secret) => {
                client.set_client_secret(ClientSecret::new(secret.expose_secret().to_owned()))
            }
            None => client,
        }
    }

    /// Returns the secret, unless the client is public or signs.
    pub(crate) fn secret(&self) -> Option<&SecretString> {
        match self.auth {
            TokenEndpointAuth::None | TokenEndpointAuth::PrivateKeyJwt => None,
            _ => self.client_secret.as_ref(),
        }
    }
}

/// `extra` holds the given parameters before the profile's.
pub(crate) fn asks_offline<'a>(
    scopes: &[String],
    mut extra: impl Iterator<Item = &'a (String, String)>,
    authorize: Option<&Url>,
) -> bool {
    let is_offline = |name: &str, value: &str| name == "access_type" && value == "offline";
    let given = extra.find(|(name, _)| name == "access_type");
    let mut written = authorize.into_iter().flat_map(Url::query_pairs);
    scopes.iter().any(|scope| scope == "offline_access")
        || given.is_some_and(|(name, value)| is_offline(name, value))
        || written.any(|(name, value)| is_offline(&name, &value))
}
