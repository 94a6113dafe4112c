//! Sibling of `cursor` and `reconcile` for sources that list their whole mailbox at each look: what was seen of it is a set
//! in the database, and the cursor only numbers.

use std::collections::{HashMap, HashSet};

use mailmesh_events::Problem;
use mailmesh_mail::SourceError;
use mailmesh_mail::source::ListedMail;
use mailmesh_store::listed_mail::{self, FetchedEntry, ListingEntry};
use tracing::warn;

use crate::account_context::AccountContext;
use crate::failure::WatchFailure;
use crate::open_folder::OpenFolder;
use crate::prepare::WholeMail;
use crate::progress::position::Positions;
use activation::{activate, start_anew};
use listing::{Nameless, list_all, note_listing, read_digest};
use look::ListingLook;
use renumbering::Renumberings;

mod activation;
mod listing;
mod look;
mod renumbering;

/// A look begins anew after the activation, after another server, and after the fence.
const MOST_BEGINNINGS: u32 = 5;

/// What is known of folders that are listed whole, across sessions.
#[derive(Debug, Default)]
pub(crate) struct SeenSet {
    last: HashMap<String, LastListing>,
    stage: LookProgress,
    may_have_more: bool,
    /// That the server gives ids to a part of its mails was logged.
    has_told_unnamed: bool,
    renumberings: Renumberings,
}

/// How far the look into the open folder has come.
#[derive(Debug, Default)]
enum LookProgress {
    /// It is still to be listed.
    #[default]
    Opened,
    /// Its listing was that of the last look.
    Unchanged,
    /// What is unseen of its listing is received.
    Listed(ListingLook),
}

/// A folder's last listing all of which was dealt with.
#[derive(Debug)]
struct LastListing {
    digest: [u8; 32],
    /// How often it was found again.
    repeats: u32,
}

impl SeenSet {
    pub(crate) fn has_looked(&self) -> bool {
        !self.last.is_empty()
    }

    /// Returns whether the next session may list what this one did not: Gmail shows the oldest 250 or so of what was
    /// not yet taken.
    pub(crate) const fn may_have_more(&self) -> bool {
        self.may_have_more
    }

    /// Returns what is wrong with the ids that the server gives.
    pub(crate) fn problem(&self, poll_seconds: u32) -> Option<Problem> {
        self.renumberings.problem(poll_seconds)
    }

    /// Begins a look: [`Self::list_new`] opens the folder, as often as it has to.
    pub(crate) fn open(&mut self) {
        self.stage = LookProgress::Opened;
    }

    /// Opens and lists a folder; returns the mails whose content has to be seen to tell whether they are new. None when asked
    /// again: they are the same for as long as the session lasts.
    pub(crate) async fn list_new(
        &mut self,
        folder: &mut OpenFolder<'_>,
        positions: &mut Positions,
    ) -> Result<Vec<ListedMail>, WatchFailure> {
        if !matches!(self.stage, LookProgress::Opened) {
            return Ok(Vec::new());
        }
        self.may_have_more = false;
        for _ in 0..MOST_BEGINNINGS {
            if let Some(unseen) = self.try_list(folder, positions).await? {
                return Ok(unseen);
            }
        }
        Err(SourceError::KeepsChanging.into())
    }

    /// Finds the fetched mails that are known by their content, and those that were there before the account was.
    pub(crate) async fn find_known(
        &mut self,
        owner: &AccountContext,
        folder: &str,
        mails: &[WholeMail],
    ) -> Result<HashSet<u64>, WatchFailure> {
        let LookProgress::Listed(look) = &mut self.stage else {
            return Ok(HashSet::new());
        };
        let entries = mails.iter().map(to_fetched).collect();
        let mut known = look.adopt_known(owner, folder, entries).await?;
        let older = mails
            .iter()
            .filter(|mail| look.is_before_start(mail.received_at));
        known.extend(older.map(|mail| mail.ordinal));
        Ok(known)
    }

