mod batch;
mod poison;
mod pull;
mod settle;

use std::fmt;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull::Config};
use async_nats::jetstream::stream::ConsumerErrorKind;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use crate::cause::NatsCause;
use crate::connection::Bus;
use crate::header::Headers;
use crate::stream::StreamKind;
use crate::subject::is_token;

/// Handles what has come, several messages in one go, in two steps: a batch is prepared while the one before it is
/// prepared or finished, and finished only after that one.
pub trait Handler: Send + Sync + 'static {
    /// The durable name, the same in all replicas.
    const CONSUMER: &'static str;

    /// What the first step leaves for the second.
    type Prepared: Send;

    /// Does for at least one message what needs no order.
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
    /// Its subject, without the prefix.
    pub subject: String,
    /// Its headers.
    pub headers: Headers,
    /// Its body.
    pub payload: Bytes,
    /// Where it lies in the stream.
    pub stream_sequence: u64,
    /// When the stream stored it.
    pub timestamp: OffsetDateTime,
    /// Counts from 1.
    pub attempt: u32,
    /// Whether a retry would make it a dead letter.
    pub is_last_attempt: bool,
}

/// What is to become of a message that was not handled.
pub struct HandlerError {
    action: Action,
    source: anyhow::Error,
}

enum Action {
    Retry { after: Option<Duration> },
    DeadLetter { reason: String },
}

/// Which messages a new consumer begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartAt {
    /// With the oldest one that the stream holds.
    All,
    /// With the first one after the consumer was made.
    New,
}

/// How messages are consumed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerSettings {
    /// From which stream.
    pub stream: StreamKind,
    /// Which subjects, without the prefix; none means all of the stream.
    pub filters: Vec<String>,
    /// Where to begin when the consumer is new.
    pub start_at: StartAt,
    /// The most messages of one batch; two batches may be in hand.
    pub max_in_hand: usize,
    /// When a message goes to another replica if this one falls silent.
    pub ack_wait: Duration,
    /// When the work on a batch is given up and tried again. It does not include the wait for the batch before.
    pub work_timeout: Duration,
    /// After how many attempts a message becomes a dead letter.
    pub max_attempts: u32,
    /// The wait after each failed attempt; the last one repeats.
    pub retry_delays: Vec<Duration>,
}

/// Why consuming did not begin.
#[derive(Debug, thiserror::Error)]
pub enum ConsumeError {
    /// A worker could still be busy with a message when it goes to another one.
    #[error(
        "ack wait of consumer {consumer} is {} s, it must be at least {} s for its work timeout",
        ack_wait.as_secs(), needed.as_secs()
    )]
    AckWait {
        /// The consumer.
        consumer: &'static str,
        /// What was given.
        ack_wait: Duration,
        /// What is needed.
        needed: Duration,
    },
    /// A number is 0 that must not be, or the name cannot be used.
    #[error("consumer {consumer} needs a plain name, at least one attempt and one message in hand")]
    Settings {
        /// The consumer.
        consumer: &'static str,
    },
    /// The server refuses the consumer.
    #[error("the server refused consumer {consumer} on {stream}")]
    Refused {
        /// The consumer.
        consumer: &'static str,
        /// The stream.
        stream: &'static str,
        /// Why.
        #[source]
        source: NatsCause,
    },
}

impl ConsumerSettings {
    /// Returns settings for work of up to 30 seconds a batch.
    pub fn new(stream: StreamKind, filters: &[&str]) -> Self {
        Self {
            stream,
            filters: filters.iter().map(|&each| each.to_owned()).collect(),
            start_at: StartAt::All,
            max_in_hand: 64,
            ack_wait: Duration::from_mins(1),
            work_timeout: Duration::from_secs(30),
            max_attempts: 10,
            retry_delays: [1, 5, 30, 120, 600].map(Duration::from_secs).to_vec(),
        }
    }

    fn validate(&self, consumer: &'static str) -> Result<(), ConsumeError> {
        if !is_token(consumer) || self.max_in_hand == 0 || self.max_attempts == 0 {
            return Err(ConsumeError::Settings { consumer });
        }
        // What comes next waits, its clock running, until a batch in hand has ended.
        let needed = self.work_timeout.saturating_mul(2);
        if self.ack_wait < needed {
            return Err(ConsumeError::AckWait {
                consumer,
                ack_wait: self.ack_wait,
                needed,
            });
        }
        Ok(())
    }

    fn delay_after(&self, attempt: u32) -> Duration {
        let index = usize::try_from(attempt.saturating_sub(1)).unwrap_or(usize::MAX);
        let delay = self.retry_delays.get(index).or(self.retry_delays.last());
        delay.copied().unwrap_or(Duration::from_secs(1))
    }
}

impl HandlerError {
    /// Says: try again on the schedule.
    pub fn retry(source: impl Into<anyhow::Error>) -> Self {
        Self {
            action: Action::Retry { after: None },
            source: source.into(),
        }
    }

