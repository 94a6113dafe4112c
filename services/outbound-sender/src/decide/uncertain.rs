//! What becomes of a mail that the server may have.

use std::time::Duration;

use mailmesh_domain::{FailureCause, OutboundState};
use mailmesh_mail::transport::{RecipientResult, Scope, TransportFailure};
use mailmesh_store::outbound_mail::OutboundMail;
use time::OffsetDateTime;

use super::case::{Case, Decision, MailEventKind};
use crate::failure::{problem_by, problem_from, uncertain_mail};
use crate::retry_policy::RetryPolicy;

/// After so many uncertain attempts a mail waits for a person: each may have left a copy.
const ROUNDS: i64 = 3;
/// A held mail waits for a person; the Sent folder is asked again now and then.
const HELD: Duration = Duration::from_hours(6);

const GIVEN_UP: &str = "The server may have it, perhaps more than once; it is not sent again by itself but held for a \
     person to decide unless the Sent folder tells.";

/// Ends an uncertain mail as sent for those that it was handed over for. Recipients who were left out
/// are tried again on the schedule.
pub(crate) fn assume_sent(
    mail: &OutboundMail,
    reply: &str,
    retry: &RetryPolicy,
    now: OffsetDateTime,
) -> Decision {
    let case = Case { mail, retry, now };
    let recipients = mail.recipients_if_sent();
    let mut open = recipients.iter().filter(|one| one.accepted.is_none());
    let mut decision = match open.next().map(|one| one.reply.clone().unwrap_or_default()) {
        None => case.finish(recipients, None),
        Some(refusal) => case.defer(recipients, &refused_some(&refusal)),
    };
    decision.outcome.reply = Some(reply.to_owned());
    decision
}

/// Queues an uncertain mail again, as after any failure. After too many `rounds` it is held instead:
/// something swallows the replies, and the recipients may be getting a copy each time.
pub(crate) fn send_again(
    mail: &OutboundMail,
    rounds: i64,
    retry: &RetryPolicy,
    now: OffsetDateTime,
) -> Decision {
    let case = Case { mail, retry, now };
    if rounds >= ROUNDS || retry.is_spent(mail.failures) {
        return give_up_resending(&case);
    }
    let failures = mail.failures.saturating_add(1);
    let mut outcome = case.outcome(OutboundState::Queued, mail.recipients.clone());
    outcome.failures = failures;
    outcome.due_at = now + retry.delay_after(failures);
    outcome.problem.clone_from(&mail.problem);
    outcome.reply = None;
    Decision {
        outcome,
        event: None,
        obstacle: None,
    }
}

/// Leaves an uncertain mail to a person.
pub(crate) fn held(mail: &OutboundMail, retry: &RetryPolicy, now: OffsetDateTime) -> Decision {
    let case = Case { mail, retry, now };
    let mut outcome = case.outcome(OutboundState::Uncertain, mail.recipients.clone());
    outcome.due_at = now + HELD;
    outcome.problem.clone_from(&mail.problem);
    Decision {
        outcome,
        event: None,
        obstacle: None,
    }
}

fn refused_some(reply: &str) -> TransportFailure {
    let what = format!("The server refused a recipient: {reply}");
    TransportFailure::new(what, FailureCause::Transient, Scope::Recipient)
}

/// Those whom the server refused before it got the mail surely have no copy: they wait to be tried
/// again until the others are decided.
pub(super) fn uncertain(
    case: &Case<'_>,
    results: &[RecipientResult],
    failure: &TransportFailure,
) -> Decision {
    let mut recipients = case.merge(results, false);
    let mut left_out = 0;
    for result in results.iter().filter(|result| !result.is_accepted()) {
        let mut open = recipients.iter_mut().filter(|one| one.accepted.is_none());
        if let Some(recipient) = open.find(|one| one.address == result.address) {
            recipient.left_out_of = Some(case.mail.attempts);
            left_out += 1;
        }
    }
    let mut outcome = case.outcome(OutboundState::Uncertain, recipients);
    outcome.due_at = case.now + case.retry.look_after();
    let problem = problem_by(failure, FailureCause::MailUncertain);
    let of_mail = uncertain_mail(case.mail);
    outcome.problem = Some(match left_out {
        0 => problem.with_mail(of_mail),
        _ => problem.with_mail(format!(
            "{of_mail} The server refused {left_out} of its recipients for now; they are tried \
             again after that."
        )),
    });
    Decision {
        outcome,
        event: Some(MailEventKind::Uncertain),
        // The next mails might all become uncertain, too.
        obstacle: Some(TransportFailure::new(
            "The server's final reply to another mail was lost",
            FailureCause::Transient,
            Scope::Host,
        )),
    }
}

/// Holds a mail that was to be sent again, and publishes that once.
fn give_up_resending(case: &Case<'_>) -> Decision {
    let mut decision = held(case.mail, case.retry, case.now);
    let known = case.mail.problem.clone();
    let problem = known.unwrap_or_else(|| {
        let what = "The server's reply to the mail was lost";
        problem_from(what, FailureCause::MailUncertain)
    });
    if problem.mail != GIVEN_UP {
        decision.event = Some(MailEventKind::Uncertain);
    }
    decision.outcome.problem = Some(problem.with_mail(GIVEN_UP));
    decision
}
