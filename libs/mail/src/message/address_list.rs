//! Lists of addresses as received mail has them: RFC 5322 §3.4 with its obsolete forms, and what programs make of it.

mod token;

use self::token::{Token, Tokens};
use super::address::{NamedAddress, canonical_address, canonical_local_part};
use super::encoded_word::header_text;

/// Reads an unfolded value and hands each mailbox to `take` until that returns false.
///
/// An address that cannot be sent to is left empty, and its text is the name where there is none. One without a domain
/// stays, as that of a program on the same host.
pub(super) fn read(value: &[u8], take: impl FnMut(NamedAddress) -> bool) {
    let mut reader = ListReader {
        take,
        is_stopped: false,
        entry: ListEntry::default(),
        pending: Vec::new(),
    };
    let mut tokens = Tokens::new(value);
    while let Some(token) = tokens.next() {
        match token {
            Token::Comma => reader.end_entry(true),
            Token::Semicolon => reader.end_entry(false),
            Token::Colon => reader.end_group_name(),
            Token::Open => reader.open(token::angle(&mut tokens)),
            Token::Close => {}
            Token::Comment(comment) => reader.entry.comment = Some(comment),
            // Programs that show a mail's header write `Ann [mailto:a@b.c]`, and people copy it.
            Token::Literal(literal) if reader.entry.words.last() != Some(&Token::At) => {
                match address_in_brackets(literal) {
                    Some(address) => reader.open(address),
                    None => reader.entry.push(token),
                }
            }
            other => reader.entry.push(other),
        }
        if reader.is_stopped {
            return;
        }
    }
    reader.end_entry(false);
    reader.flush_pending();
}

fn address_in_brackets(literal: &[u8]) -> Option<String> {
    let inner = std::str::from_utf8(literal).ok()?;
    let inner = inner.trim_matches(['[', ']']).trim();
    let address = inner.strip_prefix("mailto:").unwrap_or(inner);
    (address.contains('@') && canonical_address(address).is_ok()).then(|| address.to_owned())
}

/// Characters without a width, which come along with what is copied from pages.
const INVISIBLE: [char; 9] = [
    '\u{ad}', '\u{200b}', '\u{200c}', '\u{200d}', '\u{200e}', '\u{200f}', '\u{2060}', '\u{feff}',
    '\u{202c}',
];

/// What stands between two separators.
#[derive(Debug, Default)]
struct ListEntry<'a> {
    words: Vec<Token<'a>>,
    angle: Option<String>,
    /// Words behind the angle brackets.
    after: Vec<Token<'a>>,
    comment: Option<&'a [u8]>,
}

impl<'a> ListEntry<'a> {
    fn push(&mut self, token: Token<'a>) {
        if self.angle.is_some() {
            self.after.push(token);
        } else {
            self.words.push(token);
        }
    }
}

/// Words before commas that one name may have, as in `Example, Ann, Dr. <ann@example.org>`.
const MAX_PENDING: usize = 3;

/// Words before a comma, which may be the beginning of a name: `Example, Ann <ann@example.org>`.
#[derive(Debug)]
struct PendingWords {
    name: String,
    /// The same as an address without a domain.
    address: Option<String>,
}

struct ListReader<'a, F> {
    take: F,
    is_stopped: bool,
    entry: ListEntry<'a>,
    pending: Vec<PendingWords>,
}

