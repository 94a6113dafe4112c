use async_imap::imap_proto::{MailboxDatum, NameAttribute, Response};

use super::name::decode_mailbox;

/// Maximum bytes of a name. Servers allow some hundred; ten thousand names as long as a line would take gigabytes.
const LONGEST_NAME: usize = 4 * 1024;

/// What a folder is for (RFC 6154).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpecialUse {
    All,
    Archive,
    Drafts,
    Flagged,
    Junk,
    Sent,
    Trash,
}

/// A folder of the mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedFolder {
    /// The name, decoded; `select` takes it as it is.
    pub name: String,
    /// What separates levels in names, if there are levels.
    pub delimiter: Option<char>,
    /// What it is for.
    pub special_use: Option<SpecialUse>,
    /// Whether it can be opened.
    pub is_selectable: bool,
}

impl ListedFolder {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<ListedFolder> {
        ListedFolder::read(format!("* LIST {text}\r\n").as_bytes())
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
