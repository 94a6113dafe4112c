//! Proofs of identity as the SASL mechanisms carry them, and who accepts them.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::site::Site;
use crate::mailbox::Mailbox;
use crate::settings::Personality;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mechanism {
    XOauth2,
    OauthBearer,
    Plain,
    Login,
}

impl Mechanism {
    pub(crate) fn find(name: &[u8]) -> Option<Self> {
        [
            (&b"XOAUTH2"[..], Self::XOauth2),
            (b"OAUTHBEARER", Self::OauthBearer),
            (b"PLAIN", Self::Plain),
            (b"LOGIN", Self::Login),
        ]
        .into_iter()
        .find_map(|(known, mechanism)| name.eq_ignore_ascii_case(known).then_some(mechanism))
    }

    /// Returns whether this provider has it.
    pub(crate) fn is_offered(self, personality: Personality) -> bool {
        !(self == Self::OauthBearer && personality == Personality::Microsoft)
    }

    pub(crate) const fn is_bearer(self) -> bool {
        matches!(self, Self::XOauth2 | Self::OauthBearer)
    }
}

/// What somebody showed to prove who they are. It holds secrets: no `Debug`.
pub(crate) struct SaslProof {
    pub(crate) user: String,
    pub(crate) secret: String,
    pub(crate) mechanism: Mechanism,
}

/// The protocol that a scope must allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Imap,
    Pop3,
    Smtp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SaslRefusal {
    /// Not a response of this mechanism.
    Malformed,
    /// The password or token opens nothing.
    Invalid,
    /// The token lives, but for something else.
    Scope,
    /// The token lives, but for another mailbox.
    OtherMailbox,
}

/// Reads a response in base64; a lone `=` stands for an empty one.
pub(crate) fn decode(text: &[u8]) -> Result<Vec<u8>, SaslRefusal> {
    if text == b"=" {
        return Ok(Vec::new());
    }
    STANDARD.decode(text).map_err(|_| SaslRefusal::Malformed)
}

/// Reads the decoded response of a mechanism that needs only one.
pub(crate) fn read_proof(mechanism: Mechanism, response: &[u8]) -> Result<SaslProof, SaslRefusal> {
    let text = std::str::from_utf8(response).map_err(|_| SaslRefusal::Malformed)?;
    let parts = match mechanism {
        Mechanism::XOauth2 => read_xoauth2(text),
        Mechanism::OauthBearer => read_oauthbearer(text),
        Mechanism::Plain => read_plain(text),
        Mechanism::Login => None,
    };
    let (user, secret) = parts.ok_or(SaslRefusal::Malformed)?;
    Ok(SaslProof {
        user,
        secret: secret.to_owned(),
        mechanism,
    })
}

fn read_xoauth2(text: &str) -> Option<(String, &str)> {
    let (user, rest) = text.strip_prefix("user=")?.split_once('\x01')?;
    let token = rest
        .strip_prefix("auth=Bearer ")?
        .strip_suffix("\x01\x01")?;
    Some((user.to_owned(), token))
}

fn read_oauthbearer(text: &str) -> Option<(String, &str)> {
    let (header, rest) = text.split_once('\x01')?;
    let user = header
        .strip_prefix("n,")?
        .strip_suffix(',')?
        .strip_prefix("a=")?;
    let token = rest
        .strip_suffix("\x01\x01")?
        .split('\x01')
        .find_map(|pair| pair.strip_prefix("auth=Bearer "))?;
    Some((user.replace("=2C", ",").replace("=3D", "="), token))
}

fn read_plain(text: &str) -> Option<(String, &str)> {
    let mut fields = text.split('\0');
    let (_authorises_as, user, password) = (fields.next()?, fields.next()?, fields.next()?);
    fields.next().is_none().then(|| (user.to_owned(), password))
}

/// Returns the mailbox that a proof opens.
pub(crate) fn judge(
    site: &Site,
    proof: &SaslProof,
    purpose: Purpose,
) -> Result<Arc<Mailbox>, SaslRefusal> {
    let mailbox = if proof.mechanism.is_bearer() {
        judge_token(site, proof, purpose)?
    } else {
        site.store
            .find(&proof.user)
            .filter(|mailbox| mailbox.is_password(&proof.secret))
            .ok_or(SaslRefusal::Invalid)?
    };
    mailbox.count_sign_in();
    Ok(mailbox)
}

