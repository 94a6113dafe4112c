use mailmesh_events::mail::{MailboxReset, ResetReason};
use mailmesh_mail::source::OpenedFolder;
use mailmesh_store::listed_mail;
use mailmesh_store::mailbox::{self, Cursor};
use mailmesh_store::{StoreError, outbox};
use tracing::info;

use super::listing::{entries_of, list_all};
use crate::account_context::AccountContext;
use crate::failure::WatchFailure;
use crate::open_folder::OpenFolder;
use crate::progress::position::Positions;

/// Starts watching a folder; what is there by now is passed over if the account says so.
pub(super) async fn activate(
    folder: &mut OpenFolder<'_>,
    opened: OpenedFolder,
) -> Result<Cursor, WatchFailure> {
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
        newest: None,
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
    info!("A folder is watched from now on");
    Ok(stored)
}

/// Makes every mail be identified by its content: the account was given another server or login, whose ids may be the
/// same.
pub(super) async fn start_anew(
    owner: &AccountContext,
    positions: &mut Positions,
    known: Cursor,
    opened: OpenedFolder,
) -> Result<(), WatchFailure> {
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
