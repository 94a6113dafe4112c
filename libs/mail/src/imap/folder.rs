use futures_util::future::BoxFuture;

use super::capability::Capability;
use super::error::{ImapError, Stage};
use super::listed_folder::ListedFolder;
use super::name::quote_mailbox;
use super::reply::Reply;
use super::session::{OpenFolder, Session};

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
    pub uid_validity: u32,
    /// The UID that the next mail will have at least, if the server says so.
    pub uid_next: Option<u32>,
    /// How many mails there are.
    pub exists: u32,
    /// The highest modification sequence, if the server keeps one.
    pub highest_modseq: Option<u64>,
    /// The server opened it for reading only.
    pub is_read_only: bool,
}

impl Session {
    /// Opens a folder; UIDs of an earlier opening hold only if `uid_validity` is the same.
    pub fn select<'a>(
        &'a mut self,
        folder: &'a str,
        mode: SelectMode,
    ) -> BoxFuture<'a, Result<SelectedFolder, ImapError>> {
        Box::pin(async move {
            let verb = match mode {
                SelectMode::ReadOnly => "EXAMINE",
                SelectMode::ReadWrite => "SELECT",
            };
            let command = format!("{verb} {}", quote_mailbox(folder));
            // RFC 3501 §6.3.1: SELECT closes the open folder, also if it fails.
            self.folder = None;
            let mut exists = 0;
            let (mut uid_validity, mut uid_next, mut highest_modseq) = (None, None, None);
            let outcome = self
                .run_with(Stage::Select, &command, |reply| match reply {
                    Reply::Exists(count) => exists = count,
                    Reply::Status(outcome) => {
                        uid_validity = outcome.number("UIDVALIDITY").or(uid_validity);
                        uid_next = outcome.number("UIDNEXT").or(uid_next);
                        highest_modseq = outcome.number("HIGHESTMODSEQ").or(highest_modseq);
                    }
                    _ => {}
                })
                .await?;
            let uid_validity = uid_validity
                .filter(|value| *value > 0)
                .ok_or(ImapError::NoUidValidity)?;
            self.folder = Some(OpenFolder {
                exists,
                uid_next,
                ..OpenFolder::default()
            });
            Ok(SelectedFolder {
                uid_validity,
                uid_next,
                exists,
                highest_modseq,
                is_read_only: mode == SelectMode::ReadOnly
                    || outcome.argument("READ-ONLY").is_some(),
            })
        })
    }

    /// Lists the folders; those whose names cannot be read are left out.
    pub async fn list_folders(&mut self) -> Result<Vec<ListedFolder>, ImapError> {
        let offered = self.capabilities();
        if offered.has(Capability::SpecialUse) && offered.has(Capability::ListExtended) {
            match self.list(r#"LIST "" "*" RETURN (SPECIAL-USE)"#).await {
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
