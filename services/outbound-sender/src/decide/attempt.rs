use mailmesh_domain::OutboundState;
use mailmesh_mail::transport::{RecipientRefusal, RecipientResult, Scope, TransportFailure};
use mailmesh_store::outbound_mail::OutboundMail;
use time::OffsetDateTime;

use super::case::{Case, Decision};
use super::uncertain::uncertain;
use crate::retry_policy::RetryPolicy;

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
    Failed(TransportFailure),
    /// The server may have it.
    Uncertain {
        results: Vec<RecipientResult>,
        failure: TransportFailure,
    },
    /// Nothing was tried, or nothing that could count.
    Unattempted,
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
        AttemptResult::Refused(results) => answered(&case, &results, None),
        AttemptResult::Accepted { results, reply } => answered(&case, &results, Some(reply)),
        AttemptResult::Uncertain { results, failure } => uncertain(&case, &results, &failure),
    }
}

/// The server has answered for each recipient, and for the mail if it was handed over.
fn answered(case: &Case<'_>, results: &[RecipientResult], reply: Option<String>) -> Decision {
    let was_taken = reply.is_some();
    let recipients = case.merge(results, was_taken);
    let is_open = |address: &str| {
        let mut each = recipients.iter();
        each.any(|one| one.address == address && one.accepted.is_none())
    };
    let refused: Vec<RefusedRecipient<'_>> =
        results.iter().filter_map(RefusedRecipient::of).collect();
    let mut waiting = refused.iter().filter(|one| is_open(one.address));
    let is_of_account = |one: &&RefusedRecipient<'_>| {
        one.refusal.scope != Scope::Recipient && one.failure().concerns_account()
    };
    let worst = waiting
        .clone()
        .find(is_of_account)
        .or(waiting.clone().next());
    let mut decision = match worst {
        None => {
            let first = refused.first().map(RefusedRecipient::failure);
            case.finish(recipients, first.as_ref())
        }
        // RFC 5321 §4.5.3.1.10: 452 means too many recipients in one mail.
        // The server takes the rest in another mail, at once; each round makes progress.
        Some(_) if was_taken && waiting.all(|one| one.refusal.is_over_the_number) => Decision {
            outcome: case.outcome(OutboundState::Queued, recipients),
            event: None,
            obstacle: None,
        },
        Some(worst) => case.failed_for_some(recipients, worst.failure()),
    };
    decision.outcome.reply = reply.or(decision.outcome.reply);
    decision
}

/// A recipient whom the server refused.
struct RefusedRecipient<'a> {
    address: &'a str,
    reply: &'a str,
    refusal: &'a RecipientRefusal,
}

impl<'a> RefusedRecipient<'a> {
    fn of(result: &'a RecipientResult) -> Option<Self> {
        Some(Self {
            address: &result.address,
            reply: &result.reply,
            refusal: result.refusal.as_ref()?,
        })
    }

    fn failure(&self) -> TransportFailure {
        let what = format!("The server refused a recipient: {}", self.reply);
        TransportFailure::new(what, self.refusal.diagnosis, self.refusal.scope)
            .with_code(Some(self.refusal.code.clone()))
    }
}
