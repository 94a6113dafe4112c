use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use mailmesh_domain::MailId;
use mailmesh_store::outbound_mail::OutboundMail;
use tokio::sync::OwnedSemaphorePermit;

/// A claimed mail with its body, ready for a connection.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) mail: OutboundMail,
    pub(crate) raw: Bytes,
    /// The body's share of the memory.
    pub(crate) _memory: OwnedSemaphorePermit,
}

/// The mails that this process has claimed and not yet settled.
#[derive(Debug, Default)]
pub(crate) struct InHand {
    mails: Mutex<HashSet<MailId>>,
}

impl InHand {
    pub(crate) fn add(&self, mails: &[OutboundMail]) {
        self.lock().extend(mails.iter().map(|mail| mail.id));
    }

    pub(crate) fn remove(&self, id: MailId) {
        self.lock().remove(&id);
    }

    pub(crate) fn list(&self) -> Vec<MailId> {
        self.lock().iter().copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<MailId>> {
        self.mails.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
