//! What a failure of an IMAP session concerns, and what it says against a mail.

use mailmesh_domain::{MustAct, VerdictKind};

use super::error::{ImapError, Stage};
use crate::concern::{Concern, MailEvidence};

pub(crate) fn concern(error: &ImapError) -> Concern {
    match error {
        ImapError::MailGone | ImapError::MailUnreadable | ImapError::MailCutShort { .. } => {
            Concern::Mail
        }
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
        ImapError::NoUidValidity | ImapError::KeepsChanging | ImapError::NoFolder => {
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

pub(crate) fn mail_evidence(error: &ImapError) -> MailEvidence {
    if error.is_token_stale() {
        return MailEvidence::None;
    }
    match error {
        ImapError::Excess { .. } | ImapError::MailUnreadable | ImapError::MailCutShort { .. } => {
            MailEvidence::Strong
        }
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
