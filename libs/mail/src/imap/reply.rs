use bytes::Bytes;

use super::capability::Capabilities;
use super::lexer::{Lexer, Token};
use super::listed_folder::ListedFolder;
use crate::ServerText;

mod fetch;
mod folder_status;
mod search;
mod status;

pub(super) use fetch::{BodyValue, FetchReply};
pub(super) use folder_status::FolderStatus;
pub(super) use status::{Status, StatusResponse};

/// One response of the server, as far as we have a use for it.
#[derive(Debug)]
pub(super) enum Reply {
    Tagged {
        tag: String,
        outcome: StatusResponse,
    },
    Status(StatusResponse),
    Continue(Bytes),
    Capability(Capabilities),
    Exists(u32),
    Recent,
    Expunge,
    Vanished,
    Fetch(FetchReply),
    /// A FETCH that fits no grammar, with its UID if that could be made out.
    BrokenFetch {
        uid: Option<u32>,
    },
    /// The UIDs of SEARCH or ESEARCH.
    Search(Vec<u32>),
    /// One of them that fits no grammar: what it found is not known.
    BrokenSearch(ServerText),
    List(ListedFolder),
    FolderStatus(FolderStatus),
    /// Data that we did not ask for or do not understand; the RFC wants it skipped.
    Other,
    /// Neither tagged, untagged nor a continuation.
    Stray(Bytes),
}

impl Reply {
    /// Reads one complete response.
    pub(super) fn read(frame: &Bytes) -> Self {
        match frame.as_ref() {
            [b'+', rest @ ..] => Self::Continue(frame.slice_ref(trim(rest))),
            [b'*', b' ', rest @ ..] => untagged(frame, rest),
            bytes => tagged(bytes).unwrap_or_else(|| Self::Stray(frame.clone())),
        }
    }
}

fn trim(bytes: &[u8]) -> &[u8] {
    bytes.trim_ascii()
}

fn tagged(bytes: &[u8]) -> Option<Reply> {
    let space = bytes.iter().position(|byte| *byte == b' ')?;
    let (tag, rest) = bytes.split_at_checked(space)?;
    let outcome = StatusResponse::read(rest)?;
    Some(Reply::Tagged {
        tag: String::from_utf8_lossy(tag).into_owned(),
        outcome,
    })
}

fn untagged(frame: &Bytes, rest: &[u8]) -> Reply {
    if let Some(outcome) = StatusResponse::read(rest) {
        return Reply::Status(outcome);
    }
    let mut lexer = Lexer::new(rest);
    match lexer.next() {
        Some(Token::Atom(word)) if word.first().is_some_and(u8::is_ascii_digit) => {
            numbered(frame, Token::Atom(word), lexer)
        }
        Some(Token::Atom(word)) if word.eq_ignore_ascii_case(b"SEARCH") => {
            found(frame, search::read_search(lexer))
        }
        Some(Token::Atom(word)) if word.eq_ignore_ascii_case(b"ESEARCH") => {
            found(frame, search::read_esearch(lexer))
        }
        Some(Token::Atom(word)) if word.eq_ignore_ascii_case(b"LIST") => {
            ListedFolder::read(frame).map_or(Reply::Other, Reply::List)
        }
        Some(Token::Atom(word)) if word.eq_ignore_ascii_case(b"CAPABILITY") => {
            Reply::Capability(Capabilities::read(&String::from_utf8_lossy(rest)))
        }
        Some(Token::Atom(word)) if word.eq_ignore_ascii_case(b"STATUS") => {
            FolderStatus::read(lexer).map_or(Reply::Other, Reply::FolderStatus)
        }
        Some(Token::Atom(word)) if word.eq_ignore_ascii_case(b"VANISHED") => Reply::Vanished,
        _ => Reply::Other,
    }
}

fn numbered(frame: &Bytes, number: Token<'_>, mut lexer: Lexer<'_>) -> Reply {
    let (Some(number), Some(Token::Atom(word))) = (number.number::<u32>(), lexer.next()) else {
        return Reply::Other;
    };
    if word.eq_ignore_ascii_case(b"EXISTS") {
        Reply::Exists(number)
    } else if word.eq_ignore_ascii_case(b"RECENT") {
        Reply::Recent
    } else if word.eq_ignore_ascii_case(b"EXPUNGE") {
        Reply::Expunge
    } else if word.eq_ignore_ascii_case(b"FETCH") {
        FetchReply::read(frame, number, lexer)
    } else {
        Reply::Other
    }
}

fn found(frame: &Bytes, uids: Option<Vec<u32>>) -> Reply {
    uids.map_or_else(
        || Reply::BrokenSearch(ServerText::new(frame)),
        Reply::Search,
    )
}

#[cfg(test)]
mod tests;
