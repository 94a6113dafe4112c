use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull::Config};
use async_nats::jetstream::stream::ConsumerErrorKind;
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::settings::{ConsumeError, ConsumerSettings, StartAt};
use crate::cause::NatsCause;
use crate::connection::Bus;

/// Shared by the parts of a running consumer.
pub(super) struct ConsumerContext {
    pub(super) bus: Bus,
    pub(super) consumer: &'static str,
    pub(super) settings: ConsumerSettings,
    pub(super) stop: CancellationToken,
}

impl ConsumerContext {
    /// Makes the durable consumer; fails only if the server refuses it.
    pub(super) fn start<'a>(
        bus: &'a Bus,
        consumer: &'static str,
        settings: ConsumerSettings,
        stop: CancellationToken,
    ) -> BoxFuture<'a, Result<Self, ConsumeError>> {
        Box::pin(async move {
            let this = Self {
                bus: bus.clone(),
                consumer,
                settings,
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

    /// Returns the name of the stream on the server.
    pub(super) fn stream_name(&self) -> String {
        self.bus.inner.prefix.stream(self.settings.stream.name())
    }

    /// Makes the durable consumer, or changes it to the settings.
    pub(super) async fn ensure_consumer(&self) -> Result<(), EnsureError> {
        let inner = &self.bus.inner;
        let settings = &self.settings;
        let stream = self.stream_name();
        let filters = settings.filters.iter();
        let config = Config {
            durable_name: Some(self.consumer.to_owned()),
            deliver_policy: match settings.start_at {
                StartAt::All => DeliverPolicy::All,
                StartAt::New => DeliverPolicy::New,
            },
            ack_policy: AckPolicy::Explicit,
            ack_wait: settings.ack_wait,
            // The loop counts attempts: a message that the server stops delivering would stay in the work queue, unseen.
            max_deliver: -1,
            filter_subjects: filters.map(|each| inner.prefix.subject(each)).collect(),
            // Messages that wait for their next attempt count, too, and must not hold up the others.
            max_ack_pending: 100_000,
            ..Config::default()
        };
        let nats = self.bus.nats().await;
        let created = nats
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
pub(super) enum EnsureError {
    #[error("the server refused the consumer")]
    Refused(#[source] NatsCause),
    #[error("the consumer could not be made now")]
    Unanswered(#[source] NatsCause),
}
