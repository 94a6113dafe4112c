use mailmesh_domain::{Diagnosis, FailureCause, MustAct, Protocol, Verdict, VerdictKind};

use crate::imap::{ImapError, Stage};
use crate::pop3::{self, Pop3Error};

/// What a failure concerns, and so what else need not be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Concern {
    /// This mail.
    Mail,
    /// This folder; others of the account go on.
    Folder,
    /// This session; another may work.
    Session,
    /// Everything of the account.
    Account,
    /// Everything that goes to this server.
    Host,
}

/// How much a failure says against the mail that was asked for alone when it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MailEvidence {
    /// Nothing: it is about something else.
    None,
    /// Little: the connection was lost, or the server calls itself unavailable, over this mail or by chance.
    Weak,
    /// The server has the mail and cannot show it, or what it shows cannot be read.
    Strong,
    /// It will never be different.
    Certain,
}

/// Why a mailbox could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The IMAP session failed.
    #[error(transparent)]
    Imap(#[from] ImapError),
    /// The POP3 session failed.
    #[error(transparent)]
    Pop3(#[from] Pop3Error),
    /// The mail is larger than anything that is read, came slower than anything that is waited for, or was another each
    /// time that it was read.
    #[error("the server could not show the mail")]
    MailUnreadable,
    /// The mail took longer than its size allows.
    #[error("the server took too long while fetching")]
    MailTooSlow,
    /// The folder is at another epoch than this session shows.
    #[error("the folder kept changing while it was looked through")]
    KeepsChanging,
    /// There is no way to read mail by this protocol.
    #[error("mail cannot be read by {protocol}")]
    CannotRead {
        /// By the account's settings.
        protocol: Protocol,
    },
}

impl SourceError {
    /// Returns what the failure is caused by, and the server's hint on when to come back.
    pub fn diagnosis(&self) -> Diagnosis {
        match self {
            Self::Imap(error) => error.diagnosis(),
            Self::Pop3(error) => error.diagnosis(),
            Self::MailUnreadable => FailureCause::Unknown.into(),
            Self::MailTooSlow | Self::KeepsChanging => FailureCause::Transient.into(),
            Self::CannotRead { .. } => FailureCause::ProtocolUnfit.into(),
        }
    }

    /// Returns what the failure means and who must act, as long as nobody is to be told of it.
    pub fn verdict(&self) -> Verdict {
        self.diagnosis().verdict()
    }

    /// Returns what the failure concerns.
    pub fn concern(&self) -> Concern {
        match self {
            Self::Imap(error) => concern_of_imap(error),
            Self::Pop3(error) => concern_of_pop3(error),
            Self::MailUnreadable => Concern::Mail,
            Self::MailTooSlow => Concern::Session,
            Self::KeepsChanging => Concern::Folder,
            Self::CannotRead { .. } => Concern::Account,
        }
    }

    /// Returns what the failure says against a mail that was asked for alone.
    pub fn evidence_against_mail(&self) -> MailEvidence {
        match self {
            Self::Imap(error) => imap_evidence(error),
            Self::Pop3(error) => pop3_evidence(error),
            Self::MailUnreadable => MailEvidence::Strong,
            Self::MailTooSlow => MailEvidence::Weak,
            Self::KeepsChanging | Self::CannotRead { .. } => MailEvidence::None,
        }
    }

    /// Returns whether the session can go on after this failure.
    pub const fn is_session_usable(&self) -> bool {
        match self {
            Self::Imap(error) => error.is_session_healthy(),
            Self::Pop3(error) => error.is_session_healthy(),
            Self::MailUnreadable | Self::KeepsChanging => true,
            Self::MailTooSlow | Self::CannotRead { .. } => false,
        }
    }

    /// Returns whether the mail is no longer there.
    pub const fn is_mail_gone(&self) -> bool {
        matches!(
            self,
            Self::Imap(ImapError::MailGone) | Self::Pop3(Pop3Error::MailGone)
        )
    }

    /// Returns whether the access token was refused: refresh it once, and if that one is refused too, sign in anew.
    pub fn is_token_refused(&self) -> bool {
        match self {
            Self::Imap(error) => error.is_token_refused(),
            Self::Pop3(error) => error.is_token_refused(),
            _ => false,
        }
    }

    /// Returns whether the session ended with its token's life: connect again with a fresh one.
    pub fn is_token_stale(&self) -> bool {
        match self {
            Self::Imap(error) => error.is_token_stale(),
            Self::Pop3(error) => error.is_token_stale(),
            _ => false,
        }
    }

    /// Returns the server's response code, for people to look up.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Imap(error) => error.code(),
            Self::Pop3(error) => error.code(),
            _ => None,
        }
    }
}

