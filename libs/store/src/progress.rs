//! What was received, in whichever of two forms it is remembered: a cursor that moves (`mailbox`), or the set of what was
//! seen (`listed_mail`). Callers need not know which.

use mailmesh_domain::{AccountId, Position};
use time::OffsetDateTime;

use crate::listed_mail::ListingEntry;
use crate::mailbox::{ReceivedMail, UnreadMail};
use crate::{StoreError, Tx, listed_mail, mailbox};

/// Records mails of many accounts whose events the stream has confirmed; those that are recorded stay as they are. Mails
/// whose positions have no order are recorded as seen, too: no cursor says of them that they were received.
///
/// # Errors
/// When the database fails.
pub async fn record(
    tx: &mut Tx,
    mails: &[&ReceivedMail],
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    insert(tx, mails, None, now).await
}

/// Records mails whose events an earlier owner published. That they stand where their events say is not proved: a mail with
/// another content there is to be fetched all the same. Of mails with an order the cursor sees to that.
///
/// # Errors
/// When the database fails.
pub async fn record_read_back(
    tx: &mut Tx,
    mails: &[&ReceivedMail],
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    insert(tx, mails, Some(now), now).await
}

async fn insert(
    tx: &mut Tx,
    mails: &[&ReceivedMail],
    absent_since: Option<OffsetDateTime>,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    if !mails.is_empty() {
        mailbox::insert(tx, mails, now).await?;
    }
    let is_unordered = |mail: &&ReceivedMail| mail.position.ordinal().is_none();
    let unordered: Vec<_> = mails.iter().copied().filter(is_unordered).collect();
    if !unordered.is_empty() {
        listed_mail::record(tx, &unordered, absent_since, now).await?;
    }
    Ok(())
}

/// A mail that cannot be read, as its session lists it.
#[derive(Debug, Clone, Copy)]
pub struct BrokenMail<'a> {
    pub folder: &'a str,
    pub position: &'a Position,
    pub ordinal: u64,
    pub listed_bytes: Option<u64>,
}

impl BrokenMail<'_> {
    /// Returns what identifies it in other sessions.
    pub fn identity(&self) -> UnreadMail {
        UnreadMail::new(self.folder, self.position, self.ordinal, self.listed_bytes)
    }
}

/// Gives up a mail that cannot be read, so that it is not fetched again; of a server without ids, not for a while, see
/// [`mailbox::find_quarantined`]. Returns whether it was not given up before.
///
/// # Errors
/// When the database fails.
pub async fn quarantine(
    tx: &mut Tx,
    account: AccountId,
    mail: &BrokenMail<'_>,
    now: OffsetDateTime,
) -> Result<bool, StoreError> {
    if mail.position.ordinal().is_none() {
        // No cursor passes it.
        let entry = ListingEntry {
            position: mail.position.clone(),
            listed_bytes: mail.listed_bytes,
        };
        listed_mail::mark_existing(tx, account, mail.folder, &[entry], now).await?;
    }
    mailbox::quarantine(tx, account, &mail.identity(), now).await
}

/// Forgets up to `limit` mails that have been gone from their mailboxes since before a moment. A cursor needs no memory of
/// them. Returns how many there were.
///
/// # Errors
/// When the database fails.
pub async fn forget_absent(
    tx: &mut Tx,
    before: OffsetDateTime,
    limit: i64,
) -> Result<u64, StoreError> {
    listed_mail::forget_absent(tx, before, limit).await
}

/// Voids what is known of where an account's mails stand, because it names another server or login now, which may be the
/// same mailbox by another name: each folder is read again from its beginning, and fingerprints decide which mails are new.
///
/// # Errors
/// When the database fails.
pub async fn void(tx: &mut Tx, account: AccountId) -> Result<(), StoreError> {
    mailbox::void_cursors(tx, account).await?;
    listed_mail::void(tx, account).await
}
