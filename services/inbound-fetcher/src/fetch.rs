use std::collections::{BTreeSet, VecDeque};

use mailmesh_mail::imap::{FetchReport, ImapError, Session};
use mailmesh_store::mailbox::{self, Cursor, FoundMail, ReceivedMail};
use tokio::sync::mpsc;
use tracing::instrument;

use crate::account::Worker;
use crate::failure::Failure;
use crate::folder::{position_of, to_uid};
use crate::intake::{Held, Intake, UNSIZED_MAILS};
use crate::post_action::Due;
use crate::prepare::{Place, Prepared, Whole, prepare};
use crate::quarantine;
use crate::recorder::{Receipt, Record};
use crate::witness::Witness;

/// Some mails of a folder that are fetched with one command.
#[derive(Debug)]
pub(crate) struct Chunk<'a> {
    pub(crate) folder: &'a str,
    /// What is still to be dealt with; the cursor stays before the first of it.
    pub(crate) pending: BTreeSet<u32>,
    last: u32,
    /// At most so many are asked for with one command.
    most: usize,
    slice_bytes: u32,
    receipt: Option<Receipt>,
    due: Vec<Due>,
    /// What was heard before the only mail was asked for.
    pub(crate) witness: Witness,
    pub(crate) has_set_aside: bool,
}

impl<'a> Chunk<'a> {
    fn new(folder: &'a str, pending: BTreeSet<u32>, last: u32, slice_bytes: u32) -> Self {
        Self {
            folder,
            pending,
            last,
            most: usize::MAX,
            slice_bytes,
            receipt: None,
            due: Vec::new(),
            witness: Witness::Silent,
            has_set_aside: false,
        }
    }
}

impl Worker {
    /// Fetches, publishes and records some mails, each stage while the one before it goes on.
    #[instrument(name = "receive.mails", skip_all, fields(account.id = %self.account.id, mails = uids.len()))]
    pub(crate) async fn receive_chunk(
        &mut self,
        session: &mut Session,
        folder: &str,
        uids: &[u32],
        slice_bytes: u32,
    ) -> Result<(), Failure> {
        let pending = uids.iter().copied().collect();
        let last = uids.last().copied().unwrap_or_default();
        let mut chunk = Chunk::new(folder, pending, last, slice_bytes);
        if let Some(ownership) = &self.ownership {
            let ledger = &ownership.ledger;
            chunk.pending.retain(|uid| !ledger.contains(folder, *uid));
        }
        if let [uid] = uids {
            chunk.witness = self.hear_witness(session, folder, *uid).await?;
        }
        let mut outcome = Ok(());
        while outcome.is_ok() && !chunk.pending.is_empty() {
            outcome = self.fetch_pending(session, &mut chunk).await;
        }
        // What was published before a failure is recorded all the same.
        self.record(&mut chunk, Vec::new()).await?;
        let settled = self.settle(&mut chunk).await;
        outcome.and(settled)?;
        // A mail that is set aside is no sign that the server works again.
        if !chunk.has_set_aside {
            self.note_progress();
        }
        let due = std::mem::take(&mut chunk.due);
        self.act(session, &due).await
    }

    /// Fetches what is pending once; a large mail ends the batch and what came after it follows.
    async fn fetch_pending(
        &mut self,
        session: &mut Session,
        chunk: &mut Chunk<'_>,
    ) -> Result<(), Failure> {
        let uids: Vec<u32> = chunk.pending.iter().take(chunk.most).copied().collect();
        let slice = chunk.slice_bytes;
        let context = std::sync::Arc::clone(&self.context);
        let room = self.make_room(uids.len(), slice).await?;
        // The intake counts bytes; the channel only hands over.
        let (sender, receiver) = mpsc::channel(1);
        let mut intake = Intake::new(receiver, &context.budget);
        let fetching = async {
            let report = session.fetch(&uids, slice, &sender).await;
            drop(sender);
            report
        };
        let (report, taken) = tokio::join!(fetching, self.take_in(chunk, &mut intake));
        drop(room);
        if intake.has_discarded() {
            // The sizes were not what the server claimed, or memory is short.
            chunk.most = UNSIZED_MAILS;
        }
        let behind = intake.into_behind();
        taken?;
        let report = self.judge_report(chunk, &uids, report).await?;
        self.take_behind(session, chunk, behind).await?;
        for uid in report.missing {
            chunk.pending.remove(&uid);
        }
        Ok(())
    }

