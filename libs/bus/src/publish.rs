use std::time::Duration;

use async_nats::header;
use async_nats::jetstream::context::{PublishAckFuture, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{self, ErrorCode};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::cause::{NatsCause, Refusal};
use crate::connection::Bus;
use crate::header::{BadHeader, Headers, to_map};
use crate::metric;
use crate::subject::is_literal;

/// How long a call to publish may take to hand everything over; acks may take one request timeout more.
const SEND_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a call waits for a lost connection before it says that nothing was sent.
const LINK_TIMEOUT: Duration = Duration::from_secs(5);
/// The weight of a small message. With the budget it bounds the acks in flight, too.
const UNIT_BYTES: usize = 16 * 1024;
/// 32 MiB, or 2,048 small messages, in flight per connection.
pub(crate) const IN_FLIGHT_UNITS: usize = 2_048;

/// One message to be stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outgoing {
    /// Where it goes, without the prefix.
    pub subject: String,
    /// What tells a repetition; the server remembers it for the duplicate window.
    pub message_id: String,
    /// Further headers. Names that begin with `Nats-` belong to the server.
    pub headers: Headers,
    /// The body.
    pub payload: Bytes,
}

/// The server's word that a message is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// Where it lies in the stream.
    pub sequence: u64,
    /// Whether the same message id was stored before; then nothing was added.
    pub is_duplicate: bool,
}

/// Why a message is not known to be stored.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The stream is full and takes nothing until there is room. Not stored.
    #[error("the stream behind {subject} is full")]
    StreamFull {
        /// Where the message should have gone.
        subject: String,
        /// What the server said.
        #[source]
        source: RefusedBy,
    },
    /// Another owner has taken over the account. Not stored.
    #[error("another owner has fenced {subject}")]
    Fenced {
        /// Where the message should have gone.
        subject: String,
    },
    /// The server refuses the message. Not stored.
    #[error("the server refused the message for {subject}")]
    Refused {
        /// Where the message should have gone.
        subject: String,
        /// What the server said.
        #[source]
        source: RefusedBy,
    },
    /// No stream takes the subject, or the stream has no leader now. Not stored.
    #[error("no stream takes {subject}")]
    NoStream {
        /// Where the message should have gone.
        subject: String,
    },
    /// The message is larger than the server takes. Not stored.
    #[error("the message for {subject} has {bytes} bytes, the server takes {limit}")]
    TooLarge {
        /// Where the message should have gone.
        subject: String,
        /// Headers and body together.
        bytes: usize,
        /// The server's `max_payload`.
        limit: usize,
    },
    /// The subject has wildcards or characters that NATS cannot carry. Not stored.
    #[error("{subject:?} is no subject to publish to")]
    BadSubject {
        /// What was given.
        subject: String,
    },
    /// A header has characters that NATS cannot carry. Not stored.
    #[error("header {name:?} of the message for {subject} cannot be carried")]
    BadHeader {
        /// Where the message should have gone.
        subject: String,
        /// The header.
        name: String,
    },
    /// The server was not reached, and nothing was sent. Not stored.
    #[error("NATS is not connected, the message for {subject} was not sent")]
    NotSent {
        /// Where the message should have gone.
        subject: String,
    },
    /// Sent, but no answer came: it may be stored, also later. Publish again with the same message id.
    #[error("no answer for the message to {subject}, it may be stored")]
    Unknown {
        /// Where the message should have gone.
        subject: String,
        /// What happened.
        #[source]
        source: NatsCause,
    },
}

