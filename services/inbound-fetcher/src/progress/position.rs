use mailmesh_bus::Fence;
use mailmesh_domain::{Epoch, Position};
use mailmesh_store::event_mark::EventMark;
use mailmesh_store::mailbox::{Cursor, NewestMail};
use time::OffsetDateTime;
use tracing::instrument;

use crate::account_context::AccountContext;
use crate::failure::WatchFailure;
use crate::ownership::read_back::Comparison;
use crate::ownership::{self, Ownership};
use crate::prepare::WholeMail;
use crate::progress::newest::NewestMails;

/// How far each folder of an account was received, and the right to publish what lies beyond.
#[derive(Debug)]
pub(crate) struct Positions {
    cursors: Vec<Cursor>,
    ownership: Option<Box<Ownership>>,
    /// Folders that were found to be renamed.
    renamed: Vec<String>,
    /// What each folder that was activated or is read again may have been called before.
    former: Vec<(String, FormerFolders)>,
    /// The highest ordinal in use when a folder was opened, where the server said so.
    opened: Vec<(String, u64)>,
    /// An earlier owner published mails; what is to be done with them on the server is ours.
    has_read_back: bool,
    newest: NewestMails,
    /// Folders whose numbers were shown to mean what they meant, since this worker began.
    proved: Vec<String>,
    /// Folders of which this session has shown it.
    checked: Vec<String>,
    /// Mails that are being read to prove it.
    doubted: Vec<(String, u64)>,
    /// Folders of which an earlier session could not read mails.
    failing: Vec<String>,
}

/// Names under which mails of a folder's epoch were received and which do not stand for that epoch any more: the folder may
/// have been renamed from one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FormerFolders {
    pub(crate) names: Vec<String>,
    /// The last mail that was received from any of them.
    pub(crate) last_ordinal: u64,
    /// When the first of them was activated.
    pub(crate) activated_at: OffsetDateTime,
}

