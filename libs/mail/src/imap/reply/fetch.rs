use bytes::Bytes;
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use super::super::lexer::{Lexer, Token};
use super::Reply;

/// RFC 3501 `date-time`; the day may be padded with a space, which is trimmed first.
const INTERNAL_DATE: &[BorrowedFormatItem<'_>] = format_description!(
    version = 2,
    "[day padding:none]-[month repr:short case_sensitive:false]-[year] [hour]:[minute]:[second] [offset_hour sign:mandatory][offset_minute]"
);

/// Maximum flags of a mail: they go into its event, which a line full of them would make too large to publish.
const MOST_FLAGS: usize = 100;
const LONGEST_FLAG: usize = 100;

/// What a FETCH response says of a body section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::imap) enum BodyValue {
    /// The server has the mail and cannot show it.
    Nil,
    Bytes {
        bytes: Bytes,
        /// Where in the mail they begin, if the server says so. Without it they are the whole.
        origin: Option<u64>,
    },
}

/// The items of a FETCH response that we use.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::imap) struct FetchReply {
    pub(in crate::imap) sequence: u32,
    pub(in crate::imap) uid: Option<u32>,
    pub(in crate::imap) size: Option<u32>,
    pub(in crate::imap) internal_date: Option<OffsetDateTime>,
    /// All but very long ones, up to a number.
    pub(in crate::imap) flags: Vec<String>,
    pub(in crate::imap) body: Option<BodyValue>,
}

impl FetchReply {
    /// Reads what follows `n FETCH`.
    pub(super) fn read(frame: &Bytes, sequence: u32, mut lexer: Lexer<'_>) -> Reply {
        let mut fetched = Self {
            sequence,
            ..Self::default()
        };
        match fetched.read_items(frame, &mut lexer) {
            Some(()) => Reply::Fetch(fetched),
            None => Reply::BrokenFetch {
                uid: fetched.uid.or_else(|| find_uid(frame)),
            },
        }
    }

    fn read_items(&mut self, frame: &Bytes, lexer: &mut Lexer<'_>) -> Option<()> {
        if lexer.next()? != Token::Open {
            return None;
        }
        loop {
            let name = match lexer.next()? {
                Token::Close => return Some(()),
                Token::Atom(name) => name,
                _ => return None,
            };
            let value = lexer.next()?;
            if value == Token::Close {
                return None;
            }
            if name.eq_ignore_ascii_case(b"UID") {
                self.uid = Some(value.number::<u32>().filter(|uid| *uid > 0)?);
            } else if name.eq_ignore_ascii_case(b"RFC822.SIZE") {
                // Exchange only estimates sizes: one that is no 32-bit number is ignored rather than an error.
                self.size = value.number();
            } else if name.eq_ignore_ascii_case(b"INTERNALDATE") {
                self.internal_date = value.bytes().as_deref().and_then(read_date);
            } else if name.eq_ignore_ascii_case(b"FLAGS") {
                self.read_flags(value, lexer)?;
            } else if is_whole_body(name) {
                self.body = Some(read_body(frame, name, value)?);
            } else {
                lexer.skip_value(value)?;
            }
        }
    }

    fn read_flags(&mut self, first: Token<'_>, lexer: &mut Lexer<'_>) -> Option<()> {
        if first != Token::Open {
            return Some(());
        }
        loop {
            match lexer.next()? {
                Token::Close => return Some(()),
                Token::Atom(flag) if flag.len() <= LONGEST_FLAG => {
                    if self.flags.len() < MOST_FLAGS {
                        self.flags.push(String::from_utf8_lossy(flag).into_owned());
                    }
                }
                other => lexer.skip_value(other)?,
            }
        }
    }
}

fn is_whole_body(name: &[u8]) -> bool {
    name.get(..6)
        .is_some_and(|start| start.eq_ignore_ascii_case(b"BODY[]"))
}

fn read_body(frame: &Bytes, name: &[u8], value: Token<'_>) -> Option<BodyValue> {
    let origin = read_origin(name);
    let bytes = match value {
        Token::Atom(word) if word.eq_ignore_ascii_case(b"NIL") => return Some(BodyValue::Nil),
        Token::Literal(bytes) => frame.slice_ref(bytes),
        Token::Quoted(raw) if !raw.contains(&b'\\') => frame.slice_ref(raw),
        Token::Quoted(_) => Bytes::from(value.bytes()?.into_owned()),
        _ => return None,
    };
    Some(BodyValue::Bytes { bytes, origin })
}

/// Reads n of `BODY[]<n>`.
fn read_origin(name: &[u8]) -> Option<u64> {
    let open = name.iter().position(|byte| *byte == b'<')?;
    let number = name.get(open + 1..)?.strip_suffix(b">")?;
    std::str::from_utf8(number).ok()?.parse().ok()
}

fn read_date(text: &[u8]) -> Option<OffsetDateTime> {
    let text = std::str::from_utf8(text).ok()?.trim();
    OffsetDateTime::parse(text, INTERNAL_DATE).ok()
}

/// Looks for `UID n` in the first line of a response that could not be read otherwise.
fn find_uid(frame: &[u8]) -> Option<u32> {
    let line = frame.split(|byte| *byte == b'\r').next()?;
    let mut words = line.split(|byte| matches!(byte, b' ' | b'(' | b')'));
    words.find(|word| word.eq_ignore_ascii_case(b"UID"))?;
    std::str::from_utf8(words.next()?).ok()?.parse().ok()
}
