use mailmesh_domain::{Epoch, Position, Protocol};
use mailmesh_events::mail::{MailboxReset, ResetReason};
use mailmesh_mail::imap::{FolderState, ImapError, SelectMode, Session};
use mailmesh_store::mailbox::{self, Cursor};
use mailmesh_store::outbox;
use tracing::{info, instrument};

use crate::account::Worker;
use crate::failure::Failure;
use crate::ownership;

impl Worker {
    /// Opens a folder and makes its cursor fit the folder's UIDVALIDITY.
    pub(crate) async fn open_folder(
        &mut self,
        session: &mut Session,
        folder: &str,
    ) -> Result<(), Failure> {
        let mode = if self.opens_for_changes() {
            SelectMode::ReadWrite
        } else {
            SelectMode::ReadOnly
        };
        let found = session.select(folder, mode).await?;
        let cursor = match self.cursor(folder) {
            None => self.activate(session, folder, found).await?,
            Some(cursor) if cursor.epoch != epoch_of(found) => {
                let cursor = cursor.clone();
                self.renumber(session, cursor, found).await?
            }
            Some(cursor) => cursor.clone(),
        };
        self.set_cursor(cursor);
        Ok(())
    }

    /// Receives what lies beyond the cursor of the open folder.
    pub(crate) async fn receive_folder(
        &mut self,
        session: &mut Session,
        folder: &str,
    ) -> Result<(), Failure> {
        loop {
            if self.stop.is_cancelled() {
                return Ok(());
            }
            let Some(cursor) = self.cursor(folder) else {
                return Ok(());
            };
            let uids = session.uids_after(to_uid(cursor.ordinal)).await?;
            let Some(last) = uids.last().copied() else {
                return self.finish_scan(folder).await;
            };
            if self.ownership.is_none() {
                self.take_ownership(folder).await?;
                continue;
            }
            self.receive_all(session, folder, &uids).await?;
            // Nothing lies between what was listed, so all of it was dealt with.
            self.pass(folder, last).await?;
        }
    }

    #[instrument(name = "take.fence", skip_all, fields(account.id = %self.account.id))]
    async fn take_ownership(&mut self, folder: &str) -> Result<(), Failure> {
        let before = self.cursor(folder).map(|cursor| cursor.epoch.clone());
        self.own().await?;
        if self.cursor(folder).map(|cursor| &cursor.epoch) == before.as_ref() {
            return Ok(());
        }
        // Another owner has seen a later numbering of the folder than this session shows.
        Err(ImapError::KeepsChanging.into())
    }

    async fn own(&mut self) -> Result<(), Failure> {
        let taken = ownership::take(&self.context, &self.account).await?;
        self.cursors = taken.cursors;
        self.ownership = Some(Box::new(taken.ownership));
        if taken.has_read_back && self.opens_for_changes() {
            // An earlier owner published them; what is to be done with them is ours.
            self.post.fall_behind();
        }
        Ok(())
    }

    /// Ends a look that found nothing more.
    async fn finish_scan(&mut self, folder: &str) -> Result<(), Failure> {
        // What was published beyond the cursor and is listed no more was removed meanwhile.
        let beyond = self
            .ownership
            .as_ref()
            .and_then(|ownership| ownership.ledger.last_uid(folder));
        if let Some(uid) = beyond {
            self.pass(folder, uid).await?;
        }
        let rescan = self
            .cursor(folder)
            .filter(|cursor| cursor.rescan_until.is_some());
        if let Some(epoch) = rescan.map(|cursor| cursor.epoch.clone()) {
            let mut tx = self.context.replica.database.begin().await?;
            mailbox::finish_rescan(&mut tx, self.account.id, folder, &epoch).await?;
            tx.commit().await?;
            if let Some(cursor) = self.cursor_mut(folder) {
                cursor.rescan_until = None;
            }
        }
        Ok(())
    }