    /// Notes that all of the listing was dealt with.
    pub(crate) async fn finish(&mut self, folder: &mut OpenFolder<'_>) -> Result<(), WatchFailure> {
        let LookProgress::Listed(look) = &mut self.stage else {
            return Ok(());
        };
        let owner = folder.owner;
        let mut tx = owner.context.replica.database.begin().await?;
        look.record_twins(&mut tx, owner, folder.name).await?;
        if owner.opens_for_changes() {
            listed_mail::finish_gone_post_actions(&mut tx, owner.account.id, folder.name).await?;
        }
        tx.commit().await?;
        let (digest, is_renumbered) = (look.digest, look.is_renumbered());
        self.renumberings.note(folder.name, is_renumbered);
        // Mails under other ids are no more of them.
        self.may_have_more &= !is_renumbered;
        self.stage = LookProgress::Unchanged;
        if let Some(last) = self.last.get_mut(folder.name)
            && last.digest == digest
        {
            return Ok(());
        }
        let last = LastListing { digest, repeats: 0 };
        self.last.insert(folder.name.to_owned(), last);
        Ok(())
    }

    async fn try_list(
        &mut self,
        folder: &mut OpenFolder<'_>,
        positions: &mut Positions,
    ) -> Result<Option<Vec<ListedMail>>, WatchFailure> {
        let opened = folder.open().await?;
        let Some(cursor) = positions.cursor(folder.name).cloned() else {
            positions.set_cursor(activate(folder, opened).await?);
            return Ok(None);
        };
        if cursor.epoch != opened.epoch {
            start_anew(folder.owner, positions, cursor, opened).await?;
            self.last.remove(folder.name);
            return Ok(None);
        }
        let (digest, nameless) = read_digest(folder.source, cursor.ordinal).await?;
        if nameless == Nameless::Some && !self.has_told_unnamed {
            self.has_told_unnamed = true;
            warn!(
                "The server gives ids to a part of its mails only; the others are read at each look to compare their content"
            );
        }
        let repeats = self.note_repeat(folder.name, &digest);
        let is_changed = repeats == 0;
        // What such a server goes on to list it did not count as taken: it is tried again, ever less often.
        let is_stuck = folder.source.hides_fetched() && repeats.is_power_of_two();
        if !is_changed && nameless == Nameless::None && !is_stuck {
            self.stage = LookProgress::Unchanged;
            self.renumberings.note(folder.name, false);
            return Ok(Some(Vec::new()));
        }
        let mails = list_all(folder.source, cursor.ordinal).await?;
        let (look, unseen) = note_listing(folder, digest, mails).await?;
        if !unseen.is_empty() && !positions.is_owned() {
            // What is read back is seen by then.
            positions.own(folder.owner).await?;
            return Ok(None);
        }
        let passes_older = !folder.owner.account.receive_existing && folder.source.hides_fetched();
        let look = look
            .with_start(passes_older.then_some(cursor.activated_at))
            .muted(self.renumberings.are_usual(folder.name));
        self.stage = LookProgress::Listed(look);
        self.may_have_more = is_changed && !unseen.is_empty();
        Ok(Some(unseen))
    }

    /// Counts a listing that is the last one again; returns how often it was.
    fn note_repeat(&mut self, folder: &str, digest: &[u8; 32]) -> u32 {
        let last = self.last.get_mut(folder);
        let Some(last) = last.filter(|last| last.digest == *digest) else {
            return 0;
        };
        last.repeats = last.repeats.saturating_add(1);
        last.repeats
    }
}

fn to_fetched(mail: &WholeMail) -> FetchedEntry {
    FetchedEntry {
        ordinal: mail.ordinal,
        entry: ListingEntry {
            position: mail.position.clone(),
            listed_bytes: mail.listed_bytes,
        },
        sha256: mail.sha256,
    }
}
