use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Which mailbox owners have consented to which client; Google gives a refresh token only the first time.
#[derive(Debug, Default)]
pub(crate) struct ConsentBook {
    given: Mutex<HashSet<(String, String)>>,
}

impl ConsentBook {
    /// Records a consent; returns whether it is the first.
    pub(crate) fn record(&self, client_id: &str, address: &str) -> bool {
        self.lock()
            .insert((client_id.to_owned(), address.to_owned()))
    }

    /// Forgets every consent of a mailbox.
    pub(crate) fn forget(&self, address: &str) {
        self.lock()
            .retain(|(_, owner)| !owner.eq_ignore_ascii_case(address));
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<(String, String)>> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
