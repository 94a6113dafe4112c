use mailmesh_domain::TokenEndpointAuth;
use mailmesh_secrets::SecretString;
use url::Url;

use crate::client::Client;
use crate::discovery::{Endpoints, discover, issuer_of_document};
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
                given.issuer = issuer.as_ref().map(issuer_name);
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
        let consent = self
            .must_ask_for_consent(&endpoints)
            .then(|| ("prompt".to_owned(), "consent".to_owned()));
        let defaults_extra = defaults.extra_authorize.into_iter().chain(consent);
        let kept = defaults_extra.filter(|(name, _)| {
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
    // OpenID Connect Core §11: without `prompt=consent` a provider ignores `offline_access`, and no
    // refresh token comes. Microsoft gives one without, and would trouble every person each time.
    fn must_ask_for_consent(&self, endpoints: &Endpoints) -> bool {
        let mut written = endpoints.authorize.query_pairs();
        self.profile == Profile::Custom
            && self.scopes.iter().any(|scope| scope == "offline_access")
            && !written.any(|(name, _)| name == "prompt")
    }
}

/// Returns an issuer's own name, also when its metadata's URL was given.
fn issuer_name(given: &Url) -> String {
    let issuer = issuer_of_document(given).unwrap_or_else(|| given.clone());
    let text = issuer.as_str();
    // An issuer without a path is written without the slash that `Url` adds.
    text.strip_suffix('/')
        .filter(|_| issuer.path() == "/")
        .unwrap_or(text)
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::HttpSettings;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn registration(authorize: &str, issuer: &str) -> Registration {
        Registration {
            profile: Profile::Custom,
            client_id: "mesh".to_owned(),
            client_secret: None,
            auth: None,
            issuer: Some(url(issuer)),
            authorize: Some(url(authorize)),
            token: Some(url("https://id.test/token")),
            userinfo: None,
            jwks: None,
            revocation: None,
            scopes: vec!["openid".to_owned(), "offline_access".to_owned()],
            identity_claim: None,
            extra_authorize: Vec::new(),
        }
    }

    async fn resolve(registration: &Registration) -> (Endpoints, Client) {
        let http = HttpClient::try_new(&HttpSettings::default()).unwrap();
        let redirect_uri = url("https://mail.test/oauth/callback");
        registration.resolve(&http, &redirect_uri).await.unwrap()
    }

    #[tokio::test]
    async fn offline_access_is_asked_for_with_consent_unless_the_administrator_says_otherwise() {
        let consent = [("prompt".to_owned(), "consent".to_owned())];
        let mut plain = registration("https://id.test/auth", "https://id.test");
        assert_eq!(resolve(&plain).await.1.extra_authorize, consent);

        let written = registration("https://id.test/auth?prompt=login", "https://id.test");
        assert!(resolve(&written).await.1.extra_authorize.is_empty());

        plain.extra_authorize = vec![("prompt".to_owned(), "login".to_owned())];
        assert_eq!(
            resolve(&plain).await.1.extra_authorize,
            plain.extra_authorize
        );
        plain.extra_authorize.clear();
        plain.scopes.pop();
        assert!(resolve(&plain).await.1.extra_authorize.is_empty());
    }

    #[tokio::test]
    async fn given_endpoints_take_the_issuer_by_name_or_by_its_document() {
        for (given, issuer) in [
            ("https://id.test", "https://id.test"),
            (
                "https://id.test/.well-known/openid-configuration",
                "https://id.test",
            ),
            (
                "https://id.test/a/.well-known/openid-configuration",
                "https://id.test/a",
            ),
        ] {
            let (endpoints, _) = resolve(&registration("https://id.test/auth", given)).await;
            assert_eq!(endpoints.issuer.as_deref(), Some(issuer));
        }
    }
}
