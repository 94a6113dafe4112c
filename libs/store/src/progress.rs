//! What was received, in whichever of two forms it is remembered: a cursor that moves (`mailbox`), or the set of what was
//! seen (`listed_mail`). Callers need not know which.

use time::OffsetDateTime;

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
