mod answers;
pub(crate) mod budget;
pub(crate) mod error;
pub(crate) mod message;
mod plan;
mod send;

use async_nats::header;

use crate::connection::Bus;
use message::PreparedMessage;

pub use error::PublishError;
pub use message::{Outgoing, PublishReceipt};

impl Bus {
    /// Publishes one message and waits for the stream's acknowledgement.
    pub async fn publish(&self, outgoing: Outgoing) -> Result<PublishReceipt, PublishError> {
        let mut answers = self.publish_all(vec![outgoing]).await;
        answers.pop().unwrap_or_else(answers::nothing_sent)
    }

    /// Publishes all messages in their order without waiting in between; answers in the same order.
    ///
    /// Many small ones for one stream go as atomic batches (NATS ADR-50), for which the server syncs its disk once. A batch
    /// that it refuses is sent again message by message, so each answer is about its own message alone.
    pub async fn publish_all(
        &self,
        outgoing: Vec<Outgoing>,
    ) -> Vec<Result<PublishReceipt, PublishError>> {
        let prepared = outgoing.into_iter().map(|each| self.prepare(each, &[]));
        self.send_all(prepared.collect()).await
    }

    pub(crate) fn prepare(
        &self,
        outgoing: Outgoing,
        reserved: &[(header::HeaderName, String)],
    ) -> Result<PreparedMessage, PublishError> {
        let max_payload = self.inner.nats().client.max_payload();
        let outgoing = self.prove(outgoing);
        PreparedMessage::try_new(outgoing, reserved, &self.inner.prefix, max_payload)
    }
}
