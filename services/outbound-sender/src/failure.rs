//! Texts of events about failures, for the person who must act.

pub(crate) mod credentials;

use mailmesh_domain::{FailureCause, History, Responsibility, UncertainPolicy, responsibility};
use mailmesh_events::Problem;
use mailmesh_mail::transport::TransportFailure;
use mailmesh_store::outbound_mail::OutboundMail;

/// What becomes of mail that waits with its account.
pub(crate) const WAITS: &str = "It stays queued and is sent once this is solved.";

/// Describes a failure that is told of a mail, or of an account that has just worked.
pub(crate) fn problem_of(failure: &TransportFailure) -> Problem {
    problem_after(failure, History::WORKS)
}

/// Describes a failure of work that has fared so.
pub(crate) fn problem_after(failure: &TransportFailure, history: History) -> Problem {
    described(failure, &failure.diagnosis.responsibility(history))
}

/// Describes a failure whose own cause is not what decides.
pub(crate) fn problem_by(failure: &TransportFailure, cause: FailureCause) -> Problem {
    described(failure, &responsibility(cause, History::WORKS))
}

/// Describes what no server has said.
pub(crate) fn problem_from(what: impl Into<String>, cause: FailureCause) -> Problem {
    Problem::decided(what, &responsibility(cause, History::WORKS))
}

fn described(failure: &TransportFailure, decided: &Responsibility) -> Problem {
    Problem::decided(failure.what.clone(), decided).with_code(failure.code.clone())
}

/// What becomes of an uncertain mail.
pub(crate) const fn uncertain_mail(mail: &OutboundMail) -> &'static str {
    match mail.on_uncertain {
        UncertainPolicy::Hold => {
            "The server may have it; it is held for a person to decide unless the Sent folder tells."
        }
        UncertainPolicy::Resend => {
            "The server may have it; it is sent again unless the Sent folder has it."
        }
        UncertainPolicy::AssumeSent => {
            "The server may have it; it counts as sent unless the Sent folder lacks it."
        }
    }
}
