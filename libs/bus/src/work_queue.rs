//! How far a consumer has come in `MAIL_SEND`, and what the stream keeps although it is acknowledged.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use time::OffsetDateTime;

use crate::api::{self, JetStreamApiError, StoredJson};
use crate::connection::Bus;
use crate::header::{Headers, parse_block};
use crate::stream::StreamKind;

/// The progress of a durable consumer of `MAIL_SEND`, as its server reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkQueueProgress {
    /// When this stream was made: sequences of an earlier one of its name mean nothing in it.
    pub created_at: OffsetDateTime,
    /// Sequence of the first command that the stream holds; one more than the last when it is empty.
    pub first_sequence: u64,
    pub last_sequence: u64,
    /// All commands up to this sequence are acknowledged; 0 when none is.
    pub acknowledged_sequence: u64,
}

/// A command that the stream holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCommand {
    pub sequence: u64,
    /// When the stream stored it.
    pub stored_at: OffsetDateTime,
    /// Without the prefix.
    pub subject: String,
    pub headers: Headers,
    pub payload: Bytes,
}

/// `MAIL_SEND` could not be asked.
#[derive(Debug, thiserror::Error)]
#[error("MAIL_SEND could not be asked")]
pub struct WorkQueueError(#[source] JetStreamApiError);

impl StoredCommand {
    fn of(bus: &Bus, stored: &StoredJson) -> Self {
        // Undecodable parts are left out: whoever reads the command then takes it for another one, and leaves it alone.
        let header_block = STANDARD.decode(&stored.hdrs).unwrap_or_default();
        Self {
            sequence: stored.seq,
            stored_at: stored.time,
            subject: bus.inner.prefix.strip(&stored.subject).to_owned(),
            headers: parse_block(&String::from_utf8_lossy(&header_block)),
            payload: STANDARD.decode(&stored.data).unwrap_or_default().into(),
        }
    }
}

impl WorkQueueProgress {
    /// Returns whether every command that the stream stored before this one is acknowledged, or gone from the stream.
    pub fn has_passed_all_before(&self, sequence: u64, stored_at: OffsetDateTime) -> bool {
        let is_of_earlier_stream = stored_at < self.created_at || sequence > self.last_sequence;
        is_of_earlier_stream
            || self.first_sequence >= sequence
            || self.acknowledged_sequence >= sequence.saturating_sub(1)
    }
}

impl Bus {
    /// Returns how far a durable consumer of `MAIL_SEND` has come; none when stream or consumer is not there.
    ///
    /// The consumer is asked last: what it has acknowledged is a part of what the stream's numbers tell of.
    ///
    /// # Errors
    /// When the server does not answer.
    pub fn work_queue_progress<'a>(
        &'a self,
        consumer: &'a str,
    ) -> BoxFuture<'a, Result<Option<WorkQueueProgress>, WorkQueueError>> {
        Box::pin(async move {
            let stream = self.work_queue_name();
            let info = api::stream_info(self, &stream).await;
            let Some(info) = info.map_err(WorkQueueError)? else {
                return Ok(None);
            };
            let state = api::consumer_state(self, &stream, consumer).await;
            let state = state.map_err(WorkQueueError)?;
            Ok(state.map(|state| WorkQueueProgress {
                created_at: info.created,
                first_sequence: info.state.first_seq,
                last_sequence: info.state.last_seq,
                acknowledged_sequence: state.ack_floor.stream_seq,
            }))
        })
    }

    /// Returns the first command from a sequence on.
    ///
    /// # Errors
    /// When the server does not answer.
    pub fn next_command(
        &self,
        from_sequence: u64,
    ) -> BoxFuture<'_, Result<Option<StoredCommand>, WorkQueueError>> {
        Box::pin(async move {
            let stream = self.work_queue_name();
            let found = api::next_stored(self, &stream, from_sequence).await;
            let found = found.map_err(WorkQueueError)?;
            Ok(found.map(|stored| StoredCommand::of(self, &stored)))
        })
    }

    /// Deletes a command; returns whether it was there.
    ///
    /// # Errors
    /// When the server does not answer, or refuses.
    pub fn delete_command(&self, sequence: u64) -> BoxFuture<'_, Result<bool, WorkQueueError>> {
        Box::pin(async move {
            let stream = self.work_queue_name();
            let deleted = api::delete_stored(self, &stream, sequence).await;
            deleted.map_err(WorkQueueError)
        })
    }

    fn work_queue_name(&self) -> String {
        self.inner.prefix.stream(StreamKind::MailSend.name())
    }
}

#[cfg(test)]
mod tests {
    use time::Duration;
    use time::macros::datetime;

    use super::*;

    const MADE: OffsetDateTime = datetime!(2026-11-30 12:00 UTC);

    #[test]
    fn command_is_passed_once_all_before_it_are_acknowledged_or_gone() {
        let progress = |first, acknowledged| WorkQueueProgress {
            created_at: MADE,
            first_sequence: first,
            last_sequence: 20,
            acknowledged_sequence: acknowledged,
        };
        let later = MADE + Duration::hours(1);

        for (first, acknowledged, is_passed) in [
            (5, 8, false),
            (5, 9, true),
            (5, 15, true),
            (10, 0, true),
            (9, 0, false),
        ] {
            let progress = progress(first, acknowledged);
            let found = progress.has_passed_all_before(10, later);
            assert_eq!(found, is_passed, "{first} {acknowledged}");
        }
        let earlier_stream = progress(1, 0);
        assert!(earlier_stream.has_passed_all_before(10, MADE - Duration::hours(1)));
        assert!(earlier_stream.has_passed_all_before(21, later));
    }
}
