use super::capability::Capability;
use super::error::{ImapError, Stage};
use super::lexer::{Lexer, Token};
use super::name::{decode_mailbox, quote_mailbox};
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

const SPECIAL_USES: [(&[u8], SpecialUse); 7] = [
    (b"\\All", SpecialUse::All),
    (b"\\Archive", SpecialUse::Archive),
    (b"\\Drafts", SpecialUse::Drafts),
    (b"\\Flagged", SpecialUse::Flagged),
    (b"\\Junk", SpecialUse::Junk),
    (b"\\Sent", SpecialUse::Sent),
    (b"\\Trash", SpecialUse::Trash),
];

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
    /// Reads what follows `LIST`.
    pub(super) fn read(mut lexer: Lexer<'_>) -> Option<Self> {
        let mut folder = Self {
            name: String::new(),
            delimiter: None,
            special_use: None,
            is_selectable: true,
        };
        if lexer.next()? != Token::Open {
            return None;
        }
        loop {
            match lexer.next()? {
                Token::Close => break,
                Token::Atom(attribute) => folder.add_attribute(attribute),
                _ => return None,
            }
        }
        if let Token::Quoted(raw) = lexer.next()? {
            let delimiter = Token::Quoted(raw).bytes()?;
            folder.delimiter = delimiter.first().copied().map(char::from);
        }
        let name = lexer.next()?.bytes()?;
        folder.name = decode_mailbox(&String::from_utf8_lossy(&name));
        Some(folder)
    }

    fn add_attribute(&mut self, attribute: &[u8]) {
        if [&b"\\Noselect"[..], b"\\NonExistent"]
            .iter()
            .any(|closed| attribute.eq_ignore_ascii_case(closed))
        {
            self.is_selectable = false;
        }
        let found = SPECIAL_USES
            .iter()
            .find(|(name, _)| attribute.eq_ignore_ascii_case(name));
        if let Some((_, special_use)) = found {
            self.special_use = Some(*special_use);
        }
    }
}

impl Session {
    /// Opens a folder; UIDs of an earlier opening hold only if `uid_validity` is the same.
    pub async fn select(
        &mut self,
        folder: &str,
        mode: SelectMode,
    ) -> Result<FolderState, ImapError> {
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
            is_read_only: mode == SelectMode::ReadOnly || outcome.argument("READ-ONLY").is_some(),
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
        Folder::read(Lexer::new(text.as_bytes()))
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
        assert_eq!(
            read("() \".\" {3}\r\na)b\r\n").unwrap().name,
            "a)b".to_owned()
        );
        assert_eq!(read(r#"(\Sent "/" "x""#), None);
    }
}
