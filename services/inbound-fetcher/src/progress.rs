//! What was received of an account's folders, in whichever of two forms the source needs it remembered: a cursor that moves,
//! or the set of what was seen. The only place that asks which; all others find what is new, ask whether a mail is known,
//! and record it through here.

mod cursor;
mod known_mail;
mod newest;
mod numbering;
mod position;
mod reconcile;
mod seen_set;

use std::collections::HashSet;

use mailmesh_bus::Fence;
use mailmesh_events::Problem;
use mailmesh_mail::source::{ListedMail, ListingKind};
use mailmesh_store::mailbox::{Cursor, ReceivedMail};

use self::known_mail::find_published;
use self::position::Positions;
use self::seen_set::SeenSet;
use crate::account_context::AccountContext;
use crate::failure::WatchFailure;
use crate::open_folder::OpenFolder;
use crate::prepare::WholeMail;
use crate::recorder::{Receipt, Record};

/// How far an account's folders were received, and the right to publish what is new. It outlives sessions.
#[derive(Debug)]
pub(crate) struct MailboxProgress {
    positions: Positions,
    form: SeenRecord,
}

#[derive(Debug)]
enum SeenRecord {
    Cursor,
    Seen(Box<SeenSet>),
}

impl MailboxProgress {
    pub(crate) fn new(cursors: Vec<Cursor>) -> Self {
        Self {
            positions: Positions::new(cursors),
            form: SeenRecord::Cursor,
        }
    }

    /// Forgets what an earlier session has shown of the folders' numbering; of these it could not read mails.
    pub(crate) fn begin_session(&mut self, failing: Vec<String>) {
        self.positions.begin_session(failing);
    }

    /// Opens a folder, before it is asked what is new in it.
    pub(crate) async fn open(&mut self, folder: &mut OpenFolder<'_>) -> Result<(), WatchFailure> {
        match (folder.source.listing(), &mut self.form) {
            (ListingKind::AfterOrdinal, form) => {
                *form = SeenRecord::Cursor;
                cursor::open(folder, &mut self.positions).await
            }
            (ListingKind::Whole, SeenRecord::Seen(seen)) => {
                seen.open();
                Ok(())
            }
            (ListingKind::Whole, form) => {
                *form = SeenRecord::Seen(Box::default());
                Ok(())
            }
        }
    }

    /// Returns whether stored positions lead to their mails before what is new was received.
    pub(crate) fn is_settled(&self, folder: &str) -> bool {
        match &self.form {
            SeenRecord::Cursor => cursor::is_settled(&self.positions, folder),
            // An id may name another mail by now, which only its content tells.
            SeenRecord::Seen(_) => false,
        }
    }

    /// Lists mails of the open folder whose content has to be seen: ascending, and nothing new lies between them. Empty once
    /// there are no more.
    pub(crate) async fn list_new(
        &mut self,
        folder: &mut OpenFolder<'_>,
    ) -> Result<Vec<ListedMail>, WatchFailure> {
        match &mut self.form {
            SeenRecord::Cursor => cursor::list_new(folder, &mut self.positions).await,
            SeenRecord::Seen(seen) => seen.list_new(folder, &mut self.positions).await,
        }
    }

    /// Notes that all that [`Self::list_new`] listed up to this ordinal was dealt with.
    pub(crate) async fn pass(
        &mut self,
        owner: &AccountContext,
        folder: &str,
        ordinal: u64,
    ) -> Result<(), WatchFailure> {
        match self.record(owner, folder, ordinal, Vec::new()).await {
            Some(receipt) => self.settle(receipt).await,
            None => Ok(()),
        }
    }

    /// Notes that nothing new is left in the open folder.
    pub(crate) async fn finish(&mut self, folder: &mut OpenFolder<'_>) -> Result<(), WatchFailure> {
        let positions = &mut self.positions;
        match &mut self.form {
            SeenRecord::Seen(seen) => seen.finish(folder).await?,
            SeenRecord::Cursor => {
                cursor::forget_impossible(folder, positions);
                // What was published beyond the cursor and is listed no more was removed meanwhile.
                if let Some(ordinal) = positions.last_published(folder.name) {
                    self.pass(folder.owner, folder.name, ordinal).await?;
                }
                reconcile::finish_rescan(folder.owner, &mut self.positions, folder.name).await?;
            }
        }
        self.positions.forget_read_back(folder.name);
        Ok(())
    }

