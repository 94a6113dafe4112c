use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use time::OffsetDateTime;

use crate::header::Headers;

/// Handles what has come, several messages in one go, in two steps: a batch is prepared while the one before it is
/// prepared or finished, and finished only after that one.
pub trait Handler: Send + Sync + 'static {
    /// The durable name, the same in all replicas.
    const CONSUMER: &'static str;

    /// What [`Handler::prepare`] hands to [`Handler::finish`].
    type Prepared: Send;

    /// Does the part of the work that needs no order; there is at least one message.
    fn prepare(&self, deliveries: Vec<Delivery>) -> impl Future<Output = Self::Prepared> + Send;

    /// Does the rest, and answers for each message in the order in which they came.
    fn finish(
        &self,
        prepared: Self::Prepared,
    ) -> impl Future<Output = Vec<Result<(), HandlerError>>> + Send;
}

/// A message as a handler gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Without the prefix.
    pub subject: String,
    pub headers: Headers,
    pub payload: Bytes,
    pub stream_sequence: u64,
    pub timestamp: OffsetDateTime,
    /// Counts from 1.
    pub attempt: u32,
    /// Whether a retry would make it a dead letter.
    pub is_last_attempt: bool,
}

/// Why a message was not handled, and whether it is retried or dead-lettered.
pub struct HandlerError {
    pub(super) action: FailureAction,
    pub(super) source: anyhow::Error,
}

pub(super) enum FailureAction {
    Retry { after: Option<Duration> },
    DeadLetter { reason: String },
}

impl HandlerError {
    /// Has the message delivered again after the schedule's next delay.
    pub fn retry(source: impl Into<anyhow::Error>) -> Self {
        Self {
            action: FailureAction::Retry { after: None },
            source: source.into(),
        }
    }

    /// Moves the message to the dead letters: no attempt would ever succeed.
    pub fn dead_letter(reason: impl Into<String>, source: impl Into<anyhow::Error>) -> Self {
        Self {
            action: FailureAction::DeadLetter {
                reason: reason.into(),
            },
            source: source.into(),
        }
    }

    /// Replaces the schedule's delay, as by a server's own hint; has no effect on a dead letter.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        if let FailureAction::Retry { after } = &mut self.action {
            *after = Some(delay);
        }
        self
    }
}

impl fmt::Debug for HandlerError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let action = match &self.action {
            FailureAction::Retry { after } => format!("retry after {after:?}"),
            FailureAction::DeadLetter { reason } => format!("dead letter: {reason}"),
        };
        formatter
            .debug_struct("HandlerError")
            .field("action", &action)
            .field("source", &self.source)
            .finish()
    }
}
