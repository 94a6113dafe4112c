use mailmesh_accounts::Replica;
use mailmesh_domain::{EventId, Key, OutboundState};
use mailmesh_events::mail::{MailCancelled, MailRejected, RejectedCommand};
use mailmesh_events::{EncodedEvent, Event, encode};
use mailmesh_store::outbound_mail::{CancelRequest, CancelResult, OutboundMail};
use tracing::{error, info};

/// Encodes the event that tells what became of a cancel: `mail.cancelled`, or `mail.rejected` with the reason.
pub(crate) fn outcome_event(
    replica: &Replica,
    account: &Key,
    request: &CancelRequest,
    result: &CancelResult,
) -> Option<EncodedEvent> {
    let refusal = |mail: Option<&OutboundMail>, reason: &str| {
        let given = mail.and_then(OutboundMail::given_key);
        info!(
            delivery.sequence = request.stream_sequence,
            reason, "Mail not taken back"
        );
        let event = MailRejected {
            account: account.clone(),
            idempotency_key: request.idempotency_key.clone().or(given),
            field: named_field(request).to_owned(),
            reason: reason.to_owned(),
            stream_sequence: request.stream_sequence,
            command: RejectedCommand::MailCancel,
            mail_id: mail.map(|mail| mail.id).or(request.mail_id),
        };
        encode_outcome(replica, request, &event)
    };
    match result {
        CancelResult::Cancelled(mail) => {
            info!(mail.id = %mail.id, "Mail cancelled");
            let event = MailCancelled {
                mail_id: mail.id,
                account: account.clone(),
                idempotency_key: mail.given_key(),
                stream_sequence: mail.stream_sequence,
                cancel_stream_sequence: Some(request.stream_sequence),
            };
            encode_outcome(replica, request, &event)
        }
        CancelResult::Ended(mail) if mail.state == OutboundState::Failed => {
            refusal(Some(mail), "names a mail that has failed")
        }
        CancelResult::Ended(mail) => refusal(Some(mail), "names a mail that is sent"),
        CancelResult::Open => refusal(None, "names a mail that is being sent"),
        CancelResult::NotYetAsked => refusal(None, "names a mail that was asked for after this"),
        CancelResult::NotFound => refusal(None, "names no mail of this account"),
    }
}

const fn named_field(request: &CancelRequest) -> &'static str {
    match request.mail_id {
        Some(_) => "mail_id",
        None => "idempotency_key",
    }
}

fn encode_outcome<E: Event>(
    replica: &Replica,
    request: &CancelRequest,
    event: &E,
) -> Option<EncodedEvent> {
    let (id, now) = (EventId::from_uuid(request.event_id), replica.clock.now());
    match encode(event, id, &replica.source(), now) {
        Ok(encoded) => Some(encoded),
        Err(error) => {
            error!(
                error = &error as &dyn std::error::Error,
                "The outcome of a cancel could not be written"
            );
            None
        }
    }
}
