use std::io;
use std::time::Duration;

use mailmesh_domain::{Diagnosis, FailureCause, Verdict};
use thiserror::Error;

use super::reply::ErrReply;
use super::stage::{Mechanism, Stage};
use super::verdict::{Judgement, RefusedStep, TokenState, judge};
use crate::{ConnectError, InvalidCredentials};

/// Why a POP3 session could not do what it was asked for.
#[derive(Debug, Error)]
pub enum Pop3Error {
    /// No connection.
    #[error("the POP3 server could not be connected")]
    Connect(#[source] ConnectError),
    /// The credentials cannot be put on the wire.
    #[error("the credentials cannot be used")]
    Credentials(#[source] InvalidCredentials),
    /// Exchange leaves a longer token without an answer.
    #[error("the access token has {bytes} bytes, and Exchange takes no more than {limit} by POP3")]
    TokenTooLong {
        /// The token's length.
        bytes: usize,
        /// The longest that it takes.
        limit: usize,
    },
    /// The server does not sign in by this mechanism, and has not looked at the secret.
    #[error("the server does not take {mechanism}:{} {}", CodePrefix(refusal), refusal.text)]
    MechanismRefused {
        /// What was tried.
        mechanism: Mechanism,
        refusal: ErrReply,
        /// How long the server wants clients to wait between sign-ins.
        login_delay: Option<Duration>,
    },
    /// The server refused the sign-in.
    #[error("the server refused the sign-in by {mechanism}:{} {}", CodePrefix(refusal), refusal.text)]
    SignInRefused {
        /// How it was tried.
        mechanism: Mechanism,
        refusal: ErrReply,
        /// The `status` of the challenge with which bearer tokens are refused.
        challenge_status: Option<String>,
        /// How long the server wants clients to wait between sign-ins.
        login_delay: Option<Duration>,
    },
    /// A command was refused; the session goes on.
    #[error("the server refused while {stage}:{} {}", CodePrefix(refusal), refusal.text)]
    Refused {
        /// The command.
        stage: Stage,
        refusal: ErrReply,
    },
    /// What answered speaks something else, so that port and protocol do not fit.
    #[error("the server speaks {spoken} on this port, not POP3")]
    OtherProtocol {
        /// What it speaks.
        spoken: &'static str,
    },
    /// A line outside the POP3 grammar.
    #[error("the server sent what is not POP3 while {stage}")]
    Unreadable { stage: Stage },
    /// The server sent an unsolicited reply: later replies could be matched to the wrong command.
    #[error("the server sent a reply that nothing had asked for before {stage}")]
    Unsolicited {
        /// What we were about to do.
        stage: Stage,
    },
    /// The connection broke or ended without a reply.
    #[error("the connection was lost while {stage}")]
    ConnectionLost {
        stage: Stage,
        #[source]
        source: io::Error,
    },
    #[error("the server took too long while {stage}")]
    TimedOut { stage: Stage },
    #[error("the server sent more than {limit} {what} while {stage}")]
    Excess {
        stage: Stage,
        /// What there was too much of.
        what: &'static str,
        /// The bound.
        limit: usize,
    },
    /// Bytes came between the reply to STLS and the handshake: an injection by a man in the middle.
    #[error("data was slipped in before TLS began")]
    StartTlsTampered,
    /// The listing is empty and the server says that it is not: a maildrop that is being moved or rebuilt.
    #[error("the server lists no mail and says that it has some")]
    ListingEmpty,
    /// POP3 has no other folder than the inbox.
    #[error("POP3 shows the inbox alone")]
    NoSuchFolder,
    /// POP3 cannot do it.
    #[error("POP3 cannot {action}")]
    Unsupported {
        /// What was asked for.
        action: &'static str,
    },
    #[error("the mail is no longer there")]
    MailGone,
    /// The server lists the mail and refuses to show it.
    #[error("the server could not show the mail")]
    MailUnreadable,
    /// The server lists the mail as larger, also when it is asked for once more.
    #[error("the server announces {announced} bytes of the mail and sends {came}")]
    MailCutShort { announced: u64, came: u64 },
    /// It waits for us to take its `LF . LF` for the end of a mail, which RFC 1939 §3 has be `CRLF . CRLF`.
    #[error("the server ends the lines of a mail with LF alone, so that its end is not known")]
    BareLineFeeds,
    /// A mail was given up half-way, and what was left of it is too much to read past.
    #[error("a mail was not read to its end")]
    UnfinishedMail,
    /// Nothing is open that the call could work on.
    #[error("no folder is open for this")]
    NoFolder,
    /// The receiver of the fetched mails is gone.
    #[error("the fetched mails were not taken")]
    NotTaken,
    /// The session is over, or a call was given up half-way.
    #[error("the session is closed")]
    Closed,
}

/// A response code as it is shown before the text.
struct CodePrefix<'a>(&'a ErrReply);

impl std::fmt::Display for CodePrefix<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0.code {
            Some(code) => write!(formatter, " [{code}]"),
            None => Ok(()),
        }
    }
}

