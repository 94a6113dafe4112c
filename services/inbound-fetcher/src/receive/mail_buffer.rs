use std::collections::VecDeque;

use mailmesh_accounts::MemoryPermit;
use mailmesh_mail::source::FetchedMail;
use tokio::sync::mpsc;

use crate::budget::Budget;

/// Maximum mails, and bytes of them, per publishing step.
const BATCH_MAILS: usize = 128;
const BATCH_BYTES: usize = 8 * 1024 * 1024;
/// Maximum bytes of mails that wait behind a large one; those beyond it are fetched again.
const BEHIND_BYTES: usize = 4 * 1024 * 1024;
/// Maximum mails of unknown size per fetch: their first slices fit behind a large one.
pub(crate) const UNSIZED_MAILS: usize = 8;

/// A mail and its share of the memory budget.
#[derive(Debug)]
pub(crate) struct BufferedMail {
    pub(crate) mail: FetchedMail,
    permit: Option<MemoryPermit>,
}

impl BufferedMail {
    pub(crate) fn into_parts(self) -> (FetchedMail, Option<MemoryPermit>) {
        (self.mail, self.permit)
    }
}

/// Takes fetched mails while earlier ones are published.
#[derive(Debug)]
pub(crate) struct MailBuffer<'a> {
    mails: mpsc::Receiver<FetchedMail>,
    budget: &'a Budget,
    /// Taken from the channel, still without its share of the budget.
    pending: Option<FetchedMail>,
    ready: Vec<BufferedMail>,
    ready_bytes: usize,
    /// A large mail and what came after it: order within a folder is kept.
    behind: VecDeque<BufferedMail>,
    behind_bytes: usize,
    arriving: BufferMode,
    is_closed: bool,
}

/// How arriving mails are treated; it only moves forward through these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BufferMode {
    /// They are published as they come.
    Published,
    /// They are queued behind a large one.
    Waiting,
    /// The queue behind a large one is full: they are fetched again.
    Discarded,
}

impl<'a> MailBuffer<'a> {
    pub(crate) const fn new(mails: mpsc::Receiver<FetchedMail>, budget: &'a Budget) -> Self {
        Self {
            mails,
            budget,
            pending: None,
            ready: Vec::new(),
            ready_bytes: 0,
            behind: VecDeque::new(),
            behind_bytes: 0,
            arriving: BufferMode::Published,
            is_closed: false,
        }
    }

    /// Returns whether [`MailBuffer::gather`] may be called.
    pub(crate) fn has_room(&self) -> bool {
        !self.is_closed
            && (self.arriving != BufferMode::Published
                || (self.ready.len() < BATCH_MAILS && self.ready_bytes < BATCH_BYTES))
    }

    /// Returns whether mails wait to be published.
    pub(crate) const fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Takes one mail in. May be dropped at any await without losing a mail.
    pub(crate) async fn gather(&mut self) {
        if self.pending.is_none() {
            self.pending = self.mails.recv().await;
            self.is_closed = self.pending.is_none();
        }
        let Some(mail) = &self.pending else {
            return;
        };
        if self.arriving != BufferMode::Published || !mail.is_complete {
            if let Some(mail) = self.pending.take() {
                self.put_behind(mail);
            }
            return;
        }
        let bytes = mail.body.len();
        let permit = Some(self.budget.take_ready(bytes).await);
        if let Some(mail) = self.pending.take() {
            self.ready_bytes += bytes;
            self.ready.push(BufferedMail { mail, permit });
        }
    }

    /// Waits for the next mails to publish; none when no more come, or only behind a large one.
    pub(crate) async fn next_batch(&mut self) -> Option<Vec<BufferedMail>> {
        while self.ready.is_empty() && !self.is_closed {
            self.gather().await;
        }
        self.ready_bytes = 0;
        let mut batch = std::mem::take(&mut self.ready);
        // Servers may answer in any order.
        batch.sort_by_key(|held| held.mail.ordinal);
        (!batch.is_empty()).then_some(batch)
    }

    /// Closes the channel, so that the fetch ends instead of waiting.
    pub(crate) fn close(&mut self) {
        self.mails.close();
    }

    /// Returns whether mails were left out, which have to be fetched again.
    pub(crate) fn has_discarded(&self) -> bool {
        self.arriving == BufferMode::Discarded
    }

    /// Returns the first large mail and what came after it.
    pub(crate) fn into_behind(self) -> VecDeque<BufferedMail> {
        self.behind
    }

    fn put_behind(&mut self, mut mail: FetchedMail) {
        if self.arriving == BufferMode::Published {
            self.arriving = BufferMode::Waiting;
        }
        let bytes = mail.body.len();
        let fits =
            self.arriving == BufferMode::Waiting && self.behind_bytes + bytes <= BEHIND_BYTES;
        let permit = fits.then(|| self.budget.try_take_behind(bytes)).flatten();
        if permit.is_none() {
            // Once one is left out, so are all that follow it, for order. The first large one itself is kept
            // without its first slice, so that each round makes progress.
            if !self.behind.is_empty() || mail.is_complete {
                self.arriving = BufferMode::Discarded;
                return;
            }
            mail.body.clear();
        }
        self.behind_bytes += mail.body.len();
        self.behind.push_back(BufferedMail { mail, permit });
    }
}

#[cfg(test)]
mod tests;
