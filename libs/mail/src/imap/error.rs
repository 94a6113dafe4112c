use std::fmt;
use std::io;

use super::guard::GuardError;
use crate::{ConnectError, InvalidCredentials, ServerText};

/// What a session was doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Waiting for the first line.
    Greeting,
    /// Asking for TLS.
    StartTls,
    /// Asking what the server can do.
    Capability,
    SignIn,
    /// Saying who we are.
    Id,
    /// Opening a folder.
    Select,
    /// Looking for mails.
    Search,
    /// Reading mails.
    Fetch,
    /// Waiting for changes.
    Idle,
    /// Asking for changes.
    Noop,
    /// Changing flags.
    Store,
    /// Copying mails.
    Copy,
    /// Moving mails.
    Move,
    /// Removing mails.
    Expunge,
    /// Listing folders.
    List,
    /// LOGOUT.
    Logout,
}

impl Stage {
    /// Returns the stage in words that complete "while …".
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Greeting => "waiting for the greeting",
            Self::StartTls => "asking for TLS",
            Self::Capability => "asking for capabilities",
            Self::SignIn => "signing in",
            Self::Id => "identifying the client",
            Self::Select => "opening the folder",
            Self::Search => "searching",
            Self::Fetch => "fetching",
            Self::Idle => "idling",
            Self::Noop => "asking for changes",
            Self::Store => "changing flags",
            Self::Copy => "copying",
            Self::Move => "moving",
            Self::Expunge => "removing",
            Self::List => "listing folders",
            Self::Logout => "signing out",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// The word with which a command was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalStatus {
    /// The command failed.
    No,
    /// The command was not understood; some servers answer so to refused sign-ins, too.
    Bad,
}

impl fmt::Display for RefusalStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::No => "NO",
            Self::Bad => "BAD",
        })
    }
}

/// How a session signs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// Google's and Microsoft's bearer token mechanism.
    XOAuth2,
    /// The bearer token mechanism of RFC 7628.
    OAuthBearer,
    /// A password, by SASL.
    Plain,
    /// A password, by the LOGIN command.
    Login,
}

impl Mechanism {
    /// Returns whether the mechanism carries a bearer token.
    pub const fn is_oauth2(self) -> bool {
        matches!(self, Self::XOAuth2 | Self::OAuthBearer)
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::XOAuth2 => "XOAUTH2",
            Self::OAuthBearer => "OAUTHBEARER",
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
        })
    }
}

/// A response code as it is shown before the text.
struct Brackets<'a>(Option<&'a str>);

impl fmt::Display for Brackets<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(code) => write!(formatter, " [{code}]"),
            None => Ok(()),
        }
    }
}

/// Why an IMAP session could not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ImapError {
    /// No connection.
    #[error("the IMAP server could not be connected")]
    Connect(#[source] ConnectError),
    /// The credentials cannot be put on the wire.
    #[error("the credentials cannot be used")]
    Credentials(#[source] InvalidCredentials),
    /// The server offers no way to sign in with such credentials.
    #[error("the server offers no sign-in that fits the credentials")]
    NoMechanism,
    /// The server refused the sign-in.
    #[error(
        "the server refused the sign-in by {mechanism}: {refusal}{} {text}",
        Brackets(code.as_deref())
    )]
    SignInRefused {
        /// How it was tried.
        mechanism: Mechanism,
        refusal: RefusalStatus,
        code: Option<String>,
        text: ServerText,
        /// The `status` of the challenge with which bearer tokens are refused.
        challenge_status: Option<String>,
    },
    /// A command was refused; the session goes on.
    #[error(
        "the server refused while {stage}: {refusal}{} {text}",
        Brackets(code.as_deref())
    )]
    Refused {
        /// The command.
        stage: Stage,
        refusal: RefusalStatus,
        code: Option<String>,
        text: ServerText,
    },
    /// The server ended the session with BYE.
    #[error(
        "the server ended the session while {stage}: BYE{} {text}",
        Brackets(code.as_deref())
    )]
    Bye {
        stage: Stage,
        code: Option<String>,
        text: ServerText,
    },
    /// The connection broke or ended without BYE.
    #[error("the connection was lost while {stage}")]
    ConnectionLost {
        stage: Stage,
        #[source]
        source: io::Error,
    },
    #[error("the server took too long while {stage}")]
    TimedOut { stage: Stage },
    /// The server sent or announced more than it may.
    #[error("the server sent too much while {stage}")]
    Excess {
        stage: Stage,
        #[source]
        source: GuardError,
    },
    /// The server sent replies without end, and nothing that was asked or waited for.
    #[error("the server sends replies without end while {stage}")]
    TalksOnly { stage: Stage },
    /// What answered speaks something else, so that port and protocol do not fit.
    #[error("the server speaks {spoken} on this port, not IMAP")]
    OtherProtocol {
        /// What it speaks.
        spoken: &'static str,
    },
    /// A line outside the IMAP grammar.
    #[error("the server sent what is not IMAP while {stage}: {text}")]
    Unreadable { stage: Stage, text: ServerText },
    /// Bytes came between the reply to STARTTLS and the handshake: an injection by a man in the middle.
    #[error("data was slipped in before TLS began")]
    StartTlsTampered,
    #[error("the server skipped the sign-in before TLS could begin")]
    PreAuthBeforeTls,
    /// Neither the opening nor STATUS tells a UIDVALIDITY, so that UIDs mean nothing in the next session (RFC 3501 §2.3.1.1).
    #[error("the server tells no UIDVALIDITY of the folder")]
    NoUidValidity,
    /// UIDs that were listed may mean other mails: the folder has to be opened again.
    #[error("the server gave the open folder another UIDVALIDITY")]
    Renumbered,
    /// The folder changed faster than it could be looked through.
    #[error("the folder kept changing while it was searched")]
    KeepsChanging,
    /// The server lacks what is needed.
    #[error("the server does not offer {capability}")]
    Unsupported { capability: &'static str },
    #[error("the mail is no longer there")]
    MailGone,
    /// The server has the mail and cannot show it, or what it shows cannot be read.
    #[error("the server could not show the mail")]
    MailUnreadable,
    /// The server says that the mail is larger, also when all of it is asked for.
    #[error("the server announces {announced} bytes of the mail and sends {came}")]
    MailCutShort { announced: u64, came: u64 },
    #[error("no folder is open")]
    NoFolder,
    /// The search term holds characters that cannot be searched for.
    #[error("the search term is not printable ASCII")]
    InvalidSearchTerm,
    /// The receiver of the fetched mails is gone.
    #[error("the fetched mails were not taken")]
    NotTaken,
    /// The session is over, or a command was given up half-way.
    #[error("the session is closed")]
    Closed,
}
