//! Raw mails as their rows know them: whoever may write to `MAIL_RAW` must not put words into a mail that is read here.

use std::fmt::Display;

use aws_lc_rs::digest;
use bytes::Bytes;
use mailmesh_accounts::Replica;
use mailmesh_bus::{RawError, RawReader};
use mailmesh_domain::MailId;
use mailmesh_secrets::sha256;
use mailmesh_store::{StoreError, raw_mail};
use tracing::error;

/// Why a raw mail is not handed out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RawBodyError {
    #[error("the mail's hash cannot be read")]
    Store(#[from] StoreError),
    #[error("the mail cannot be read")]
    Raw(#[source] RawError),
    #[error("the stored content is not what was recorded of the mail")]
    Exchanged,
}

/// Hands out a mail chunk by chunk, and the last one only when all together are what was recorded. Holds two chunks at most.
/// A mail without a row, or from before hashes were kept, is not checked.
pub(crate) struct CheckedRaw {
    id: MailId,
    reader: RawReader,
    expected: Option<[u8; 32]>,
    hash: digest::Context,
    current: Option<Bytes>,
    ahead: Option<Bytes>,
    is_read: bool,
}

impl CheckedRaw {
    /// Opens a mail; none if nothing of it is there. One of a single chunk is checked at once.
    pub(crate) async fn open(replica: &Replica, id: MailId) -> Result<Option<Self>, RawBodyError> {
        let raw_mails = replica.bus.raw_mails();
        let Some(reader) = raw_mails.get(&id.to_string()).await? else {
            return Ok(None);
        };
        let mut opened = Self {
            id,
            reader,
            expected: expected(replica, id).await?,
            hash: digest::Context::new(&digest::SHA256),
            current: None,
            ahead: None,
            is_read: false,
        };
        opened.current = opened.read().await?;
        opened.ahead = opened.read().await?;
        Ok(Some(opened))
    }

    pub(crate) async fn next_chunk(&mut self) -> Result<Option<Bytes>, RawBodyError> {
        if self.ahead.is_none() {
            self.ahead = self.read().await?;
        }
        Ok(std::mem::replace(&mut self.current, self.ahead.take()))
    }

    async fn read(&mut self) -> Result<Option<Bytes>, RawBodyError> {
        if self.is_read {
            return Ok(None);
        }
        let chunk = self.reader.next_chunk().await?;
        if let Some(chunk) = &chunk {
            self.hash.update(chunk);
        } else {
            self.is_read = true;
            let actual = self.hash.clone().finish();
            check(self.id, self.expected, actual.as_ref())?;
        }
        Ok(chunk)
    }
}

/// Returns what is recorded of a mail's content.
pub(crate) async fn expected(
    replica: &Replica,
    id: MailId,
) -> Result<Option<[u8; 32]>, StoreError> {
    let mut tx = replica.database.begin().await?;
    let found = raw_mail::find_sha256(&mut tx, id).await?;
    tx.commit().await?;
    Ok(found)
}

/// Checks a mail that is in memory as a whole.
pub(crate) fn check_whole(
    id: MailId,
    expected: Option<[u8; 32]>,
    raw: &[u8],
) -> Result<(), RawBodyError> {
    if expected.is_none() {
        return Ok(());
    }
    check(id, expected, &sha256(raw))
}

impl From<RawError> for RawBodyError {
    /// Our own chunks say which they are: one that does not has been put in the place of one.
    fn from(error: RawError) -> Self {
        let RawError::BadChunk { mail_id, .. } = &error else {
            return Self::Raw(error);
        };
        tell_exchanged(mail_id);
        Self::Exchanged
    }
}

fn check(id: MailId, expected: Option<[u8; 32]>, actual: &[u8]) -> Result<(), RawBodyError> {
    if expected.is_none_or(|expected| expected.as_slice() == actual) {
        return Ok(());
    }
    tell_exchanged(&id);
    Err(RawBodyError::Exchanged)
}

fn tell_exchanged(id: &dyn Display) {
    error!(
        mail.id = %id,
        "The mail's stored content is not what was recorded of it: somebody else writes to MAIL_RAW"
    );
}
