use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};

use bytes::Bytes;

use super::{Flags, MailStore, Submission};

/// The outbox forgets its oldest mail beyond this; benchmarks use the sink mode.
const OUTBOX_MAILS: usize = 100_000;

impl MailStore {
    /// Takes in a submitted mail; returns its id.
    pub fn submit(&self, account: &str, sender: &str, recipients: Vec<String>, raw: Bytes) -> u64 {
        let id = self.inner.last_submission.fetch_add(1, Ordering::Relaxed) + 1;
        self.inner.counters.submitted.increase();
        self.inner.counters.submitted_bytes.add(raw.len());
        if self.inner.keeps_sent_copy.load(Ordering::Relaxed) {
            // A session outlives its mailbox only when that was deleted meanwhile.
            self.append(account, "Sent", raw.clone(), Flags::seen())
                .ok();
        }
        let remote: Vec<String> = recipients
            .into_iter()
            .filter(|recipient| self.deliver(recipient, raw.clone()).is_err())
            .collect();
        if !remote.is_empty() {
            self.push_outbox(Submission {
                id,
                account: account.to_owned(),
                sender: sender.to_owned(),
                recipients: remote,
                raw,
            });
        }
        id
    }

    /// Counts a submitted mail that was not kept; returns its id.
    pub(crate) fn sink(&self, bytes: usize) -> u64 {
        self.inner.counters.submitted.increase();
        self.inner.counters.submitted_bytes.add(bytes);
        self.inner.last_submission.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn push_outbox(&self, submission: Submission) {
        let mut outbox = self.outbox_lock();
        if outbox.len() == OUTBOX_MAILS {
            outbox.pop_front();
        }
        outbox.push_back(submission);
    }

    /// Returns the submitted mails that had recipients elsewhere, oldest first.
    pub fn outbox(&self) -> Vec<Submission> {
        self.outbox_lock().iter().cloned().collect()
    }

    /// Forgets the outbox.
    pub fn clear_outbox(&self) {
        self.outbox_lock().clear();
    }

    /// Counts submitted mails without keeping them, for benchmarks.
    pub fn sink_mode(&self, is_on: bool) {
        self.inner.is_sink.store(is_on, Ordering::Relaxed);
    }

    pub(crate) fn is_sink(&self) -> bool {
        self.inner.is_sink.load(Ordering::Relaxed)
    }

    /// Keeps a copy of each submitted mail in the sender's Sent folder.
    pub fn set_sent_copy(&self, is_on: bool) {
        self.inner.keeps_sent_copy.store(is_on, Ordering::Relaxed);
    }

    fn outbox_lock(&self) -> MutexGuard<'_, VecDeque<Submission>> {
        self.inner
            .outbox
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
