//! What was received, in whichever of two forms it is remembered: a cursor that moves (`mailbox`), or the set of what was
//! seen (`listed_mail`). Callers need not know which.

use mailmesh_domain::AccountId;
use mailmesh_events::mail::Origin;
use time::OffsetDateTime;

use crate::listed_mail::ListingEntry;
use crate::mailbox::ReceivedMail;
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
    if !mails.is_empty() {
        mailbox::insert(tx, mails, now).await?;
    }
    let unordered: Vec<&ReceivedMail> = mails
        .iter()
        .copied()
        .filter(|mail| mail.position.ordinal().is_none())
        .collect();
    if !unordered.is_empty() {
        listed_mail::record(tx, &unordered, now).await?;
    }
    Ok(())
}

/// Gives up a mail that cannot be read, so that it is not fetched again. `listed_bytes` is its size by the listing. Returns
/// whether it was not given up before.
///
/// # Errors
/// When the database fails.
pub async fn quarantine(
    tx: &mut Tx,
    account: AccountId,
    origin: &Origin,
    listed_bytes: Option<u64>,
    now: OffsetDateTime,
) -> Result<bool, StoreError> {
    if origin.position.ordinal().is_none() {
        // No cursor passes it.
        let entry = ListingEntry {
            position: origin.position.clone(),
            listed_bytes,
        };
        listed_mail::mark_existing(tx, account, &origin.folder, &[entry], now).await?;
    }
    mailbox::quarantine(tx, account, origin, now).await
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
