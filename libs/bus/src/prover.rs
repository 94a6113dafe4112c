use std::fmt;
use std::sync::Arc;

/// Where an event carries the proof that a service published it.
pub const PROOF_HEADER: &str = "Mailmesh-Proof";

/// Makes the proof of an event from its subject, id and body; the bus knows no keys.
#[derive(Clone)]
pub(crate) struct EventProver(pub(crate) Arc<Prove>);

type Prove = dyn Fn(&str, &str, &[u8]) -> Option<String> + Send + Sync;

impl fmt::Debug for EventProver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("EventProver")
    }
}
