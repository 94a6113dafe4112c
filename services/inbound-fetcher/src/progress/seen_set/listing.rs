use aws_lc_rs::digest;
use mailmesh_mail::source::ListedMail;
use mailmesh_mail::{MailSource, SourceError};
use mailmesh_store::Tx;
use mailmesh_store::listed_mail::{self, ListingEntry};
use mailmesh_store::mailbox::{self, UnreadMail};
use time::Duration;

use super::look::ListingLook;
use crate::account_context::AccountContext;
use crate::failure::WatchFailure;
use crate::mail_id::length;
use crate::open_folder::OpenFolder;

/// How long a mail without an id that could not be read is passed over.
const QUARANTINED_FOR: Duration = Duration::DAY;

/// Takes a complete listing in; returns what is to be fetched of it.
pub(super) async fn note_listing(
    folder: &mut OpenFolder<'_>,
    digest: [u8; 32],
    mut mails: Vec<ListedMail>,
) -> Result<(ListingLook, Vec<ListedMail>), WatchFailure> {
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
    pass_over_quarantined(&mut tx, folder.owner, name, &mails, &mut places).await?;
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

/// Leaves out mails without ids that could not be read lately. They are tried again now and then, as another mail of the same
/// size may have taken such a one's place.
async fn pass_over_quarantined(
    tx: &mut Tx,
    owner: &AccountContext,
    folder: &str,
    mails: &[ListedMail],
    unseen: &mut Vec<usize>,
) -> Result<(), WatchFailure> {
    if !mails.iter().any(|mail| mail.position.is_nameless()) {
        return Ok(());
    }
    let unread: Vec<UnreadMail> = mails
        .iter()
        .map(|mail| UnreadMail::new(folder, &mail.position, mail.ordinal, mail.bytes))
        .collect();
    let account = owner.account.id;
    let after = owner.context.now() - QUARANTINED_FOR;
    let passed = mailbox::find_quarantined(tx, account, folder, &unread, after).await?;
    unseen.retain(|place| passed.binary_search(place).is_err());
    Ok(())
}

pub(super) fn entries_of(mails: &[ListedMail]) -> Vec<ListingEntry> {
    let entries = mails.iter().map(|mail| ListingEntry {
        position: mail.position.clone(),
        listed_bytes: mail.bytes,
    });
    entries.collect()
}

/// How many mails of a listing only their content identifies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nameless {
    None,
    Some,
    All,
}

impl Nameless {
    const fn of(nameless: usize, all: usize) -> Self {
        if nameless == 0 {
            Self::None
        } else if nameless < all {
            Self::Some
        } else {
            Self::All
        }
    }
}

/// Reads a listing without keeping it: most looks find the same one again.
pub(super) async fn read_digest(
    source: &mut dyn MailSource,
    base: u64,
) -> Result<([u8; 32], Nameless), SourceError> {
    let mut context = digest::Context::new(&digest::SHA256);
    let (mut nameless, mut all) = (0, 0);
    let mut last = base;
    loop {
        let page = source.list_after(last).await?;
        for mail in &page {
            let id = mail.position.within_epoch();
            all += 1;
            nameless += usize::from(mail.position.is_nameless());
            context.update(&length(id.as_bytes()).to_be_bytes());
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
    Ok((digest, Nameless::of(nameless, all)))
}

pub(super) async fn list_all(
    source: &mut dyn MailSource,
    base: u64,
) -> Result<Vec<ListedMail>, SourceError> {
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
