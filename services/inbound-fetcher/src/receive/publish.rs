use std::collections::BTreeSet;

use mailmesh_mail::source::ListedMail;
use mailmesh_store::mailbox::ReceivedMail;

use crate::account_context::AccountContext;
use crate::failure::WatchFailure;
use crate::post_action::Due;
use crate::prepare::{PreparedEvent, WholeMail, prepare};
use crate::progress::MailboxProgress;
use crate::recorder::Receipt;

/// Publishes listed mails of a folder, records them, and moves the cursor behind them.
#[derive(Debug)]
pub(crate) struct Publisher<'a> {
    owner: &'a AccountContext,
    folder: &'a str,
    progress: &'a mut MailboxProgress,
    /// Ascending by ordinal.
    mails: &'a [ListedMail],
    /// What is still to be dealt with; the cursor stays before the first of it.
    pending: BTreeSet<u64>,
    last: u64,
    /// A mail was dealt with that no session has to fetch again.
    has_advanced: bool,
    receipt: Option<Receipt>,
    due: Vec<Due>,
}

impl<'a> Publisher<'a> {
    /// Takes mails between which and the cursor nothing else is listed.
    pub(crate) fn new(
        owner: &'a AccountContext,
        folder: &'a str,
        progress: &'a mut MailboxProgress,
        mails: &'a [ListedMail],
    ) -> Self {
        let ordinals = mails.iter().map(|mail| mail.ordinal);
        let pending = ordinals.filter(|ordinal| !progress.is_published(folder, *ordinal));
        Self {
            pending: pending.collect(),
            last: mails.last().map_or(0, |mail| mail.ordinal),
            owner,
            folder,
            progress,
            mails,
            has_advanced: false,
            receipt: None,
            due: Vec::new(),
        }
    }

    pub(crate) const fn owner(&self) -> &'a AccountContext {
        self.owner
    }

    pub(crate) const fn folder(&self) -> &'a str {
        self.folder
    }

    pub(crate) const fn len(&self) -> usize {
        self.mails.len()
    }

    /// Returns the mail, if it is a single one.
    pub(crate) const fn only_mail(&self) -> Option<&'a ListedMail> {
        match self.mails {
            [mail] => Some(mail),
            _ => None,
        }
    }

    pub(crate) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Returns whether the next session has less to fetch than this one had.
    pub(crate) const fn has_advanced(&self) -> bool {
        self.has_advanced
    }

    pub(crate) const fn last(&self) -> u64 {
        self.last
    }

    /// Returns the first mails that are still to be fetched.
    pub(crate) fn pending(&self, most: usize) -> Vec<u64> {
        self.pending.iter().take(most).copied().collect()
    }

    pub(crate) fn is_pending(&self, ordinal: u64) -> bool {
        self.pending.contains(&ordinal)
    }

    pub(crate) fn find_listed(&self, ordinal: u64) -> Option<&'a ListedMail> {
        let found = self
            .mails
            .binary_search_by_key(&ordinal, |mail| mail.ordinal);
        self.mails.get(found.ok()?)
    }

    /// Leaves a mail out: it is gone, or quarantined.
    pub(crate) fn leave_out(&mut self, ordinal: u64) {
        self.pending.remove(&ordinal);
    }

    /// Makes the events of the mails that are new.
    pub(crate) async fn prepare(
        &mut self,
        mails: Vec<WholeMail>,
    ) -> Result<Vec<PreparedEvent>, WatchFailure> {
        let (owner, folder) = (self.owner, self.folder);
        let known = self.progress.find_known(owner, folder, &mails).await?;
        let source = owner.context.replica.source();
        let mut prepared = Vec::with_capacity(mails.len());
        for mail in mails {
            if known.contains(&mail.ordinal) {
                self.leave_out(mail.ordinal);
                // Without an id it is fetched again to be known again.
                self.has_advanced |= !mail.position.is_nameless();
            } else {
                prepared.push(prepare(owner, folder, mail, &source).await?);
            }
        }
        Ok(prepared)
    }

    /// Publishes under the fence, and hands over to the recorder what the stream has confirmed.
    pub(crate) async fn publish(
        &mut self,
        prepared: Vec<PreparedEvent>,
    ) -> Result<(), WatchFailure> {
        let Some(fence) = self.progress.fence() else {
            return Err(WatchFailure::NotRecorded);
        };
        let (events, records): (Vec<_>, Vec<_>) = prepared
            .into_iter()
            .map(|mail| (mail.event, mail.record))
            .unzip();
        let context = &self.owner.context;
        let answers = context.replica.bus.publish_fenced_all(fence, events).await;
        let mut confirmed = Vec::with_capacity(records.len());
        let mut sequences = Vec::with_capacity(records.len());
        let mut failed = None;
        for (answer, record) in answers.into_iter().zip(records) {
            match answer {
                Ok(published) => {
                    self.has_advanced = true;
                    self.leave_out(record.ordinal);
                    sequences.push((record.ordinal, published.sequence));
                    confirmed.push(record);
                }
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        let is_complete = failed.is_none();
        self.progress
            .note_published(self.folder, &sequences, is_complete);
        let bytes = confirmed.iter().map(|record| record.size_bytes).sum();
        context.metrics.count_received(confirmed.len(), bytes);
        self.record(confirmed).await?;
        failed.map_or(Ok(()), |error| Err(WatchFailure::Publish(error)))
    }

    /// Records how far the cursor has come and waits until all is recorded, also after a failure.
    pub(crate) async fn finish(&mut self) -> Result<(), WatchFailure> {
        self.record(Vec::new()).await?;
        self.settle().await
    }

    /// Returns the recorded mails that something is to be done with on the server.
    pub(crate) fn into_due(self) -> Vec<Due> {
        self.due
    }

    /// Records the mails and the cursor as far as it may move. At most one record is under way, so that none is made
    /// durable after an earlier one was lost.
    async fn record(&mut self, mails: Vec<ReceivedMail>) -> Result<(), WatchFailure> {
        self.settle().await?;
        let reached = match self.pending.first() {
            Some(first) => first.saturating_sub(1),
            None => self.last,
        };
        if self.owner.opens_for_changes() {
            self.due.extend(mails.iter().map(Due::of));
        }
        let (owner, folder) = (self.owner, self.folder);
        self.receipt = self.progress.record(owner, folder, reached, mails).await;
        Ok(())
    }

    /// Waits until what was handed over is recorded.
    async fn settle(&mut self) -> Result<(), WatchFailure> {
        match self.receipt.take() {
            Some(receipt) => self.progress.settle(receipt).await,
            None => Ok(()),
        }
    }
}
