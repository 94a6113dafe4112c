use mailmesh_domain::TokenEndpointAuth;
use mailmesh_secrets::SecretString;
use url::Url;

use crate::client::Client;
use crate::discovery::{Endpoints, discover};
use crate::error::OAuthError;
use crate::http::HttpClient;
use crate::profile::Profile;

/// What an administrator registered of a client, and what of the provider.
#[derive(Debug, Clone)]
pub struct Registration {
    /// What fills in the rest.
    pub profile: Profile,
    /// The public id.
    pub client_id: String,
    /// The secret; absent for public clients.
    pub client_secret: Option<SecretString>,
    /// How id and secret are sent; by metadata or profile when absent.
    pub auth: Option<TokenEndpointAuth>,
    /// The issuer, the URL of its metadata, or Microsoft's authority.
    pub issuer: Option<Url>,
    /// The authorisation endpoint, in place of the discovered one.
    pub authorize: Option<Url>,
    /// The token endpoint, in place of the discovered one.
    pub token: Option<Url>,
    /// The userinfo endpoint, in place of the discovered one.
    pub userinfo: Option<Url>,
    /// The key set, in place of the discovered one.
    pub jwks: Option<Url>,
    /// The revocation endpoint, in place of the discovered one.
    pub revocation: Option<Url>,
    /// What is asked for.
    pub scopes: Vec<String>,
    /// The claim that names the mailbox.
    pub identity_claim: Option<String>,
    /// Further parameters of the authorise URL; they replace the profile's of the same name.
    pub extra_authorize: Vec<(String, String)>,
}

impl Registration {
    /// Finds the provider's endpoints: those that were given, else by discovery, else the
    /// profile's.
    ///
    /// # Errors
    /// [`OAuthError`] when discovery fails, or nothing says where the endpoints are.
    pub async fn resolve(
        &self,
        http: &HttpClient,
        redirect_uri: &Url,
    ) -> Result<(Endpoints, Client), OAuthError> {
        let base = match self.profile {
            Profile::Microsoft => self.issuer.as_ref(),
            Profile::Google | Profile::Custom => None,
        };
        let defaults = self.profile.defaults(base);
        let mut endpoints = match (&self.authorize, &self.token, &self.issuer) {
            (Some(authorize), Some(token), issuer) => {
                let mut given = Endpoints::new(authorize.clone(), token.clone());
                given.issuer = issuer.as_ref().map(|url| {
                    // An issuer without a path is written without the slash that `Url` adds.
                    let text = url.as_str();
                    text.strip_suffix('/')
                        .filter(|_| url.path() == "/")
                        .unwrap_or(text)
                        .to_owned()
                });
                given
            }
            (_, _, Some(issuer)) if self.profile != Profile::Microsoft => {
                discover(http, issuer).await?
            }
            _ => defaults.endpoints.ok_or(OAuthError::NoEndpoints)?,
        };
        let replace = |slot: &mut Option<Url>, given: &Option<Url>| {
            if given.is_some() {
                slot.clone_from(given);
            }
        };
        replace(&mut endpoints.userinfo, &self.userinfo);
        replace(&mut endpoints.jwks, &self.jwks);
        replace(&mut endpoints.revocation, &self.revocation);
        let auth = self.auth.unwrap_or(match self.profile {
            _ if self.client_secret.is_none() => TokenEndpointAuth::None,
            Profile::Custom => endpoints.preferred_auth(),
            Profile::Google | Profile::Microsoft => defaults.auth,
        });
        let kept = defaults.extra_authorize.into_iter().filter(|(name, _)| {
            let mut given = self.extra_authorize.iter();
            !given.any(|(other, _)| other == name)
        });
        let client = Client {
            client_id: self.client_id.clone(),
            client_secret: self.client_secret.clone(),
            auth,
            redirect_uri: redirect_uri.clone(),
            scopes: self.scopes.clone(),
            refresh_sends_scopes: defaults.refresh_sends_scopes,
            identity_claim: self.identity_claim.clone(),
            extra_authorize: kept.chain(self.extra_authorize.iter().cloned()).collect(),
        };
        Ok((endpoints, client))
    }
}
