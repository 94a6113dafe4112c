//! What becomes of a mail that the server may have.

use std::time::Duration;

use mailmesh_domain::{OutboundState, UncertainPolicy, Verdict};
use mailmesh_events::Problem;
use mailmesh_store::outbound_mail::OutboundMail;
use time::OffsetDateTime;

use super::{Case, Decision, Notice, Rules};

/// After so many uncertain attempts a mail waits for a person: each may have left a copy.
const ROUNDS: i64 = 3;
/// A held mail waits for a person; the Sent folder is asked again now and then.
const HELD: Duration = Duration::from_hours(6);

/// What a person can do about an uncertain mail; nothing is wrong with account or configuration.
pub(crate) const DECIDE: &str =
    "Look for the mail in the Sent folder, then decide: send again or count as sent.";
const GIVEN_UP: &str = "The server may have it, perhaps more than once; it is not sent again by itself but held for a \
     person to decide unless the Sent folder tells.";

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

/// Ends an uncertain mail as sent: what was not refused was accepted.
pub(crate) fn assume_sent(
    mail: &OutboundMail,
    reply: &str,
    rules: &Rules,
    now: OffsetDateTime,
) -> Decision {
    let mut recipients = mail.recipients.clone();
    for recipient in &mut recipients {
        recipient.accepted = recipient.accepted.or(Some(true));
    }
    let case = Case { mail, rules, now };
    let mut outcome = case.outcome(OutboundState::Sent, recipients);
    outcome.reply = Some(reply.to_owned());
    Decision {
        outcome,
        notice: Some(Notice::Sent),
        obstacle: None,
    }
}

/// Queues an uncertain mail again, as after any failure. After too many `rounds` it is held instead:
/// something swallows the replies, and the recipients may be getting a copy each time.
pub(crate) fn send_again(
    mail: &OutboundMail,
    rounds: i64,
    rules: &Rules,
    now: OffsetDateTime,
) -> Decision {
    let case = Case { mail, rules, now };
    if rounds >= ROUNDS || rules.is_spent(mail.failures) {
        return case.give_up_resending();
    }
    let failures = mail.failures.saturating_add(1);
    let mut outcome = case.outcome(OutboundState::Queued, mail.recipients.clone());
    outcome.failures = failures;
    outcome.due_at = now + rules.delay_after(failures);
    outcome.problem.clone_from(&mail.problem);
    outcome.reply = None;
    Decision {
        outcome,
        notice: None,
        obstacle: None,
    }
}

/// Leaves an uncertain mail to a person.
pub(crate) fn held(mail: &OutboundMail, rules: &Rules, now: OffsetDateTime) -> Decision {
    let case = Case { mail, rules, now };
    let mut outcome = case.outcome(OutboundState::Uncertain, mail.recipients.clone());
    outcome.due_at = now + HELD;
    outcome.problem.clone_from(&mail.problem);
    Decision {
        outcome,
        notice: None,
        obstacle: None,
    }
}

impl Case<'_> {
    /// Holds a mail that was to be sent again, and says so once.
    fn give_up_resending(&self) -> Decision {
        let mut decision = held(self.mail, self.rules, self.now);
        let known = self.mail.problem.clone();
        let problem = known.unwrap_or_else(|| {
            let what = "The server's reply to the mail was lost";
            Problem::new(what, Verdict::unknown()).with_action(DECIDE)
        });
        if problem.mail != GIVEN_UP {
            decision.notice = Some(Notice::Uncertain);
        }
        decision.outcome.problem = Some(problem.with_mail(GIVEN_UP));
        decision
    }
}
