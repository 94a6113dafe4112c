use futures_util::future::BoxFuture;
use mailmesh_domain::{Flow, TokenEndpointAuth};
use mailmesh_secrets::SecretString;
use url::Url;

use crate::client::{Client, asks_offline};
use crate::discovery::{self, issuer_of_document, no_key_set};
use crate::endpoints::Endpoints;
use crate::error::OAuthError;
use crate::http::HttpClient;
use crate::profile::{Defaults, Profile};
use crate::signer::Signer;

/// What an administrator registered of a client, and what of the provider.
#[derive(Debug, Clone)]
pub struct Registration {
    /// What fills in the rest.
    pub profile: Profile,
    pub flow: Flow,
    pub client_id: String,
    /// The secret; absent for public clients.
    pub client_secret: Option<SecretString>,
    /// What signs in place of the secret, or for mailboxes.
    pub signer: Option<Signer>,
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
    /// What is asked for.
    pub scopes: Vec<String>,
    /// The claim that names the mailbox.
    pub identity_claim: Option<String>,
    /// Further parameters of the authorise URL; they replace the profile's of the same name.
    pub extra_authorize: Vec<(String, String)>,
}

impl Registration {
    /// Finds the provider's endpoints: each that was given, and the others by discovery or from the
    /// profile.
    ///
    /// # Errors
    /// [`OAuthError`] when discovery fails, or nothing says where the endpoints are.
    pub fn resolve<'a>(
        &'a self,
        http: &'a HttpClient,
        redirect_uri: &'a Url,
    ) -> BoxFuture<'a, Result<(Endpoints, Client), OAuthError>> {
        Box::pin(async move {
            let defaults = self.profile.defaults(self.authority().as_ref());
            // Nobody is sent to the authorisation endpoint for the client's own tokens.
            let unused = self.token.as_ref().filter(|_| self.flow.is_app());
            let authorize = self.authorize.as_ref().or(unused);
            let given = authorize.zip(self.token.as_ref());
            let mut needs_keys = None;
            let mut endpoints = match (given, &self.issuer) {
                (Some((authorize, token)), issuer) => match self.known_to_profile(&defaults) {
                    Some(known) => known,
                    None => Endpoints {
                        issuer: issuer.as_ref().map(issuer_name),
                        ..Endpoints::new(authorize.clone(), token.clone())
                    },
                },
                (None, Some(issuer)) if !self.profile.is_microsoft() => {
                    let found = discovery::find(http, issuer).await?;
                    let asks_identity = self.scopes.iter().any(|scope| scope == "openid");
                    let signs_in = !self.flow.is_app();
                    needs_keys =
                        (signs_in && (found.needs_keys || asks_identity)).then_some(issuer);
                    found.endpoints
                }
                (None, _) => defaults.endpoints.clone().ok_or(OAuthError::NoEndpoints)?,
            };
            self.replace_given(&mut endpoints);
            if let (None, Some(issuer)) = (&endpoints.jwks, needs_keys) {
                return Err(no_key_set(issuer));
            }
            let client = self.client(defaults, &endpoints, redirect_uri);
            Ok((endpoints, client))
        })
    }

    /// Returns the hosts that the administrator has named, sorted.
    pub(crate) fn named_hosts(&self) -> Vec<String> {
        let urls = [
            &self.issuer,
            &self.authorize,
            &self.token,
            &self.userinfo,
            &self.jwks,
        ];
        let named = urls.into_iter().flatten().filter_map(Url::host_str);
        let mut hosts: Vec<String> = named.map(str::to_owned).collect();
        hosts.sort_unstable();
        hosts.dedup();
        hosts
    }

    /// Returns whether a sign-in asks for access that lasts; see [`Client::asks_offline_access`].
    pub fn asks_offline_access(&self) -> bool {
        let defaults = self.profile.defaults(self.issuer.as_ref());
        let extra = self.extra_authorize.iter();
        asks_offline(
            &self.scopes,
            extra.chain(&defaults.extra_authorize),
            self.authorize.as_ref(),
        )
    }

    /// Microsoft's authority: as given, else as the authorisation endpoint shows it.
    fn authority(&self) -> Option<Url> {
        if !self.profile.is_microsoft() || self.issuer.is_some() {
            return self.issuer.clone();
        }
        let mut authority = self.authorize.clone().or_else(|| self.token.clone())?;
        let path = authority.path();
        let tenant = path
            .strip_suffix("/oauth2/v2.0/authorize")
            .or_else(|| path.strip_suffix("/oauth2/v2.0/token"))?;
        let tenant = tenant.to_owned();
        authority.set_path(&tenant);
        Some(authority)
    }

    /// Who signs, with which keys, stays known when an administrator writes out the two URLs that
    /// every instruction names; not when another issuer was given.
    fn known_to_profile(&self, defaults: &Defaults) -> Option<Endpoints> {
        let known = defaults.endpoints.clone()?;
        let is_same = match (&self.issuer, self.profile) {
            (Some(issuer), Profile::Google) => known.issuer.as_ref() == Some(&issuer_name(issuer)),
            _ => true,
        };
        is_same.then_some(known)
    }

    fn replace_given(&self, endpoints: &mut Endpoints) {
        let replace = |slot: &mut Url, given: &Option<Url>| {
            if let Some(given) = given {
                slot.clone_from(given);
            }
        };
        replace(&mut endpoints.authorize, &self.authorize);
        replace(&mut endpoints.token, &self.token);
        let replace = |slot: &mut Option<Url>, given: &Option<Url>| {
            if given.is_some() {
                slot.clone_from(given);
            }
        };
        replace(&mut endpoints.userinfo, &self.userinfo);
        replace(&mut endpoints.jwks, &self.jwks);
    }

    fn client(&self, defaults: Defaults, endpoints: &Endpoints, redirect_uri: &Url) -> Client {
        let auth = self.auth.unwrap_or(match self.profile {
            _ if self.signer.is_some() => TokenEndpointAuth::PrivateKeyJwt,
            _ if self.client_secret.is_none() => TokenEndpointAuth::None,
            Profile::Custom => endpoints.preferred_auth(),
            _ => defaults.auth,
        });
        let consent = self
            .must_ask_for_consent(endpoints)
            .then(|| ("prompt".to_owned(), "consent".to_owned()));
        let defaults_extra = defaults.extra_authorize.into_iter().chain(consent);
        let kept = defaults_extra.filter(|(name, _)| {
            let mut given = self.extra_authorize.iter();
            !given.any(|(other, _)| other == name)
        });
        // The others steer the protocol, and are the administrator's to leave out.
        Client {
            client_id: self.client_id.clone(),
            client_secret: self.client_secret.clone(),
            signer: self.signer.clone(),
            auth,
            redirect_uri: redirect_uri.clone(),
            scopes: self.scopes.clone(),
            protocol_scopes: defaults.protocol_scopes,
            refresh_sends_scopes: defaults.refresh_sends_scopes,
            identity_claim: self.identity_claim.clone(),
            extra_authorize: kept.chain(self.extra_authorize.iter().cloned()).collect(),
        }
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
mod tests;
