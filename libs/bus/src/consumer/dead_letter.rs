use bytes::Bytes;

use super::context::ConsumerContext;
use crate::header::{Headers, printable};
use crate::publish::error::PublishError;
use crate::publish::message::{Outgoing, Published};

const REASON_BYTES: usize = 2_000;
const SUBJECT_BYTES: usize = 1_000;

/// A message that is given up.
pub(super) struct DeadLetter<'a> {
    pub(super) stream_sequence: u64,
    pub(super) subject: &'a str,
    pub(super) headers: Headers,
    pub(super) payload: Bytes,
    pub(super) reason: &'a str,
}

impl DeadLetter<'_> {
    /// Stores the message with the reason; without its body if both together exceed the server's `max_payload`.
    pub(super) async fn store(self, context: &ConsumerContext) -> Result<Published, PublishError> {
        let letter = self.into_outgoing(context);
        let stored = context.bus.publish(letter.clone()).await;
        if !matches!(stored, Err(PublishError::TooLarge { .. })) {
            return stored;
        }
        let without_body = Outgoing {
            payload: Bytes::new(),
            ..letter
        };
        context.bus.publish(without_body).await
    }

    fn into_outgoing(self, context: &ConsumerContext) -> Outgoing {
        let stream = context.settings.stream.name();
        let sequence = self.stream_sequence;
        // The server would obey its own headers a second time (`Nats-Expected-…`, `Nats-Rollup`).
        let mut headers = self.headers;
        headers.retain(|(name, _)| !name.to_ascii_lowercase().starts_with("nats-"));
        for (name, value) in [
            ("Mailmesh-Reason", printable(self.reason, REASON_BYTES)),
            ("Mailmesh-Consumer", context.consumer.to_owned()),
            ("Mailmesh-Stream", stream.to_owned()),
            ("Mailmesh-Sequence", sequence.to_string()),
            ("Mailmesh-Subject", printable(self.subject, SUBJECT_BYTES)),
        ] {
            headers.push((name.to_owned(), value));
        }
        Outgoing {
            subject: format!("dead_letter.{}", context.consumer),
            message_id: format!("{stream}-{sequence}-{}", context.consumer),
            headers,
            payload: self.payload,
        }
    }
}
