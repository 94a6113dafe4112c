use std::collections::BTreeSet;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::command::MatchedReply;
use super::error::{ImapError, Stage};
use super::reply::{BodyValue, FetchReply, Reply};
use super::sequence::{UidSet, uid_sets};
use super::session::Session;
use super::verdict::is_partial_fetch;
use crate::source::{FetchedMail, is_about};

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

    /// Fetches `bytes` of one mail from `offset` on; fewer mean that the mail ends there.
    ///
    /// # Errors
    ///
    /// A mail that is gone, or was never there, gives [`ImapError::MailGone`].
    pub async fn fetch_slice(
        &mut self,
        uid: u32,
        offset: u64,
        bytes: u32,
    ) -> Result<Bytes, ImapError> {
        if self.folder.is_none() {
            return Err(ImapError::NoFolder);
        }
        if let Some(slice) = self.go_on_with_body(uid, offset, bytes).await? {
            return Ok(slice);
        }
        self.expect_bodies(bytes);
        // `BODY[]` would set `\Seen` (RFC 3501 §6.4.5).
        let command = format!("UID FETCH {uid} (UID BODY.PEEK[]<{offset}.{bytes}>)");
        let fetched = self.fetch_one(&command, uid).await;
        self.wire.set_bounds(self.limits.bounds());
        let Some(fetched) = fetched? else {
            // The server sends all of it.
            let slice = self.go_on_with_body(uid, offset, bytes).await?;
            return slice.ok_or(ImapError::MailUnreadable);
        };
        let body = match fetched {
            Some(body) => body,
            None if self.search_uids(&[uid]).await?.is_empty() => return Err(ImapError::MailGone),
            None => BodyValue::Nil,
        };
        match body {
            BodyValue::Nil => Err(ImapError::MailUnreadable),
            BodyValue::Bytes {
                bytes: body,
                origin,
            } => cut(&body, origin.unwrap_or_default(), offset, bytes),
        }
    }

    /// Returns none if the server sends a body that is larger than what was asked for, which is open then.
    async fn fetch_one(
        &mut self,
        command: &str,
        uid: u32,
    ) -> Result<Option<Option<BodyValue>>, ImapError> {
        let running = self.start(Stage::Fetch, command).await?;
        let deadline = Instant::now() + self.limits.timeouts.fetch_mail;
        let mut body = None;
        loop {
            let reply = match self.next_fetched(deadline).await {
                Err(error) => {
                    self.open_body(&running, error, &[uid], 0).await?;
                    return Ok(None);
                }
                Ok(reply) => reply,
            };
            match self.settle(&running, reply) {
                MatchedReply::Done(outcome) => {
                    let done = outcome.map(drop).or_else(forgive_partial);
                    return done.map(|()| Some(body));
                }
                MatchedReply::Data(Reply::Fetch(fetched)) if fetched.uid == Some(uid) => {
                    body = fetched.body.or(body).or(Some(BodyValue::Nil));
                }
                MatchedReply::Data(Reply::BrokenFetch { uid: found })
                    if found.is_none_or(|found| found == uid) =>
                {
                    body = body.or(Some(BodyValue::Nil));
                }
                MatchedReply::Data(_) => {}
            }
        }
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
            let mut batch = PendingFetch::new(&set, slice_bytes);
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

    async fn next_fetched(&mut self, deadline: Instant) -> Result<Reply, ImapError> {
        let silence = self.limits.timeouts.silence;
        self.next_reply_within(Stage::Fetch, deadline, silence)
            .await
    }

    fn expect_bodies(&mut self, slice_bytes: u32) {
        let slice_bytes = usize::try_from(slice_bytes).unwrap_or(usize::MAX);
        let bounds = self.limits.bounds_with_body(slice_bytes);
        self.wire.set_bounds(bounds);
    }
}

fn forgive_partial(error: ImapError) -> Result<(), ImapError> {
    // Exchange ends a FETCH with `NO … Some of the requested messages no longer exist` after those that do.
    if is_partial_fetch(&error) {
        Ok(())
    } else {
        Err(error)
    }
}

/// Cuts out what was asked for: a server that ignores the range sends the whole.
fn cut(body: &Bytes, origin: u64, offset: u64, bytes: u32) -> Result<Bytes, ImapError> {
    let before = offset.checked_sub(origin).ok_or(ImapError::Unsupported {
        capability: "partial fetch",
    })?;
    let start = usize::try_from(before)
        .unwrap_or(usize::MAX)
        .min(body.len());
    let most = usize::try_from(bytes).unwrap_or(usize::MAX);
    let end = start.saturating_add(most).min(body.len());
    Ok(body.slice(start..end))
}

/// The mails of one command that are still to come.
#[derive(Debug)]
struct PendingFetch {
    pending: BTreeSet<u32>,
    unreadable: BTreeSet<u32>,
    has_nameless: bool,
    slice_bytes: usize,
}

impl PendingFetch {
    fn new(set: &UidSet, slice_bytes: u32) -> Self {
        Self {
            pending: set.uids.iter().copied().collect(),
            unreadable: BTreeSet::new(),
            has_nameless: false,
            slice_bytes: usize::try_from(slice_bytes).unwrap_or(usize::MAX),
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
            // Exactly one slice may be all of it or not, whatever the server calls it; so may less, as there are servers
            // that answer with no more than they like.
            is_complete: body.len() != self.slice_bytes && is_about(size, length),
            body,
        })
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
