use std::error::Error;
use std::time::Duration;

use async_nats::{HeaderMap, Message, Request, Subject};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use tracing::{debug, error, warn};

use super::context::ConsumerContext;
use super::dead_letter::DeadLetter;
use super::handler::{Delivery, FailureAction, HandlerError};
use crate::header::from_map;
use crate::metric;

const ACK_TIMEOUT: Duration = Duration::from_secs(5);
const ACK_TRIES: u32 = 2;
/// The wait before a message is delivered again whose dead letter was not stored.
const DEAD_LETTER_RETRY: Duration = Duration::from_secs(30);

/// A message that is not acknowledged yet.
pub(super) struct PendingAck {
    reply: Subject,
    subject: String,
    headers: Option<HeaderMap>,
    payload: Bytes,
    stream_sequence: u64,
    attempt: u32,
}

/// How the work on a message ended.
pub(super) enum WorkOutcome {
    Done,
    Failed(HandlerError),
    Panicked,
    TimedOut,
    /// Delivered more often than it may be, although no handler answered: as when it crashes the process each time.
    TooOften,
}

impl WorkOutcome {
    pub(super) fn of(result: Result<(), HandlerError>) -> Self {
        match result {
            Ok(()) => Self::Done,
            Err(error) => Self::Failed(error),
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum WorkFailure {
    #[error("the handler panicked")]
    Panicked,
    #[error("the handler took too long")]
    TimedOut,
    #[error("was delivered more often than its attempts allow")]
    TooOften,
}

impl PendingAck {
    /// Splits a message into what the handler sees and what acknowledges it; none if it is not from a stream.
    pub(super) fn split(context: &ConsumerContext, message: Message) -> Option<(Delivery, Self)> {
        let inner = &context.bus.inner;
        let message = async_nats::jetstream::Message {
            message,
            context: inner.nats().jetstream.clone(),
        };
        let (stream_sequence, attempt, timestamp) = match message.info() {
            Ok(info) => (
                info.stream_sequence,
                u32::try_from(info.delivered).unwrap_or(u32::MAX),
                info.published,
            ),
            Err(_) => return None,
        };
        let mut message = message.message;
        message.payload = alone(message.payload);
        let delivery = Delivery {
            subject: inner.prefix.strip(&message.subject).to_owned(),
            headers: from_map(message.headers.as_ref()),
            payload: message.payload.clone(),
            stream_sequence,
            timestamp,
            attempt,
            is_last_attempt: attempt >= context.settings.max_attempts,
        };
        let pending = Self {
            reply: message.reply?,
            subject: delivery.subject.clone(),
            headers: message.headers,
            payload: message.payload,
            stream_sequence,
            attempt,
        };
        Some((delivery, pending))
    }

    pub(super) fn bytes(&self) -> usize {
        self.payload.len()
    }

    pub(super) fn is_delivered_too_often(&self, context: &ConsumerContext) -> bool {
        self.attempt > context.settings.max_attempts
    }

    /// Acknowledges the message, has it come again or gives it up, as its work ended; logs it if it failed.
    pub(super) fn settle(
        self,
        context: &ConsumerContext,
        outcome: WorkOutcome,
    ) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let source: anyhow::Error = match outcome {
                WorkOutcome::Done => {
                    metric::handled(context.consumer, "done");
                    return self.confirm(context, Bytes::from_static(b"+ACK")).await;
                }
                WorkOutcome::Failed(HandlerError { action, source }) => match action {
                    FailureAction::Retry { after } => {
                        return self.retry(context, source, after).await;
                    }
                    FailureAction::DeadLetter { reason } => source.context(reason),
                },
                WorkOutcome::Panicked => {
                    return self
                        .retry(context, WorkFailure::Panicked.into(), None)
                        .await;
                }
                WorkOutcome::TimedOut => {
                    return self
                        .retry(context, WorkFailure::TimedOut.into(), None)
                        .await;
                }
                WorkOutcome::TooOften => WorkFailure::TooOften.into(),
            };
            self.give_up(context, source).await;
        })
    }

