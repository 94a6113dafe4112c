use std::collections::VecDeque;
use std::time::Duration;

use async_nats::{Message, Subscriber};
use futures_util::{FutureExt, StreamExt};
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::Instant;

use super::context::{ConsumerContext, EnsureError};
use super::unreadable_scan::UnreadableScan;
use crate::cause::NatsCause;
use crate::connection::{ConnectionState, ConnectionWatch, NatsClientError, connect};

/// Life of a pull request at the server, which then ends it.
const EXPIRES: Duration = Duration::from_secs(30);
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Wait for a lost connection before an attempt to pull fails.
const CONNECTION_WAIT: Duration = Duration::from_secs(30);
/// Two heartbeats and some delay: after so long without one, the server or the connection is gone.
const SILENCE: Duration = Duration::from_secs(12);
/// Maximum bytes of a request for a message that did not fit into a whole one: as large as a server lets any be.
const LARGE_REQUEST_BYTES: usize = 64 * 1024 * 1024;
/// The server's status text when the next message would exceed the bytes of a request.
const TOO_MANY_BYTES: &str = "Message Size Exceeds MaxBytes";
/// The server's status text when a request with a limit of bytes has delivered all its messages. From a stream with replicas
/// the last of them may still arrive after it, and other requests go on.
const BATCH_COMPLETED: &str = "Batch Completed";

/// Pull requests of one consumer and what they bring.
///
/// Written against the protocol: the client's own batch stream loses its wake-up on a heartbeat, and its endless stream
/// takes messages before a handler is free.
///
/// It has a connection of its own: the client drops the connection over a message that it cannot read, or even panics,
/// and then nothing but this pull must end.
pub(super) struct Pull {
    subscriber: Subscriber,
    client: async_nats::Client,
    address: String,
    inbox: String,
    link: watch::Receiver<ConnectionState>,
    /// Requests that the server still serves, oldest first.
    requests: VecDeque<OpenRequest>,
    max_bytes: usize,
    /// The next message is larger than a request.
    is_next_large: bool,
    next_request: u64,
    heard_at: Instant,
}

struct OpenRequest {
    number: u64,
    /// Messages that are still to come.
    rest: usize,
    is_fresh: bool,
}

/// What came of waiting.
pub(super) enum PullResult {
    Message(Message),
    /// A request ended; another may be made.
    RequestEnded,
}

