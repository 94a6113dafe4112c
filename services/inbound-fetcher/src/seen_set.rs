//! Sibling of `reconcile` for sources that list their whole mailbox at each look: what was seen of it is a set in the
//! database, and the cursor only numbers.

use std::collections::HashMap;

use aws_lc_rs::digest;
use mailmesh_events::mail::{MailboxReset, ResetReason};
use mailmesh_mail::SourceError;
use mailmesh_mail::source::{ListedMail, MailSource, OpenedFolder};
use mailmesh_store::listed_mail::{self, ListingEntry};
use mailmesh_store::mailbox::{self, Cursor};
use mailmesh_store::{StoreError, outbox};
use tracing::info;

use crate::account_context::AccountContext;
use crate::failure::Failure;
use crate::open_folder::OpenFolder;
use crate::position::Positions;
use look::ListingLook;

pub(crate) mod look;

/// A look begins anew after the activation, after another server, and after the fence.
const MOST_BEGINNINGS: u32 = 5;

/// What is known of folders that are listed whole, across sessions.
#[derive(Debug, Default)]
pub(crate) struct SeenSet {
    last: HashMap<String, LastListing>,
    may_have_more: bool,
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

    /// Opens and lists a folder; returns the mails whose content has to be seen to tell whether they are new.
    pub(crate) async fn begin(
        &mut self,
        folder: &mut OpenFolder<'_>,
        positions: &mut Positions,
    ) -> Result<Vec<ListedMail>, Failure> {
        self.may_have_more = false;
        for _ in 0..MOST_BEGINNINGS {
            if let Some(unseen) = self.try_begin(folder, positions).await? {
                return Ok(unseen);
            }
        }
        Err(SourceError::KeepsChanging.into())
    }

    /// Notes that all of the listing was dealt with.
    pub(crate) async fn finish(
        &mut self,
        folder: &mut OpenFolder<'_>,
        positions: &mut Positions,
    ) -> Result<(), Failure> {
        // None if the listing was that of the last look.
        let Some(mut look) = positions.end_look() else {
            return Ok(());
        };
        let owner = folder.owner;
        let mut tx = owner.context.replica.database.begin().await?;
        look.record_twins(&mut tx, owner, folder.name).await?;
        if owner.opens_for_changes() {
            listed_mail::finish_gone_post_actions(&mut tx, owner.account.id, folder.name).await?;
        }
        tx.commit().await?;
        if let Some(last) = self.last.get_mut(folder.name)
            && last.digest == look.digest
        {
            return Ok(());
        }
        let last = LastListing {
            digest: look.digest,
            repeats: 0,
        };
        self.last.insert(folder.name.to_owned(), last);
        Ok(())
    }

