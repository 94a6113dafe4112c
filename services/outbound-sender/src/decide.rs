//! What an attempt means for the mail and its account. Pure: the same end at the same moment is
//! always the same decision.

mod uncertain;

use mailmesh_domain::{OutboundState, VerdictKind};
use mailmesh_events::Problem;
use mailmesh_mail::transport::{Failure, FailureDetail, RecipientRefusal, RecipientResult, Scope};
use mailmesh_store::outbound_mail::{OutboundMail, Outcome, Recipient, is_news};
use time::OffsetDateTime;

use crate::retry_policy::RetryPolicy;
pub(crate) use uncertain::{DECIDE, assume_sent, held, send_again, uncertain_mail};

/// How often a reply that fits no rule is met again.
const UNKNOWN_TRIES: i32 = 6;

/// How an attempt ended.
#[derive(Debug, Clone)]
pub(crate) enum AttemptResult {
    /// The server took the mail for those recipients that it accepted.
    Accepted {
        results: Vec<RecipientResult>,
        reply: String,
    },
    /// The server accepted no recipient.
    Refused(Vec<RecipientResult>),
    /// The mail is surely unsent.
    Failed(Failure),
    /// The server may have it.
    Uncertain {
        results: Vec<RecipientResult>,
        failure: Failure,
    },
    /// Nothing was tried, or nothing that could count.
    Unattempted,
}

/// What there is to tell about a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MailEventKind {
    Sent,
    Deferred,
    Failed,
    Uncertain,
}

/// What follows from an attempt.
#[derive(Debug, Clone)]
pub(crate) struct Decision {
    pub(crate) outcome: Outcome,
    pub(crate) event: Option<MailEventKind>,
    /// What keeps the whole account from sending.
    pub(crate) obstacle: Option<Failure>,
}

/// Decides what becomes of a mail after an attempt.
pub(crate) fn decide(
    mail: &OutboundMail,
    ended: AttemptResult,
    retry: &RetryPolicy,
    now: OffsetDateTime,
) -> Decision {
    let case = Case { mail, retry, now };
    let recipients = mail.recipients.clone();
    match ended {
        AttemptResult::Unattempted => case.requeue(),
        AttemptResult::Failed(failure) => case.failed(recipients, failure),
        AttemptResult::Refused(results) => case.answered(&results, None),
        AttemptResult::Accepted { results, reply } => case.answered(&results, Some(reply)),
        AttemptResult::Uncertain { results, failure } => case.uncertain(&results, &failure),
    }
}

struct Case<'a> {
    mail: &'a OutboundMail,
    retry: &'a RetryPolicy,
    now: OffsetDateTime,
}

