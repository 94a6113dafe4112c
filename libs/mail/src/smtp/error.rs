use std::time::Duration;

use mailmesh_domain::{Diagnosis, FailureCause, Verdict};
use thiserror::Error;

use super::reply::Reply;
use super::verdict::{Phase, is_about_password, is_token_refused, judge};
use super::wire_error::WireError;
use crate::transport::Scope;
use crate::{ConnectError, InvalidCredentials};

/// A failure before the final dot: the mail is surely unsent.
#[derive(Debug, Error)]
pub enum SmtpError {
    /// The connection could not be made.
    #[error("connecting to the mail server failed")]
    Connect {
        #[source]
        source: ConnectError,
    },
    /// The credentials cannot be put on the wire.
    #[error("the credentials cannot be used")]
    Credentials {
        #[source]
        source: InvalidCredentials,
    },
    #[error("the EHLO name is not a host name or address literal")]
    InvalidEhloName,
    /// The connection broke.
    #[error("the session broke at {phase}")]
    Wire {
        phase: Phase,
        #[source]
        source: WireError,
    },
    #[error("the server refused {phase} with {}", reply.status())]
    Refused { phase: Phase, reply: Reply },
    /// The server refused the bearer token; one refresh may help.
    #[error("the server refused the access token with {}", reply.status())]
    TokenRefused { reply: Reply },
    /// The server refused login or password: there is nothing that a mailbox's owner could sign in to again.
    #[error("the server refused the login or password with {}", reply.status())]
    PasswordRefused { reply: Reply },
    #[error("the server does not offer STARTTLS, and the account requires it")]
    StartTlsMissing,
    /// Bytes came between STARTTLS and the handshake.
    #[error("something was injected before the TLS handshake")]
    StartTlsInjected,
    #[error("the server offers no way to sign in that fits the account (it offers: {offered})")]
    NoMechanism { offered: String },
    /// The mail is larger than the server takes.
    #[error("the mail has {bytes} octets and the server takes {limit}")]
    TooLarge { bytes: u64, limit: u64 },
    /// The server closed an idle connection; open another.
    #[error("the server closed the idle connection")]
    ClosedWhileIdle,
    /// An earlier failure left the connection unusable.
    #[error("the connection is no longer usable")]
    Unusable,
}

impl SmtpError {
    pub(super) const fn wire(phase: Phase) -> impl FnOnce(WireError) -> Self {
        move |source| Self::Wire { phase, source }
    }

    pub(super) fn refused(phase: Phase, reply: Reply) -> Self {
        Self::Refused { phase, reply }
    }

    /// For sign-in with a bearer token.
    pub(super) fn refused_sign_in(reply: Reply, is_oauth2: bool) -> Self {
        if is_oauth2 && is_token_refused(&reply) {
            Self::TokenRefused { reply }
        } else if !is_oauth2 && is_about_password(&reply) {
            Self::PasswordRefused { reply }
        } else {
            Self::refused(Phase::Auth, reply)
        }
    }

    /// Returns what the failure is caused by, and the server's hint on when to come back.
    pub fn diagnosis(&self) -> Diagnosis {
        let cause = match self {
            Self::Refused { phase, reply } => return judge(*phase, reply).0,
            Self::ClosedWhileIdle | Self::Unusable => {
                return Diagnosis::new(FailureCause::Transient).after(Duration::ZERO);
            }
            Self::Connect { source } => source.failure_cause(),
            Self::Credentials { source } => source.failure_cause(),
            // A port that wants TLS from the first byte waits for it in silence.
            Self::Wire {
                phase: Phase::Greeting,
                source: WireError::TimedOut,
            } => FailureCause::ServerSilent,
            Self::Wire { source, .. } => source.failure_cause(),
            Self::TokenRefused { .. } => FailureCause::TokenRefused,
            Self::PasswordRefused { .. } => FailureCause::PasswordRefused,
            Self::InvalidEhloName => FailureCause::ClientNameInvalid,
            Self::StartTlsMissing => FailureCause::NoStartTls,
            Self::StartTlsInjected => FailureCause::TlsTampered,
            Self::NoMechanism { .. } => FailureCause::NoMechanism,
            Self::TooLarge { .. } => FailureCause::MailTooLarge,
        };
        cause.into()
    }

    /// Returns what the failure means and who must act, as long as nobody is to be told of it.
    pub fn verdict(&self) -> Verdict {
        self.diagnosis().verdict()
    }

    /// Returns what the failure concerns.
    pub fn scope(&self) -> Scope {
        match self {
            Self::Refused { phase, reply } => judge(*phase, reply).1,
            Self::Credentials { .. }
            | Self::TokenRefused { .. }
            | Self::PasswordRefused { .. }
            | Self::NoMechanism { .. } => Scope::Account,
            Self::TooLarge { .. } => Scope::Message,
            _ => Scope::Host,
        }
    }

    /// Returns whether a fresh access token may help; ask for one once, then believe the refusal.
    pub const fn is_token_refused(&self) -> bool {
        matches!(self, Self::TokenRefused { .. })
    }

    /// Returns the server's reply, if it gave one.
    pub const fn reply(&self) -> Option<&Reply> {
        match self {
            Self::Refused { reply, .. }
            | Self::TokenRefused { reply }
            | Self::PasswordRefused { reply } => Some(reply),
            _ => None,
        }
    }
}

/// Why it is not known whether the server has the mail.
#[derive(Debug, Error)]
pub enum UncertainCause {
    #[error("the session broke before the reply")]
    Wire {
        #[source]
        source: WireError,
    },
    #[error("the reply {} does not tell", reply.status())]
    Reply { reply: Reply },
}

/// A failure of the last stage.
#[derive(Debug, Error)]
pub enum CommitError {
    /// The server refused the mail: it surely does not have it.
    #[error("the server refused the mail with {}", reply.status())]
    Refused { reply: Reply },
    /// The connection ended before the final dot was sent: the server surely does not have the mail.
    #[error("the connection ended before the final dot")]
    Unsent {
        #[source]
        source: WireError,
    },
    #[error("the server may or may not have taken the mail")]
    Uncertain {
        #[source]
        source: UncertainCause,
    },
}

impl CommitError {
    pub(super) const fn uncertain(source: WireError) -> Self {
        Self::Uncertain {
            source: UncertainCause::Wire { source },
        }
    }

    /// Returns what the failure is caused by, and the server's hint on when to come back.
    pub fn diagnosis(&self) -> Diagnosis {
        match self {
            Self::Refused { reply } => judge(Phase::Content, reply).0,
            Self::Unsent { source } => source.failure_cause().into(),
            Self::Uncertain { .. } => FailureCause::MailUncertain.into(),
        }
    }

    /// Returns what the failure means and who must act. For an uncertain mail it does not say to try again.
    pub fn verdict(&self) -> Verdict {
        self.diagnosis().verdict()
    }

    /// Returns what the failure concerns.
    pub fn scope(&self) -> Scope {
        match self {
            Self::Refused { reply } => judge(Phase::Content, reply).1,
            Self::Unsent { .. } => Scope::Host,
            Self::Uncertain { .. } => Scope::Message,
        }
    }

    /// Returns whether the server may have the mail.
    pub const fn is_uncertain(&self) -> bool {
        matches!(self, Self::Uncertain { .. })
    }

    /// Returns the server's reply, if it gave one.
    pub const fn reply(&self) -> Option<&Reply> {
        match self {
            Self::Refused { reply }
            | Self::Uncertain {
                source: UncertainCause::Reply { reply },
            } => Some(reply),
            _ => None,
        }
    }
}