impl Pop3Error {
    /// Returns what the failure is caused by, and the server's hint on when to come back.
    pub fn diagnosis(&self) -> Diagnosis {
        if let Some(judgement) = self.judgement() {
            return judgement.diagnosis;
        }
        let cause = match self {
            Self::Connect(error) => error.failure_cause(),
            Self::Credentials(error) => error.failure_cause(),
            // A port that wants TLS from the first byte waits for it in silence.
            Self::TimedOut {
                stage: Stage::Greeting,
            } => FailureCause::ServerSilent,
            Self::ConnectionLost { .. }
            | Self::TimedOut { .. }
            | Self::Unsolicited { .. }
            | Self::UnfinishedMail
            | Self::NotTaken
            | Self::Closed => FailureCause::Transient,
            Self::TokenTooLong { .. } => FailureCause::TokenTooLong,
            Self::OtherProtocol { .. } => FailureCause::OtherProtocol,
            Self::StartTlsTampered => FailureCause::TlsTampered,
            Self::NoSuchFolder => FailureCause::FolderBesideInbox,
            Self::Unsupported { .. } => FailureCause::PostActionUnfit,
            Self::MailGone | Self::NoFolder => FailureCause::ServerUnfit,
            Self::BareLineFeeds => FailureCause::BareLineFeeds,
            Self::Excess { .. }
            | Self::Unreadable { .. }
            | Self::MailCutShort { .. }
            | Self::ListingEmpty => FailureCause::ServerFault,
            _ => FailureCause::Unknown,
        };
        cause.into()
    }

    /// Returns what the failure means and who must act, as long as nobody is to be told of it.
    pub fn verdict(&self) -> Verdict {
        self.diagnosis().verdict()
    }

    /// Returns whether the access token was refused: refresh it once, and if that one is refused too, sign in anew.
    pub fn is_token_refused(&self) -> bool {
        self.has_token_state(TokenState::Refused)
    }

    /// Returns whether the session ended with its token's life: connect again with a fresh one.
    pub fn is_token_stale(&self) -> bool {
        self.has_token_state(TokenState::Stale)
    }

    /// Returns whether the session can go on after this failure.
    pub const fn is_session_healthy(&self) -> bool {
        matches!(
            self,
            Self::Refused { .. }
                | Self::ListingEmpty
                | Self::NoSuchFolder
                | Self::Unsupported { .. }
                | Self::MailGone
                | Self::MailUnreadable
                | Self::MailCutShort { .. }
                | Self::NoFolder
        )
    }

    /// Returns the server's response code, for people to look up.
    pub fn code(&self) -> Option<&str> {
        let (_, refusal, _) = self.refusal()?;
        refusal.code.as_deref()
    }

    fn has_token_state(&self, state: TokenState) -> bool {
        self.judgement()
            .is_some_and(|judgement| judgement.token == state)
    }

    fn judgement(&self) -> Option<Judgement> {
        let (tried, refusal, login_delay) = self.refusal()?;
        Some(judge(tried, refusal, login_delay))
    }

    const fn refusal(&self) -> Option<(RefusedStep, &ErrReply, Option<Duration>)> {
        match self {
            Self::Refused { stage, refusal } => Some((RefusedStep::Command(*stage), refusal, None)),
            Self::MechanismRefused {
                refusal,
                login_delay,
                ..
            } => Some((RefusedStep::Mechanism, refusal, *login_delay)),
            Self::SignInRefused {
                mechanism,
                refusal,
                login_delay,
                ..
            } => Some((RefusedStep::SignIn(*mechanism), refusal, *login_delay)),
            _ => None,
        }
    }
}