    async fn activate(
        &mut self,
        session: &mut Session,
        folder: &str,
        found: FolderState,
    ) -> Result<Cursor, Failure> {
        let last_uid = if self.account.receive_existing {
            0
        } else {
            last_uid_of(session, found).await?
        };
        let id = self.account.id;
        let cursor = Cursor {
            account_id: id,
            folder: folder.to_owned(),
            epoch: epoch_of(found),
            ordinal: u64::from(last_uid),
            activated_at: self.context.now(),
            rescan_until: None,
        };
        let mut tx = self.context.replica.database.begin().await?;
        mailbox::activate(&mut tx, &cursor).await?;
        // Another owner may have been first.
        let cursors = mailbox::list_cursors(&mut tx, &[id]).await?;
        tx.commit().await?;
        info!(account.id = %id, "A folder is watched from now on");
        let cursor = cursors.into_iter().find(|cursor| cursor.folder == folder);
        match cursor {
            Some(cursor) if cursor.epoch == epoch_of(found) => Ok(cursor),
            Some(cursor) => self.renumber(session, cursor, found).await,
            None => Err(mailmesh_store::StoreError::RowGone {
                operation: "activate a folder",
            }
            .into()),
        }
    }

    /// Starts a folder anew that the server has renumbered; fingerprints then tell seen from new.
    async fn renumber(
        &mut self,
        session: &mut Session,
        cursor: Cursor,
        found: FolderState,
    ) -> Result<Cursor, Failure> {
        // What was published and not recorded must be known by its fingerprint first.
        self.own().await?;
        let fresh = self.cursor(&cursor.folder);
        if let Some(fresh) = fresh.filter(|fresh| fresh.epoch == epoch_of(found)) {
            // Another owner was here first.
            return Ok(fresh.clone());
        }
        let until = last_uid_of(session, found).await?;
        let cursor = Cursor {
            epoch: epoch_of(found),
            ordinal: 0,
            rescan_until: Some(u64::from(until)),
            ..cursor
        };
        let replica = &self.context.replica;
        let now = self.context.now();
        let id = self.account.id;
        let mut tx = replica.database.begin().await?;
        if let Some(before) = mailbox::reset(&mut tx, &cursor, now).await? {
            let event = replica.encode(&MailboxReset {
                account: self.account.key.clone(),
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
        info!(account.id = %id, "The server renumbered a folder; it is read again");
        if let Some(ownership) = &mut self.ownership {
            ownership.ledger.forget(&cursor.folder);
        }
        Ok(cursor)
    }

    pub(crate) fn cursor(&self, folder: &str) -> Option<&Cursor> {
        self.cursors.iter().find(|cursor| cursor.folder == folder)
    }

    pub(crate) fn cursor_mut(&mut self, folder: &str) -> Option<&mut Cursor> {
        self.cursors
            .iter_mut()
            .find(|cursor| cursor.folder == folder)
    }

    fn set_cursor(&mut self, cursor: Cursor) {
        match self.cursor_mut(&cursor.folder) {
            Some(known) => *known = cursor,
            None => self.cursors.push(cursor),
        }
    }
}

fn epoch_of(found: FolderState) -> Epoch {
    Epoch::of_uid_validity(found.uid_validity)
}

/// Returns where a mail of the cursor's folder stands.
pub(crate) fn position_of(cursor: &Cursor, uid: u32) -> Result<Position, Failure> {
    let position = Position::from_stored(Protocol::Imap, &cursor.epoch, &uid.to_string());
    // The cursor was made to fit the folder when it was opened.
    Ok(position.ok_or(ImapError::KeepsChanging)?)
}

/// Nothing above the highest UID is ever listed.
pub(crate) fn to_uid(ordinal: u64) -> u32 {
    u32::try_from(ordinal).unwrap_or(u32::MAX)
}

/// Returns the last UID that is in use now. A mail that comes later has a higher one.
async fn last_uid_of(session: &mut Session, found: FolderState) -> Result<u32, Failure> {
    if let Some(next) = found.uid_next {
        return Ok(next.saturating_sub(1));
    }
    let mut last = 0;
    loop {
        let uids = session.uids_after(last).await?;
        match uids.last() {
            Some(uid) => last = *uid,
            None => return Ok(last),
        }
    }
}