/// The server's refusal in its own words.
#[derive(Debug, Clone, thiserror::Error)]
#[error(transparent)]
pub struct RefusedBy(#[from] Refusal);

impl RefusedBy {
    /// Returns the JetStream error number.
    pub const fn code(&self) -> u64 {
        self.0.code
    }
}

impl PublishError {
    /// Says whether the same message may pass later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::StreamFull { .. }
            | Self::NoStream { .. }
            | Self::NotSent { .. }
            | Self::Unknown { .. } => true,
            Self::Refused { source, .. } => {
                let code = ErrorCode(source.code());
                code == ErrorCode::CLUSTER_NOT_AVAILABLE
                    || code == ErrorCode::STREAM_TOO_MANY_REQUESTS
                    || code == ErrorCode::STREAM_DUPLICATE_MESSAGE_CONFLICT
                    || code == ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT
            }
            Self::Fenced { .. }
            | Self::TooLarge { .. }
            | Self::BadSubject { .. }
            | Self::BadHeader { .. } => false,
        }
    }

    /// Says whether the message may have been stored after all.
    pub const fn may_be_stored(&self) -> bool {
        matches!(self, Self::Unknown { .. })
    }

    /// Says whether the stream is full.
    pub const fn is_full(&self) -> bool {
        matches!(self, Self::StreamFull { .. })
    }

    /// Says whether the stream was busy with another message under the same fence.
    pub(crate) fn is_busy(&self) -> bool {
        let busy = ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT;
        matches!(self, Self::Refused { source, .. } if ErrorCode(source.code()) == busy)
    }

    /// Says whether another owner has taken over.
    pub const fn is_fenced(&self) -> bool {
        matches!(self, Self::Fenced { .. })
    }
}

/// A checked message, ready for the wire.
pub(crate) struct Prepared {
    pub(crate) subject: String,
    wire_subject: String,
    message: PublishMessage,
    units: u32,
}

impl Bus {
    /// Publishes one message and waits for the stream's word.
    pub async fn publish(&self, outgoing: Outgoing) -> Result<Published, PublishError> {
        let prepared = self.prepare(outgoing, &[]);
        self.send_one(prepared).await
    }

    /// Publishes all messages in their order without waiting in between; answers in the same order.
    pub async fn publish_all(
        &self,
        outgoing: Vec<Outgoing>,
    ) -> Vec<Result<Published, PublishError>> {
        let prepared = outgoing.into_iter().map(|each| self.prepare(each, &[]));
        self.send_all(prepared.collect()).await
    }

    pub(crate) fn prepare(
        &self,
        outgoing: Outgoing,
        reserved: &[(header::HeaderName, String)],
    ) -> Result<Prepared, PublishError> {
        let Outgoing {
            subject,
            message_id,
            mut headers,
            payload,
        } = outgoing;
        if !is_literal(&subject) {
            return Err(PublishError::BadSubject { subject });
        }
        if !message_id.is_empty() {
            headers.push(("Nats-Msg-Id".to_owned(), message_id));
        }
        let mut map = match to_map(&headers) {
            Ok(map) => map,
            Err(BadHeader { name }) => return Err(PublishError::BadHeader { subject, name }),
        };
        for (name, value) in reserved {
            map.insert(name.clone(), value.as_str());
        }
        let bytes = payload.len() + wire_length(&map);
        let limit = self.inner.wire().client.max_payload();
        if bytes > limit {
            return Err(PublishError::TooLarge {
                subject,
                bytes,
                limit,
            });
        }
        let units = bytes.div_ceil(UNIT_BYTES).clamp(1, IN_FLIGHT_UNITS);
        Ok(Prepared {
            wire_subject: self.inner.prefix.subject(&subject),
            subject,
            message: PublishMessage::build().headers(map).payload(payload),
            units: u32::try_from(units).unwrap_or(u32::MAX),
        })
    }

    pub(crate) async fn send_one(
        &self,
        prepared: Result<Prepared, PublishError>,
    ) -> Result<Published, PublishError> {
        let mut results = self.send_all(vec![prepared]).await;
        results.pop().unwrap_or_else(nothing_sent)
    }

    pub(crate) async fn send_all(
        &self,
        prepared: Vec<Result<Prepared, PublishError>>,
    ) -> Vec<Result<Published, PublishError>> {
        let deadline = Instant::now() + SEND_TIMEOUT;
        let mut results: Vec<Option<Result<Published, PublishError>>> = Vec::new();
        results.resize_with(prepared.len(), || None);
        let mut waiting = FuturesUnordered::new();
        for (index, each) in prepared.into_iter().enumerate() {
            let each = match each {
                Ok(each) => each,
                Err(error) => {
                    settle(&mut results, index, Err(error));
                    continue;
                }
            };
            // Acks are taken in while we wait for room: our own messages may be what fills it.
            let room = self.room(each.units, deadline);
            tokio::pin!(room);
            let permit = loop {
                tokio::select! {
                    permit = &mut room => break permit,
                    Some((index, result)) = waiting.next() => settle(&mut results, index, result),
                }
            };
            let Some(permit) = permit else {
                let subject = each.subject;
                settle(&mut results, index, Err(PublishError::NotSent { subject }));
                continue;
            };
            match self.send(each).await {
                Ok((subject, ack)) => waiting.push(async move {
                    let result = answer(subject, ack).await;
                    drop(permit);
                    (index, result)
                }),
                Err(error) => settle(&mut results, index, Err(error)),
            }
        }
        while let Some((index, result)) = waiting.next().await {
            settle(&mut results, index, result);
        }
        let answered = results
            .into_iter()
            .map(|each| each.unwrap_or_else(nothing_sent));
        answered.collect()
    }

