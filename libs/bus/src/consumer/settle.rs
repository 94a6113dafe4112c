use std::error::Error;
use std::time::Duration;

use async_nats::{HeaderMap, Message, Request, Subject};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use tracing::{debug, error, warn};

use super::{Action, Delivery, HandlerError, Loop};
use crate::header::{Headers, from_map, printable};
use crate::metric;
use crate::publish::{Outgoing, PublishError, Published};

const ACK_TIMEOUT: Duration = Duration::from_secs(5);
const ACK_TRIES: u32 = 2;
const REASON_BYTES: usize = 2_000;
const SUBJECT_BYTES: usize = 1_000;
/// When the dead letters themselves cannot be stored.
const DEAD_LETTER_RETRY: Duration = Duration::from_secs(30);

/// What is needed to settle a message after its handler has run.
pub(super) struct Ticket {
    reply: Subject,
    subject: String,
    headers: Option<HeaderMap>,
    payload: Bytes,
    stream_sequence: u64,
    attempt: u32,
}

/// A message that is given up.
pub(super) struct Letter<'a> {
    pub(super) stream_sequence: u64,
    pub(super) subject: &'a str,
    pub(super) headers: Headers,
    pub(super) payload: Bytes,
    pub(super) reason: &'a str,
}

/// How the work on a message ended.
pub(super) enum Outcome {
    Done,
    Failed(HandlerError),
    Panicked,
    TimedOut,
    /// Delivered more often than it may be: its handler takes the process down each time.
    TooOften,
}

impl Outcome {
    pub(super) fn of(result: Result<(), HandlerError>) -> Self {
        match result {
            Ok(()) => Self::Done,
            Err(error) => Self::Failed(error),
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("the handler panicked")]
    Panicked,
    #[error("the handler took too long")]
    TimedOut,
    #[error("was delivered more often than its attempts allow")]
    TooOften,
}

impl Loop {
    /// Splits a message into what the handler sees and what settles it; none if it is not from a stream.
    pub(super) fn ticket(&self, message: Message) -> Option<(Delivery, Ticket)> {
        let message = async_nats::jetstream::Message {
            message,
            context: self.bus.inner.wire().jetstream.clone(),
        };
        let (stream_sequence, attempt, timestamp) = match message.info() {
            Ok(info) => (
                info.stream_sequence,
                u32::try_from(info.delivered).unwrap_or(u32::MAX),
                info.published,
            ),
            Err(_) => return None,
        };
        let message = message.message;
        let delivery = Delivery {
            subject: self.bus.inner.prefix.strip(&message.subject).to_owned(),
            headers: from_map(message.headers.as_ref()),
            payload: message.payload.clone(),
            stream_sequence,
            timestamp,
            attempt,
            is_last_attempt: attempt >= self.settings.max_attempts,
        };
        let ticket = Ticket {
            reply: message.reply?,
            subject: delivery.subject.clone(),
            headers: message.headers,
            payload: message.payload,
            stream_sequence,
            attempt,
        };
        Some((delivery, ticket))
    }

    pub(super) fn is_delivered_too_often(&self, ticket: &Ticket) -> bool {
        ticket.attempt > self.settings.max_attempts
    }

