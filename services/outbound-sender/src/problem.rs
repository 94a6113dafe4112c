//! Texts of events about failures, for the person who must act.

use mailmesh_domain::{MustAct, UncertainPolicy, Verdict};
use mailmesh_events::Problem;
use mailmesh_mail::advice::{CHECK_SCOPES, on_never_reached};
use mailmesh_mail::transport::Failure;
use mailmesh_store::outbound_mail::OutboundMail;

/// What becomes of mail that waits with its account.
pub(crate) const WAITS: &str = "It stays queued and is sent once this is solved.";

/// What a person can do about an uncertain mail; nothing is wrong with account or configuration.
pub(crate) const DECIDE: &str = "Look for the mail in the Sent folder, then decide: POST /v1/outbox/<mail_id>/decision with resend, assume_sent or fail.";

pub(crate) fn problem_of(failure: &Failure) -> Problem {
    let problem =
        Problem::new(failure.what.clone(), failure.verdict).with_code(failure.code.clone());
    match failure.advice {
        Some(advice) => problem.with_action(advice),
        None => problem,
    }
}

/// Describes a failure of an account that has never worked: what seems to pass may be a setting.
pub(crate) fn problem_at_first(failure: &Failure) -> Problem {
    let verdict = Verdict::needs_administrator(MustAct::Administrator);
    described(failure, verdict).with_action(on_never_reached(failure.advice))
}

/// Describes the failure of an account whose fresh tokens are refused, although the sign-in works: it ends with another
/// sign-in, and that is in vain before the administrator has looked at the scopes.
pub(crate) fn problem_of_tokens(failure: &Failure) -> Problem {
    let verdict = Verdict {
        who: MustAct::Administrator,
        ..Verdict::needs_sign_in()
    };
    described(failure, verdict).with_action(CHECK_SCOPES)
}

fn described(failure: &Failure, verdict: Verdict) -> Problem {
    Problem::new(failure.what.clone(), verdict).with_code(failure.code.clone())
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
