use async_imap::imap_proto::{MailboxDatum, NameAttribute, Response};
use futures_util::future::BoxFuture;

use super::capability::Capability;
use super::error::{ImapError, Stage};
use super::name::{decode_mailbox, quote_mailbox};
use super::reply::Reply;
use super::session::{OpenFolder, Session};

/// Servers allow some hundred bytes; ten thousand names as long as a line would take gigabytes.
const LONGEST_NAME: usize = 4 * 1024;

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
pub struct FolderState {
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

/// What a folder is for (RFC 6154).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpecialUse {
    /// All mail.
    All,
    /// Archived mail.
    Archive,
    /// Drafts.
    Drafts,
    /// Flagged mail.
    Flagged,
    /// Spam.
    Junk,
    /// Sent mail.
    Sent,
    /// Deleted mail.
    Trash,
}

/// A folder of the mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// The name, decoded; `select` takes it as it is.
    pub name: String,
    /// What separates levels in names, if there are levels.
    pub delimiter: Option<char>,
    /// What it is for.
    pub special_use: Option<SpecialUse>,
    /// Whether it can be opened.
    pub is_selectable: bool,
}

/// A folder as LIST gives it.
pub(super) type ListedFolder = Folder;

impl Folder {
    /// Reads a LIST response. Its grammar is the library's: attributes, delimiter and name, without
    /// the nesting that its reader of body structures follows without bound.
    pub(super) fn read(frame: &[u8]) -> Option<Self> {
        let Ok((_, Response::MailboxData(MailboxDatum::List(data)))) = Response::parse(frame)
        else {
            return None;
        };
        if data.name.len() > LONGEST_NAME {
            return None;
        }
        let attributes = &data.name_attributes;
        let is_closed = |attribute: &NameAttribute<'_>| match attribute {
            NameAttribute::NoSelect => true,
            NameAttribute::Extension(name) => {
                let name = name.trim_start_matches('\\');
                name.eq_ignore_ascii_case("NonExistent")
            }
            _ => false,
        };
        Some(Self {
            name: decode_mailbox(&unescaped(&data.name)),
            delimiter: data.delimiter.as_ref().and_then(|text| {
                let text = text.strip_prefix('\\').unwrap_or(text);
                text.chars().next()
            }),
            special_use: attributes.iter().find_map(special_use),
            is_selectable: !attributes.iter().any(is_closed),
        })
    }
}

/// The library leaves the backslashes of a quoted string in place.
fn unescaped(quoted: &str) -> String {
    let mut text = String::with_capacity(quoted.len());
    let mut characters = quoted.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => text.extend(characters.next()),
            _ => text.push(character),
        }
    }
    text
}

const fn special_use(attribute: &NameAttribute<'_>) -> Option<SpecialUse> {
    Some(match attribute {
        NameAttribute::All => SpecialUse::All,
        NameAttribute::Archive => SpecialUse::Archive,
        NameAttribute::Drafts => SpecialUse::Drafts,
        NameAttribute::Flagged => SpecialUse::Flagged,
        NameAttribute::Junk => SpecialUse::Junk,
        NameAttribute::Sent => SpecialUse::Sent,
        NameAttribute::Trash => SpecialUse::Trash,
        _ => return None,
    })
}

impl Session {
    /// Opens a folder; UIDs of an earlier opening hold only if `uid_validity` is the same.
    pub fn select<'a>(
        &'a mut self,
        folder: &'a str,
        mode: SelectMode,
    ) -> BoxFuture<'a, Result<FolderState, ImapError>> {
        Box::pin(async move {
            let verb = match mode {
                SelectMode::ReadOnly => "EXAMINE",
                SelectMode::ReadWrite => "SELECT",
            };
            let command = format!("{verb} {}", quote_mailbox(folder));
            // Whatever comes of it, the folder that was open is no longer.
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
            Ok(FolderState {
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
    pub async fn list_folders(&mut self) -> Result<Vec<Folder>, ImapError> {
        let offered = self.capabilities();
        if offered.has(Capability::SpecialUse) && offered.has(Capability::ListExtended) {
            match self.list(r#"LIST "" "*" RETURN (SPECIAL-USE)"#).await {
                Err(ImapError::Refused { .. }) => {}
                other => return other,
            }
        }
        self.list(r#"LIST "" "*""#).await
    }

    async fn list(&mut self, command: &str) -> Result<Vec<Folder>, ImapError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Folder> {
        Folder::read(format!("* LIST {text}\r\n").as_bytes())
    }

    #[test]
    fn folders_are_read_with_their_use() {
        let sent = read(r#"(\HasNoChildren \Sent) "/" "[Gmail]/Entw&APw-rfe""#).unwrap();
        assert_eq!(sent.name, "[Gmail]/Entwürfe");
        assert_eq!(sent.special_use, Some(SpecialUse::Sent));
        assert_eq!((sent.delimiter, sent.is_selectable), (Some('/'), true));

        let root = read(r#"(\noselect) NIL "a \"b\"""#).unwrap();
        assert_eq!((root.name.as_str(), root.delimiter), ("a \"b\"", None));
        assert!(!root.is_selectable);
        assert_eq!(read("() \".\" {3}\r\na)b").unwrap().name, "a)b".to_owned());
        assert_eq!(read(r#"(\Sent "/" "x""#), None);
        assert!(read(&format!("() NIL {}", "x".repeat(LONGEST_NAME))).is_some());
        assert_eq!(
            read(&format!("() NIL {}", "x".repeat(LONGEST_NAME + 1))),
            None
        );
    }
}
