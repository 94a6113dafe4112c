//! Makes a folder's cursor fit what the server shows, for sources that list what lies after an ordinal.

use mailmesh_events::mail::{MailboxReset, ResetReason};
use mailmesh_mail::source::{FolderAccess, MailSource, OpenedFolder};
use mailmesh_mail::{Concern, SourceError};
use mailmesh_store::StoreError;
use mailmesh_store::mailbox::{self, Cursor};
use mailmesh_store::outbox;
use tracing::info;

use crate::account_context::AccountContext;
use crate::failure::Failure;
use crate::open_folder::OpenFolder;
use crate::position::{FormerFolders, Positions};

/// Gives a folder that was just opened a cursor of its epoch.
pub(crate) async fn fit_cursor(
    folder: &mut OpenFolder<'_>,
    positions: &mut Positions,
    opened: &OpenedFolder,
) -> Result<(), Failure> {
    let cursor = positions.cursor(folder.name);
    let is_read_from_the_start =
        cursor.is_none_or(|cursor| cursor.epoch != opened.epoch || cursor.rescan_until.is_some());
    let watched = &folder.owner.account.folders;
    let at_epoch = positions.folders_at(&opened.epoch);
    let has_unwatched = at_epoch.iter().any(|name| !watched.contains(name));
    let is_unknown = positions.former(folder.name).is_none();
    if is_read_from_the_start || (has_unwatched && is_unknown) {
        let former = find_former(folder, positions, opened).await?;
        positions.set_former(folder.name, former);
    }
    let known = match positions.cursor(folder.name) {
        Some(cursor) => cursor.clone(),
        None => activate(folder, positions, opened).await?,
    };
    let cursor = if known.epoch == opened.epoch {
        known
    } else {
        start_anew(folder, positions, known, opened).await?
    };
    positions.set_cursor(cursor);
    Ok(())
}

/// Takes the right to publish before the first mail of a folder is.
pub(crate) async fn take_ownership(
    owner: &AccountContext,
    positions: &mut Positions,
    folder: &str,
) -> Result<(), Failure> {
    let before = positions.cursor(folder).map(|cursor| cursor.epoch.clone());
    positions.own(owner).await?;
    let after = positions.cursor(folder).map(|cursor| &cursor.epoch);
    if after == before.as_ref() {
        return Ok(());
    }
    // Another owner has seen a later numbering of the folder than this session shows.
    Err(SourceError::KeepsChanging.into())
}

/// Ends the reading again of a folder, all of whose mails were dealt with.
pub(crate) async fn finish_rescan(
    owner: &AccountContext,
    positions: &mut Positions,
    folder: &str,
) -> Result<(), Failure> {
    let Some(cursor) = positions.cursor(folder) else {
        return Ok(());
    };
    if cursor.rescan_until.is_none() {
        return Ok(());
    }
    let mut tx = owner.context.replica.database.begin().await?;
    mailbox::finish_rescan(&mut tx, owner.account.id, folder, &cursor.epoch).await?;
    tx.commit().await?;
    positions.end_rescan(folder);
    Ok(())
}

/// Finds the names that the folder may have had before: those of its epoch that are watched no longer, or that another
/// folder bears by now. A name that still stands for the epoch is a folder beside this one, as servers may give several
/// folders one UIDVALIDITY.
async fn find_former(
    folder: &mut OpenFolder<'_>,
    positions: &Positions,
    opened: &OpenedFolder,
) -> Result<Option<FormerFolders>, Failure> {
    let account = &folder.owner.account;
    let mut tx = folder.owner.context.replica.database.begin().await?;
    let received = mailbox::list_folders_of_epoch(&mut tx, account.id, &opened.epoch).await?;
    tx.commit().await?;
    let at_epoch = positions.folders_at(&opened.epoch);
    let mut candidates = at_epoch.clone();
    candidates.extend(received.iter().map(|(name, _)| name.clone()));
    candidates.retain(|name| name != folder.name && positions.cursor(name).is_some());
    candidates.sort_unstable();
    candidates.dedup();
    let mut former = Vec::new();
    let mut has_left = false;
    for name in candidates {
        let may_stand = account.folders.contains(&name) && at_epoch.contains(&name);
        if may_stand {
            // Its cursor is of the last look: two folders may have changed their names since.
            has_left = true;
            match folder.source.open(&name, FolderAccess::Read).await {
                Ok(other) if other.epoch == opened.epoch => continue,
                Ok(_) => {}
                // The name is gone. A refusal for another reason says nothing of what bears it.
                Err(error) if error.is_session_usable() && error.concern() == Concern::Folder => {}
                Err(error) => return Err(error.into()),
            }
        }
        former.push(name);
    }
    if has_left && folder.open().await?.epoch != opened.epoch {
        return Err(SourceError::KeepsChanging.into());
    }
    Ok(positions.to_former(former, &received))
}