    /// Looks at what did not come. A mail that was asked for alone answers for the failure.
    async fn judge_report(
        &mut self,
        chunk: &mut Chunk<'_>,
        uids: &[u32],
        report: Result<FetchReport, ImapError>,
    ) -> Result<FetchReport, Failure> {
        let error = match report {
            Ok(report) if report.unreadable.is_empty() => return Ok(report),
            Ok(_) => ImapError::MailUnreadable,
            // The mails were not taken because publishing failed, which was told already.
            Err(error) => error,
        };
        if let [uid] = uids {
            let is_healthy = error.is_session_healthy();
            let is_over = self.blame(chunk, *uid, &error).await?;
            if is_over && is_healthy {
                return Ok(FetchReport::default());
            }
            return Err(error.into());
        }
        let came_some = uids.iter().any(|uid| !chunk.pending.contains(uid));
        // One by one would be more work for a server that asked for less.
        if quarantine::may_be_of_a_mail(&error, came_some) {
            self.singly = Some((chunk.folder.to_owned(), chunk.last));
        }
        Err(error.into())
    }

    async fn take_behind(
        &mut self,
        session: &mut Session,
        chunk: &mut Chunk<'_>,
        mut behind: VecDeque<Held>,
    ) -> Result<(), Failure> {
        while let Some(first) = behind.pop_front() {
            if first.mail.is_complete {
                let mut batch = vec![first];
                while let Some(next) = behind.pop_front_if(|held| held.mail.is_complete) {
                    batch.push(next);
                }
                self.publish_held(chunk, batch).await?;
            } else {
                Box::pin(self.receive_large(session, chunk, first)).await?;
            }
        }
        Ok(())
    }

    /// In a folder that is read again, leaves out what was received before it was renumbered.
    pub(crate) async fn leave_out_known(
        &mut self,
        chunk: &mut Chunk<'_>,
        mut mails: Vec<Whole>,
    ) -> Result<Vec<Whole>, Failure> {
        let Some(cursor) = self.cursor(chunk.folder) else {
            return Ok(mails);
        };
        let Some(until) = cursor.rescan_until else {
            return Ok(mails);
        };
        // INTERNALDATE has whole seconds: a mail of the same second may have come after.
        let activated_at = cursor.activated_at.unix_timestamp();
        let until = u32::try_from(until).unwrap_or(u32::MAX);
        let asked = mails.iter().filter(|mail| mail.uid <= until).map(|mail| {
            Ok(FoundMail {
                ordinal: u64::from(mail.uid),
                position: position_of(cursor, mail.uid)?,
                sha256: mail.sha256,
            })
        });
        let asked = asked.collect::<Result<Vec<_>, Failure>>()?;
        if asked.is_empty() {
            return Ok(mails);
        }
        let (id, folder) = (self.account.id, chunk.folder);
        let mut tx = self.context.replica.database.begin().await?;
        let known = mailbox::renumber_known(&mut tx, id, folder, &cursor.epoch, &asked).await?;
        tx.commit().await?;
        let receive_existing = self.account.receive_existing;
        mails.retain(|mail| {
            let is_older = !receive_existing
                && mail
                    .internal_date
                    .is_some_and(|date| date.unix_timestamp() < activated_at);
            let is_known = known.contains(&u64::from(mail.uid)) || is_older;
            let is_left_out = mail.uid <= until && is_known;
            if is_left_out {
                chunk.pending.remove(&mail.uid);
            }
            !is_left_out
        });
        Ok(mails)
    }

