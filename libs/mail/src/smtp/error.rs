use std::time::Duration;

use mailmesh_domain::{MustAct, Verdict, VerdictKind};
use thiserror::Error;

use super::reply::Reply;
use super::verdict::{Phase, is_token_refused, judge};
use super::wire_error::WireError;
use crate::advice;
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
        } else if !is_oauth2 && judge(Phase::Auth, &reply).0.kind == VerdictKind::NeedsSignIn {
            Self::PasswordRefused { reply }
        } else {
            Self::refused(Phase::Auth, reply)
        }
    }

    /// Returns what the failure means and who must act.
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Connect { source } => source.verdict(),
            Self::Credentials { source } => source.verdict(),
            Self::Wire { source, .. } => source.verdict(),
            Self::Refused { phase, reply } => judge(*phase, reply).0,
            Self::TokenRefused { .. } => Verdict::needs_sign_in(),
            // Gmail: a check in the browser, or a password for this application alone.
            Self::PasswordRefused { reply } if reply.code() == 534 => {
                Verdict::needs_administrator(MustAct::MailboxOwner)
            }
            Self::PasswordRefused { .. }
            | Self::InvalidEhloName
            | Self::StartTlsMissing
            | Self::StartTlsInjected
            | Self::NoMechanism { .. } => Verdict::needs_administrator(MustAct::Administrator),
            Self::TooLarge { .. } => Verdict::permanent(MustAct::Nobody),
            Self::ClosedWhileIdle | Self::Unusable => Verdict::transient().after(Duration::ZERO),
        }
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

    /// Returns what to do, where the failure itself suggests more than its verdict.
    pub const fn advice(&self) -> Option<&'static str> {
        match self {
            Self::Connect { source } => Some(advice::of_connect(source)),
            Self::Wire {
                source: WireError::OtherProtocol { .. },
                ..
            } => Some(advice::OTHER_PROTOCOL),
            // A port that wants TLS from the first byte waits for it in silence.
            Self::Wire {
                phase: Phase::Greeting,
                source: WireError::TimedOut,
            } => Some(
                "It is tried again by itself. If it stays, check the account's port and encryption: port 465 wants tls, port 587 starttls.",
            ),
            Self::StartTlsMissing => Some(
                "Set the account's encryption to tls, with port 465, or ask the server's operator for STARTTLS.",
            ),
            Self::NoMechanism { .. } => Some(advice::NO_MECHANISM),
            Self::PasswordRefused { reply } if reply.code() != 534 => Some(advice::WRONG_PASSWORD),
            _ => None,
        }
    }

    /// Returns whether nothing answered where the server should be.
    pub const fn is_unreached(&self) -> bool {
        matches!(self, Self::Connect { source } if source.is_unreached())
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

    /// Returns what the failure means and who must act. For an uncertain mail it does not say to try again.
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Refused { reply } => judge(Phase::Content, reply).0,
            Self::Unsent { source } => source.verdict(),
            Self::Uncertain { .. } => Verdict::unknown(),
        }
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
