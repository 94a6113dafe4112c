//! One mail over one connection, in stages that cannot be skipped: prepared, entered, committed.

use std::time::Duration;

use mailmesh_domain::{MustAct, Verdict};
use mailmesh_mail::message::Envelope;
use mailmesh_mail::smtp::{
    CommitError, Connection, Phase, Preparation, Prepared, RecipientResult, Reply, Scope, SmtpError,
};
use mailmesh_store::outbound_mail::OutboundMail;
use tokio::time::Instant;

use crate::decide::{Ended, Failure};
use crate::recorder::{Entry, RecorderHandle};

/// Others take over after ten seconds of silence. Whoever stood still for longer than this may have
/// been judged meanwhile: the mail was not found in the Sent folder and is being sent again.
const STOOD_STILL: Duration = Duration::from_secs(5);

/// How far a mail came on one connection.
#[derive(Debug)]
pub(crate) enum Delivered {
    /// The attempt has an end to be recorded.
    Ended(Ended),
    /// Another replica has taken the mail over: there is nothing of ours to record.
    TakenOver,
    /// The server hung up between two mails: nothing was tried, another connection may do it.
    ConnectionGone,
}

/// The database knows that the mail may be committed.
struct Entered<'a>(Prepared<'a>);

/// Sends one mail to the recipients that still wait.
pub(crate) async fn deliver(
    connection: &mut Connection,
    recorder: &RecorderHandle,
    mail: &OutboundMail,
    raw: &[u8],
) -> Delivered {
    let waiting = mail.recipients.iter().filter(|one| one.accepted.is_none());
    let waiting = waiting.map(|one| one.address.as_str());
    let envelope = match Envelope::try_new(Some(&mail.envelope_from), waiting) {
        Ok(envelope) => envelope,
        Err(error) => return Delivered::Ended(Ended::Failed(unsendable(&error.to_string()))),
    };
    let prepared = match connection.prepare(&envelope, raw).await {
        Ok(Preparation::Ready(prepared)) => prepared,
        Ok(Preparation::Refused(results)) => return Delivered::Ended(Ended::Refused(results)),
        Err(SmtpError::ClosedWhileIdle | SmtpError::Unusable) => return Delivered::ConnectionGone,
        Err(error) => return Delivered::Ended(Ended::Failed(of_smtp(&error))),
    };
    let asked_at = Instant::now();
    match recorder.enter_committing(mail.id, mail.attempts).await {
        Entry::Entered if asked_at.elapsed() > STOOD_STILL => {
            prepared.abandon().await;
            Delivered::Ended(Ended::Unattempted)
        }
        Entry::Entered => commit(Entered(prepared), asked_at + STOOD_STILL).await,
        Entry::TakenOver => {
            prepared.abandon().await;
            Delivered::TakenOver
        }
        Entry::NotRecorded => {
            prepared.abandon().await;
            Delivered::Ended(Ended::Unattempted)
        }
    }
}

async fn commit(Entered(prepared): Entered<'_>, latest: Instant) -> Delivered {
    let results: Vec<RecipientResult> = prepared.recipients().to_vec();
    Delivered::Ended(match prepared.commit_before(Some(latest)).await {
        Ok(reply) => Ended::Accepted { results, reply },
        Err(error) if error.is_uncertain() => Ended::Uncertain {
            results,
            failure: of_commit(&error),
        },
        Err(error) => Ended::Failed(of_commit(&error)),
    })
}

/// A mail that no server could be given.
pub(crate) fn unsendable(why: &str) -> Failure {
    Failure {
        what: format!("The mail cannot be sent: {why}"),
        code: None,
        verdict: Verdict::permanent(MustAct::Administrator),
        scope: Scope::Message,
        is_token_refused: false,
        is_of_content: false,
    }
}

/// A server that takes the sign-in and then hangs up.
pub(crate) fn hung_up() -> Failure {
    Failure {
        what: "The server hangs up right after the sign-in".to_owned(),
        code: None,
        verdict: Verdict::transient(),
        scope: Scope::Host,
        is_token_refused: false,
        is_of_content: false,
    }
}

pub(crate) fn of_smtp(error: &SmtpError) -> Failure {
    Failure {
        what: tell(error, error.reply().map(ToString::to_string)),
        code: error.reply().map(Reply::status),
        verdict: error.verdict(),
        scope: error.scope(),
        is_token_refused: error.is_token_refused(),
        is_of_content: matches!(
            error,
            SmtpError::Refused {
                phase: Phase::Content,
                ..
            }
        ),
    }
}

fn of_commit(error: &CommitError) -> Failure {
    Failure {
        what: tell(error, error.reply().map(ToString::to_string)),
        code: error.reply().map(Reply::status),
        verdict: error.verdict(),
        scope: error.scope(),
        is_token_refused: false,
        is_of_content: true,
    }
}

/// Says what happened, with its causes and the server's own words.
pub(crate) fn tell(error: &dyn std::error::Error, reply: Option<String>) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    if let Some(reply) = reply {
        text.push_str(" (");
        text.push_str(&reply);
        text.push(')');
    }
    let mut characters = text.chars();
    match characters.next() {
        Some(first) => first.to_uppercase().chain(characters).collect(),
        None => text,
    }
}
