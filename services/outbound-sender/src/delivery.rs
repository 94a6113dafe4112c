//! Sends one mail over one connection, in stages that the types keep in order: prepared, entered, committed.

use std::time::Duration;

use mailmesh_domain::FailureCause;
use mailmesh_mail::message::Envelope;
use mailmesh_mail::transport::{
    CommitResult, FailureDetail, MailTransport, Preparation, PreparedMail, Scope, TransportFailure,
};
use mailmesh_store::outbound_mail::OutboundMail;
use tokio::time::Instant;

use crate::decide::AttemptResult;
use crate::recorder::{RecorderHandle, StageEntry};

/// Longest standstill of this process before a commit. Others take over after ten seconds without a
/// heartbeat, may not find the mail in the Sent folder, and then send it again.
const MAX_STANDSTILL: Duration = Duration::from_secs(5);

/// Result of one delivery on one connection.
#[derive(Debug)]
pub(crate) enum DeliveryResult {
    /// To be recorded.
    Ended(AttemptResult),
    /// Another replica has taken the mail over: there is nothing of ours to record.
    TakenOver,
    /// The server hung up between two mails: nothing was tried, another connection may do it.
    ConnectionGone,
}

/// The database knows that the mail may be committed.
struct CommittablePreparation<'a>(Box<dyn PreparedMail + 'a>);

/// Sends one mail to the recipients that still wait.
pub(crate) async fn deliver(
    transport: &mut dyn MailTransport,
    recorder: &RecorderHandle,
    mail: &OutboundMail,
    raw: &[u8],
) -> DeliveryResult {
    let waiting = mail.recipients.iter().filter(|one| one.accepted.is_none());
    let waiting = waiting.map(|one| one.address.as_str());
    let envelope = match Envelope::try_new(Some(&mail.envelope_from), waiting) {
        Ok(envelope) => envelope,
        Err(error) => {
            return DeliveryResult::Ended(AttemptResult::Failed(unsendable(
                &error.to_string(),
                FailureCause::MailUnsendable,
            )));
        }
    };
    let prepared = match transport.prepare(&envelope, raw).await {
        Ok(Preparation::Ready(prepared)) => prepared,
        Ok(Preparation::Refused(results)) => {
            return DeliveryResult::Ended(AttemptResult::Refused(results));
        }
        Err(failure) if failure.detail == FailureDetail::NotTried => {
            return DeliveryResult::ConnectionGone;
        }
        Err(failure) => return DeliveryResult::Ended(AttemptResult::Failed(failure)),
    };
    let asked_at = Instant::now();
    match recorder.enter_committing(mail.id, mail.attempts).await {
        StageEntry::Entered if asked_at.elapsed() > MAX_STANDSTILL => {
            prepared.abandon().await;
            DeliveryResult::Ended(AttemptResult::Unattempted)
        }
        StageEntry::Entered => {
            commit(CommittablePreparation(prepared), asked_at + MAX_STANDSTILL).await
        }
        StageEntry::TakenOver => {
            prepared.abandon().await;
            DeliveryResult::TakenOver
        }
        StageEntry::NotRecorded => {
            prepared.abandon().await;
            DeliveryResult::Ended(AttemptResult::Unattempted)
        }
    }
}

async fn commit(
    CommittablePreparation(prepared): CommittablePreparation<'_>,
    deadline: Instant,
) -> DeliveryResult {
    DeliveryResult::Ended(match prepared.commit_before(deadline).await {
        CommitResult::Accepted { recipients, reply } => AttemptResult::Accepted {
            results: recipients,
            reply,
        },
        CommitResult::Unsent(failure) => AttemptResult::Failed(failure),
        CommitResult::Uncertain {
            recipients,
            failure,
        } => AttemptResult::Uncertain {
            results: recipients,
            failure,
        },
    })
}

/// Failure of a mail that no server could accept.
pub(crate) fn unsendable(why: &str, cause: FailureCause) -> TransportFailure {
    let what = format!("The mail cannot be sent: {why}");
    TransportFailure::new(what, cause, Scope::Message)
}

pub(crate) fn hung_up() -> TransportFailure {
    let what = "The server hangs up right after the sign-in";
    TransportFailure::new(what, FailureCause::Transient, Scope::Host)
}
