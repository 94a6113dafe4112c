//! The two cookies: which browser started a sign-in, and how it ended.

use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderValue};
use mailmesh_domain::SignInId;
use mailmesh_secrets::{ExposeSecret, SecretString};

/// As long as a started sign-in.
const MAX_AGE_SECONDS: u32 = 15 * 60;
const BROWSER: &str = "mailmesh-sign-in";
const RESULT: &str = "mailmesh-result";
/// Of `random_token(32)`.
const BROWSER_CHARACTERS: usize = 43;

/// How cookies are named and protected at this public URL.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Jar {
    pub(crate) is_secure: bool,
}

impl Jar {
    /// Returns the secret that was given to the browser that started this sign-in.
    pub(crate) fn browser(self, headers: &HeaderMap, id: SignInId) -> Option<SecretString> {
        let value = find_one(headers, &self.browser_name(id))?;
        let is_ours = value.len() == BROWSER_CHARACTERS && value.bytes().all(is_base64url);
        is_ours.then(|| SecretString::from(value))
    }

    /// Returns the `Set-Cookie` value for a secret that is new with each start: one that was there before may have been
    /// planted, by whoever answers at another port of this host where there is no https. Each sign-in has a cookie of its
    /// own, so that those in two windows do not void each other. An answer that the provider posts across sites comes
    /// without a cookie that is `Lax`.
    pub(crate) fn set_browser(
        self,
        id: SignInId,
        secret: &SecretString,
        redirect_path: &str,
        is_posted: bool,
    ) -> Option<HeaderValue> {
        let same_site = if is_posted && self.is_secure {
            "None"
        } else {
            "Lax"
        };
        // The prefix `__Host-` wants the whole host as path.
        let path = if self.is_secure { "/" } else { redirect_path };
        let cookie = (self.browser_name(id), secret.expose_secret());
        self.set(cookie, path, same_site)
    }

    pub(crate) fn result(self, headers: &HeaderMap) -> Option<&str> {
        find_one(headers, &self.name(RESULT))
    }

    pub(crate) fn set_result(self, sealed: &str) -> Option<HeaderValue> {
        self.set((self.name(RESULT), sealed), "/", "Lax")
    }

    fn browser_name(self, id: SignInId) -> String {
        self.name(&format!("{BROWSER}-{id}"))
    }

    fn name(self, name: &str) -> String {
        // The prefix makes browsers refuse it from anybody but this very host over https.
        let prefix = if self.is_secure { "__Host-" } else { "" };
        format!("{prefix}{name}")
    }

    fn set(
        self,
        (name, value): (String, &str),
        path: &str,
        same_site: &str,
    ) -> Option<HeaderValue> {
        let secure = if self.is_secure { "; Secure" } else { "" };
        let text = format!(
            "{name}={value}; Path={path}; Max-Age={MAX_AGE_SECONDS}; HttpOnly; SameSite={same_site}{secure}"
        );
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

/// Returns the cookie of this name; none if there are two, since one of them was set by somebody else.
fn find_one<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut found = headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(found, _)| *found == name);
    let (_, value) = found.next()?;
    found.next().is_none().then_some(value)
}

const fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

#[cfg(test)]
mod tests {
    use mailmesh_domain::SystemClock;
    use mailmesh_secrets::random_token;

    use super::*;

    fn sent(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(COOKIE, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn cookies_are_bound_to_host_or_path_and_to_one_sign_in() {
        let secret = random_token(32);
        let id = SignInId::generate(&SystemClock);
        let shown = |jar: Jar, is_posted| {
            let value = jar.set_browser(id, &secret, "/base/oauth/callback/google", is_posted);
            let value = value.unwrap().to_str().unwrap().to_owned();
            value
                .replace(secret.expose_secret(), "S")
                .replace(&id.to_string(), "ID")
        };

        assert_eq!(
            shown(Jar { is_secure: true }, false),
            "__Host-mailmesh-sign-in-ID=S; Path=/; Max-Age=900; HttpOnly; SameSite=Lax; Secure"
        );
        assert_eq!(
            shown(Jar { is_secure: true }, true),
            "__Host-mailmesh-sign-in-ID=S; Path=/; Max-Age=900; HttpOnly; SameSite=None; Secure"
        );
        assert_eq!(
            shown(Jar { is_secure: false }, true),
            "mailmesh-sign-in-ID=S; Path=/base/oauth/callback/google; Max-Age=900; HttpOnly; SameSite=Lax"
        );
    }

    #[test]
    fn a_cookie_counts_for_its_own_sign_in_and_alone() {
        let jar = Jar { is_secure: false };
        let (secret, planted) = (random_token(32), random_token(32));
        let [id, other] = [0, 1].map(|_| SignInId::generate(&SystemClock));
        let name = format!("mailmesh-sign-in-{id}");
        let ours = format!("{name}={}", secret.expose_secret());
        let headers = sent(&format!("a=b; {ours}"));
        let twice = sent(&format!("{ours}; {name}={}", planted.expose_secret()));

        let found = jar.browser(&headers, id).unwrap();

        assert_eq!(found.expose_secret(), secret.expose_secret());
        assert!(jar.browser(&headers, other).is_none());
        assert!(
            jar.browser(&twice, id).is_none(),
            "one of the two was planted"
        );
        assert!(
            jar.browser(&sent(&format!("{name}=guessable")), id)
                .is_none()
        );
        assert!(Jar { is_secure: true }.browser(&headers, id).is_none());
    }
}
