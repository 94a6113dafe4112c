use async_nats::jetstream::{self, ErrorCode};

use crate::cause::{JetStreamRefusal, NatsCause};

/// Why a message is not known to be stored.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The stream is full. Not stored.
    #[error("the stream behind {subject} is full")]
    StreamFull {
        subject: String,
        #[source]
        source: RefusedBy,
    },
    /// The server cannot store more messages, whatever the stream's own limits: its disk or its share of it is used up.
    /// Not stored.
    #[error("the NATS server has no room to store the message for {subject}")]
    NoStorage {
        subject: String,
        #[source]
        source: RefusedBy,
    },
    /// Another owner has taken over the account. Not stored.
    #[error("another owner has fenced {subject}")]
    Fenced { subject: String },
    /// The server refuses the message. Not stored.
    #[error("the server refused the message for {subject}")]
    Refused {
        subject: String,
        #[source]
        source: RefusedBy,
    },
    /// No stream takes the subject, or the stream has no leader now. Not stored.
    #[error("no stream takes {subject}")]
    NoStream { subject: String },
    /// The message is larger than the server takes. Not stored.
    #[error("the message for {subject} has {bytes} bytes, the server takes {limit}")]
    TooLarge {
        subject: String,
        /// Headers and body together.
        bytes: usize,
        /// The server's `max_payload`.
        limit: usize,
    },
    /// The subject has wildcards or characters that NATS cannot carry. Not stored.
    #[error("{subject:?} is no subject to publish to")]
    BadSubject { subject: String },
    /// A header has characters that NATS cannot carry. Not stored.
    #[error("header {name:?} of the message for {subject} cannot be carried")]
    BadHeader { subject: String, name: String },
    /// The server was not reached, and nothing was sent. Not stored.
    #[error("NATS is not connected, the message for {subject} was not sent")]
    NotSent { subject: String },
    /// Sent, but no answer came: it may be stored, also later. Publish again with the same message id.
    #[error("no answer for the message to {subject}, it may be stored")]
    Unknown {
        subject: String,
        #[source]
        source: NatsCause,
    },
}

/// The server's refusal in its own words.
#[derive(Debug, Clone, thiserror::Error)]
#[error(transparent)]
pub struct RefusedBy(#[from] JetStreamRefusal);

impl RefusedBy {
    /// Returns the JetStream `err_code`.
    pub const fn code(&self) -> u64 {
        self.0.code
    }
}

impl PublishError {
    /// Says whether the same message may pass later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::StreamFull { .. }
            | Self::NoStorage { .. }
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

    /// Says whether there is no room for the message, in the stream or on the server.
    pub const fn is_full(&self) -> bool {
        matches!(self, Self::StreamFull { .. } | Self::NoStorage { .. })
    }

    /// Says whether NATS or another owner is the reason, and not the message.
    pub const fn is_of_mesh(&self) -> bool {
        match self {
            Self::StreamFull { .. }
            | Self::NoStorage { .. }
            | Self::NoStream { .. }
            | Self::NotSent { .. }
            | Self::Unknown { .. }
            | Self::Fenced { .. } => true,
            Self::Refused { .. }
            | Self::TooLarge { .. }
            | Self::BadSubject { .. }
            | Self::BadHeader { .. } => false,
        }
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

pub(super) fn refused(subject: String, error: &jetstream::Error) -> PublishError {
    let source = RefusedBy(JetStreamRefusal::from(error));
    let code = error.error_code();
    let has_no_storage = code == ErrorCode::STORAGE_RESOURCES_EXCEEDED
        || code == ErrorCode::MEMORY_RESOURCES_EXCEEDED
        || code == ErrorCode::INSUFFICIENT_RESOURCES
        || code == ErrorCode::ACCOUNT_RESOURCES_EXCEEDED;
    if code == ErrorCode::STREAM_STORE_FAILED && is_limit_of_stream(&source.0.text) {
        PublishError::StreamFull { subject, source }
    } else if code == ErrorCode::STREAM_STORE_FAILED || has_no_storage {
        PublishError::NoStorage { subject, source }
    } else {
        PublishError::Refused { subject, source }
    }
}

/// One code stands for the stream's own limits and for a disk that is full or broken. Its description is the server's own
/// constant for the former (server/store.go: `ErrMaxMsgs`, `ErrMaxBytes`, `ErrMaxMsgsPerSubject`), the system's words for
/// the latter.
fn is_limit_of_stream(description: &str) -> bool {
    matches!(
        description,
        "maximum messages exceeded"
            | "maximum bytes exceeded"
            | "maximum messages per subject exceeded"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the server writes them.
    fn refusal(status: usize, code: u64, text: &str) -> PublishError {
        let error = serde_json::json!({ "code": status, "err_code": code, "description": text });
        let error: jetstream::Error = serde_json::from_value(error).unwrap();
        refused("mail.received.a".to_owned(), &error)
    }

    #[test]
    fn full_stream_and_full_disk_are_told_apart() {
        for text in [
            "maximum bytes exceeded",
            "maximum messages exceeded",
            "maximum messages per subject exceeded",
        ] {
            let error = refusal(503, 10_077, text);
            assert!(matches!(error, PublishError::StreamFull { .. }), "{text}");
        }
        for (status, code, text) in [
            (
                503,
                10_077,
                "write /data/jetstream/$G/streams/EVENTS/msgs/1.blk: no space left on device",
            ),
            (503, 10_077, "error opening msg block file"),
            (503, 10_023, "insufficient resources"),
            (500, 10_047, "insufficient storage resources available"),
            (500, 10_028, "insufficient memory resources available"),
            (400, 10_002, "resource limits exceeded for account"),
        ] {
            let error = refusal(status, code, text);
            assert!(matches!(error, PublishError::NoStorage { .. }), "{text}");
            assert!(error.is_retryable() && error.is_full(), "{text}");
        }
        let other = refusal(400, 10_054, "message size exceeds maximum allowed");
        assert!(matches!(other, PublishError::Refused { .. }), "{other:?}");
    }
}
