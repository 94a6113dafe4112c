use std::error::Error as StdError;

use mailmesh_domain::{FailureCause, History, Responsibility, Verdict, responsibility};

use crate::id_token::error::IdTokenError;
use crate::operation::Operation;
use crate::refusal::ProviderRefusal;
use crate::resolver::NotPublic;

/// Something a provider said, or did not say. Holds no token, code or secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OAuthError {
    /// The URL would send secrets in clear over a network.
    #[error("{operation} needs an https URL")]
    Unprotected { operation: Operation },
    /// The host was named by metadata alone, and its addresses are not public.
    #[error("{operation} leads to a host in a network that is not allowed")]
    NotPublic { operation: Operation },
    /// No connection, or it broke.
    #[error("{operation} could not reach the provider")]
    Unreachable {
        operation: Operation,
        #[source]
        source: reqwest::Error,
    },
    /// The provider's certificate is not trusted.
    #[error("{operation} met a certificate that is not trusted")]
    Untrusted {
        operation: Operation,
        #[source]
        source: reqwest::Error,
    },
    /// No answer within the limit.
    #[error("{operation} timed out")]
    TimedOut { operation: Operation },
    /// More than the limit of an answer.
    #[error("{operation} got an answer of more than {limit} bytes")]
    TooLarge {
        operation: Operation,
        /// The most that is read.
        limit: usize,
    },
    /// A redirect, which is never followed: it would carry secrets elsewhere.
    #[error("{operation} was redirected (HTTP {status})")]
    Redirected { operation: Operation, status: u16 },
    /// The client's private key is missing or does not sign.
    #[error("{operation} could not be signed")]
    Unsigned { operation: Operation },
    /// The provider said no.
    #[error("{0}")]
    Refused(Box<ProviderRefusal>),
    /// A success that cannot be used.
    #[error("{operation} got an answer that cannot be used: {problem}")]
    Unreadable {
        operation: Operation,
        problem: &'static str,
    },
    /// Neither endpoints nor an issuer are given.
    #[error("nothing says where the provider's endpoints are")]
    NoEndpoints,
    /// The metadata names no key set, so that nobody could tell whether an id token is genuine.
    #[error("metadata of {asked} names no usable jwks_uri")]
    NoKeySet { asked: String },
    /// The metadata belongs to another issuer than the one asked for.
    #[error("metadata of {asked} names the issuer {answered}")]
    OtherIssuer {
        asked: String,
        /// The issuer in the document.
        answered: String,
    },
    /// The client secret was given for another origin.
    #[error("token endpoint moved from {from} to {to}")]
    TokenEndpointMoved { from: String, to: String },
    /// The refresh token came from another origin.
    #[error("refresh token came from another token endpoint than {to}")]
    GrantFromElsewhere { from: String, to: String },
    /// The authorisation answer comes from another issuer (RFC 9207).
    #[error("sign-in was answered by another issuer than it was sent to")]
    MixedUp,
    /// The id token does not prove what it must.
    #[error("id token was refused: {0}")]
    IdToken(IdTokenError),
    /// Whose mailbox it is was asked for and not told.
    #[error("the provider does not say which mailbox signed in")]
    NoMailbox {
        /// The claims that were looked at, in order.
        looked_at: Vec<String>,
    },
}

impl OAuthError {
    /// Turns the error in the query of a redirect back from the provider into one of ours.
    pub fn from_authorization_answer(error: &str, description: Option<&str>) -> Self {
        Self::Refused(Box::new(ProviderRefusal::from_redirect(error, description)))
    }

    /// Returns what the failure means, as long as the grant still works or for a first sign-in.
    pub fn verdict(&self) -> Verdict {
        self.responsibility(History::WORKS).verdict
    }

    /// Returns what the person who must act should do, under the same condition.
    pub fn action(&self) -> &'static str {
        self.responsibility(History::WORKS).action
    }

    /// Returns what the failure means, who must act and what to do, given how the grant fared.
    pub fn responsibility(&self, history: History) -> Responsibility {
        match self {
            Self::Refused(refusal) => refusal.responsibility(history),
            other => responsibility(other.failure_cause(), history),
        }
    }

    fn failure_cause(&self) -> FailureCause {
        match self {
            Self::Refused(refusal) => refusal.failure_cause(),
            Self::Unreachable { .. } | Self::TimedOut { .. } => FailureCause::ProviderNotReached,
            Self::TooLarge { .. } | Self::Redirected { .. } | Self::Unreadable { .. } => {
                FailureCause::NoProvider
            }
            Self::Untrusted { .. } => FailureCause::ProviderUntrusted,
            Self::Unprotected { .. } => FailureCause::UrlInClear,
            Self::NotPublic { .. } => FailureCause::UrlNotAllowed,
            Self::NoEndpoints => FailureCause::NoEndpoints,
            Self::TokenEndpointMoved { .. } => FailureCause::TokenEndpointMoved,
            Self::GrantFromElsewhere { .. } => FailureCause::GrantFromElsewhere,
            Self::NoKeySet { .. } => FailureCause::NoKeySet,
            Self::OtherIssuer { .. } => FailureCause::OtherIssuer,
            Self::NoMailbox { .. } => FailureCause::NoMailbox,
            Self::MixedUp => FailureCause::MixedUp,
            Self::Unsigned { .. } => FailureCause::KeyRefused,
            Self::IdToken(error) => error.failure_cause(),
        }
    }

    /// Returns the provider's own code, such as `AADSTS7000222` or `invalid_grant`.
    pub fn code(&self) -> Option<String> {
        match self {
            Self::Refused(refusal) => refusal.code(),
            _ => None,
        }
    }

    /// Returns the refusal, when the provider gave one.
    pub fn refusal(&self) -> Option<&ProviderRefusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }

    /// Returns whether the client configuration itself is refused, so that every grant of it fails
    /// alike and none of them is to blame.
    pub fn concerns_client(&self) -> bool {
        self.failure_cause().concerns_client()
    }

    /// Returns whether providers that do not keep to RFC 6749 §5.2 say this of a grant that has ended.
    pub fn may_be_dead_grant(&self) -> bool {
        self.failure_cause().may_be_dead_grant()
    }

    pub(crate) const fn unreadable(operation: Operation, problem: &'static str) -> Self {
        Self::Unreadable { operation, problem }
    }

    pub(crate) fn from_transport(operation: Operation, source: reqwest::Error) -> Self {
        // A URL may come from an administrator with a password or key in it.
        let source = source.without_url();
        if has_cause::<NotPublic>(&source, |_| true) {
            Self::NotPublic { operation }
        } else if source.is_timeout() {
            Self::TimedOut { operation }
        } else if has_cause(&source, |cause| {
            matches!(cause, rustls::Error::InvalidCertificate(_))
        }) {
            Self::Untrusted { operation, source }
        } else {
            Self::Unreachable { operation, source }
        }
    }
}

/// Returns whether an error of this type that `fits` lies behind the client's.
fn has_cause<Cause: StdError + 'static>(
    error: &reqwest::Error,
    fits: impl Fn(&Cause) -> bool,
) -> bool {
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = next {
        if error.downcast_ref::<Cause>().is_some_and(&fits) {
            return true;
        }
        // `io::Error` hides what it wraps from `source`.
        next = match error.downcast_ref::<std::io::Error>() {
            Some(error) => error
                .get_ref()
                .map(|inner| inner as &(dyn StdError + 'static)),
            None => error.source(),
        };
    }
    false
}
