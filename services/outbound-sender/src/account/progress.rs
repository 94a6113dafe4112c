use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the server answers for mail; shared by the connections of an account.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// A connection came to nothing since the server last answered for a mail.
    is_in_vain: AtomicBool,
}

impl Progress {
    /// The server has answered for a mail.
    pub(super) fn record_answer(&self) {
        self.is_in_vain.store(false, Ordering::Relaxed);
    }

    /// A connection was opened and came to nothing; returns whether the one before it did, too.
    pub(super) fn record_in_vain(&self) -> bool {
        self.is_in_vain.swap(true, Ordering::Relaxed)
    }

    pub(super) fn is_in_vain(&self) -> bool {
        self.is_in_vain.load(Ordering::Relaxed)
    }
}
