use async_nats::{HeaderMap, header};
use bytes::Bytes;

use super::error::PublishError;
use crate::header::{BadHeader, Headers, to_map};
use crate::subject::{Prefix, is_literal};

/// One message to be stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outgoing {
    /// Without the prefix.
    pub subject: String,
    /// Identifies repetitions; the server remembers it for the duplicate window.
    pub message_id: String,
    /// Further headers. Names that begin with `Nats-` belong to the server.
    pub headers: Headers,
    pub payload: Bytes,
}

/// The server's acknowledgement that a message is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublishReceipt {
    pub sequence: u64,
    /// Whether the same message id was stored before; then nothing was added.
    pub is_duplicate: bool,
}

/// A checked message, ready for the wire.
#[derive(Debug, Clone)]
pub(crate) struct PreparedMessage {
    pub(crate) subject: String,
    pub(crate) wire_subject: String,
    pub(crate) headers: HeaderMap,
    pub(crate) payload: Bytes,
    /// Headers and body together, as the server counts them.
    pub(crate) bytes: usize,
}

impl PreparedMessage {
    /// Checks a message before it is sent. The reserved headers replace those of the caller.
    pub(super) fn try_new(
        outgoing: Outgoing,
        reserved: &[(header::HeaderName, String)],
        prefix: &Prefix,
        max_payload: usize,
    ) -> Result<Self, PublishError> {
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
        if bytes > max_payload {
            return Err(PublishError::TooLarge {
                subject,
                bytes,
                limit: max_payload,
            });
        }
        Ok(Self {
            wire_subject: prefix.subject(&subject),
            subject,
            headers: map,
            payload,
            bytes,
        })
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
