use std::error::Error;

use async_nats::jetstream::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tracing::{error, info, warn};

use super::context::ConsumerContext;
use super::dead_letter::DeadLetter;
use crate::cause::{JetStreamRefusal, NatsCause};
use crate::metric;
use crate::publish::error::PublishError;
use crate::readable::{self, Unreadable};
use crate::subject::matches;

/// Maximum messages per scan; the next one goes on behind them.
const MOST: usize = 5_000;
/// Messages scanned behind each unreadable one although they are not delivered yet: a publisher of bad headers sends many,
/// and each that is delivered ends the connection and costs what comes behind it one ack wait.
const AHEAD: usize = 1_000;
const NOT_FOUND: usize = 404;

/// Looks for messages that the client cannot read: whether a scan is due, and where the last one stopped.
#[derive(Debug, Default)]
pub(super) struct UnreadableScan {
    is_due: bool,
    resume_at: u64,
}

#[derive(Debug, thiserror::Error)]
enum ScanError {
    #[error("the question was not answered")]
    Asking(#[source] NatsCause),
    #[error("the question was refused")]
    Refused(#[source] JetStreamRefusal),
    #[error("the question or its answer cannot be written as JSON")]
    Json(#[from] serde_json::Error),
    #[error("a message in the answer is not base64")]
    Base64(#[from] base64::DecodeError),
    #[error("an unreadable message was not deleted")]
    NotDeleted,
    #[error("the dead letter was not stored, the message is kept")]
    DeadLetter(#[from] PublishError),
}

#[derive(Deserialize)]
struct ConsumerState {
    delivered: SequenceInfo,
    ack_floor: SequenceInfo,
}

#[derive(Deserialize)]
struct SequenceInfo {
    stream_seq: u64,
}

#[derive(Serialize)]
struct NextFrom {
    seq: u64,
    next_by_subj: &'static str,
}

#[derive(Serialize)]
struct Delete {
    seq: u64,
    /// Overwriting it with random bytes, which the server does otherwise, is for secrets and costs a disk write.
    no_erase: bool,
}

#[derive(Deserialize)]
struct Found {
    message: JsonMessage,
}

#[derive(Deserialize)]
struct Deleted {
    success: bool,
}

/// A message in the server's JSON, whose headers the client does not parse.
#[derive(Deserialize)]
struct JsonMessage {
    subject: String,
    seq: u64,
    #[serde(default)]
    hdrs: String,
    #[serde(default)]
    data: String,
}

impl UnreadableScan {
    /// Makes the next [`UnreadableScan::run`] scan, because a pull ended without being asked to.
    pub(super) const fn request(&mut self) {
        self.is_due = true;
    }

    /// Scans, if requested, for messages that the client cannot read and that may have ended the pull. Each is dead-lettered
    /// and deleted from the stream, so that it is not delivered again.
    ///
    /// Several replicas may do so at once: the dead letter's message id is the same.
    pub(super) async fn run(&mut self, context: &ConsumerContext) {
        if !self.is_due {
            return;
        }
        // Also when the scan fails: the next pull that the same message ends requests another.
        self.is_due = false;
        if let Err(error) = self.remove_unreadable(context).await {
            warn!(
                consumer = context.consumer,
                error = &error as &dyn Error,
                "The scan for unreadable messages was not finished"
            );
        }
    }

    async fn remove_unreadable(&mut self, context: &ConsumerContext) -> Result<(), ScanError> {
        let stream = context.stream_name();
        let address = format!("CONSUMER.INFO.{stream}.{}", context.consumer);
        let state = ask::<ConsumerState>(context, &address, &serde_json::json!({})).await?;
        let Some(state) = state else { return Ok(()) };
        let first = state.ack_floor.stream_seq.saturating_add(1);
        let last = state.delivered.stream_seq;
        let is_resumed = (first..=last).contains(&self.resume_at);
        let mut sequence = if is_resumed { self.resume_at } else { first };
        self.resume_at = 0;
        let mut ahead = 0_usize;
        for _ in 0..MOST {
            let Some(stored) = next_stored(context, sequence).await? else {
                return Ok(());
            };
            if stored.seq > last {
                let Some(fewer) = ahead.checked_sub(1) else {
                    return Ok(());
                };
                ahead = fewer;
            }
            sequence = stored.seq.saturating_add(1);
            let headers = STANDARD.decode(&stored.hdrs)?;
            if let Err(why) = readable::check(&stored.subject, &headers)
                && is_consumed(context, &stored.subject)
            {
                remove(context, stored, why).await?;
                ahead = AHEAD;
            }
        }
        self.resume_at = sequence;
        Ok(())
    }
}

async fn remove(
    context: &ConsumerContext,
    stored: JsonMessage,
    why: Unreadable,
) -> Result<(), ScanError> {
    let sequence = stored.seq;
    let letter = DeadLetter {
        stream_sequence: sequence,
        subject: context.bus.inner.prefix.strip(&stored.subject),
        headers: Vec::new(),
        payload: Bytes::from(STANDARD.decode(&stored.data)?),
        reason: &format!("cannot be read: {why}"),
    };
    let published = letter.store(context).await?;
    if published.is_duplicate {
        info!(
            consumer = context.consumer,
            delivery.sequence = sequence,
            "Unreadable message is among the dead letters already"
        );
    } else {
        metric::handled(context.consumer, "dead_letter");
        error!(
            consumer = context.consumer,
            delivery.sequence = sequence,
            error = &why as &dyn Error,
            "Message that the NATS client cannot read moved to the dead letters"
        );
    }
    delete(context, sequence).await
}

async fn delete(context: &ConsumerContext, sequence: u64) -> Result<(), ScanError> {
    let address = format!("STREAM.MSG.DELETE.{}", context.stream_name());
    let request = Delete {
        seq: sequence,
        no_erase: true,
    };
    let deleted = ask::<Deleted>(context, &address, &request).await;
    if matches!(&deleted, Ok(Some(Deleted { success: true }))) {
        return Ok(());
    }
    // Another replica may have deleted it; the server has more than one error for that.
    let next = next_stored(context, sequence).await?;
    if next.is_some_and(|next| next.seq == sequence) {
        return Err(deleted.err().unwrap_or(ScanError::NotDeleted));
    }
    Ok(())
}

async fn next_stored(
    context: &ConsumerContext,
    sequence: u64,
) -> Result<Option<JsonMessage>, ScanError> {
    let address = format!("STREAM.MSG.GET.{}", context.stream_name());
    let request = NextFrom {
        seq: sequence,
        next_by_subj: ">",
    };
    let found = ask::<Found>(context, &address, &request).await?;
    Ok(found.map(|found| found.message))
}

/// Asks the JetStream API; none if what is asked for is not there.
async fn ask<T: DeserializeOwned>(
    context: &ConsumerContext,
    address: &str,
    request: &(impl Serialize + Sync),
) -> Result<Option<T>, ScanError> {
    let body = serde_json::to_vec(request)?;
    let nats = context.bus.nats().await;
    let answer = nats
        .client
        .request(format!("$JS.API.{address}"), body.into())
        .await
        .map_err(|error| ScanError::Asking(error.into()))?;
    match serde_json::from_slice(&answer.payload)? {
        Response::Ok(answer) => Ok(Some(answer)),
        Response::Err { error } if error.code() == NOT_FOUND => Ok(None),
        Response::Err { error } => Err(ScanError::Refused(JetStreamRefusal::from(&error))),
    }
}

fn is_consumed(context: &ConsumerContext, wire_subject: &str) -> bool {
    let subject = context.bus.inner.prefix.strip(wire_subject);
    let filters = &context.settings.filters;
    filters.is_empty() || filters.iter().any(|filter| matches(filter, subject))
}