fn judge_token(
    site: &Site,
    proof: &SaslProof,
    purpose: Purpose,
) -> Result<Arc<Mailbox>, SaslRefusal> {
    let holder = site
        .tokens
        .check_access(&proof.secret)
        .map_err(|_| SaslRefusal::Invalid)?;
    if !allows(site.personality, &holder.scopes, purpose) {
        return Err(SaslRefusal::Scope);
    }
    if !holder.opens(&proof.user) {
        return Err(SaslRefusal::OtherMailbox);
    }
    site.store.find(&proof.user).ok_or(SaslRefusal::Invalid)
}

/// Returns whether the scopes allow the protocol; the RFCs name no mail scope, so `Standard` asks for none.
fn allows(personality: Personality, scopes: &[String], purpose: Purpose) -> bool {
    // Microsoft: a person's permission, and an application's.
    let wanted: &[&str] = match (personality, purpose) {
        (Personality::Standard, _) => return true,
        (Personality::Google, _) => &["https://mail.google.com/"],
        (Personality::Microsoft, Purpose::Imap) => &["IMAP.AccessAsUser.All", "IMAP.AccessAsApp"],
        (Personality::Microsoft, Purpose::Pop3) => &["POP.AccessAsUser.All", "POP.AccessAsApp"],
        (Personality::Microsoft, Purpose::Smtp) => &["SMTP.Send", "SMTP.SendAsApp"],
    };
    scopes.iter().any(|scope| {
        let last = scope.rsplit('/').next().unwrap_or_default();
        wanted.contains(&scope.as_str())
            || (personality == Personality::Microsoft && wanted.contains(&last))
    })
}

/// Returns the challenge that tells a bearer client why it was refused; Microsoft sends none.
pub(crate) fn challenge(
    personality: Personality,
    mechanism: Mechanism,
    refusal: SaslRefusal,
) -> Option<String> {
    if personality == Personality::Microsoft || !mechanism.is_bearer() {
        return None;
    }
    let scope = match personality {
        Personality::Google => "https://mail.google.com/",
        Personality::Microsoft | Personality::Standard => "mail",
    };
    let body = match (mechanism, refusal) {
        (Mechanism::OauthBearer, SaslRefusal::Scope) => {
            json!({"status": "insufficient_scope", "scope": scope})
        }
        (Mechanism::OauthBearer, _) => json!({"status": "invalid_token", "scope": scope}),
        (_, SaslRefusal::Malformed) => {
            json!({"status": "400", "schemes": "Bearer", "scope": scope})
        }
        _ => json!({"status": "401", "schemes": "bearer mac", "scope": scope}),
    };
    Some(STANDARD.encode(body.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bearer_responses_give_user_and_token() {
        let xoauth2 = b"user=a@sandbox.test\x01auth=Bearer abc\x01\x01";
        let oauthbearer =
            b"n,a=a=2Cb@sandbox.test,\x01host=localhost\x01port=993\x01auth=Bearer abc\x01\x01";

        let one = read_proof(Mechanism::XOauth2, xoauth2)
            .ok()
            .map(|it| (it.user, it.secret));
        let two = read_proof(Mechanism::OauthBearer, oauthbearer)
            .ok()
            .map(|it| (it.user, it.secret));

        assert_eq!(one, Some(("a@sandbox.test".to_owned(), "abc".to_owned())));
        assert_eq!(two, Some(("a,b@sandbox.test".to_owned(), "abc".to_owned())));
    }

    #[test]
    fn responses_without_the_final_separators_are_malformed() {
        let broken = read_proof(Mechanism::XOauth2, b"user=a\x01auth=Bearer abc\x01");

        assert_eq!(broken.err(), Some(SaslRefusal::Malformed));
    }

    #[test]
    fn microsoft_scopes_are_recognised_by_their_last_part() {
        let scopes = ["https://outlook.office.com/IMAP.AccessAsUser.All".to_owned()];

        assert!(allows(Personality::Microsoft, &scopes, Purpose::Imap));
        assert!(!allows(Personality::Microsoft, &scopes, Purpose::Pop3));
        assert!(!allows(Personality::Microsoft, &scopes, Purpose::Smtp));
        assert!(!allows(Personality::Google, &scopes, Purpose::Imap));
    }
}
