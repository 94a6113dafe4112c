//! Makes a folder's cursor fit what the server shows, for sources that list what lies after an ordinal.

use mailmesh_events::mail::{MailboxReset, ResetReason};
use mailmesh_mail::source::{FolderAccess, MailSource, OpenedFolder};
use mailmesh_mail::{Concern, SourceError};
use mailmesh_store::StoreError;
use mailmesh_store::mailbox::{self, Cursor, NewestMail};
use mailmesh_store::outbox;
use tracing::info;

use crate::account_context::AccountContext;
use crate::failure::WatchFailure;
use crate::open_folder::OpenFolder;
use crate::progress::numbering::{self, Occasion};
use crate::progress::position::{FormerFolders, Positions};

/// Gives a folder that was just opened a cursor of its epoch.
pub(crate) async fn fit_cursor(
    folder: &mut OpenFolder<'_>,
    positions: &mut Positions,
    opened: &OpenedFolder,
) -> Result<(), WatchFailure> {
    let opened = &numbering::resume(folder, positions, opened);
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
    if known.epoch != opened.epoch {
        return start_anew(folder, positions, known, opened).await;
    }
    positions.set_cursor(known);
    let last = opened.last_ordinal;
    check_numbering(folder, positions, Occasion::Opened { last }).await?;
    Ok(())
}

/// Starts a folder from its beginning if the server went back to numbers that it had given before; returns whether it did.
pub(crate) async fn check_numbering(
    folder: &mut OpenFolder<'_>,
    positions: &mut Positions,
    occasion: Occasion,
) -> Result<bool, WatchFailure> {
    if !numbering::has_gone_back(folder, positions, occasion).await? {
        return Ok(false);
    }
    let Some(known) = positions.cursor(folder.name).cloned() else {
        return Ok(false);
    };
    let opened = OpenedFolder {
        epoch: known.epoch.restarted(),
        last_ordinal: match occasion {
            Occasion::Opened { last } => last,
            Occasion::Unlisted => None,
        },
    };
    start_anew(folder, positions, known, &opened).await?;
    Ok(true)
}

/// Takes the right to publish before the first mail of a folder is.
pub(crate) async fn take_ownership(
    owner: &AccountContext,
    positions: &mut Positions,
    folder: &str,
) -> Result<(), WatchFailure> {
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
) -> Result<(), WatchFailure> {
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
) -> Result<Option<FormerFolders>, WatchFailure> {
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
                Ok(other) if other.epoch.is_told_alike(&opened.epoch) => continue,
                Ok(_) => {}
                // The name is gone. A refusal for another reason says nothing of what bears it.
                Err(error) if error.is_session_usable() && error.concern() == Concern::Folder => {}
                Err(error) => return Err(error.into()),
            }
        }
        former.push(name);
    }
    if has_left {
        let again = folder.open().await?;
        if !again.epoch.is_told_alike(&opened.epoch) {
            return Err(SourceError::KeepsChanging.into());
        }
        folder.source.resume(&opened.epoch);
    }
    Ok(positions.to_former(former, &received))
}

async fn activate(
    folder: &mut OpenFolder<'_>,
    positions: &Positions,
    opened: &OpenedFolder,
) -> Result<Cursor, WatchFailure> {
    let (context, account) = (&folder.owner.context, &folder.owner.account);
    // A folder that was renamed goes on where it was under its former name; only its mails tell whether it is one.
    let former = positions.former(folder.name);
    let last = last_mail(folder.source, opened).await?;
    let (ordinal, rescan_until) = match (former, account.receive_existing) {
        (Some(_), _) => (0, Some(last.ordinal)),
        (None, true) => (0, None),
        (None, false) => (last.ordinal, None),
    };
    let cursor = Cursor {
        account_id: account.id,
        folder: folder.name.to_owned(),
        epoch: opened.epoch.clone(),
        ordinal,
        activated_at: context.now(),
        rescan_until,
        newest: last.existing.filter(|mail| mail.ordinal <= ordinal),
    };
    let mut tx = context.replica.database.begin().await?;
    mailbox::activate(&mut tx, &cursor).await?;
    // Another owner may have been first.
    let cursors = mailbox::list_cursors(&mut tx, &[account.id]).await?;
    tx.commit().await?;
    info!("A folder is watched from now on");
    let mut cursors = cursors.into_iter();
    let stored = cursors.find(|cursor| cursor.folder == folder.name);
    stored.ok_or_else(|| {
        let operation = "activate a folder";
        StoreError::RowGone { operation }.into()
    })
}

/// Starts a folder whose epoch has ended from its beginning, and sets its cursor; fingerprints then tell seen from new.
async fn start_anew(
    folder: &mut OpenFolder<'_>,
    positions: &mut Positions,
    known: Cursor,
    opened: &OpenedFolder,
) -> Result<(), WatchFailure> {
    let (context, account) = (&folder.owner.context, &folder.owner.account);
    // What was published and not recorded must be known by its fingerprint first.
    positions.own(folder.owner).await?;
    let stored = positions.cursor(folder.name);
    if let Some(stored) = stored.filter(|stored| stored.epoch != known.epoch)
        && stored.epoch.is_told_alike(&opened.epoch)
    {
        // Another owner was here first.
        folder.source.resume(&stored.epoch);
        return Ok(());
    }
    let until = last_mail(folder.source, opened).await?.ordinal;
    let cursor = Cursor {
        epoch: opened.epoch.clone(),
        ordinal: 0,
        rescan_until: Some(until),
        newest: None,
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
            } else if before.is_told_alike(&cursor.epoch) {
                ResetReason::NumberingWentBack
            } else {
                ResetReason::EpochEnded
            },
        })?;
        outbox::insert(&mut tx, replica.id, &[event], now).await?;
    }
    tx.commit().await?;
    replica.outbox.wake();
    info!("The server renumbered a folder; it is read again");
    positions.forget_published(folder.name);
    folder.source.resume(&cursor.epoch);
    positions.set_cursor(cursor);
    Ok(())
}

/// The end of a folder as it is now.
struct LastMail {
    /// The highest ordinal that was given. A mail that comes later has a higher one.
    ordinal: u64,
    /// The mail with the highest ordinal that is there.
    existing: Option<NewestMail>,
}

/// Finds the end of a folder: what the server says was given may lag behind what is there.
async fn last_mail(
    source: &mut dyn MailSource,
    opened: &OpenedFolder,
) -> Result<LastMail, SourceError> {
    let highest = source.highest_up_to(u64::MAX).await?;
    let ordinal = highest.map(|highest| highest.ordinal);
    Ok(LastMail {
        ordinal: ordinal.max(opened.last_ordinal).unwrap_or_default(),
        existing: highest.map(|highest| NewestMail {
            ordinal: highest.ordinal,
            received_at: highest.received_at,
            sha256: None,
        }),
    })
}
