use std::error::Error;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use tracing::{error, info, warn};

use super::context::ConsumerContext;
use super::dead_letter::DeadLetter;
use crate::api::{self, JetStreamApiError, StoredJson};
use crate::metric;
use crate::publish::error::PublishError;
use crate::readable::{self, Unreadable};
use crate::subject::matches;

/// Maximum messages per scan; the next one goes on behind them.
const MOST: usize = 5_000;
/// Messages scanned behind each unreadable one although they are not delivered yet: a publisher of bad headers sends many,
/// and each that is delivered ends the connection and costs what comes behind it one ack wait.
const AHEAD: usize = 1_000;

/// Looks for messages that the client cannot read: whether a scan is due, and where the last one stopped.
#[derive(Debug, Default)]
pub(super) struct UnreadableScan {
    is_due: bool,
    resume_at: u64,
}

#[derive(Debug, thiserror::Error)]
enum ScanError {
    #[error(transparent)]
    Asking(#[from] JetStreamApiError),
    #[error("a message in the answer is not base64")]
    Base64(#[from] base64::DecodeError),
    #[error("an unreadable message was not deleted")]
    NotDeleted,
    #[error("the dead letter was not stored, the message is kept")]
    DeadLetter(#[from] PublishError),
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
        let state = api::consumer_state(&context.bus, &stream, context.consumer).await?;
        let Some(state) = state else { return Ok(()) };
        let first = state.ack_floor.stream_seq.saturating_add(1);
        let last = state.delivered.stream_seq;
        let is_resumed = (first..=last).contains(&self.resume_at);
        let mut sequence = if is_resumed { self.resume_at } else { first };
        self.resume_at = 0;
        let mut ahead = 0_usize;
        for _ in 0..MOST {
            let Some(stored) =
                api::next_stored(&context.bus, &context.stream_name(), sequence).await?
            else {
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
    stored: StoredJson,
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
    let stream = context.stream_name();
    let deleted = api::delete_stored(&context.bus, &stream, sequence).await;
    if matches!(deleted, Ok(true)) {
        return Ok(());
    }
    // Another replica may have deleted it; the server has more than one error for that.
    let next = api::next_stored(&context.bus, &stream, sequence).await?;
    if next.is_some_and(|next| next.seq == sequence) {
        return Err(deleted.map_or_else(ScanError::from, |_| ScanError::NotDeleted));
    }
    Ok(())
}

fn is_consumed(context: &ConsumerContext, wire_subject: &str) -> bool {
    let subject = context.bus.inner.prefix.strip(wire_subject);
    let filters = &context.settings.filters;
    filters.is_empty() || filters.iter().any(|filter| matches(filter, subject))
}