impl<F: FnMut(NamedAddress) -> bool> ListReader<'_, F> {
    fn open(&mut self, address: String) {
        if self.entry.angle.is_some() {
            // No comma between two mailboxes: what stands between them names the second.
            let words = std::mem::take(&mut self.entry.after);
            self.end_entry(false);
            self.entry.words = words;
        }
        self.entry.angle = Some(address);
    }

    /// Forgets a group's name; an address before a colon is none.
    fn end_group_name(&mut self) {
        let is_address = token::chunks(&self.entry.words)
            .iter()
            .any(|chunk| token::is_address(chunk));
        if is_address || self.entry.angle.is_some() {
            self.end_entry(false);
        } else {
            self.entry = ListEntry::default();
        }
    }

    fn end_entry(&mut self, is_comma: bool) {
        let entry = std::mem::take(&mut self.entry);
        let comment = entry.comment.map(header_text);
        let has_address = token::chunks(&entry.words)
            .iter()
            .any(|chunk| token::is_address(chunk));
        // `a@b.c <>` names its address all the same.
        let angle = entry
            .angle
            .filter(|angle| !angle.is_empty() || !has_address);
        if let Some(address) = angle {
            let mut name = phrase(&entry.words);
            if name.is_empty() {
                self.flush_pending();
            }
            for before in self.pending.drain(..).rev() {
                name = format!("{}, {name}", before.name);
            }
            let (more, words) = bare(&entry.after);
            let names = [name, words, comment.unwrap_or_default()];
            self.give(names.into_iter().find(|name| !name.is_empty()), address);
            for (name, address) in more {
                self.give(name, address);
            }
            return;
        }
        let (mut found, words) = bare(&entry.words);
        if let Some((name, _)) = found.last_mut() {
            self.flush_pending();
            let names = [name.take(), Some(words), comment];
            *name = names.into_iter().flatten().find(|name| !name.is_empty());
            for (name, address) in found {
                self.give(name, address);
            }
        } else if !words.is_empty() {
            let address = local_only(&entry.words);
            self.add_words(words, address, comment, is_comma);
        }
    }

    /// Takes an entry without any address, or with one that has no domain.
    fn add_words(
        &mut self,
        words: String,
        address: Option<String>,
        comment: Option<String>,
        is_comma: bool,
    ) {
        if is_comma && comment.is_none() {
            if self.pending.len() >= MAX_PENDING {
                let first = self.pending.remove(0);
                self.give_pending(first);
            }
            let name = words;
            self.pending.push(PendingWords { name, address });
            return;
        }
        self.flush_pending();
        match (address, comment) {
            // `Ann (a@b.c)`
            (_, Some(comment)) if canonical_address(&comment).is_ok() => {
                self.give(Some(words), comment);
            }
            (Some(address), comment) => self.give(comment, address),
            (None, _) => self.give(Some(words), String::new()),
        }
    }

    fn flush_pending(&mut self) {
        for pending in std::mem::take(&mut self.pending) {
            self.give_pending(pending);
        }
    }

    fn give_pending(&mut self, pending: PendingWords) {
        match pending.address {
            Some(address) => self.give(None, address),
            None => self.give(Some(pending.name), String::new()),
        }
    }

    fn give(&mut self, name: Option<String>, address: String) {
        let name = name.filter(|name| !name.is_empty());
        let mailbox = if is_kept(&address) {
            NamedAddress { name, address }
        } else {
            without_address(name, &address)
        };
        if mailbox != NamedAddress::default() && !self.is_stopped {
            self.is_stopped = !(self.take)(mailbox);
        }
    }
}

fn is_kept(address: &str) -> bool {
    canonical_address(address).is_ok()
        || !address.contains('@') && canonical_local_part(address).is_ok()
}

/// Looks for the address in what was written in its place, or as a name: within quotes, or in an encoded word.
fn without_address(name: Option<String>, address: &str) -> NamedAddress {
    let written = match &name {
        Some(name) if address.is_empty() => name.clone(),
        _ => address.to_owned(),
    };
    let marks = |character: char| {
        character.is_whitespace()
            || "'\"`.,;<>".contains(character)
            || INVISIBLE.contains(&character)
    };
    let bare = written.trim_matches(marks);
    if canonical_address(bare).is_ok() {
        let name = name.filter(|name| *name != written);
        return NamedAddress {
            name,
            address: bare.to_owned(),
        };
    }
    match NamedAddress::parse(&written) {
        Ok(found) if found.name.is_some() => NamedAddress {
            name: name.filter(|name| *name != written).or(found.name),
            address: found.address,
        },
        _ => NamedAddress {
            name: name.or(Some(written).filter(|text| !text.is_empty())),
            address: String::new(),
        },
    }
}

/// A name, if there is one, and an address.
type NamedPair = (Option<String>, String);

/// Finds addresses without angle brackets; words before one name it. Returns the words behind the last as well.
fn bare(words: &[Token<'_>]) -> (Vec<NamedPair>, String) {
    let mut found = Vec::new();
    let mut before: Vec<Token<'_>> = Vec::new();
    for chunk in token::chunks(words) {
        if token::is_address(chunk) {
            found.push((Some(phrase(&before)), token::address(chunk)));
            before.clear();
        } else {
            before.push(Token::Space);
            before.extend_from_slice(chunk);
        }
    }
    (found, phrase(&before))
}

/// Returns a single word as the address of a mailbox on the host that wrote the mail.
fn local_only(words: &[Token<'_>]) -> Option<String> {
    let mut words = words.iter().filter(|token| **token != Token::Space);
    match (words.next(), words.next()) {
        (Some(word @ Token::Atom(_)), None) => Some(token::address(&[*word])),
        _ => None,
    }
}

/// Reads words as a name, encoded words among them.
fn phrase(words: &[Token<'_>]) -> String {
    let mut octets = Vec::new();
    for word in words {
        word.push_plain(&mut octets);
    }
    header_text(&octets)
}

#[cfg(test)]
mod tests;
