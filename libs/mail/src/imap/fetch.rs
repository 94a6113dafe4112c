use std::collections::BTreeSet;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::command::MatchedReply;
use super::error::{ImapError, Stage};
use super::reply::{BodyValue, FetchReply, Reply};
use super::sequence::{UidSet, uid_sets};
use super::session::Session;
use super::verdict::is_partial_fetch;
use crate::source::{FetchedMail, is_near};

/// Which of the mails that were asked for did not come.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImapFetchReport {
    /// The server does not have them any more, confirmed by a second question.
    pub missing: Vec<u32>,
    /// The server has them, and what it sent of them could not be read. Asked for one by one, the
    /// good among them come.
    pub unreadable: Vec<u32>,
}

impl Session {
    /// Fetches the mails and hands each over as it arrives; waits while `mails` is full.
    ///
    /// Memory is bounded by one slice here and what the channel holds. Mails handed over are whole
    /// and good even if the fetch fails later. `\Seen` is not set.
    pub async fn fetch(
        &mut self,
        uids: &[u32],
        slice_bytes: u32,
        mails: &mpsc::Sender<FetchedMail>,
    ) -> Result<ImapFetchReport, ImapError> {
        if self.folder.is_none() {
            return Err(ImapError::NoFolder);
        }
        self.expect_bodies(slice_bytes);
        let report = self.fetch_sets(uids, slice_bytes, mails).await;
        self.wire.set_bounds(self.limits.bounds());
        let mut report = report?;
        if self.open_body.is_some() {
            // Another command would read the body to its end: they are asked for again.
            report.missing.clear();
        } else {
            self.ask_for_missing(&mut report).await?;
        }
        Ok(report)
    }

    /// Confirms by a UID SEARCH that mails are gone: the caller never asks for missing ones again.
    async fn ask_for_missing(&mut self, report: &mut ImapFetchReport) -> Result<(), ImapError> {
        let listed = self.search_uids(&report.missing).await?;
        report.missing.retain(|uid| !listed.contains(uid));
        report.unreadable.extend(listed);
        Ok(())
    }

    async fn fetch_sets(
        &mut self,
        uids: &[u32],
        slice_bytes: u32,
        mails: &mpsc::Sender<FetchedMail>,
    ) -> Result<ImapFetchReport, ImapError> {
        let mut report = ImapFetchReport::default();
        for set in uid_sets(uids) {
            // The range bounds the memory; RFC822.SIZE cannot, as Exchange only estimates it.
            let command = format!(
                "UID FETCH {} (UID RFC822.SIZE INTERNALDATE FLAGS BODY.PEEK[]<0.{slice_bytes}>)",
                set.text
            );
            let mut batch = PendingFetch::new(&set, slice_bytes, self.has_estimates);
            self.fetch_batch(&command, &mut batch, mails).await?;
            if self.open_body.is_some() {
                break;
            }
            batch.close(&mut report);
        }
        Ok(report)
    }

    async fn fetch_batch(
        &mut self,
        command: &str,
        batch: &mut PendingFetch,
        mails: &mpsc::Sender<FetchedMail>,
    ) -> Result<(), ImapError> {
        let running = self.start(Stage::Fetch, command).await?;
        // A limit on the whole command would cut long batches off for ever at the same place.
        let mut deadline = Instant::now() + self.limits.timeouts.fetch_mail;
        loop {
            let reply = match self.next_fetched(deadline).await {
                Err(error) => {
                    let asked: Vec<u32> = batch.pending.iter().copied().collect();
                    let slice_bytes = batch.slice_bytes;
                    let fetched = self.open_body(&running, error, &asked, slice_bytes).await?;
                    let mail = batch.take(fetched).map(|mail| FetchedMail {
                        is_complete: false,
                        ..mail
                    });
                    let mail = mail.ok_or(ImapError::MailUnreadable)?;
                    return mails.send(mail).await.map_err(|_| ImapError::NotTaken);
                }
                Ok(reply) => reply,
            };
            match self.settle(&running, reply) {
                MatchedReply::Done(outcome) => {
                    return outcome.map(drop).or_else(forgive_partial);
                }
                MatchedReply::Data(Reply::Fetch(fetched)) => {
                    if let Some(mail) = batch.take(fetched) {
                        mails.send(mail).await.map_err(|_| ImapError::NotTaken)?;
                        deadline = Instant::now() + self.limits.timeouts.fetch_mail;
                    }
                }
                MatchedReply::Data(Reply::BrokenFetch { uid }) => batch.note_broken(uid),
                MatchedReply::Data(_) => {}
            }
        }
    }