async fn activate(
    folder: &mut OpenFolder<'_>,
    positions: &Positions,
    opened: &OpenedFolder,
) -> Result<Cursor, Failure> {
    let (context, account) = (&folder.owner.context, &folder.owner.account);
    // A folder that was renamed goes on where it was under its former name; only its mails tell whether it is one.
    let former = positions.former(folder.name);
    let (ordinal, rescan_until) = match (former, account.receive_existing) {
        (Some(_), _) => (0, Some(last_ordinal(folder.source, opened).await?)),
        (None, true) => (0, None),
        (None, false) => (last_ordinal(folder.source, opened).await?, None),
    };
    let cursor = Cursor {
        account_id: account.id,
        folder: folder.name.to_owned(),
        epoch: opened.epoch.clone(),
        ordinal,
        activated_at: context.now(),
        rescan_until,
    };
    let mut tx = context.replica.database.begin().await?;
    mailbox::activate(&mut tx, &cursor).await?;
    // Another owner may have been first.
    let cursors = mailbox::list_cursors(&mut tx, &[account.id]).await?;
    tx.commit().await?;
    info!(account.id = %account.id, "A folder is watched from now on");
    let mut cursors = cursors.into_iter();
    let stored = cursors.find(|cursor| cursor.folder == folder.name);
    stored.ok_or_else(|| {
        let operation = "activate a folder";
        StoreError::RowGone { operation }.into()
    })
}

/// Starts a folder whose epoch has ended from its beginning; fingerprints then tell seen from new.
async fn start_anew(
    folder: &mut OpenFolder<'_>,
    positions: &mut Positions,
    known: Cursor,
    opened: &OpenedFolder,
) -> Result<Cursor, Failure> {
    let (context, account) = (&folder.owner.context, &folder.owner.account);
    // What was published and not recorded must be known by its fingerprint first.
    positions.own(folder.owner).await?;
    let stored = positions.cursor(folder.name);
    if let Some(stored) = stored.filter(|stored| stored.epoch == opened.epoch) {
        // Another owner was here first.
        return Ok(stored.clone());
    }
    let until = last_ordinal(folder.source, opened).await?;
    let cursor = Cursor {
        epoch: opened.epoch.clone(),
        ordinal: 0,
        rescan_until: Some(until),
        ..known
    };
    let replica = &context.replica;
    let now = context.now();
    let mut tx = replica.database.begin().await?;
    if let Some(before) = mailbox::reset(&mut tx, &cursor, now).await? {
        let event = replica.encode(&MailboxReset {
            account: account.key.clone(),
            folder: cursor.folder.clone(),
            reason: if before.is_void() {
                ResetReason::ServerChanged
            } else {
                ResetReason::EpochEnded
            },
        })?;
        outbox::insert(&mut tx, replica.id, &[event], now).await?;
    }
    tx.commit().await?;
    replica.outbox.wake();
    info!(account.id = %account.id, "The server renumbered a folder; it is read again");
    positions.forget_published(folder.name);
    Ok(cursor)
}

/// Returns the highest ordinal that is in use now. A mail that comes later has a higher one.
async fn last_ordinal(source: &mut dyn MailSource, opened: &OpenedFolder) -> Result<u64, Failure> {
    if let Some(last) = opened.last_ordinal {
        return Ok(last);
    }
    let mut last = 0;
    loop {
        let listed = source.list_after(last).await?;
        match listed.last() {
            Some(mail) => last = mail.ordinal,
            None => return Ok(last),
        }
    }
}
