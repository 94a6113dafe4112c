mod error;
mod plan;
mod send;

use async_nats::{HeaderMap, header};
use bytes::Bytes;

use crate::connection::Bus;
use crate::header::{BadHeader, Headers, to_map};
use crate::subject::is_literal;

pub use error::PublishError;

/// The weight of a small message. With the budget it bounds the acks in flight, too.
const UNIT_BYTES: usize = 16 * 1024;
/// 32 MiB, or 2,048 small messages, in flight per connection.
pub(crate) const IN_FLIGHT_UNITS: usize = 2_048;
/// Messages that are stored together, of all calls; a server takes 50 such batches of a stream at once.
pub(crate) const BATCHES_IN_FLIGHT: usize = 4;

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

/// A checked message, ready for the wire.
#[derive(Debug, Clone)]
pub(crate) struct Prepared {
    pub(crate) subject: String,
    wire_subject: String,
    headers: HeaderMap,
    payload: Bytes,
    /// Headers and body together, as the server counts them.
    bytes: usize,
}

impl Bus {
    /// Publishes one message and waits for the stream's word.
    pub async fn publish(&self, outgoing: Outgoing) -> Result<Published, PublishError> {
        let mut answers = self.publish_all(vec![outgoing]).await;
        answers.pop().unwrap_or_else(send::nothing_sent)
    }

    /// Publishes all messages in their order without waiting in between; answers in the same order.
    ///
    /// Many small ones for one stream go as atomic batches (NATS ADR-50), for which the server syncs its disk once. A batch
    /// that it refuses is sent again message by message, so each answer is about its own message alone.
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
        Ok(Prepared {
            wire_subject: self.inner.prefix.subject(&subject),
            subject,
            headers: map,
            payload,
            bytes,
        })
    }
}

impl Prepared {
    fn units(&self) -> usize {
        self.bytes.div_ceil(UNIT_BYTES).clamp(1, IN_FLIGHT_UNITS)
    }
}

/// The length of the header block on the wire: `NATS/1.0`, one line each, an empty line.
fn wire_length(map: &HeaderMap) -> usize {
    let lines = map.iter().flat_map(|(name, values)| {
        let name = AsRef::<[u8]>::as_ref(name).len();
        values
            .iter()
            .map(move |value| name + value.as_str().len() + 4)
    });
    12 + lines.sum::<usize>()
}