    /// Says: no attempt will ever succeed.
    pub fn dead_letter(reason: impl Into<String>, source: impl Into<anyhow::Error>) -> Self {
        Self {
            action: Action::DeadLetter {
                reason: reason.into(),
            },
            source: source.into(),
        }
    }

    /// Replaces the schedule's wait before a retry; a dead letter stays one.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        if let Action::Retry { after } = &mut self.action {
            *after = Some(delay);
        }
        self
    }
}

impl fmt::Debug for HandlerError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let action = match &self.action {
            Action::Retry { after } => format!("retry after {after:?}"),
            Action::DeadLetter { reason } => format!("dead letter: {reason}"),
        };
        formatter
            .debug_struct("HandlerError")
            .field("action", &action)
            .field("source", &self.source)
            .finish()
    }
}

impl Bus {
    /// Hands messages to the handler in batches until `stop`; then finishes what is in hand and returns.
    ///
    /// A batch is all that has come since the last one, up to `max_in_hand`. An error means that consuming never began.
    /// Losing the server, the stream or the consumer later only makes it wait.
    pub async fn consume<H: Handler>(
        &self,
        handler: std::sync::Arc<H>,
        settings: ConsumerSettings,
        stop: CancellationToken,
    ) -> Result<(), ConsumeError> {
        settings.validate(H::CONSUMER)?;
        let loop_of = Loop::start(self, H::CONSUMER, settings, stop).await?;
        batch::run(&loop_of, handler).await;
        Ok(())
    }
}

/// What the parts of the loop share.
#[derive(Clone)]
struct Loop {
    bus: Bus,
    consumer: &'static str,
    settings: std::sync::Arc<ConsumerSettings>,
    stop: CancellationToken,
}

impl Loop {
    fn start<'a>(
        bus: &'a Bus,
        consumer: &'static str,
        settings: ConsumerSettings,
        stop: CancellationToken,
    ) -> BoxFuture<'a, Result<Self, ConsumeError>> {
        Box::pin(async move {
            let this = Self {
                bus: bus.clone(),
                consumer,
                settings: std::sync::Arc::new(settings),
                stop,
            };
            match this.ensure_consumer().await {
                Err(EnsureError::Refused(source)) => Err(ConsumeError::Refused {
                    consumer,
                    stream: this.settings.stream.name(),
                    source,
                }),
                // Not reached, or not there yet: the loop tries again.
                Ok(()) | Err(EnsureError::Unanswered(_)) => Ok(this),
            }
        })
    }

    async fn ensure_consumer(&self) -> Result<(), EnsureError> {
        let inner = &self.bus.inner;
        let settings = &self.settings;
        let stream = inner.prefix.stream(settings.stream.name());
        let filters = settings.filters.iter();
        let config = Config {
            durable_name: Some(self.consumer.to_owned()),
            deliver_policy: match settings.start_at {
                StartAt::All => DeliverPolicy::All,
                StartAt::New => DeliverPolicy::New,
            },
            ack_policy: AckPolicy::Explicit,
            ack_wait: settings.ack_wait,
            // We count the attempts: a message that the server gives up would stay in the work queue, unseen.
            max_deliver: -1,
            filter_subjects: filters.map(|each| inner.prefix.subject(each)).collect(),
            // Messages that wait for their next attempt count, too, and must not hold up the others.
            max_ack_pending: 100_000,
            ..Config::default()
        };
        let wire = self.bus.wire().await;
        let created = wire
            .jetstream
            .create_consumer_on_stream(config, stream)
            .await;
        match created {
            Ok(consumer) => {
                let _made: PullConsumer = consumer;
                Ok(())
            }
            Err(error) => match error.kind() {
                ConsumerErrorKind::JetStream(cause)
                    if cause.code() < 500 && cause.code() != 404 =>
                {
                    Err(EnsureError::Refused(error.into()))
                }
                ConsumerErrorKind::InvalidName | ConsumerErrorKind::InvalidConsumerType => {
                    Err(EnsureError::Refused(error.into()))
                }
                _ => Err(EnsureError::Unanswered(error.into())),
            },
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum EnsureError {
    #[error("the server refused the consumer")]
    Refused(#[source] NatsCause),
    #[error("the consumer could not be made now")]
    Unanswered(#[source] NatsCause),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_follows_the_schedule_and_its_last_entry_repeats() {
        let settings = ConsumerSettings::new(StreamKind::Events, &[]);

        let seconds: Vec<u64> = (1..=7)
            .map(|attempt| settings.delay_after(attempt).as_secs())
            .collect();

        assert_eq!(seconds, [1, 5, 30, 120, 600, 600, 600]);
    }

    #[test]
    fn ack_wait_below_the_work_timeout_of_two_batches_is_refused() {
        let mut settings = ConsumerSettings::new(StreamKind::Events, &[]);
        assert!(settings.validate("c").is_ok());

        settings.ack_wait = settings.work_timeout.mul_f32(1.9);

        let refused = settings.validate("c");
        assert!(matches!(refused, Err(ConsumeError::AckWait { .. })));
    }
}