    pub(crate) async fn prepare_all(
        &self,
        chunk: &Chunk<'_>,
        mails: Vec<Whole>,
    ) -> Result<Vec<Prepared>, Failure> {
        let Some(cursor) = self.cursor(chunk.folder) else {
            return Ok(Vec::new());
        };
        let source = self.context.replica.source();
        let now = self.context.now();
        let mut prepared = Vec::with_capacity(mails.len());
        for mail in mails {
            let place = Place {
                account: &self.account,
                folder: chunk.folder,
                position: &position_of(cursor, mail.uid)?,
            };
            prepared.push(prepare(place, mail, &source, now).await?);
        }
        Ok(prepared)
    }

    /// Publishes under the fence, and hands over to the recorder what the stream has confirmed.
    pub(crate) async fn publish(
        &mut self,
        chunk: &mut Chunk<'_>,
        prepared: Vec<Prepared>,
    ) -> Result<(), Failure> {
        let Some(ownership) = &mut self.ownership else {
            return Err(Failure::NotRecorded);
        };
        let (events, records): (Vec<_>, Vec<_>) = prepared
            .into_iter()
            .map(|mail| (mail.event, mail.record))
            .unzip();
        let bus = &self.context.replica.bus;
        let answers = bus.publish_fenced_all(&ownership.fence, events).await;
        let mut confirmed = Vec::with_capacity(records.len());
        let mut failed = None;
        for (answer, record) in answers.into_iter().zip(records) {
            match answer {
                Ok(published) => {
                    let uid = to_uid(record.ordinal);
                    ownership.ledger.note(chunk.folder, uid, published.sequence);
                    chunk.pending.remove(&uid);
                    confirmed.push(record);
                }
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        let bytes = confirmed.iter().map(|record| record.size_bytes).sum();
        self.context.metrics.count_received(confirmed.len(), bytes);
        self.record(chunk, confirmed).await?;
        failed.map_or(Ok(()), |error| Err(Failure::Publish(error)))
    }

    /// Records the mails and the cursor as far as it may move. At most one record is under way, so
    /// that none is made durable after an earlier one was lost.
    async fn record(
        &mut self,
        chunk: &mut Chunk<'_>,
        mails: Vec<ReceivedMail>,
    ) -> Result<(), Failure> {
        self.settle(chunk).await?;
        let reached = match chunk.pending.first() {
            Some(first) => first.saturating_sub(1),
            None => chunk.last,
        };
        let cursor = self.advance(chunk.folder, reached);
        if mails.is_empty() && cursor.is_none() {
            return Ok(());
        }
        if self.opens_for_changes() {
            let due = mails.iter().map(|mail| Due {
                mail_id: mail.id,
                uid: to_uid(mail.ordinal),
            });
            chunk.due.extend(due);
        }
        let sequence = self
            .ownership
            .as_ref()
            .map(|ownership| ownership.ledger.safe_sequence());
        let record = Record {
            account_id: self.account.id,
            mails,
            cursor,
            sequence,
        };
        chunk.receipt = Some(self.context.recorder.record(record).await);
        Ok(())
    }

    /// Waits until what was handed over is recorded.
    async fn settle(&mut self, chunk: &mut Chunk<'_>) -> Result<(), Failure> {
        let Some(receipt) = chunk.receipt.take() else {
            return Ok(());
        };
        if receipt.wait().await {
            return Ok(());
        }
        // The cursors in memory are ahead of the database's: both are read again with the fence.
        self.ownership = None;
        Err(Failure::NotRecorded)
    }

    /// Moves the cursor in memory; returns it if it moved.
    fn advance(&mut self, folder: &str, reached: u32) -> Option<Cursor> {
        let cursor = self.cursor_mut(folder)?;
        if u64::from(reached) <= cursor.ordinal {
            return None;
        }
        cursor.ordinal = u64::from(reached);
        let moved = cursor.clone();
        if let Some(ownership) = &mut self.ownership {
            ownership.ledger.cover(folder, reached);
        }
        Some(moved)
    }

    /// Moves the cursor to a UID before which nothing is left.
    pub(crate) async fn pass(&mut self, folder: &str, uid: u32) -> Result<(), Failure> {
        let mut chunk = Chunk::new(folder, BTreeSet::new(), uid, 0);
        self.record(&mut chunk, Vec::new()).await?;
        self.settle(&mut chunk).await
    }
}
