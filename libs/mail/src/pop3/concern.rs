//! What a failure of a POP3 session concerns, and what it says against a mail.

use mailmesh_domain::VerdictKind;

use super::error::Pop3Error;
use super::stage::Stage;
use crate::concern::{Concern, MailEvidence};

pub(crate) fn concern(error: &Pop3Error) -> Concern {
    match error {
        Pop3Error::MailGone | Pop3Error::MailUnreadable | Pop3Error::MailCutShort { .. } => {
            Concern::Mail
        }
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
            stage: Stage::Greeting | Stage::StartTls,
            ..
        }
        | Pop3Error::TimedOut {
            stage: Stage::Greeting,
        } => Concern::Host,
        // There is one folder, so what forbids it forbids the account.
        Pop3Error::Refused {
            stage: Stage::Status | Stage::List,
            ..
        } if !error.verdict().is_retryable() => Concern::Account,
        _ => Concern::Session,
    }
}

pub(crate) fn mail_evidence(error: &Pop3Error) -> MailEvidence {
    if error.is_token_stale() {
        return MailEvidence::None;
    }
    match error {
        Pop3Error::MailUnreadable | Pop3Error::MailCutShort { .. } => MailEvidence::Strong,
        // A server may end the session, or call itself unavailable, over a mail that it cannot read.
        Pop3Error::Refused {
            stage: Stage::Retrieve,
            ..
        } if error.verdict().kind == VerdictKind::Transient => MailEvidence::Weak,
        Pop3Error::ConnectionLost { .. }
        | Pop3Error::TimedOut { .. }
        | Pop3Error::BareLineFeeds
        | Pop3Error::Excess { .. }
        | Pop3Error::Unreadable { .. }
        | Pop3Error::Unsolicited { .. } => MailEvidence::Weak,
        _ => MailEvidence::None,
    }
}
