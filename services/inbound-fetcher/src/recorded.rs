use mailmesh_store::listed_mail::{self, SeenMail};
use mailmesh_store::mailbox::{self, ReceivedMail};
use mailmesh_store::{StoreError, Tx};
use time::OffsetDateTime;

/// A mail whose event the stream has confirmed, on its way into the tables.
#[derive(Debug, Clone)]
pub(crate) struct Confirmed {
    pub(crate) mail: ReceivedMail,
    /// Its size by the listing, if it was listed with one.
    pub(crate) listed_bytes: Option<u64>,
}

/// Records mails, and as seen those whose positions have no order: no cursor says of them that they were received.
pub(crate) async fn record(
    tx: &mut Tx,
    confirmed: &[Confirmed],
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    let mails: Vec<ReceivedMail> = confirmed.iter().map(|one| one.mail.clone()).collect();
    if !mails.is_empty() {
        mailbox::insert(tx, &mails, now).await?;
    }
    let unordered = confirmed
        .iter()
        .filter(|one| one.mail.position.ordinal().is_none());
    let seen: Vec<SeenMail<'_>> = unordered
        .map(|one| SeenMail {
            mail: &one.mail,
            listed_bytes: one.listed_bytes,
        })
        .collect();
    if !seen.is_empty() {
        listed_mail::record(tx, &seen, now).await?;
    }
    Ok(())
}
