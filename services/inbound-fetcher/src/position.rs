use mailmesh_bus::Fence;
use mailmesh_store::mailbox::Cursor;
use tracing::instrument;

use crate::account_context::AccountContext;
use crate::failure::Failure;
use crate::ownership::{self, Ownership};

/// How far each folder of an account was received, and the right to publish what lies beyond.
#[derive(Debug)]
pub(crate) struct Positions {
    cursors: Vec<Cursor>,
    ownership: Option<Box<Ownership>>,
    /// An earlier owner published mails; what is to be done with them on the server is ours.
    has_read_back: bool,
}

impl Positions {
    pub(crate) const fn new(cursors: Vec<Cursor>) -> Self {
        Self {
            cursors,
            ownership: None,
            has_read_back: false,
        }
    }

    pub(crate) fn cursor(&self, folder: &str) -> Option<&Cursor> {
        self.cursors.iter().find(|cursor| cursor.folder == folder)
    }

    pub(crate) fn set_cursor(&mut self, cursor: Cursor) {
        match self.cursor_mut(&cursor.folder) {
            Some(known) => *known = cursor,
            None => self.cursors.push(cursor),
        }
    }

    /// Moves a folder's cursor in memory; returns it if it moved.
    pub(crate) fn advance(&mut self, folder: &str, reached: u64) -> Option<Cursor> {
        let cursor = self.cursor_mut(folder)?;
        if reached <= cursor.ordinal {
            return None;
        }
        cursor.ordinal = reached;
        let moved = cursor.clone();
        if let Some(ownership) = &mut self.ownership {
            ownership.published.cover(folder, reached);
        }
        Some(moved)
    }

    /// Notes that the folder is no longer read again.
    pub(crate) fn end_rescan(&mut self, folder: &str) {
        if let Some(cursor) = self.cursor_mut(folder) {
            cursor.rescan_until = None;
        }
    }

    pub(crate) const fn is_owned(&self) -> bool {
        self.ownership.is_some()
    }

    /// Takes the fence, and reads the cursors again with it.
    #[instrument(name = "take.fence", skip_all, fields(account.id = %owner.account.id))]
    pub(crate) async fn own(&mut self, owner: &AccountContext) -> Result<(), Failure> {
        let taken = ownership::take(&owner.context, &owner.account).await?;
        self.cursors = taken.cursors;
        self.ownership = Some(Box::new(taken.ownership));
        self.has_read_back |= taken.has_read_back;
        Ok(())
    }

    /// Gives the right to publish up: what the stream and the record hold has to be read again first.
    pub(crate) fn disown(&mut self) {
        self.ownership = None;
    }

    /// Returns, once, whether an earlier owner's mails were read back.
    pub(crate) const fn take_read_back(&mut self) -> bool {
        std::mem::replace(&mut self.has_read_back, false)
    }

    pub(crate) fn fence(&self) -> Option<&Fence> {
        let ownership = self.ownership.as_ref()?;
        Some(&ownership.fence)
    }

    pub(crate) fn is_published(&self, folder: &str, ordinal: u64) -> bool {
        let mut ownership = self.ownership.iter();
        ownership.any(|ownership| ownership.published.contains(folder, ordinal))
    }

    /// Returns the highest mail of the folder that the stream holds beyond the cursor.
    pub(crate) fn last_published(&self, folder: &str) -> Option<u64> {
        let ownership = self.ownership.as_ref()?;
        ownership.published.last_ordinal(folder)
    }

    pub(crate) fn note_published(&mut self, folder: &str, ordinal: u64, sequence: u64) {
        if let Some(ownership) = &mut self.ownership {
            ownership.published.note(folder, ordinal, sequence);
        }
    }

    /// Forgets what the stream holds of a folder whose mails are known by their fingerprints from now on.
    pub(crate) fn forget_published(&mut self, folder: &str) {
        if let Some(ownership) = &mut self.ownership {
            ownership.published.forget(folder);
        }
    }

    /// Returns the last sequence that the next owner need not read again, if this is the owner.
    pub(crate) fn safe_sequence(&self) -> Option<u64> {
        let ownership = self.ownership.as_ref()?;
        Some(ownership.published.safe_sequence())
    }

    fn cursor_mut(&mut self, folder: &str) -> Option<&mut Cursor> {
        let mut cursors = self.cursors.iter_mut();
        cursors.find(|cursor| cursor.folder == folder)
    }
}