    async fn retry(
        self,
        context: &ConsumerContext,
        source: anyhow::Error,
        after: Option<Duration>,
    ) {
        let settings = &context.settings;
        if self.attempt >= settings.max_attempts {
            let reason = format!("gave up after {} attempts", self.attempt);
            return self.give_up(context, source.context(reason)).await;
        }
        metric::handled(context.consumer, "retry");
        let delay = after.unwrap_or_else(|| settings.delay_after(self.attempt));
        warn!(
            consumer = context.consumer,
            delivery.attempt = self.attempt,
            delivery.sequence = self.stream_sequence,
            delay_seconds = delay.as_secs_f64(),
            error = AsRef::<dyn Error>::as_ref(&source),
            "Message not handled, will be tried again"
        );
        redeliver(context, &self.reply, delay).await;
    }

    /// Copies the message to the dead letters and only then terminates it.
    async fn give_up(self, context: &ConsumerContext, source: anyhow::Error) {
        let letter = DeadLetter {
            stream_sequence: self.stream_sequence,
            subject: &self.subject,
            headers: from_map(self.headers.as_ref()),
            payload: self.payload.clone(),
            reason: &format!("{source:#}"),
        };
        if let Err(failure) = letter.store(context).await {
            error!(
                consumer = context.consumer,
                delivery.sequence = self.stream_sequence,
                error = &failure as &dyn Error,
                "Dead letter not stored, message kept"
            );
            return redeliver(context, &self.reply, DEAD_LETTER_RETRY).await;
        }
        metric::handled(context.consumer, "dead_letter");
        error!(
            consumer = context.consumer,
            delivery.attempt = self.attempt,
            delivery.sequence = self.stream_sequence,
            error = AsRef::<dyn Error>::as_ref(&source),
            "Message moved to the dead letters"
        );
        self.confirm(context, Bytes::from_static(b"+TERM dead letter"))
            .await;
    }

    /// Sends an answer and waits until the server has it: only then the message cannot come again.
    async fn confirm(&self, context: &ConsumerContext, answer: Bytes) {
        for _ in 0..ACK_TRIES {
            // Plain acknowledgements are fire and forget: one that is lost means another delivery after ack_wait.
            let request = Request::new()
                .payload(answer.clone())
                .timeout(Some(ACK_TIMEOUT));
            let nats = context.bus.nats().await;
            let sent = nats.client.send_request(self.reply.clone(), request);
            // The send itself waits without a bound when the client's queue is full.
            match tokio::time::timeout(ACK_TIMEOUT * 2, sent).await {
                Ok(Ok(_)) => return,
                Ok(Err(error)) => debug!(consumer = context.consumer, %error, "Ack not confirmed"),
                Err(_) => debug!(consumer = context.consumer, "Ack not sent"),
            }
        }
        warn!(
            consumer = context.consumer,
            delivery.sequence = self.stream_sequence,
            "Ack not confirmed, message may come again"
        );
    }

    /// Restarts the message's ack wait, so that the server does not give it to another replica.
    pub(super) async fn signal_progress(&self, context: &ConsumerContext) {
        send_unconfirmed(context, &self.reply, Bytes::from_static(b"+WPI")).await;
    }
}

/// Moves a large payload out of the connection's read buffer. That grows by doubling and is kept whole by each slice of it, so
/// that a message would take up to twice its size for as long as it is in hand.
fn alone(payload: Bytes) -> Bytes {
    const LARGE_BYTES: usize = 256 * 1024;
    if payload.len() < LARGE_BYTES {
        return payload;
    }
    Bytes::copy_from_slice(&payload)
}

/// Asks the server to deliver a message again after the delay.
pub(super) async fn redeliver(context: &ConsumerContext, reply: &Subject, delay: Duration) {
    // The delay goes with each NAK: a consumer's `backoff` applies to ack timeouts only.
    let body = if delay.is_zero() {
        "-NAK".to_owned()
    } else {
        format!("-NAK {{\"delay\":{}}}", delay.as_nanos())
    };
    send_unconfirmed(context, reply, body.into()).await;
}

async fn send_unconfirmed(context: &ConsumerContext, reply: &Subject, body: Bytes) {
    let nats = context.bus.nats().await;
    let sent = nats.client.publish(reply.clone(), body);
    let is_sent = matches!(tokio::time::timeout(ACK_TIMEOUT, sent).await, Ok(Ok(())));
    if !is_sent {
        // Without an answer the message comes again after its ack wait.
        debug!(consumer = context.consumer, "Signal not sent");
    }
}
