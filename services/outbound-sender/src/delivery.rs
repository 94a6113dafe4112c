//! Sends one mail over one connection, in stages that the types keep in order: prepared, entered, committed.

use std::time::Duration;

use mailmesh_domain::FailureCause;
use mailmesh_mail::message::Envelope;
use mailmesh_mail::transport::{
    Committed, Failure, FailureDetail, MailTransport, Preparation, PreparedMail, Scope,
};
use mailmesh_store::outbound_mail::OutboundMail;
use tokio::time::Instant;

use crate::decide::AttemptResult;
use crate::recorder::{Entry, RecorderHandle};

/// Longest standstill of this process before a commit. Others take over after ten seconds without a
/// heartbeat, may not find the mail in the Sent folder, and then send it again.
const MAX_STANDSTILL: Duration = Duration::from_secs(5);

/// Result of one delivery on one connection.
#[derive(Debug)]
pub(crate) enum Delivered {
    /// To be recorded.
    Ended(AttemptResult),
    /// Another replica has taken the mail over: there is nothing of ours to record.
    TakenOver,
    /// The server hung up between two mails: nothing was tried, another connection may do it.
    ConnectionGone,
}

/// The database knows that the mail may be committed.
struct Entered<'a>(Box<dyn PreparedMail + 'a>);

/// Sends one mail to the recipients that still wait.
pub(crate) async fn deliver(
    transport: &mut dyn MailTransport,
    recorder: &RecorderHandle,
    mail: &OutboundMail,
    raw: &[u8],
) -> Delivered {
    let waiting = mail.recipients.iter().filter(|one| one.accepted.is_none());
    let waiting = waiting.map(|one| one.address.as_str());
    let envelope = match Envelope::try_new(Some(&mail.envelope_from), waiting) {
        Ok(envelope) => envelope,
        Err(error) => {
            return Delivered::Ended(AttemptResult::Failed(unsendable(
                &error.to_string(),
                FailureCause::MailUnsendable,
            )));
        }
    };
    let prepared = match transport.prepare(&envelope, raw).await {
        Ok(Preparation::Ready(prepared)) => prepared,
        Ok(Preparation::Refused(results)) => {
            return Delivered::Ended(AttemptResult::Refused(results));
        }
        Err(failure) if failure.detail == FailureDetail::NotTried => {
            return Delivered::ConnectionGone;
        }
        Err(failure) => return Delivered::Ended(AttemptResult::Failed(failure)),
    };
    let asked_at = Instant::now();
    match recorder.enter_committing(mail.id, mail.attempts).await {
        Entry::Entered if asked_at.elapsed() > MAX_STANDSTILL => {
            prepared.abandon().await;
            Delivered::Ended(AttemptResult::Unattempted)
        }
        Entry::Entered => commit(Entered(prepared), asked_at + MAX_STANDSTILL).await,
        Entry::TakenOver => {
            prepared.abandon().await;
            Delivered::TakenOver
        }
        Entry::NotRecorded => {
            prepared.abandon().await;
            Delivered::Ended(AttemptResult::Unattempted)
        }
    }
}

async fn commit(Entered(prepared): Entered<'_>, deadline: Instant) -> Delivered {
    Delivered::Ended(match prepared.commit_before(deadline).await {
        Committed::Accepted { recipients, reply } => AttemptResult::Accepted {
            results: recipients,
            reply,
        },
        Committed::Unsent(failure) => AttemptResult::Failed(failure),
        Committed::Uncertain {
            recipients,
            failure,
        } => AttemptResult::Uncertain {
            results: recipients,
            failure,
        },
    })
}

/// Failure of a mail that no server could accept.
pub(crate) fn unsendable(why: &str, cause: FailureCause) -> Failure {
    let what = format!("The mail cannot be sent: {why}");
    Failure::new(what, cause, Scope::Message)
}

pub(crate) fn hung_up() -> Failure {
    let what = "The server hangs up right after the sign-in";
    Failure::new(what, FailureCause::Transient, Scope::Host)
}
