use mailmesh_domain::{FailureCause, MustAct, OutboundState, VerdictKind};
use mailmesh_events::Problem;
use mailmesh_mail::transport::{FailureDetail, RecipientResult, Scope, TransportFailure};
use mailmesh_store::outbound_mail::{OutboundMail, Outcome, Recipient, is_news};
use time::OffsetDateTime;

use crate::failure::{WAITS, problem_by, problem_of};
use crate::retry_policy::RetryPolicy;

/// Maximum attempts of a mail whose failure fits no rule.
pub(super) const UNKNOWN_TRIES: i32 = 6;

/// Which event a decision about a mail publishes.
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
    /// Failure that keeps the whole account from sending.
    pub(crate) obstacle: Option<TransportFailure>,
}

/// A mail whose attempt has ended, at a moment.
pub(super) struct Case<'a> {
    pub(super) mail: &'a OutboundMail,
    pub(super) retry: &'a RetryPolicy,
    pub(super) now: OffsetDateTime,
}

impl Case<'_> {
    pub(super) fn outcome(&self, state: OutboundState, recipients: Vec<Recipient>) -> Outcome {
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

    pub(super) fn requeue(&self) -> Decision {
        let mut outcome = self.outcome(OutboundState::Queued, self.mail.recipients.clone());
        outcome.problem.clone_from(&self.mail.problem);
        // It keeps its place in the queue.
        outcome.due_at = self.mail.due_at.min(self.now);
        Decision {
            outcome,
            event: None,
            obstacle: None,
        }
    }

    pub(super) fn merge(&self, results: &[RecipientResult], was_taken: bool) -> Vec<Recipient> {
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
                Some(refusal) if refusal.verdict().kind == VerdictKind::Permanent => {
                    recipient.accepted = Some(false);
                }
                Some(_) => {}
            }
        }
        recipients
    }

    pub(super) fn failed_for_some(
        &self,
        recipients: Vec<Recipient>,
        failure: TransportFailure,
    ) -> Decision {
        if failure.scope == Scope::Recipient {
            return self.defer(recipients, &failure);
        }
        self.failed(recipients, failure)
    }

    pub(super) fn failed(&self, recipients: Vec<Recipient>, failure: TransportFailure) -> Decision {
        match failure.verdict().kind {
            VerdictKind::Permanent => self.finish(recipients, Some(&failure)),
            // Counted against one mail, which then comes after the others; those wait for the server.
            VerdictKind::Transient | VerdictKind::Unknown if failure.is_of_host() => Decision {
                obstacle: Some(failure.clone()),
                ..self.defer(recipients, &failure)
            },
            VerdictKind::Transient | VerdictKind::Unknown => self.defer(recipients, &failure),
            // The throttle may be caused by this mail's content: deferred, so that it does not always come first.
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
    pub(super) fn defer(&self, recipients: Vec<Recipient>, failure: &TransportFailure) -> Decision {
        let failures = self.mail.failures.saturating_add(1);
        let is_hopeless =
            failure.verdict().kind == VerdictKind::Unknown && failures >= UNKNOWN_TRIES;
        if is_hopeless || self.retry.is_spent(self.mail.failures) {
            return self.finish(recipients, Some(failure));
        }
        let hint = failure.verdict().retry_after.unwrap_or_default();
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

    /// Waits with the account: no attempt is counted, and the reason is published once.
    pub(super) fn hold(&self, recipients: Vec<Recipient>, failure: TransportFailure) -> Decision {
        let mut outcome = self.outcome(OutboundState::Queued, recipients);
        // Otherwise the account's block is all that it waits for.
        if failure.verdict().kind == VerdictKind::Throttled {
            outcome.due_at = self.now + self.retry.rest_after(failure.verdict());
        }
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

    pub(super) fn finish(
        &self,
        mut recipients: Vec<Recipient>,
        failure: Option<&TransportFailure>,
    ) -> Decision {
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
        let told = failure.filter(|_| !is_sent).map(ended);
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

/// Nothing is tried any more: what would have passed by itself is now somebody's to look at.
fn ended(failure: &TransportFailure) -> Problem {
    let problem = problem_of(failure);
    if problem.must_act == MustAct::Nobody {
        return problem_by(failure, FailureCause::MailGivenUp);
    }
    problem
}
