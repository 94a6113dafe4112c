use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the server answers for mail; shared by the connections of an account.
#[derive(Debug, Default)]
pub(super) struct ServerProgress {
    /// A connection failed before a mail, since the server last answered for one.
    is_in_vain: AtomicBool,
}

impl ServerProgress {
    /// Records that the server has answered for a mail.
    pub(super) fn record_answer(&self) {
        self.is_in_vain.store(false, Ordering::Relaxed);
    }

    /// Records that a connection was opened and no mail was answered; returns whether that is so of the one before it, too.
    pub(super) fn record_in_vain(&self) -> bool {
        self.is_in_vain.swap(true, Ordering::Relaxed)
    }

    pub(super) fn is_in_vain(&self) -> bool {
        self.is_in_vain.load(Ordering::Relaxed)
    }
}
