use time::OffsetDateTime;

use super::error::{ImapError, Stage};
use super::reply::Reply;
use super::session::Session;
use super::verdict::is_partial_fetch;

/// A mail as a server shows it without its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlacedMail {
    pub uid: u32,
    /// Its INTERNALDATE, which stays the same for as long as the UID means this mail (RFC 9051 §2.3.3).
    pub internal_date: Option<OffsetDateTime>,
}

impl Session {
    /// Returns the mail of the open folder with the highest UID up to `uid`.
    ///
    /// One command in a folder to which nothing was added since, two if that mail is there still; else the sequence
    /// numbers are searched, which takes no longer answer in a large folder.
    pub async fn highest_up_to(&mut self, uid: u32) -> Result<Option<PlacedMail>, ImapError> {
        let folder = self.folder.ok_or(ImapError::NoFolder)?;
        if folder.is_empty() || uid == 0 {
            return Ok(None);
        }
        let last = if folder.is_counted {
            folder.exists.to_string()
        } else {
            "*".to_owned()
        };
        let last = self.place("FETCH", &last).await?;
        if last.is_none_or(|mail| mail.uid <= uid) {
            return Ok(last);
        }
        let itself = self.place("UID FETCH", &uid.to_string()).await?;
        if let Some(mail) = itself.filter(|mail| mail.uid == uid) {
            return Ok(Some(mail));
        }
        match uid.checked_add(1) {
            Some(above) => self.below(above).await,
            None => Ok(None),
        }
    }

    async fn below(&mut self, above: u32) -> Result<Option<PlacedMail>, ImapError> {
        let found = self.find_sequence(above).await?;
        let sequence = found.ok_or(ImapError::KeepsChanging)?;
        if sequence <= 1 {
            return Ok(None);
        }
        let found = self.place("FETCH", &(sequence - 1).to_string()).await?;
        Ok(found.filter(|mail| mail.uid < above))
    }

    async fn place(&mut self, verb: &str, set: &str) -> Result<Option<PlacedMail>, ImapError> {
        let command = format!("{verb} {set} (UID INTERNALDATE)");
        let mut found: Option<PlacedMail> = None;
        let asked = self
            .run_with(Stage::Fetch, &command, |reply| {
                if let Reply::Fetch(fetched) = reply
                    && let Some(uid) = fetched.uid
                    // Changes of other mails' flags are told in between, without a date.
                    && (found.is_none() || fetched.internal_date.is_some())
                {
                    let internal_date = fetched.internal_date;
                    found = Some(PlacedMail { uid, internal_date });
                }
            })
            .await;
        match asked {
            Ok(_) => Ok(found),
            Err(error) if is_partial_fetch(&error) => Ok(found),
            Err(error) => Err(error),
        }
    }
}
