use mailmesh_domain::{MustAct, Protocol, Verdict, VerdictKind};

use crate::advice;
use crate::concern::{Concern, MailEvidence};
use crate::imap::{self, ImapError, Stage};
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
    /// Returns what the failure means and who must act.
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Imap(error) => error.verdict(),
            Self::Pop3(error) => error.verdict(),
            Self::MailUnreadable => Verdict::unknown(),
            Self::MailTooSlow | Self::KeepsChanging => Verdict::transient(),
            Self::CannotRead { .. } => Verdict::permanent(MustAct::Administrator),
        }
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

    /// Returns what to do, where the failure itself suggests more than its verdict.
    pub fn advice(&self) -> Option<&'static str> {
        match self {
            Self::Imap(error) => advice_of_imap(error),
            Self::Pop3(error) => error.advice(),
            _ => None,
        }
    }

    /// Returns whether nothing answered where the server should be.
    pub const fn is_unreached(&self) -> bool {
        match self {
            Self::Imap(ImapError::Connect(error)) | Self::Pop3(Pop3Error::Connect(error)) => {
                error.is_unreached()
            }
            _ => false,
        }
    }
}

fn advice_of_imap(error: &ImapError) -> Option<&'static str> {
    match error {
        ImapError::Connect(error) => Some(advice::of_connect(error)),
        ImapError::OtherProtocol { .. } => Some(advice::OTHER_PROTOCOL),
        ImapError::NoMechanism => Some(advice::NO_MECHANISM),
        ImapError::SignInRefused { mechanism, .. } if !mechanism.is_oauth2() => {
            Some(advice::WRONG_PASSWORD)
        }
        ImapError::Refused {
            stage: Stage::Select,
            ..
        } => Some(advice::WRONG_FOLDER),
        // A port that wants TLS from the first byte waits for it in silence.
        ImapError::TimedOut {
            stage: Stage::Greeting,
        } => Some(
            "It is tried again by itself. If it stays, check the account's port and encryption: port 993 wants tls, port 143 starttls.",
        ),
        _ if is_fault_of_server(error) => Some(advice::SERVER_FAULT),
        _ => None,
    }
}

/// Returns whether the server answered a command that it should know with what no setting of ours explains.
fn is_fault_of_server(error: &ImapError) -> bool {
    match error {
        ImapError::Excess { .. }
        | ImapError::TalksOnly { .. }
        | ImapError::NoUidValidity
        | ImapError::MailCutShort { .. }
        | ImapError::MailUnreadable => true,
        ImapError::Unreadable { stage, .. } | ImapError::Refused { stage, .. } => {
            let is_signed_in = matches!(
                stage,
                Stage::Select | Stage::Search | Stage::Fetch | Stage::Noop | Stage::Idle
            );
            is_signed_in && error.verdict().kind == VerdictKind::Unknown
        }
        _ => false,
    }
}
