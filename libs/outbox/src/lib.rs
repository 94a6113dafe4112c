//! Moves committed outbox rows to the bus, in order per account, with message-id dedupe.
//!
//! Promises:
//! - A committed event is published at least once, whatever dies in between, and is stored once as
//!   long as it is tried again within the bus's duplicate window: its id is the message id.
//! - The events of one account or grant are stored in the order in which one replica committed
//!   them: the next is sent only after the stream has confirmed the one before, since a burst that
//!   was sent at once could lose its first message with a connection and keep the second. Exempt is
//!   the same news of many mails (`mail.sent` after `mail.sent`), which is in flight together.
//! - No account waits for another: their events are in flight together.
//! - The rows of a dead replica are adopted by those that live.
//!
//! An event that the bus will never take, such as one beyond its largest message, is set aside with
//! an error in the log, and tried once more by the next owner. Everything else stays in the outbox
//! until it is stored.

mod chain;
mod relay;

use std::sync::Arc;

use mailmesh_bus::PublishError;
use mailmesh_store::StoreError;
use tokio::sync::Notify;

pub use relay::Relay;

/// Wakes a [`Relay`].
#[derive(Debug, Clone)]
pub struct RelayHandle {
    wake: Arc<Notify>,
}

impl RelayHandle {
    /// Relays at once, because rows were committed.
    pub fn wake(&self) {
        self.wake.notify_one();
    }
}

/// Rows could not be relayed; they stay in the outbox.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// The database failed.
    #[error("cannot read or clear the outbox")]
    Store(#[from] StoreError),
    /// The bus did not take an event.
    #[error("cannot publish an event of the outbox")]
    Publish(#[source] PublishError),
}
