use mailmesh_domain::{Diagnosis, FailureCause, Protocol, Verdict};

use crate::concern::{Concern, MailEvidence};
use crate::imap::{self, ImapError};
use crate::pop3::{self, Pop3Error};

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
            Self::Imap(error) => imap::concern(error),
            Self::Pop3(error) => pop3::concern(error),
            Self::MailUnreadable => Concern::Mail,
            Self::MailTooSlow => Concern::Session,
            Self::KeepsChanging => Concern::Folder,
            Self::CannotRead { .. } => Concern::Account,
        }
    }

    /// Returns what the failure says against a mail that was asked for alone.
    pub fn evidence_against_mail(&self) -> MailEvidence {
        match self {
            Self::Imap(error) => imap::mail_evidence(error),
            Self::Pop3(error) => pop3::mail_evidence(error),
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
