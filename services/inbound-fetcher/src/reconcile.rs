//! Makes a folder's cursor fit what the server shows, for sources that list what lies after an ordinal.

use mailmesh_events::mail::{MailboxReset, ResetReason};
use mailmesh_mail::SourceError;
use mailmesh_mail::source::{MailSource, OpenedFolder};
use mailmesh_store::StoreError;
use mailmesh_store::mailbox::{self, Cursor};
use mailmesh_store::outbox;
use tracing::info;

use crate::account_context::AccountContext;
use crate::failure::Failure;
use crate::open_folder::OpenFolder;
use crate::position::Positions;

/// Gives a folder that was just opened a cursor of its epoch.
pub(crate) async fn fit_cursor(
    folder: &mut OpenFolder<'_>,
    positions: &mut Positions,
    opened: &OpenedFolder,
) -> Result<(), Failure> {
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

async fn activate(
    folder: &mut OpenFolder<'_>,
    positions: &Positions,
    opened: &OpenedFolder,
) -> Result<Cursor, Failure> {
    let (context, account) = (&folder.owner.context, &folder.owner.account);
    // A folder that was renamed goes on where it was under its former name; only its mails tell whether it is one.
    let former = positions.find_former(&account.folders, &opened.epoch);
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