    pub(super) async fn next_fetched(&mut self, deadline: Instant) -> Result<Reply, ImapError> {
        let silence = self.limits.timeouts.silence;
        self.next_reply_within(Stage::Fetch, deadline, silence)
            .await
    }

    pub(super) fn expect_bodies(&mut self, slice_bytes: u32) {
        let slice_bytes = usize::try_from(slice_bytes).unwrap_or(usize::MAX);
        let bounds = self.limits.bounds_with_body(slice_bytes);
        self.wire.set_bounds(bounds);
    }
}

pub(super) fn forgive_partial(error: ImapError) -> Result<(), ImapError> {
    // Exchange ends a FETCH with `NO … Some of the requested messages no longer exist` after those that do.
    if is_partial_fetch(&error) {
        Ok(())
    } else {
        Err(error)
    }
}

/// The mails of one command that are still to come.
#[derive(Debug)]
struct PendingFetch {
    pending: BTreeSet<u32>,
    unreadable: BTreeSet<u32>,
    has_nameless: bool,
    slice_bytes: usize,
    /// The server's sizes are known to be estimates.
    has_estimates: bool,
}

impl PendingFetch {
    fn new(set: &UidSet, slice_bytes: u32, has_estimates: bool) -> Self {
        Self {
            pending: set.uids.iter().copied().collect(),
            unreadable: BTreeSet::new(),
            has_nameless: false,
            slice_bytes: usize::try_from(slice_bytes).unwrap_or(usize::MAX),
            has_estimates,
        }
    }

    /// Returns the mail if it was asked for and has a body. One without a body may still get it: others changed its
    /// flags meanwhile, or the server sends it in pieces.
    fn take(&mut self, fetched: FetchReply) -> Option<FetchedMail> {
        let uid = fetched.uid?;
        let Some(BodyValue::Bytes { bytes, .. }) = fetched.body else {
            self.note_broken(Some(uid));
            return None;
        };
        let body = bytes;
        if !self.pending.remove(&uid) {
            return None;
        }
        self.unreadable.remove(&uid);
        let size = fetched.size.map(u64::from);
        let length = u64::try_from(body.len()).unwrap_or(u64::MAX);
        Some(FetchedMail {
            ordinal: u64::from(uid),
            bytes: size,
            received_at: fetched.internal_date,
            flags: fetched.flags,
            is_complete: body.len() != self.slice_bytes && self.is_end(size, length),
            body,
        })
    }

    /// Returns whether a mail ends here without a further question. Exactly one slice may be all of it or not, whatever the
    /// server calls it; so may less, as there are servers that answer with no more than they like, mostly a round number.
    fn is_end(&self, size: Option<u64>, read: u64) -> bool {
        let Some(size) = size else {
            return false;
        };
        let is_round = read.is_multiple_of(1_000) || read.is_multiple_of(1_024);
        read >= size || (self.has_estimates && !is_round && is_near(size, read))
    }

    fn note_broken(&mut self, uid: Option<u32>) {
        match uid {
            Some(uid) if self.pending.contains(&uid) => {
                self.unreadable.insert(uid);
            }
            Some(_) => {}
            None => self.has_nameless = true,
        }
    }

    /// Adds what did not come to the report. After a response without a readable UID none of them counts as missing, as it
    /// could be that of any.
    fn close(mut self, report: &mut ImapFetchReport) {
        if self.has_nameless {
            self.unreadable.append(&mut self.pending);
        }
        let missing = self.pending.difference(&self.unreadable);
        report.missing.extend(missing);
        report.unreadable.extend(&self.unreadable);
    }
}