    /// Finds the fetched mails that are not to be announced: those that are known by their content, and those that were there
    /// before the folder was watched. Returns their ordinals.
    pub(crate) async fn find_known(
        &mut self,
        owner: &AccountContext,
        folder: &str,
        mails: &[WholeMail],
    ) -> Result<HashSet<u64>, WatchFailure> {
        let mut known = match &mut self.form {
            SeenRecord::Cursor => {
                self.positions.note_read(folder, mails);
                known_mail::find_known(owner, &mut self.positions, folder, mails).await?
            }
            SeenRecord::Seen(seen) => seen.find_known(owner, folder, mails).await?,
        };
        let unknown = mails.iter().filter(|mail| !known.contains(&mail.ordinal));
        let published = find_published(owner, &mut self.positions, folder, unknown).await?;
        known.extend(published);
        Ok(known)
    }

    /// Returns whether this owner has published the mail already.
    pub(crate) fn is_published(&self, folder: &str, ordinal: u64) -> bool {
        self.positions.is_published(folder, ordinal)
    }

    /// Notes the mails of a batch, by ordinal and sequence, that the stream has confirmed; `is_complete` if that was all of
    /// it.
    pub(crate) fn note_published(
        &mut self,
        folder: &str,
        sequences: &[(u64, u64)],
        is_complete: bool,
    ) {
        match &self.form {
            SeenRecord::Cursor => self.positions.note_published(folder, sequences),
            // Recorded with their sequence. Of a batch that failed one may lie in the stream without our knowing.
            SeenRecord::Seen(_) if is_complete => self.positions.note_covered(sequences),
            SeenRecord::Seen(_) => {}
        }
    }

    /// Hands over to the recorder what the stream has confirmed, and how far the folder was received by it. None if there
    /// is nothing to record.
    pub(crate) async fn record(
        &mut self,
        owner: &AccountContext,
        folder: &str,
        reached: u64,
        mails: Vec<ReceivedMail>,
    ) -> Option<Receipt> {
        let cursor = match &self.form {
            SeenRecord::Cursor => self.positions.advance(folder, reached),
            // Ordinals of such sources hold for one session only; the mails' rows record what was seen.
            SeenRecord::Seen(_) => None,
        };
        if mails.is_empty() && cursor.is_none() {
            return None;
        }
        let record = Record {
            account_id: owner.account.id,
            mails,
            cursor,
            mark: self.positions.safe_mark(),
        };
        Some(owner.context.recorder.add(record).await)
    }

    /// Waits until what was handed over is durable.
    pub(crate) async fn settle(&mut self, receipt: Receipt) -> Result<(), WatchFailure> {
        if receipt.wait().await.is_some() {
            return Ok(());
        }
        // What is known in memory is ahead of the database: it is read again with the fence.
        self.positions.disown();
        Err(WatchFailure::NotRecorded)
    }

    pub(crate) fn fence(&self) -> Option<&Fence> {
        self.positions.fence()
    }

    /// Gives the right to publish up, as another owner may have published.
    pub(crate) fn disown(&mut self) {
        self.positions.disown();
    }

    /// Returns, once, whether an earlier owner's mails were read back.
    pub(crate) const fn take_read_back(&mut self) -> bool {
        self.positions.take_read_back()
    }

    /// Returns whether a session need not look for what an earlier owner left undone, as one did.
    pub(crate) fn has_looked(&self) -> bool {
        match &self.form {
            SeenRecord::Cursor => false,
            SeenRecord::Seen(seen) => seen.has_looked(),
        }
    }

    /// Returns whether the next session may list what this one did not.
    pub(crate) fn may_have_more(&self) -> bool {
        match &self.form {
            SeenRecord::Cursor => false,
            SeenRecord::Seen(seen) => seen.may_have_more(),
        }
    }

    /// Returns what is wrong with how the source names its mails.
    pub(crate) fn problem(&self, poll_seconds: u32) -> Option<Problem> {
        match &self.form {
            SeenRecord::Cursor => None,
            SeenRecord::Seen(seen) => seen.problem(poll_seconds),
        }
    }
}
