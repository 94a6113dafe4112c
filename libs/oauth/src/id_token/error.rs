use mailmesh_domain::{MustAct, Verdict};

/// Why an id token was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdTokenError {
    /// None came although `openid` was asked for (OpenID Connect Core §3.1.3.3).
    #[error("none came, although the scope openid was asked for")]
    Missing,
    /// No JSON web token, or one with extensions that nobody here knows.
    #[error("it is malformed")]
    Malformed,
    /// Not signed with a public-key algorithm.
    #[error("it is not signed with a known public-key algorithm")]
    Algorithm,
    /// The provider has no such key.
    #[error("the provider does not publish the key it is signed with")]
    UnknownKey,
    /// The signature is wrong.
    #[error("its signature is wrong")]
    Signature,
    /// Of another issuer.
    #[error("it is from another issuer")]
    Issuer,
    /// For another client.
    #[error("it is for another client")]
    Audience,
    /// Too old.
    #[error("it has expired")]
    Expired,
    /// From the future.
    #[error("it is not valid yet")]
    NotYet,
    /// Of another sign-in.
    #[error("it belongs to another sign-in")]
    Nonce,
    /// About nobody, or about somebody else than the userinfo.
    #[error("it does not name one subject")]
    Subject,
}

impl IdTokenError {
    pub(crate) const fn verdict(self) -> Verdict {
        match self {
            Self::Nonce | Self::Subject => Verdict::needs_sign_in(),
            Self::UnknownKey => Verdict::unknown(),
            _ => Verdict::needs_administrator(MustAct::Administrator),
        }
    }

    pub(crate) const fn action(self) -> &'static str {
        match self {
            Self::Nonce | Self::Subject => {
                "Sign in once more. If it happens again, tell the administrator."
            }
            Self::Missing => {
                "Check the provider's URLs in the client configuration. If the provider knows no OpenID Connect, take openid out of the scopes and name userinfo_url and identity_claim instead."
            }
            Self::Expired | Self::NotYet => {
                "Set the clock of this server: it and the provider's differ by more than two minutes."
            }
            Self::Issuer | Self::Audience => {
                "Correct issuer, base URL or client id in the client configuration: the provider signs for others."
            }
            Self::Malformed | Self::Algorithm | Self::UnknownKey | Self::Signature => {
                "Check the issuer and key set URL of the client configuration: what the provider signs does not fit the keys it publishes."
            }
        }
    }
}
