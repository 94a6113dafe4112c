//! Builds the events of a mail's outcome.

use mailmesh_accounts::Replica;
use mailmesh_bus::trace;
use mailmesh_domain::{AttemptStage, Key};
use mailmesh_events::mail::{MailDeferred, MailFailed, MailSent, MailUncertain, RecipientOutcome};
use mailmesh_events::{EncodedEvent, Event, Problem};
use mailmesh_store::outbound_mail::{OutboundMail, Outcome};
use time::OffsetDateTime;
use tracing::error;

use crate::decide::MailEventKind;

/// Encodes the event of a kind, in the trace of its mail.
pub(crate) fn encode_kind(
    replica: &Replica,
    account: &Key,
    mail: &OutboundMail,
    outcome: &Outcome,
    kind: MailEventKind,
) -> Vec<EncodedEvent> {
    let recipients = recipients(outcome);
    let encoded = match kind {
        MailEventKind::Sent => encode(
            replica,
            &MailSent {
                mail_id: mail.id,
                account: account.clone(),
                idempotency_key: mail.given_key(),
                stream_sequence: mail.stream_sequence,
                message_id: mail.message_id.clone(),
                reply: outcome.reply.clone().unwrap_or_default(),
                attempts: mail.attempts,
                sent_at: replica.clock.now(),
                recipients,
            },
        ),
        MailEventKind::Deferred => {
            let is_open = |one: &RecipientOutcome| is_waiting(outcome, &one.address);
            let recipients = recipients.into_iter().filter(is_open).collect();
            let next = Some(outcome.due_at);
            let problem = problem(outcome);
            return encode_deferral(replica, account, mail, next, problem, recipients);
        }
        MailEventKind::Failed => encode(
            replica,
            &MailFailed {
                mail_id: mail.id,
                account: account.clone(),
                idempotency_key: mail.given_key(),
                stream_sequence: mail.stream_sequence,
                attempts: mail.attempts,
                problem: problem(outcome),
                recipients,
            },
        ),
        MailEventKind::Uncertain => {
            return encode_uncertain(replica, account, mail, problem(outcome));
        }
    };
    traced(mail, encoded)
}

/// Encodes the event of a mail that waits with its account.
pub(crate) fn encode_parked(
    replica: &Replica,
    account: &Key,
    mail: &OutboundMail,
    next: Option<OffsetDateTime>,
    problem: &Problem,
) -> Vec<EncodedEvent> {
    let waiting = mail.recipients.iter().filter(|one| one.accepted.is_none());
    let recipients = waiting.map(mailmesh_store::outbound_mail::Recipient::outcome);
    encode_deferral(
        replica,
        account,
        mail,
        next,
        problem.clone(),
        recipients.collect(),
    )
}

fn encode_deferral(
    replica: &Replica,
    account: &Key,
    mail: &OutboundMail,
    next_attempt_at: Option<OffsetDateTime>,
    problem: Problem,
    recipients: Vec<RecipientOutcome>,
) -> Vec<EncodedEvent> {
    let event = MailDeferred {
        mail_id: mail.id,
        account: account.clone(),
        idempotency_key: mail.given_key(),
        stream_sequence: mail.stream_sequence,
        attempts: mail.attempts,
        next_attempt_at,
        problem,
        recipients,
    };
    traced(mail, encode(replica, &event))
}

/// Encodes the event of a mail that the server may have.
pub(crate) fn encode_uncertain(
    replica: &Replica,
    account: &Key,
    mail: &OutboundMail,
    problem: Problem,
) -> Vec<EncodedEvent> {
    let event = MailUncertain {
        mail_id: mail.id,
        account: account.clone(),
        idempotency_key: mail.given_key(),
        stream_sequence: mail.stream_sequence,
        message_id: mail.message_id.clone(),
        stage: AttemptStage::Committing,
        problem,
    };
    traced(mail, encode(replica, &event))
}

/// Encodes any event. One that cannot be written as JSON would be logged and left out; our types always can.
pub(crate) fn encode<E: Event>(replica: &Replica, event: &E) -> Vec<EncodedEvent> {
    match replica.encode(event) {
        Ok(encoded) => vec![encoded],
        Err(error) => {
            error!(
                event = E::NAME,
                error = &error as &dyn std::error::Error,
                "Event could not be written"
            );
            Vec::new()
        }
    }
}

fn traced(mail: &OutboundMail, mut encoded: Vec<EncodedEvent>) -> Vec<EncodedEvent> {
    for event in &mut encoded {
        trace::inject(&mut event.headers);
        let is_traced = event
            .headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("traceparent"));
        if let (false, Some(parent)) = (is_traced, &mail.trace_parent) {
            let header = ("traceparent".to_owned(), parent.clone());
            event.headers.push(header);
        }
    }
    encoded
}

fn recipients(outcome: &Outcome) -> Vec<RecipientOutcome> {
    let each = outcome.recipients.iter();
    each.map(mailmesh_store::outbound_mail::Recipient::outcome)
        .collect()
}

fn is_waiting(outcome: &Outcome, address: &str) -> bool {
    let mut each = outcome.recipients.iter();
    each.any(|one| one.address == address && one.accepted.is_none())
}

fn problem(outcome: &Outcome) -> Problem {
    let problem = outcome.problem.clone();
    problem.unwrap_or_else(|| {
        crate::failure::problem_from("unknown", mailmesh_domain::FailureCause::Unknown)
    })
}
