//! How an account proves itself, and the SASL blobs made of it.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mailmesh_domain::FailureCause;
use mailmesh_secrets::{ExposeSecret as _, SecretString};

use crate::server_text::shorten;

/// How an account proves itself to its server.
#[derive(Clone)]
pub enum Credentials {
    /// An access token of the account's grant.
    OAuth2 {
        /// The mailbox's login, usually its address.
        login: String,
        access_token: SecretString,
    },
    Password {
        login: String,
        password: SecretString,
    },
    /// No authentication.
    None,
}

/// Credentials that cannot be put on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCredentials {
    /// The login is empty or holds a control character, which could forge other fields.
    #[error("the login is empty or holds a control character")]
    Login,
    /// The token or password is empty or holds a character that the mechanism cannot carry.
    #[error("the token or password is empty or holds a control character")]
    Secret,
}

impl Credentials {
    pub(crate) fn login(&self) -> Option<&str> {
        match self {
            Self::OAuth2 { login, .. } | Self::Password { login, .. } => Some(login),
            Self::None => None,
        }
    }
}

impl InvalidCredentials {
    /// Returns what the failure is caused by, as far as it decides who must act.
    pub const fn failure_cause(self) -> FailureCause {
        FailureCause::CredentialsUnusable
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::OAuth2 { .. } => "OAuth2 { .. }",
            Self::Password { .. } => "Password { .. }",
            Self::None => "None",
        })
    }
}

/// Returns the base64 client response of `XOAUTH2`.
pub fn xoauth2(login: &str, token: &SecretString) -> Result<SecretString, InvalidCredentials> {
    check(login, token)?;
    let token = token.expose_secret();
    Ok(encode(format!(
        "user={login}\x01auth=Bearer {token}\x01\x01"
    )))
}

/// Returns the base64 client response of `OAUTHBEARER` (RFC 7628) for the real host and port.
pub fn oauthbearer(
    login: &str,
    host: &str,
    port: u16,
    token: &SecretString,
) -> Result<SecretString, InvalidCredentials> {
    check(login, token)?;
    let authzid = login.replace('=', "=3D").replace(',', "=2C");
    let token = token.expose_secret();
    Ok(encode(format!(
        "n,a={authzid},\x01host={host}\x01port={port}\x01auth=Bearer {token}\x01\x01"
    )))
}

/// Returns the base64 client response of `PLAIN` (RFC 4616).
pub fn plain(login: &str, password: &SecretString) -> Result<SecretString, InvalidCredentials> {
    check(login, password)?;
    let password = password.expose_secret();
    Ok(encode(format!("\0{login}\0{password}")))
}

/// Returns `status` of the JSON in the challenge with which a server refuses a bearer token. Its `openid-configuration`
/// is never followed: a hostile server could send our tokens elsewhere by it.
pub(crate) fn refusal_status(challenge: &[u8]) -> Option<String> {
    let json = STANDARD.decode(challenge).ok()?;
    let value: serde_json::Value = serde_json::from_slice(&json).ok()?;
    match value.get("status")? {
        serde_json::Value::String(status) => Some(shorten(status, 40)),
        serde_json::Value::Number(status) => Some(status.to_string()),
        _ => None,
    }
}

fn check(login: &str, secret: &SecretString) -> Result<(), InvalidCredentials> {
    let is_bad = |text: &str| text.is_empty() || text.chars().any(char::is_control);
    if is_bad(login) {
        return Err(InvalidCredentials::Login);
    }
    if is_bad(secret.expose_secret()) {
        return Err(InvalidCredentials::Secret);
    }
    Ok(())
}

fn encode(raw: String) -> SecretString {
    // The clear text is wiped when the wrapper goes.
    let raw = SecretString::from(raw);
    SecretString::from(STANDARD.encode(raw.expose_secret()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(blob: &SecretString) -> String {
        let bytes = STANDARD.decode(blob.expose_secret()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    #[test]
    fn blobs_have_the_form_of_their_mechanism() {
        let token = SecretString::from("ya29.x");

        assert_eq!(
            decoded(&xoauth2("a@b.c", &token).unwrap()),
            "user=a@b.c\x01auth=Bearer ya29.x\x01\x01"
        );
        assert_eq!(
            decoded(&oauthbearer("a=b,c", "imap.b.c", 993, &token).unwrap()),
            "n,a=a=3Db=2Cc,\x01host=imap.b.c\x01port=993\x01auth=Bearer ya29.x\x01\x01"
        );
        assert_eq!(decoded(&plain("a", &token).unwrap()), "\0a\0ya29.x");
    }

    #[test]
    fn a_login_or_token_that_could_forge_fields_is_refused() {
        let token = SecretString::from("t");

        assert_eq!(
            xoauth2("a\x01auth=Bearer other", &token).unwrap_err(),
            InvalidCredentials::Login
        );
        assert_eq!(
            oauthbearer("a", "h", 1, &SecretString::from("t\x01")).unwrap_err(),
            InvalidCredentials::Secret
        );
    }

    #[test]
    fn debug_shows_neither_login_nor_secret() {
        let credentials = Credentials::OAuth2 {
            login: "someone@example.org".to_owned(),
            access_token: SecretString::from("hush"),
        };

        assert_eq!(format!("{credentials:?}"), "OAuth2 { .. }");
    }
}