    /// Tells the server what became of the message, and logs it if it failed.
    pub(super) fn settle(&self, ticket: Ticket, outcome: Outcome) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let source: anyhow::Error = match outcome {
                Outcome::Done => {
                    metric::handled(self.consumer, "done");
                    return self.confirm(&ticket, Bytes::from_static(b"+ACK")).await;
                }
                Outcome::Failed(HandlerError { action, source }) => match action {
                    Action::Retry { after } => return self.retry(ticket, source, after).await,
                    Action::DeadLetter { reason } => source.context(reason),
                },
                Outcome::Panicked => return self.retry(ticket, Fault::Panicked.into(), None).await,
                Outcome::TimedOut => return self.retry(ticket, Fault::TimedOut.into(), None).await,
                Outcome::TooOften => Fault::TooOften.into(),
            };
            self.bury(ticket, source).await;
        })
    }

    async fn retry(&self, ticket: Ticket, source: anyhow::Error, after: Option<Duration>) {
        if ticket.attempt >= self.settings.max_attempts {
            let reason = format!("gave up after {} attempts", ticket.attempt);
            return self.bury(ticket, source.context(reason)).await;
        }
        metric::handled(self.consumer, "retry");
        let delay = after.unwrap_or_else(|| self.settings.delay_after(ticket.attempt));
        warn!(
            consumer = self.consumer,
            delivery.attempt = ticket.attempt,
            delivery.sequence = ticket.stream_sequence,
            delay_seconds = delay.as_secs_f64(),
            error = AsRef::<dyn Error>::as_ref(&source),
            "Message not handled, will be tried again"
        );
        self.hand_back(&ticket.reply, delay).await;
    }

    /// Copies the message to the dead letters and only then gives it up.
    async fn bury(&self, ticket: Ticket, source: anyhow::Error) {
        let letter = Letter {
            stream_sequence: ticket.stream_sequence,
            subject: &ticket.subject,
            headers: from_map(ticket.headers.as_ref()),
            payload: ticket.payload.clone(),
            reason: &format!("{source:#}"),
        };
        if let Err(failure) = self.store_letter(letter).await {
            error!(
                consumer = self.consumer,
                delivery.sequence = ticket.stream_sequence,
                error = &failure as &dyn Error,
                "Dead letter not stored, message kept"
            );
            return self.hand_back(&ticket.reply, DEAD_LETTER_RETRY).await;
        }
        metric::handled(self.consumer, "dead_letter");
        error!(
            consumer = self.consumer,
            delivery.attempt = ticket.attempt,
            delivery.sequence = ticket.stream_sequence,
            error = AsRef::<dyn Error>::as_ref(&source),
            "Message moved to the dead letters"
        );
        self.confirm(&ticket, Bytes::from_static(b"+TERM dead letter"))
            .await;
    }

    /// Stores a dead letter, without its body if it is too large with what is said about it.
    pub(super) async fn store_letter(&self, letter: Letter<'_>) -> Result<Published, PublishError> {
        let letter = self.dead_letter(letter);
        let stored = self.bus.publish(letter.clone()).await;
        if !matches!(stored, Err(PublishError::TooLarge { .. })) {
            return stored;
        }
        let without_body = Outgoing {
            payload: Bytes::new(),
            ..letter
        };
        self.bus.publish(without_body).await
    }

    fn dead_letter(&self, letter: Letter<'_>) -> Outgoing {
        let stream = self.settings.stream.name();
        let sequence = letter.stream_sequence;
        // The server's own headers would be obeyed a second time.
        let mut headers = letter.headers;
        headers.retain(|(name, _)| !name.to_ascii_lowercase().starts_with("nats-"));
        for (name, value) in [
            ("Mailmesh-Reason", printable(letter.reason, REASON_BYTES)),
            ("Mailmesh-Consumer", self.consumer.to_owned()),
            ("Mailmesh-Stream", stream.to_owned()),
            ("Mailmesh-Sequence", sequence.to_string()),
            ("Mailmesh-Subject", printable(letter.subject, SUBJECT_BYTES)),
        ] {
            headers.push((name.to_owned(), value));
        }
        Outgoing {
            subject: format!("dead_letter.{}", self.consumer),
            message_id: format!("{stream}-{sequence}-{}", self.consumer),
            headers,
            payload: letter.payload,
        }
    }

    /// Sends an answer and waits until the server has it: only then the message cannot come again.
    async fn confirm(&self, ticket: &Ticket, answer: Bytes) {
        for _ in 0..ACK_TRIES {
            let request = Request::new()
                .payload(answer.clone())
                .timeout(Some(ACK_TIMEOUT));
            let wire = self.bus.wire().await;
            let sent = wire.client.send_request(ticket.reply.clone(), request);
            // The send itself waits without a bound when the client's queue is full.
            match tokio::time::timeout(ACK_TIMEOUT * 2, sent).await {
                Ok(Ok(_)) => return,
                Ok(Err(error)) => debug!(consumer = self.consumer, %error, "Ack not confirmed"),
                Err(_) => debug!(consumer = self.consumer, "Ack not sent"),
            }
        }
        warn!(
            consumer = self.consumer,
            delivery.sequence = ticket.stream_sequence,
            "Ack not confirmed, message may come again"
        );
    }

    pub(super) async fn hand_back(&self, reply: &Subject, delay: Duration) {
        let body = if delay.is_zero() {
            "-NAK".to_owned()
        } else {
            format!("-NAK {{\"delay\":{}}}", delay.as_nanos())
        };
        self.tell(reply, body.into()).await;
    }

    /// Keeps the server from giving the message to somebody else.
    pub(super) async fn signal_progress(&self, ticket: &Ticket) {
        self.tell(&ticket.reply, Bytes::from_static(b"+WPI")).await;
    }

    async fn tell(&self, reply: &Subject, body: Bytes) {
        let wire = self.bus.wire().await;
        let sent = wire.client.publish(reply.clone(), body);
        let is_sent = matches!(tokio::time::timeout(ACK_TIMEOUT, sent).await, Ok(Ok(())));
        if !is_sent {
            // Without our word the message comes again after its ack wait.
            debug!(consumer = self.consumer, "Signal not sent");
        }
    }
}
