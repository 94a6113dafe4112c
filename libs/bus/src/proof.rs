use std::sync::Arc;

use crate::connection::Bus;
use crate::prover::{EventProver, PROOF_HEADER};
use crate::publish::message::Outgoing;
use crate::stream::kind::StreamKind;

impl Bus {
    /// Has each event that is published from here on carry a proof, made of its subject without the prefix, its id and its
    /// body. Clones that were made before do not.
    #[must_use]
    pub fn proving_events(
        mut self,
        prove: impl Fn(&str, &str, &[u8]) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.prover = Some(EventProver(Arc::new(prove)));
        self
    }

    /// Adds the proof to an event; commands, fences, raw mails and dead letters carry none.
    pub(crate) fn prove(&self, mut outgoing: Outgoing) -> Outgoing {
        let Some(EventProver(prove)) = &self.prover else {
            return outgoing;
        };
        let Outgoing {
            subject,
            message_id,
            headers,
            payload,
        } = &mut outgoing;
        if message_id.is_empty() || StreamKind::of(subject) != Some(StreamKind::Events) {
            return outgoing;
        }
        if let Some(proof) = prove(subject, message_id, payload) {
            headers.push((PROOF_HEADER.to_owned(), proof));
        }
        outgoing
    }
}
