use serde::Deserialize;
use url::Url;

/// The section `[public]`: how browsers reach `auth-callback`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublicSettings {
    /// The base URL, as registered at the providers; never taken from a request.
    pub url: Url,
    /// The path of the redirect URI.
    #[serde(default = "default_redirect_path")]
    pub redirect_path: String,
}

/// Followed by the key of the client configuration.
pub const OWN_REDIRECT_PATH: &str = "/oauth/callback/";

fn default_redirect_path() -> String {
    "/oauth/callback".to_owned()
}

impl PublicSettings {
    /// Returns the redirect URI of one client configuration, so that answers of different providers arrive at different
    /// ones (RFC 9700 §4.4).
    pub fn own_redirect_uri(&self, key: &str) -> Url {
        self.page(&format!("{OWN_REDIRECT_PATH}{key}"))
    }

    /// Returns the redirect URI without a key, which one client configuration may use.
    pub fn redirect_uri(&self) -> Url {
        self.page(&self.redirect_path)
    }

    /// Returns the one-time link that starts a sign-in.
    pub fn connect_url(&self, link: &str) -> Url {
        self.page(&format!("/connect/{link}"))
    }

    fn page(&self, path: &str) -> Url {
        let mut url = self.url.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}{path}"));
        url.set_query(None);
        url
    }
}