    async fn try_begin(
        &mut self,
        folder: &mut OpenFolder<'_>,
        positions: &mut Positions,
    ) -> Result<Option<Vec<ListedMail>>, Failure> {
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
        let (digest, has_nameless) = read_digest(folder.source, cursor.ordinal).await?;
        let repeats = self.note_repeat(folder.name, &digest);
        let is_changed = repeats == 0;
        // What such a server goes on to list it did not count as taken: it is tried again, ever less often.
        let is_stuck = folder.source.hides_fetched() && repeats.is_power_of_two();
        if !is_changed && !has_nameless && !is_stuck {
            positions.end_look();
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
        positions.begin_look(look.with_start(passes_older.then_some(cursor.activated_at)));
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

/// Takes a complete listing in; returns what is to be fetched of it.
async fn note_listing(
    folder: &mut OpenFolder<'_>,
    digest: [u8; 32],
    mut mails: Vec<ListedMail>,
) -> Result<(ListingLook, Vec<ListedMail>), Failure> {
    let (context, id, name) = (&folder.owner.context, folder.owner.account.id, folder.name);
    let entries = entries_of(&mails);
    let mut tx = context.replica.database.begin().await?;
    listed_mail::note_listing(&mut tx, id, name, &entries, context.now()).await?;
    let mut places = listed_mail::find_unseen(&mut tx, id, name, &entries).await?;
    let may_be_renumbered = !entries.is_empty()
        && places.len() == entries.len()
        && !entries.iter().any(|entry| entry.position.is_nameless());
    let is_unfamiliar =
        may_be_renumbered && !listed_mail::has_known_position(&mut tx, id, name, &entries).await?;
    if folder.source.hides_fetched() {
        // What it lists was not taken yet, also if it is known: recorded by a session that did not end well, it would
        // keep mails that came later out of the listing.
        let passed = listed_mail::find_passed_over(&mut tx, id, name, &entries).await?;
        let is_fetched = |place: &usize| passed.binary_search(place).is_err();
        places = (0..entries.len()).filter(is_fetched).collect();
    }
    tx.commit().await?;
    let look = ListingLook::new(digest, &entries, is_unfamiliar);
    let mut places = places.into_iter().peekable();
    let mut place = 0;
    mails.retain(|_| {
        let is_unseen = places.next_if_eq(&place).is_some();
        place += 1;
        is_unseen
    });
    Ok((look, mails))
}

/// Starts watching a folder; what is there by now is passed over if the account says so.
async fn activate(folder: &mut OpenFolder<'_>, opened: OpenedFolder) -> Result<Cursor, Failure> {
    let (context, account) = (&folder.owner.context, &folder.owner.account);
    // A mailbox that shows only a part of itself at a time (Gmail): earlier mails are recognised by their date.
    let existing = if account.receive_existing || folder.source.hides_fetched() {
        Vec::new()
    } else {
        entries_of(&list_all(folder.source, 0).await?)
    };
    let now = context.now();
    let cursor = Cursor {
        account_id: account.id,
        folder: folder.name.to_owned(),
        epoch: opened.epoch,
        ordinal: 0,
        // As the database keeps it, so that it is known again.
        activated_at: now
            .replace_nanosecond(now.microsecond() * 1_000)
            .unwrap_or(now),
        rescan_until: None,
    };
    let mut tx = context.replica.database.begin().await?;
    mailbox::activate(&mut tx, &cursor).await?;
    let cursors = mailbox::list_cursors(&mut tx, &[account.id]).await?;
    let mut cursors = cursors.into_iter();
    let stored = cursors.find(|stored| stored.folder == folder.name);
    let stored = stored.ok_or(StoreError::RowGone {
        operation: "activate a folder",
    })?;
    // Of what another owner found first, only it knows what was there before.
    if stored.activated_at == cursor.activated_at && !existing.is_empty() {
        listed_mail::mark_existing(&mut tx, account.id, folder.name, &existing, now).await?;
    }
    tx.commit().await?;
    info!(account.id = %account.id, "A folder is watched from now on");
    Ok(stored)
}

/// Makes every mail be identified by its content: the account was given another server or login, whose ids may be the
/// same.
async fn start_anew(
    owner: &AccountContext,
    positions: &mut Positions,
    known: Cursor,
    opened: OpenedFolder,
) -> Result<(), Failure> {
    let (context, account) = (&owner.context, &owner.account);
    // What was published and not recorded must be known by its content first.
    positions.own(owner).await?;
    let cursor = Cursor {
        epoch: opened.epoch,
        ..known
    };
    let (replica, now) = (&context.replica, context.now());
    let mut tx = replica.database.begin().await?;
    if mailbox::reset(&mut tx, &cursor, now).await?.is_some() {
        listed_mail::note_listing(&mut tx, account.id, &cursor.folder, &[], now).await?;
        let event = replica.encode(&MailboxReset {
            account: account.key.clone(),
            folder: cursor.folder.clone(),
            reason: ResetReason::ServerChanged,
        })?;
        outbox::insert(&mut tx, replica.id, &[event], now).await?;
    }
    let cursors = mailbox::list_cursors(&mut tx, &[account.id]).await?;
    tx.commit().await?;
    replica.outbox.wake();
    let mut cursors = cursors.into_iter();
    if let Some(stored) = cursors.find(|stored| stored.folder == cursor.folder) {
        positions.set_cursor(stored);
    }
    positions.forget_published(&cursor.folder);
    Ok(())
}

fn entries_of(mails: &[ListedMail]) -> Vec<ListingEntry> {
    let entries = mails.iter().map(|mail| ListingEntry {
        position: mail.position.clone(),
        listed_bytes: mail.bytes,
    });
    entries.collect()
}

/// Reads a listing without keeping it: most looks find the same one again.
async fn read_digest(
    source: &mut dyn MailSource,
    base: u64,
) -> Result<([u8; 32], bool), SourceError> {
    let mut context = digest::Context::new(&digest::SHA256);
    let mut has_nameless = false;
    let mut last = base;
    loop {
        let page = source.list_after(last).await?;
        for mail in &page {
            let id = mail.position.within_epoch();
            has_nameless |= mail.position.is_nameless();
            context.update(&crate::mail_id::length(id.as_bytes()).to_be_bytes());
            context.update(id.as_bytes());
            context.update(&mail.bytes.unwrap_or(u64::MAX).to_be_bytes());
        }
        match page.last() {
            Some(mail) => last = mail.ordinal,
            None => break,
        }
    }
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    Ok((digest, has_nameless))
}

async fn list_all(source: &mut dyn MailSource, base: u64) -> Result<Vec<ListedMail>, SourceError> {
    let mut mails: Vec<ListedMail> = Vec::new();
    loop {
        let last = mails.last().map_or(base, |mail| mail.ordinal);
        let page = source.list_after(last).await?;
        if page.is_empty() {
            return Ok(mails);
        }
        mails.extend(page);
    }
}