    /// Waits for a connection and for room in flight; none when the deadline comes first.
    async fn room(&self, units: u32, deadline: Instant) -> Option<OwnedSemaphorePermit> {
        // Sending without a connection would queue the message: unknown to us, stored some time later.
        let link_deadline = deadline.min(Instant::now() + LINK_TIMEOUT);
        if !self.link_is_up_before(link_deadline).await {
            return None;
        }
        let permits = std::sync::Arc::clone(&self.inner.in_flight).acquire_many_owned(units);
        match tokio::time::timeout_at(deadline, permits).await {
            Ok(Ok(permit)) => Some(permit),
            Ok(Err(_)) | Err(_) => None,
        }
    }

    async fn send(&self, prepared: Prepared) -> Result<(String, PublishAckFuture), PublishError> {
        let Prepared {
            subject,
            wire_subject,
            message,
            ..
        } = prepared;
        let wire = self.wire().await;
        match wire.jetstream.send_publish(wire_subject, message).await {
            Ok(ack) => Ok((subject, ack)),
            Err(error) => Err(match error.kind() {
                // The command did not enter the client's queue.
                PublishErrorKind::TimedOut => PublishError::NotSent { subject },
                _ => PublishError::Unknown {
                    subject,
                    source: error.into(),
                },
            }),
        }
    }
}

fn settle(
    results: &mut [Option<Result<Published, PublishError>>],
    index: usize,
    result: Result<Published, PublishError>,
) {
    metric::published(&result);
    if let Some(slot) = results.get_mut(index) {
        *slot = Some(result);
    }
}

fn nothing_sent() -> Result<Published, PublishError> {
    Err(PublishError::NotSent {
        subject: String::new(),
    })
}

async fn answer(subject: String, ack: PublishAckFuture) -> Result<Published, PublishError> {
    let error = match ack.await {
        Ok(ack) => {
            return Ok(Published {
                sequence: ack.sequence,
                is_duplicate: ack.duplicate,
            });
        }
        Err(error) => error,
    };
    Err(match error.kind() {
        PublishErrorKind::StreamNotFound => PublishError::NoStream { subject },
        PublishErrorKind::WrongLastSequence => PublishError::Fenced { subject },
        _ => match jetstream_error(&error) {
            Some(refusal) => refused(subject, refusal),
            None => PublishError::Unknown {
                subject,
                source: error.into(),
            },
        },
    })
}

fn refused(subject: String, error: &jetstream::Error) -> PublishError {
    let source = RefusedBy(Refusal::from(error));
    let code = error.error_code();
    let is_full = code == ErrorCode::STREAM_STORE_FAILED
        || code == ErrorCode::STORAGE_RESOURCES_EXCEEDED
        || code == ErrorCode::MEMORY_RESOURCES_EXCEEDED
        || code == ErrorCode::INSUFFICIENT_RESOURCES
        || code == ErrorCode::ACCOUNT_RESOURCES_EXCEEDED;
    if is_full {
        PublishError::StreamFull { subject, source }
    } else {
        PublishError::Refused { subject, source }
    }
}

/// Finds the server's own error behind the client's.
pub(crate) fn jetstream_error(error: &dyn std::error::Error) -> Option<&jetstream::Error> {
    error.source()?.downcast_ref::<jetstream::Error>()
}

/// The length of the header block on the wire: `NATS/1.0`, one line each, an empty line.
fn wire_length(map: &async_nats::HeaderMap) -> usize {
    let lines = map.iter().flat_map(|(name, values)| {
        let name = AsRef::<[u8]>::as_ref(name).len();
        values
            .iter()
            .map(move |value| name + value.as_str().len() + 4)
    });
    12 + lines.sum::<usize>()
}