impl Case<'_> {
    fn outcome(&self, state: OutboundState, recipients: Vec<Recipient>) -> Outcome {
        Outcome {
            mail_id: self.mail.id,
            attempt: self.mail.attempts,
            state,
            failures: self.mail.failures,
            due_at: self.now,
            recipients,
            problem: None,
            reply: self.mail.reply.clone(),
        }
    }

    fn requeue(&self) -> Decision {
        let mut outcome = self.outcome(OutboundState::Queued, self.mail.recipients.clone());
        outcome.problem.clone_from(&self.mail.problem);
        Decision {
            outcome,
            event: None,
            obstacle: None,
        }
    }

    /// The server has answered for each recipient, and for the mail if it was handed over.
    fn answered(&self, results: &[RecipientResult], reply: Option<String>) -> Decision {
        let was_taken = reply.is_some();
        let recipients = self.merge(results, was_taken);
        let is_open = |address: &str| {
            let mut each = recipients.iter();
            each.any(|one| one.address == address && one.accepted.is_none())
        };
        let refused: Vec<Refused<'_>> = results.iter().filter_map(Refused::of).collect();
        let mut waiting = refused.iter().filter(|one| is_open(one.address));
        let is_of_account = |one: &&Refused<'_>| {
            one.refusal.scope != Scope::Recipient && one.failure().concerns_account()
        };
        let worst = waiting
            .clone()
            .find(is_of_account)
            .or(waiting.clone().next());
        let mut decision = match worst {
            None => {
                let first = refused.first().map(Refused::failure);
                self.finish(recipients, first.as_ref())
            }
            // The server takes the rest in another mail, at once; each round makes progress.
            Some(_) if was_taken && waiting.all(|one| one.refusal.is_over_the_number) => Decision {
                outcome: self.outcome(OutboundState::Queued, recipients),
                event: None,
                obstacle: None,
            },
            Some(worst) => self.failed_for_some(recipients, worst.failure()),
        };
        decision.outcome.reply = reply.or(decision.outcome.reply);
        decision
    }

    fn merge(&self, results: &[RecipientResult], was_taken: bool) -> Vec<Recipient> {
        let mut recipients = self.mail.recipients.clone();
        for recipient in &mut recipients {
            let result = results
                .iter()
                .find(|result| result.address == recipient.address);
            let (None, Some(result)) = (recipient.accepted, result) else {
                continue;
            };
            recipient.reply = Some(result.reply.clone());
            match &result.refusal {
                None => recipient.accepted = was_taken.then_some(true),
                Some(refusal) if refusal.verdict.kind == VerdictKind::Permanent => {
                    recipient.accepted = Some(false);
                }
                Some(_) => {}
            }
        }
        recipients
    }

    fn failed_for_some(&self, recipients: Vec<Recipient>, failure: Failure) -> Decision {
        if failure.scope == Scope::Recipient {
            return self.defer(recipients, &failure);
        }
        self.failed(recipients, failure)
    }

    fn failed(&self, recipients: Vec<Recipient>, failure: Failure) -> Decision {
        match failure.verdict.kind {
            VerdictKind::Permanent => self.finish(recipients, Some(&failure)),
            // One mail counts it and makes room for the others, which wait for the server.
            VerdictKind::Transient | VerdictKind::Unknown if failure.is_of_host() => Decision {
                obstacle: Some(failure.clone()),
                ..self.defer(recipients, &failure)
            },
            VerdictKind::Transient | VerdictKind::Unknown => self.defer(recipients, &failure),
            // What throttles the account may be this very mail: it must not come first for ever.
            VerdictKind::Throttled if failure.detail == FailureDetail::ContentRefused => Decision {
                obstacle: Some(failure.clone()),
                ..self.defer(recipients, &failure)
            },
            VerdictKind::Throttled | VerdictKind::NeedsSignIn | VerdictKind::NeedsAdministrator => {
                self.hold(recipients, failure)
            }
        }
    }

    /// Counts a failure and sets the next attempt, unless it was the last.
    fn defer(&self, recipients: Vec<Recipient>, failure: &Failure) -> Decision {
        let failures = self.mail.failures.saturating_add(1);
        let is_hopeless = failure.verdict.kind == VerdictKind::Unknown && failures >= UNKNOWN_TRIES;
        if is_hopeless || self.retry.is_spent(self.mail.failures) {
            return self.finish(recipients, Some(failure));
        }
        let hint = failure.verdict.retry_after.unwrap_or_default();
        let mut outcome = self.outcome(OutboundState::Queued, recipients);
        outcome.failures = failures;
        outcome.due_at = self.now + self.retry.delay_after(failures).max(hint);
        let problem = problem_of(failure);
        outcome.problem = Some(problem.with_mail("It stays queued and is tried again by itself."));
        Decision {
            outcome,
            event: Some(MailEventKind::Deferred),
            obstacle: None,
        }
    }

    /// Waits with the account: no attempt is counted, and the reason is told once.
    fn hold(&self, recipients: Vec<Recipient>, failure: Failure) -> Decision {
        let until = self.now + self.retry.rest_after(failure.verdict);
        let mut outcome = self.outcome(OutboundState::Queued, recipients);
        outcome.due_at = until;
        let problem = problem_of(&failure).with_mail(WAITS);
        let is_news = is_news(self.mail.problem.as_ref(), &problem);
        let event = is_news.then_some(MailEventKind::Deferred);
        outcome.problem = Some(problem);
        Decision {
            outcome,
            event,
            obstacle: Some(failure),
        }
    }

    fn finish(&self, mut recipients: Vec<Recipient>, failure: Option<&Failure>) -> Decision {
        for recipient in &mut recipients {
            recipient.accepted = recipient.accepted.or(Some(false));
        }
        let is_sent = recipients.iter().any(|one| one.accepted == Some(true));
        let (state, event) = if is_sent {
            (OutboundState::Sent, MailEventKind::Sent)
        } else {
            (OutboundState::Failed, MailEventKind::Failed)
        };
        let mut outcome = self.outcome(state, recipients);
        let told = failure.filter(|_| !is_sent).map(problem_of);
        outcome.problem = told.map(|problem| {
            problem.with_mail("It was not sent to anybody; its body is kept for a while.")
        });
        Decision {
            outcome,
            event: Some(event),
            obstacle: None,
        }
    }
}

/// A recipient whom the server refused.
struct Refused<'a> {
    address: &'a str,
    reply: &'a str,
    refusal: &'a RecipientRefusal,
}

impl<'a> Refused<'a> {
    fn of(result: &'a RecipientResult) -> Option<Self> {
        Some(Self {
            address: &result.address,
            reply: &result.reply,
            refusal: result.refusal.as_ref()?,
        })
    }

    fn failure(&self) -> Failure {
        let what = format!("The server refused a recipient: {}", self.reply);
        Failure::new(what, self.refusal.verdict, self.refusal.scope)
            .with_code(Some(self.refusal.code.clone()))
    }
}

pub(crate) fn problem_of(failure: &Failure) -> Problem {
    Problem::new(failure.what.clone(), failure.verdict).with_code(failure.code.clone())
}

/// What becomes of mail that waits with its account.
pub(crate) const WAITS: &str = "It stays queued and is sent once this is solved.";

#[cfg(test)]
mod tests;