impl Positions {
    pub(crate) fn new(cursors: Vec<Cursor>) -> Self {
        Self {
            cursors,
            ownership: None,
            renamed: Vec::new(),
            former: Vec::new(),
            opened: Vec::new(),
            has_read_back: false,
            newest: NewestMails::default(),
            proved: Vec::new(),
            checked: Vec::new(),
            doubted: Vec::new(),
            failing: Vec::new(),
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

    /// Returns the names that were recorded for a folder, if it may have had another before.
    pub(crate) fn former(&self, folder: &str) -> Option<&FormerFolders> {
        let mut former = self.former.iter();
        let found = former.find(|(name, _)| name == folder);
        found.map(|(_, former)| former)
    }

    /// Records which names a folder may have had before.
    pub(crate) fn set_former(&mut self, folder: &str, former: Option<FormerFolders>) {
        self.former.retain(|(name, _)| name != folder);
        self.former
            .extend(former.map(|former| (folder.to_owned(), former)));
    }

    pub(crate) fn note_opened(&mut self, folder: &str, last_ordinal: Option<u64>) {
        self.opened.retain(|(name, _)| name != folder);
        self.opened
            .extend(last_ordinal.map(|last| (folder.to_owned(), last)));
    }

    /// Returns the highest ordinal that was in use when the folder was opened, if the server said so.
    pub(crate) fn last_opened(&self, folder: &str) -> Option<u64> {
        let mut opened = self.opened.iter();
        let found = opened.find(|(name, _)| name == folder);
        found.map(|(_, last)| *last)
    }

    /// Returns the folders with a cursor at this epoch.
    pub(crate) fn folders_at(&self, epoch: &Epoch) -> Vec<String> {
        let at = self.cursors.iter().filter(|cursor| cursor.epoch == *epoch);
        at.map(|cursor| cursor.folder.clone()).collect()
    }

    /// Puts together what is known of names that a folder may have had: `received` holds the last ordinal of each folder
    /// from which mails of its epoch were received.
    pub(crate) fn to_former(
        &self,
        names: Vec<String>,
        received: &[(String, u64)],
    ) -> Option<FormerFolders> {
        let of_name = |name: &String| {
            let recorded = received.iter().find(|(folder, _)| folder == name);
            let recorded = recorded.map(|(_, ordinal)| *ordinal);
            recorded.max(self.last_published(name)).unwrap_or_default()
        };
        let last_ordinal = names.iter().map(of_name).max()?;
        let cursors = names.iter().filter_map(|name| self.cursor(name));
        Some(FormerFolders {
            activated_at: cursors.map(|cursor| cursor.activated_at).min()?,
            last_ordinal,
            names,
        })
    }

    pub(crate) fn is_renamed(&self, folder: &str) -> bool {
        self.renamed.iter().any(|name| name == folder)
    }

    /// Records that a folder's mails were received under another name, and since when.
    pub(crate) fn note_renamed(&mut self, folder: &str, activated_at: OffsetDateTime) {
        if !self.is_renamed(folder) {
            self.renamed.push(folder.to_owned());
        }
        if let Some(cursor) = self.cursor_mut(folder) {
            cursor.activated_at = cursor.activated_at.min(activated_at);
        }
    }

    /// Moves a folder's cursor in memory; returns it if it moved.
    pub(crate) fn advance(&mut self, folder: &str, reached: u64) -> Option<Cursor> {
        let cursor = self.cursor_mut(folder)?;
        if reached <= cursor.ordinal {
            return None;
        }
        cursor.ordinal = reached;
        let moved = self.note_newest(folder, reached)?;
        if let Some(ownership) = &mut self.ownership {
            ownership.published.cover(folder, reached);
        }
        Some(moved)
    }

    /// Notes mails that were read, whose content tells later whether their ordinals still mean them.
    pub(crate) fn note_read(&mut self, folder: &str, mails: &[WholeMail]) {
        self.newest.note(folder, mails);
    }

    /// Returns whether a look of this worker has shown that the folder's numbers mean what they meant.
    pub(crate) fn is_proved(&self, folder: &str) -> bool {
        self.proved.iter().any(|name| name == folder)
    }

    /// Forgets what an earlier session has shown, but for the folders of which it could not read mails.
    pub(crate) fn begin_session(&mut self, failing: Vec<String>) {
        self.checked.clear();
        self.failing = failing;
    }

    pub(crate) fn is_failing(&self, folder: &str) -> bool {
        self.failing.iter().any(|name| name == folder)
    }

    /// Returns whether this session has shown that the folder's numbers mean what they meant.
    pub(crate) fn is_checked(&self, folder: &str) -> bool {
        self.checked.iter().any(|name| name == folder)
    }

    /// Returns whether an earlier try to read this mail, which was to prove what the numbers mean, came to no end.
    pub(crate) fn is_doubted(&self, folder: &str, ordinal: u64) -> bool {
        let mut doubted = self.doubted.iter();
        doubted.any(|(name, doubted)| name == folder && *doubted == ordinal)
    }

    /// Notes that a mail is about to be read to prove what the numbers mean, or was.
    pub(crate) fn set_doubt(&mut self, folder: &str, ordinal: Option<u64>) {
        self.doubted.retain(|(name, _)| name != folder);
        self.doubted
            .extend(ordinal.map(|ordinal| (folder.to_owned(), ordinal)));
    }

    /// Notes that the folder's numbers mean what they meant, as this mail shows.
    pub(crate) fn note_proved(&mut self, folder: &str, newest: Option<NewestMail>) {
        for folders in [&mut self.proved, &mut self.checked] {
            if !folders.iter().any(|name| name == folder) {
                folders.push(folder.to_owned());
            }
        }
        if let (Some(cursor), Some(newest)) = (self.cursor_mut(folder), newest) {
            cursor.newest = Some(newest);
        }
    }

    fn note_newest(&mut self, folder: &str, reached: u64) -> Option<Cursor> {
        let newest = self.newest.take(folder, reached);
        let cursor = self.cursor_mut(folder)?;
        cursor.newest = newest.or_else(|| cursor.newest.take());
        Some(cursor.clone())
    }

    /// Returns the epoch that a folder is in by our record, of which the server tells the same as it told now: its own, or
    /// that of a folder which may have been renamed to it.
    pub(crate) fn resumed_epoch(&self, folder: &str, told: &Epoch) -> Option<&Epoch> {
        let alike = |cursor: &&Cursor| cursor.epoch.is_told_alike(told);
        let own = self.cursor(folder).filter(alike);
        let found = own.or_else(|| {
            let others = self.cursors.iter().filter(alike);
            others.max_by_key(|cursor| cursor.epoch.restarts())
        });
        found.map(|cursor| &cursor.epoch)
    }

    /// Marks the folder's rescan as done.
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
    pub(crate) async fn own(&mut self, owner: &AccountContext) -> Result<(), WatchFailure> {
        let taken = ownership::take(&owner.context, &owner.account, &owner.term).await?;
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

    /// Returns whether this owner published the mail.
    pub(crate) fn is_published(&self, folder: &str, ordinal: u64) -> bool {
        let mut ownership = self.ownership.iter();
        ownership.any(|ownership| ownership.published.contains_own(folder, ordinal))
    }

    /// Returns the highest mail of the folder that the stream holds beyond the cursor.
    pub(crate) fn last_published(&self, folder: &str) -> Option<u64> {
        let ownership = self.ownership.as_ref()?;
        ownership.published.last_ordinal(folder)
    }

    /// Notes mails, by ordinal and sequence, that the stream has confirmed and the cursor has not passed.
    pub(crate) fn note_published(&mut self, folder: &str, sequences: &[(u64, u64)]) {
        if let Some(ownership) = &mut self.ownership {
            for (ordinal, sequence) in sequences {
                ownership.published.note_own(folder, *ordinal, *sequence);
            }
        }
    }

    /// Notes mails, by ordinal and sequence, that the stream has confirmed and that no cursor has to pass.
    pub(crate) fn note_covered(&mut self, sequences: &[(u64, u64)]) {
        if let Some(ownership) = &mut self.ownership {
            for (_, sequence) in sequences {
                ownership.published.see(*sequence);
            }
        }
    }

    /// Forgets what the stream holds of a folder whose mails are known by their fingerprints from now on.
    pub(crate) fn forget_published(&mut self, folder: &str) {
        self.newest.forget(folder);
        if let Some(ownership) = &mut self.ownership {
            ownership.published.forget(folder);
        }
    }

    /// Returns the last event that the next owner need not read again, if this is the owner.
    pub(crate) fn safe_mark(&self) -> Option<EventMark> {
        let ownership = self.ownership.as_ref()?;
        Some(ownership.safe_mark())
    }

    /// Compares a fetched mail with the events that were read back for its place.
    pub(crate) fn compare(
        &mut self,
        folder: &str,
        position: &Position,
        sha256: &[u8; 32],
    ) -> Comparison {
        match &mut self.ownership {
            Some(ownership) => ownership.read_back.compare(folder, position, sha256),
            None => Comparison::Unknown,
        }
    }

    /// Forgets what was read back of a folder all of whose mails were dealt with.
    pub(crate) fn forget_read_back(&mut self, folder: &str) {
        if let Some(ownership) = &mut self.ownership {
            ownership.read_back.forget(folder);
        }
    }

    /// Forgets read back events of a folder whose mails the server never had; returns how many there were.
    pub(crate) fn forget_beyond(&mut self, folder: &str, ordinal: u64) -> usize {
        match &mut self.ownership {
            Some(ownership) => ownership.published.forget_beyond(folder, ordinal),
            None => 0,
        }
    }

    fn cursor_mut(&mut self, folder: &str) -> Option<&mut Cursor> {
        let mut cursors = self.cursors.iter_mut();
        cursors.find(|cursor| cursor.folder == folder)
    }
}

#[cfg(test)]
mod tests {
    use mailmesh_domain::AccountId;
    use uuid::Uuid;

    use super::*;

    fn cursor(folder: &str, uid_validity: u64, ordinal: u64) -> Cursor {
        Cursor {
            account_id: AccountId::from_uuid(Uuid::nil()),
            folder: folder.to_owned(),
            epoch: Epoch::of_uid_validity(uid_validity),
            ordinal,
            activated_at: OffsetDateTime::UNIX_EPOCH
                + time::Duration::seconds(i64::try_from(uid_validity).unwrap()),
            rescan_until: None,
            newest: None,
        }
    }

    #[test]
    fn former_names_reach_to_the_last_mail_of_any_and_back_to_the_first_activation() {
        let positions = Positions::new(vec![cursor("former", 1, 5), cursor("older", 2, 7)]);
        let received = [("former".to_owned(), 4), ("older".to_owned(), 7)];
        let names = ["former", "older"].map(str::to_owned).to_vec();

        let former = positions.to_former(names.clone(), &received).unwrap();

        assert_eq!((former.names, former.last_ordinal), (names, 7));
        let first = OffsetDateTime::UNIX_EPOCH + time::Duration::SECOND;
        assert_eq!(former.activated_at, first);
        assert_eq!(positions.to_former(Vec::new(), &received), None);
    }

    #[test]
    fn renamed_folder_is_watched_since_its_former_name_was() {
        let mut positions = Positions::new(vec![cursor("new", 9, 1)]);

        positions.note_renamed("new", OffsetDateTime::UNIX_EPOCH);

        assert!(positions.is_renamed("new") && !positions.is_renamed("old"));
        let cursor = positions.cursor("new").unwrap();
        assert_eq!(cursor.activated_at, OffsetDateTime::UNIX_EPOCH);
    }
}
