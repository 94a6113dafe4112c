use bytes::Bytes;
use serde::Serialize;
use time::OffsetDateTime;

use super::flag::Flags;
use super::folder::{Folder, Mail};

/// A mail as the control API and tests see it.
#[derive(Debug, Clone)]
pub struct StoredMail {
    /// Its UID in the folder.
    pub uid: u32,
    pub flags: Flags,
    /// The moment it arrived.
    pub received_at: OffsetDateTime,
    /// Whether a POP3 session has retrieved it and ended with QUIT.
    pub is_popped: bool,
    /// The RFC 5322 bytes.
    pub raw: Bytes,
}

/// A mail that was submitted over SMTP.
#[derive(Debug, Clone)]
pub struct Submission {
    /// The id in the final reply.
    pub id: u64,
    /// The mailbox that was signed in.
    pub account: String,
    /// The envelope's sender.
    pub sender: String,
    /// The recipients that are not local; local ones have it in their INBOX.
    pub recipients: Vec<String>,
    /// The RFC 5322 bytes.
    pub raw: Bytes,
}

/// What is in one folder, in numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FolderState {
    pub name: String,
    /// Its UIDVALIDITY.
    pub uid_validity: u32,
    /// The UID of the next mail.
    pub uid_next: u32,
    pub mails: usize,
    /// Mails without `\Seen`.
    pub unseen: usize,
}

impl From<&Mail> for StoredMail {
    fn from(mail: &Mail) -> Self {
        Self {
            uid: mail.uid,
            flags: mail.flags.clone(),
            received_at: mail.received_at,
            is_popped: mail.is_popped,
            raw: mail.raw.clone(),
        }
    }
}

impl From<&Folder> for FolderState {
    fn from(folder: &Folder) -> Self {
        Self {
            name: folder.name.clone(),
            uid_validity: folder.uid_validity,
            uid_next: folder.uid_next,
            mails: folder.mails().len(),
            unseen: folder.count_unseen(),
        }
    }
}
