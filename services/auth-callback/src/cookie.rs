//! The two cookies: which browser started a sign-in, and how it ended.

use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderValue};
use mailmesh_secrets::{ExposeSecret, SecretString, random_token};

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
    /// Returns the secret of the browser, so that sign-ins in two of its windows do not void each
    /// other; a new one when it has none.
    pub(crate) fn browser_or_new(self, headers: &HeaderMap) -> SecretString {
        self.browser(headers).unwrap_or_else(|| random_token(32))
    }

    pub(crate) fn browser(self, headers: &HeaderMap) -> Option<SecretString> {
        let value = find(headers, &self.name(BROWSER))?;
        let is_ours = value.len() == BROWSER_CHARACTERS && value.bytes().all(is_base64url);
        is_ours.then(|| SecretString::from(value))
    }

    /// Returns the `Set-Cookie` value. An answer that the provider posts across sites comes without
    /// a cookie that is `Lax`.
    pub(crate) fn set_browser(self, secret: &SecretString, is_posted: bool) -> Option<HeaderValue> {
        let same_site = if is_posted && self.is_secure {
            "None"
        } else {
            "Lax"
        };
        self.set(BROWSER, secret.expose_secret(), same_site)
    }

    pub(crate) fn result(self, headers: &HeaderMap) -> Option<&str> {
        find(headers, &self.name(RESULT))
    }

    pub(crate) fn set_result(self, sealed: &str) -> Option<HeaderValue> {
        self.set(RESULT, sealed, "Lax")
    }

    fn name(self, name: &str) -> String {
        // The prefix makes browsers refuse it from anybody but this very host over https.
        let prefix = if self.is_secure { "__Host-" } else { "" };
        format!("{prefix}{name}")
    }

    fn set(self, name: &str, value: &str, same_site: &str) -> Option<HeaderValue> {
        let name = self.name(name);
        let secure = if self.is_secure { "; Secure" } else { "" };
        let text = format!(
            "{name}={value}; Path=/; Max-Age={MAX_AGE_SECONDS}; HttpOnly; SameSite={same_site}{secure}"
        );
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

fn find<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(found, _)| *found == name)
        .map(|(_, value)| value)
}

const fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(COOKIE, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn cookies_are_bound_to_the_host_over_https() {
        let secret = random_token(32);
        let shown = |jar: Jar, is_posted| {
            let value = jar.set_browser(&secret, is_posted).unwrap();
            value.to_str().unwrap().replace(secret.expose_secret(), "S")
        };

        assert_eq!(
            shown(Jar { is_secure: true }, false),
            "__Host-mailmesh-sign-in=S; Path=/; Max-Age=900; HttpOnly; SameSite=Lax; Secure"
        );
        assert_eq!(
            shown(Jar { is_secure: true }, true),
            "__Host-mailmesh-sign-in=S; Path=/; Max-Age=900; HttpOnly; SameSite=None; Secure"
        );
        assert_eq!(
            shown(Jar { is_secure: false }, true),
            "mailmesh-sign-in=S; Path=/; Max-Age=900; HttpOnly; SameSite=Lax"
        );
    }

    #[test]
    fn a_browser_keeps_its_secret_and_a_planted_one_is_not_taken() {
        let jar = Jar { is_secure: false };
        let secret = random_token(32);
        let headers = sent(&format!("a=b; mailmesh-sign-in={}", secret.expose_secret()));

        let kept = jar.browser_or_new(&headers);
        let fresh = jar.browser_or_new(&sent("mailmesh-sign-in=guessable"));

        assert_eq!(kept.expose_secret(), secret.expose_secret());
        assert_eq!(fresh.expose_secret().len(), BROWSER_CHARACTERS);
        assert!(Jar { is_secure: true }.browser(&headers).is_none());
    }
}
