use mailmesh_domain::FailureCause;

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
    pub(crate) const fn failure_cause(self) -> FailureCause {
        match self {
            Self::Nonce | Self::Subject => FailureCause::MixedUp,
            Self::Missing => FailureCause::NoIdToken,
            Self::Expired | Self::NotYet => FailureCause::ClocksDiffer,
            Self::Issuer | Self::Audience => FailureCause::IdTokenForOthers,
            Self::Malformed | Self::Algorithm | Self::Signature => FailureCause::IdTokenForged,
            Self::UnknownKey => FailureCause::IdTokenKeyUnknown,
        }
    }
}