/// The pull cannot go on and has to be opened anew.
#[derive(Debug, thiserror::Error)]
pub(super) enum PullError {
    #[error("NATS is not connected")]
    NotConnected,
    #[error("cannot open the consumer")]
    Open(#[source] EnsureError),
    #[error("cannot open a connection")]
    Connect(#[source] NatsClientError),
    #[error("cannot ask for messages")]
    Ask(#[source] NatsCause),
    #[error("the server ended the pull with {status} {text:?}")]
    Ended { status: u16, text: String },
    #[error("the server fell silent")]
    Silent,
    #[error("the connection was lost")]
    Disconnected,
    #[error("the connection was closed")]
    Closed,
}

#[derive(Serialize)]
struct PullRequest {
    batch: usize,
    max_bytes: usize,
    expires: u128,
    idle_heartbeat: u128,
}

impl Pull {
    pub(super) async fn open(
        context: &ConsumerContext,
        scan: &mut UnreadableScan,
    ) -> Result<Self, PullError> {
        // Asking without a connection would only add the time that the question takes to fail.
        if !context
            .bus
            .is_connected_before(Instant::now() + CONNECTION_WAIT)
            .await
        {
            return Err(PullError::NotConnected);
        }
        context.ensure_consumer().await.map_err(PullError::Open)?;
        scan.run(context).await;
        let inner = &context.bus.inner;
        let state = ConnectionWatch::quiet();
        let client = connect(&inner.settings, &state)
            .await
            .map_err(PullError::Connect)?;
        let link = state.subscribe();
        let inbox = client.new_inbox();
        let subscriber = client
            .subscribe(format!("{inbox}.*"))
            .await
            .map_err(|error| PullError::Ask(error.into()))?;
        let stream = context.stream_name();
        Ok(Self {
            subscriber,
            client,
            address: format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{}", context.consumer),
            inbox,
            link,
            requests: VecDeque::new(),
            max_bytes: context.settings.max_batch_bytes,
            is_next_large: false,
            next_request: 0,
            heard_at: Instant::now(),
        })
    }

    /// How many messages the server may still send.
    pub(super) fn outstanding(&self) -> usize {
        self.requests.iter().map(|request| request.rest).sum()
    }

    pub(super) async fn request(&mut self, batch: usize) -> Result<(), PullError> {
        let (batch, max_bytes) = if std::mem::take(&mut self.is_next_large) {
            (1, LARGE_REQUEST_BYTES)
        } else {
            (batch, self.max_bytes)
        };
        let request = PullRequest {
            batch,
            max_bytes,
            expires: EXPIRES.as_nanos(),
            idle_heartbeat: HEARTBEAT.as_nanos(),
        };
        let Ok(body) = serde_json::to_vec(&request) else {
            return Err(PullError::Closed);
        };
        let number = self.next_request;
        self.next_request += 1;
        let reply = format!("{}.{number}", self.inbox);
        self.client
            .publish_with_reply(self.address.clone(), reply, body.into())
            .await
            .map_err(|error| PullError::Ask(error.into()))?;
        if self.requests.is_empty() {
            self.heard_at = Instant::now();
        }
        self.requests.push_back(OpenRequest {
            number,
            rest: batch,
            is_fresh: true,
        });
        Ok(())
    }

    /// Waits for the next message. Nothing is lost when the wait is given up half-way.
    pub(super) async fn next(&mut self) -> Result<PullResult, PullError> {
        loop {
            let is_asked = !self.requests.is_empty();
            let silence = tokio::time::sleep_until(self.heard_at + SILENCE);
            let message = tokio::select! {
                biased;
                message = self.subscriber.next() => message.ok_or(PullError::Closed)?,
                // The server forgets our requests with the connection, and a message may have been its end.
                _ = self.link.wait_for(|link| !link.is_up || link.times_up > 1) => return Err(PullError::Disconnected),
                () = silence, if is_asked => return Err(PullError::Silent),
            };
            self.heard_at = Instant::now();
            if let Some(pulled) = self.sort(message)? {
                return Ok(pulled);
            }
        }
    }

    /// Returns a message that is here already.
    pub(super) fn next_waiting(&mut self) -> Result<Option<Message>, PullError> {
        while let Some(message) = self.subscriber.next().now_or_never() {
            let message = message.ok_or(PullError::Closed)?;
            if let Some(PullResult::Message(message)) = self.sort(message)? {
                return Ok(Some(message));
            }
        }
        Ok(None)
    }

    /// Stops the flow and returns what came but was not taken.
    pub(super) async fn close(mut self) -> Vec<Message> {
        // Fails when the client has ended; what it had read is here all the same.
        self.subscriber.unsubscribe().await.ok();
        let mut left = Vec::new();
        while let Some(Some(message)) = self.subscriber.next().now_or_never() {
            if !self.is_status(&message) {
                left.push(message);
            }
        }
        left
    }

    fn sort(&mut self, message: Message) -> Result<Option<PullResult>, PullError> {
        let status = message.status.map_or(0, |status| status.as_u16());
        if !self.is_status(&message) {
            self.take_one();
            return Ok(Some(PullResult::Message(message)));
        }
        match status {
            // A heartbeat.
            100 => Ok(None),
            // 404: nothing to deliver; 408: the request expired.
            404 | 408 => Ok(self
                .end_request(&message)
                .then_some(PullResult::RequestEnded)),
            409 if message.description.as_deref() == Some(BATCH_COMPLETED) => Ok(None),
            409 if message.description.as_deref() == Some(TOO_MANY_BYTES) => {
                let ended = self.request_of(&message);
                self.is_next_large |= ended.is_some_and(|request| request.is_fresh);
                Ok(self
                    .end_request(&message)
                    .then_some(PullResult::RequestEnded))
            }
            _ => Err(PullError::Ended {
                status,
                text: message.description.unwrap_or_default(),
            }),
        }
    }

    /// Returns whether it is a status of the server for this pull. A message of the stream comes on its own subject, and not
    /// every server removes a status that its publisher may have put into its headers.
    fn is_status(&self, message: &Message) -> bool {
        message.status.is_some() && message.subject.starts_with(&self.inbox)
    }

    /// The server serves the oldest request first.
    fn take_one(&mut self) {
        if let Some(front) = self.requests.front_mut() {
            front.rest = front.rest.saturating_sub(1);
            front.is_fresh = false;
            if front.rest == 0 {
                self.requests.pop_front();
            }
        }
    }

    fn request_of(&self, message: &Message) -> Option<&OpenRequest> {
        let (_, number) = message.subject.rsplit_once('.')?;
        let number: u64 = number.parse().ok()?;
        self.requests.iter().find(|each| each.number == number)
    }

    fn end_request(&mut self, message: &Message) -> bool {
        let Some(number) = self.request_of(message).map(|request| request.number) else {
            return false;
        };
        self.requests.retain(|each| each.number != number);
        true
    }
}