fn concern_of_imap(error: &ImapError) -> Concern {
    match error {
        ImapError::MailGone | ImapError::MailUnreadable => Concern::Mail,
        // A throttle, a token at its end or a refusal of the whole mailbox names the folder only by chance.
        ImapError::Refused {
            stage: Stage::Select,
            ..
        } => match error.verdict().kind {
            VerdictKind::Throttled | VerdictKind::Transient | VerdictKind::NeedsSignIn => {
                Concern::Session
            }
            VerdictKind::Permanent | VerdictKind::NeedsAdministrator | VerdictKind::Unknown
                if error.verdict().who != MustAct::TenantAdministrator =>
            {
                Concern::Folder
            }
            _ => Concern::Account,
        },
        ImapError::NoUidValidity { .. } | ImapError::KeepsChanging | ImapError::NoFolder => {
            Concern::Folder
        }
        ImapError::SignInRefused { .. } | ImapError::NoMechanism | ImapError::Credentials(_) => {
            Concern::Account
        }
        ImapError::Connect(_)
        | ImapError::OtherProtocol { .. }
        | ImapError::StartTlsTampered
        | ImapError::PreAuthBeforeTls
        | ImapError::TimedOut {
            stage: Stage::Greeting,
        } => Concern::Host,
        _ => Concern::Session,
    }
}

fn imap_evidence(error: &ImapError) -> MailEvidence {
    if error.is_token_stale() {
        return MailEvidence::None;
    }
    match error {
        ImapError::Excess { .. } | ImapError::MailUnreadable => MailEvidence::Strong,
        ImapError::Unsupported { .. } => MailEvidence::Certain,
        // A throttle or a permission says nothing of the mail. An outage may be the mail's: there are servers that end
        // the session, or call themselves unavailable, over a mail they cannot read.
        ImapError::Refused { .. } | ImapError::Unreadable { .. } | ImapError::Bye { .. } => {
            match error.verdict().kind {
                VerdictKind::Unknown | VerdictKind::Permanent => MailEvidence::Strong,
                VerdictKind::Transient => MailEvidence::Weak,
                _ => MailEvidence::None,
            }
        }
        ImapError::ConnectionLost { .. } | ImapError::TimedOut { .. } => MailEvidence::Weak,
        _ => MailEvidence::None,
    }
}

fn concern_of_pop3(error: &Pop3Error) -> Concern {
    match error {
        Pop3Error::MailGone | Pop3Error::MailUnreadable => Concern::Mail,
        Pop3Error::ListingEmpty | Pop3Error::NoSuchFolder | Pop3Error::NoFolder => Concern::Folder,
        Pop3Error::Credentials(_)
        | Pop3Error::TokenTooLong { .. }
        | Pop3Error::MechanismRefused { .. }
        | Pop3Error::SignInRefused { .. }
        | Pop3Error::Unsupported { .. } => Concern::Account,
        Pop3Error::Connect(_)
        | Pop3Error::OtherProtocol { .. }
        | Pop3Error::StartTlsTampered
        | Pop3Error::Refused {
            stage: pop3::Stage::Greeting | pop3::Stage::StartTls,
            ..
        }
        | Pop3Error::TimedOut {
            stage: pop3::Stage::Greeting,
        } => Concern::Host,
        // There is one folder, so what forbids it forbids the account.
        Pop3Error::Refused {
            stage: pop3::Stage::Status | pop3::Stage::List,
            ..
        } if !error.verdict().is_retryable() => Concern::Account,
        _ => Concern::Session,
    }
}

fn pop3_evidence(error: &Pop3Error) -> MailEvidence {
    if error.is_token_stale() {
        return MailEvidence::None;
    }
    match error {
        Pop3Error::MailUnreadable => MailEvidence::Strong,
        // A server may end the session, or call itself unavailable, over a mail that it cannot read.
        Pop3Error::Refused {
            stage: pop3::Stage::Retrieve,
            ..
        } if error.verdict().kind == VerdictKind::Transient => MailEvidence::Weak,
        Pop3Error::ConnectionLost { .. }
        | Pop3Error::TimedOut { .. }
        | Pop3Error::Excess { .. }
        | Pop3Error::Unreadable { .. }
        | Pop3Error::Unsolicited { .. } => MailEvidence::Weak,
        _ => MailEvidence::None,
    }
}
