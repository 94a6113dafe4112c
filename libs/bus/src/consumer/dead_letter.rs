use bytes::Bytes;

use super::context::ConsumerContext;
use crate::header::{Headers, printable};
use crate::publish::error::PublishError;
use crate::publish::message::{Outgoing, PublishReceipt};

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
    pub(super) async fn store(
        self,
        context: &ConsumerContext,
    ) -> Result<PublishReceipt, PublishError> {
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

    /// Returns a hash that is the same however often the message is delivered. A stream that was deleted and made anew counts
    /// from 1 again: by its sequence alone another message would be dropped as the repetition of an earlier letter.
    fn content_hash(&self) -> u64 {
        let mut headers: Vec<_> = self.headers.iter().collect();
        headers.sort_unstable();
        let headers = headers
            .iter()
            .flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]);
        let parts = [self.subject.as_bytes(), &self.payload];
        // FNV-1a: the same in each replica, whatever it was compiled with.
        parts
            .into_iter()
            .chain(headers)
            .flat_map(|part| part.iter().chain(&[0]))
            .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
                (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
            })
    }

    fn into_outgoing(self, context: &ConsumerContext) -> Outgoing {
        let stream = context.settings.stream.name();
        let sequence = self.stream_sequence;
        let fingerprint = self.content_hash();
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
            message_id: format!(
                "{stream}-{sequence}-{fingerprint:016x}-{}",
                context.consumer
            ),
            headers,
            payload: self.payload,
        }
    }
}
