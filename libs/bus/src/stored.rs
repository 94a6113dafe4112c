use bytes::Bytes;
use time::OffsetDateTime;

use crate::api::JetStreamApiError;
use crate::cause::NatsCause;
use crate::header::Headers;
use crate::stream::kind::StreamKind;

/// A stored message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredMessage {
    pub sequence: u64,
    /// Without the prefix.
    pub subject: String,
    /// With those that the server adds (`Nats-…`).
    pub headers: Headers,
    pub payload: Bytes,
    /// When the stream stored it, if the server says so.
    pub stored_at: Option<OffsetDateTime>,
}

/// The JetStream API did not answer, or refused.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct LookupError(JetStreamApiError);

/// Why a stream could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The question was not answered.
    #[error("cannot read from {stream}")]
    Asking {
        stream: &'static str,
        #[source]
        source: NatsCause,
    },
    /// The stream did not tell where to begin.
    #[error("cannot look up a moment in EVENTS")]
    Start(#[source] LookupError),
    /// The answer stopped in the middle.
    #[error("{stream} stopped answering")]
    Silent { stream: &'static str },
    /// The server refused.
    #[error("{stream} answered with status {status}")]
    Status { stream: &'static str, status: u16 },
    /// The answer lacks what every stored message has.
    #[error("an answer of {stream} lacks its sequence or subject")]
    Unreadable { stream: &'static str },
    /// The subject is not exactly one.
    #[error("{subject:?} is no single subject")]
    BadSubject { subject: String },
    /// The question could not be written.
    #[error("cannot write the question")]
    Request {
        #[source]
        source: serde_json::Error,
    },
}

impl ReadError {
    pub(crate) const fn start(source: JetStreamApiError) -> Self {
        Self::Start(LookupError(source))
    }

    pub(crate) const fn asking(stream: StreamKind, source: NatsCause) -> Self {
        Self::Asking {
            stream: stream.name(),
            source,
        }
    }
}
