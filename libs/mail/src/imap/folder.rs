use futures_util::future::BoxFuture;

use super::capability::Capability;
use super::error::{ImapError, Stage};
use super::listed_folder::ListedFolder;
use super::name::quote_mailbox;
use super::reply::{Reply, StatusResponse};
use super::session::{FolderUpdates, Session};

/// Whether a folder is opened for changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SelectMode {
    /// Nothing can be changed, not even by accident (`EXAMINE`).
    ReadOnly,
    /// Mails can be marked, moved and deleted (`SELECT`).
    ReadWrite,
}

/// A folder as it was when it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SelectedFolder {
    /// UIDs are comparable only under the same value.
    pub uid_validity: u64,
    /// The UID that the next mail will have at least, if the server says so.
    pub uid_next: Option<u32>,
    /// How many mails there are.
    pub exists: u32,
    /// The highest modification sequence, if the server keeps one.
    pub highest_modseq: Option<u64>,
    /// The server opened it for reading only.
    pub is_read_only: bool,
}

/// What a server told of a folder while it was opened.
#[derive(Debug, Default)]
struct OpeningResponses {
    uid_validity: Option<u64>,
    uid_next: Option<u32>,
    exists: Option<u32>,
    highest_modseq: Option<u64>,
    is_read_only: bool,
}

impl OpeningResponses {
    fn take_note(&mut self, reply: &Reply) {
        match reply {
            Reply::Exists(count) => self.exists = Some(*count),
            Reply::Status(outcome) => self.take_codes(outcome),
            Reply::FolderStatus(status) => {
                self.take_uid_validity(status.uid_validity.as_deref());
                self.take_uid_next(status.uid_next.as_deref());
            }
            _ => {}
        }
    }

    fn take_codes(&mut self, outcome: &StatusResponse) {
        self.take_uid_validity(outcome.argument("UIDVALIDITY"));
        self.take_uid_next(outcome.argument("UIDNEXT"));
        self.highest_modseq = outcome.number("HIGHESTMODSEQ").or(self.highest_modseq);
    }

    fn take_uid_validity(&mut self, told: Option<&str>) {
        self.uid_validity = told.and_then(read_uid_validity).or(self.uid_validity);
    }

    fn take_uid_next(&mut self, told: Option<&str>) {
        let number = told.and_then(|text| text.trim().parse().ok());
        self.uid_next = number.filter(|next| *next > 0).or(self.uid_next);
    }
}

/// Reads a UIDVALIDITY: 32 bits and not 0 by RFC 9051 §9; as it is only compared, whatever a server gives is good enough. What
/// is no number stands for one that no server counts up to.
pub(super) fn read_uid_validity(told: &str) -> Option<u64> {
    let text = told.trim().trim_matches('"').trim();
    if text.is_empty() {
        return None;
    }
    let number = text.parse().unwrap_or_else(|_| {
        let hash = mailmesh_secrets::sha256(text.as_bytes());
        let first = hash.iter().take(8);
        let bits = first.fold(0_u64, |bits, byte| (bits << 8) | u64::from(*byte));
        // Exact in JSON, whose numbers have 53 bits at many readers.
        bits >> 11
    });
    Some(number)
}

impl Session {
    /// Opens a folder; UIDs of an earlier opening hold only if `uid_validity` is the same.
    pub fn select<'a>(
        &'a mut self,
        folder: &'a str,
        mode: SelectMode,
    ) -> BoxFuture<'a, Result<SelectedFolder, ImapError>> {
        Box::pin(async move {
            let mut told = self.open_folder(folder, mode).await?;
            if told.uid_validity.is_none() {
                self.ask_status(folder, &mut told).await?;
            }
            if told.uid_validity.is_none() && mode == SelectMode::ReadOnly {
                // There are servers that tell it at SELECT alone. What only reads changes nothing there either.
                told = self.open_folder(folder, SelectMode::ReadWrite).await?;
                told.is_read_only = true;
            }
            let Some(uid_validity) = told.uid_validity else {
                self.folder = None;
                return Err(ImapError::NoUidValidity);
            };
            if let Some(folder) = &mut self.folder {
                folder.uid_validity = Some(uid_validity);
            }
            Ok(SelectedFolder {
                uid_validity,
                uid_next: told.uid_next,
                exists: told.exists.unwrap_or_default(),
                highest_modseq: told.highest_modseq,
                is_read_only: told.is_read_only,
            })
        })
    }

    async fn open_folder(
        &mut self,
        folder: &str,
        mode: SelectMode,
    ) -> Result<OpeningResponses, ImapError> {
        let verb = match mode {
            SelectMode::ReadOnly => "EXAMINE",
            SelectMode::ReadWrite => "SELECT",
        };
        let command = format!("{verb} {}", quote_mailbox(folder));
        // RFC 3501 §6.3.1: SELECT closes the open folder, also if it fails.
        self.folder = None;
        let mut told = OpeningResponses::default();
        let outcome = self
            .run_with(Stage::Select, &command, |reply| told.take_note(&reply))
            .await?;
        told.take_codes(&outcome);
        told.is_read_only = mode == SelectMode::ReadOnly || outcome.argument("READ-ONLY").is_some();
        self.folder = Some(FolderUpdates::new(told.exists, told.uid_next));
        Ok(told)
    }

    async fn ask_status(
        &mut self,
        folder: &str,
        told: &mut OpeningResponses,
    ) -> Result<(), ImapError> {
        let name = quote_mailbox(folder);
        let command = format!("STATUS {name} (UIDVALIDITY UIDNEXT)");
        let asked = self
            .run_with(Stage::Select, &command, |reply| told.take_note(&reply))
            .await;
        match asked {
            // Of the open folder a server need not answer it (RFC 9051 §6.3.11).
            Ok(_) | Err(ImapError::Refused { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Lists the folders; those whose names cannot be read are left out.
    pub async fn list_folders(&mut self) -> Result<Vec<ListedFolder>, ImapError> {
        let offered = self.capabilities();
        if offered.has(Capability::SpecialUse) && offered.has(Capability::ListExtended) {
            match self.list(r#"LIST "" "*" RETURN (SPECIAL-USE)"#).await {
                // Builds of Exchange differ in which forms of LIST they take.
                Err(ImapError::Refused { .. }) => {}
                other => return other,
            }
        }
        self.list(r#"LIST "" "*""#).await
    }

    async fn list(&mut self, command: &str) -> Result<Vec<ListedFolder>, ImapError> {
        let most = self.limits.folders;
        let mut folders = Vec::new();
        self.run_with(Stage::List, command, |reply| {
            if let Reply::List(folder) = reply
                && folders.len() < most
            {
                folders.push(folder);
            }
        })
        .await?;
        Ok(folders)
    }
}
