use time::format_description::well_known::Rfc2822;
use time::{Date, OffsetDateTime};

use super::Session;
use super::answer::{CommandAnswer, CommandProblem};
use super::header::{HeaderFields, find_value, header_length};
use super::moment::parse_date;
use super::parse::{Malformed, Parser};
use super::sequence::Sequence;
use crate::mailbox::{Flags, Mail};
use crate::server::bytes::contains_ignoring_case;

/// How deep keys may nest.
const DEPTH: u8 = 16;

enum SearchKey {
    All,
    Nothing,
    Flag(u8),
    Keyword(String),
    Numbers(Sequence),
    Uids(Sequence),
    Header { name: String, value: String },
    Text { value: String, is_body_only: bool },
    Larger(usize),
    Smaller(usize),
    Day { day: Day, is_sent: bool },
    Not(Box<Self>),
    Or(Box<Self>, Box<Self>),
    Every(Vec<Self>),
}

#[derive(Clone, Copy)]
enum Day {
    Before(Date),
    On(Date),
    Since(Date),
}

/// A mail as one session numbers it.
struct Candidate<'a> {
    mail: &'a Mail,
    number: u32,
    count: u32,
    largest_uid: u32,
}

impl Session {
    pub(super) fn search(
        &mut self,
        is_by_uid: bool,
        parser: &mut Parser,
    ) -> Result<CommandAnswer, CommandProblem> {
        let mut ahead = parser.clone();
        if ahead.word().is_ok_and(|word| word == "CHARSET") {
            let charset = ahead.string()?.to_ascii_uppercase();
            if !matches!(charset.as_str(), "UTF-8" | "US-ASCII") {
                return Ok(CommandAnswer::No(
                    "[BADCHARSET (UTF-8 US-ASCII)] Unknown charset".into(),
                ));
            }
            parser.clone_from(&ahead);
        }
        let key = parse_keys(parser, DEPTH)?;
        let (mailbox, view, wire) = self.selected()?;
        let folders = mailbox.folders();
        let Some(folder) = view.find(&folders) else {
            return Ok(CommandAnswer::Done);
        };
        let uids = view.uids();
        let count = u32::try_from(uids.len()).unwrap_or(u32::MAX);
        wire.put(b"* SEARCH");
        for (number, uid) in (1..).zip(uids) {
            let Some(mail) = folder.find(*uid) else {
                continue;
            };
            let candidate = Candidate {
                mail,
                number,
                count,
                largest_uid: uids.last().copied().unwrap_or(0),
            };
            if key.matches(&candidate) {
                wire.say(format_args!(" {}", if is_by_uid { *uid } else { number }));
            }
        }
        wire.put(b"\r\n");
        Ok(CommandAnswer::Done)
    }
}

fn parse_keys(parser: &mut Parser, depth: u8) -> Result<SearchKey, Malformed> {
    let mut keys = vec![parse_key(parser, depth)?];
    while parser.peek().is_some_and(|byte| byte != b')') {
        keys.push(parse_key(parser, depth)?);
    }
    Ok(SearchKey::Every(keys))
}

fn parse_key(parser: &mut Parser, depth: u8) -> Result<SearchKey, Malformed> {
    let depth = depth.checked_sub(1).ok_or(Malformed)?;
    if parser.take(b'(') {
        let keys = parse_keys(parser, depth)?;
        parser.expect(b')')?;
        return Ok(keys);
    }
    if parser
        .peek()
        .is_some_and(|byte| byte.is_ascii_digit() || byte == b'*')
    {
        return Ok(SearchKey::Numbers(parser.sequence()?));
    }
    let word = parser.word()?;
    if let Some(key) = parse_flag(&word) {
        return Ok(key);
    }
    if let Some(key) = parse_day(&word, parser)? {
        return Ok(key);
    }
    Ok(match word.as_str() {
        "ALL" | "OLD" => SearchKey::All,
        "NEW" | "RECENT" => SearchKey::Nothing,
        "UID" => SearchKey::Uids(parser.sequence()?),
        "KEYWORD" => SearchKey::Keyword(parser.atom()?),
        "UNKEYWORD" => SearchKey::Not(Box::new(SearchKey::Keyword(parser.atom()?))),
        "HEADER" => SearchKey::Header {
            name: parser.string()?,
            value: parser.string()?,
        },
        "FROM" | "TO" | "CC" | "BCC" | "SUBJECT" => SearchKey::Header {
            name: word,
            value: parser.string()?,
        },
        "BODY" | "TEXT" => SearchKey::Text {
            is_body_only: word == "BODY",
            value: parser.string()?,
        },
        "LARGER" => SearchKey::Larger(to_size(parser.number()?)),
        "SMALLER" => SearchKey::Smaller(to_size(parser.number()?)),
        "NOT" => SearchKey::Not(Box::new(parse_key(parser, depth)?)),
        "OR" => SearchKey::Or(
            Box::new(parse_key(parser, depth)?),
            Box::new(parse_key(parser, depth)?),
        ),
        _ => return Err(Malformed),
    })
}

fn to_size(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn parse_flag(word: &str) -> Option<SearchKey> {
    let (name, is_negated) = match word.strip_prefix("UN") {
        Some(name) if name != "KEYWORD" => (name, true),
        _ => (word, false),
    };
    let flag = SearchKey::Flag(match name {
        "SEEN" => Flags::SEEN,
        "ANSWERED" => Flags::ANSWERED,
        "FLAGGED" => Flags::FLAGGED,
        "DELETED" => Flags::DELETED,
        "DRAFT" => Flags::DRAFT,
        _ => return None,
    });
    Some(if is_negated {
        SearchKey::Not(Box::new(flag))
    } else {
        flag
    })
}

fn parse_day(word: &str, parser: &mut Parser) -> Result<Option<SearchKey>, Malformed> {
    let (name, is_sent) = match word.strip_prefix("SENT") {
        Some(name) => (name, true),
        None => (word, false),
    };
    let make = match name {
        "BEFORE" => Day::Before,
        "ON" => Day::On,
        "SINCE" => Day::Since,
        _ => return Ok(None),
    };
    let day = make(parse_date(&parser.string()?).ok_or(Malformed)?);
    Ok(Some(SearchKey::Day { day, is_sent }))
}

impl SearchKey {
    fn matches(&self, candidate: &Candidate<'_>) -> bool {
        let mail = candidate.mail;
        match self {
            Self::All => true,
            Self::Nothing => false,
            Self::Flag(bit) => mail.flags.has(*bit),
            Self::Keyword(name) => mail.flags.has_keyword(name),
            Self::Numbers(set) => set.contains(candidate.number, candidate.count),
            Self::Uids(set) => set.contains(mail.uid, candidate.largest_uid),
            Self::Header { name, value } => has_header(&mail.raw, name, value),
            Self::Text {
                value,
                is_body_only,
            } => {
                let start = if *is_body_only {
                    header_length(&mail.raw)
                } else {
                    0
                };
                let text = mail.raw.get(start..).unwrap_or_default();
                contains_ignoring_case(text, value.as_bytes())
            }
            Self::Larger(bytes) => mail.raw.len() > *bytes,
            Self::Smaller(bytes) => mail.raw.len() < *bytes,
            Self::Day { day, is_sent } => day.matches(mail, *is_sent),
            Self::Not(key) => !key.matches(candidate),
            Self::Or(one, other) => one.matches(candidate) || other.matches(candidate),
            Self::Every(keys) => keys.iter().all(|key| key.matches(candidate)),
        }
    }
}

fn has_header(raw: &[u8], name: &str, value: &str) -> bool {
    HeaderFields::of(raw)
        .filter(|field| field.name.eq_ignore_ascii_case(name.as_bytes()))
        .any(|field| contains_ignoring_case(field.value().as_bytes(), value.as_bytes()))
}

impl Day {
    fn matches(self, mail: &Mail, is_sent: bool) -> bool {
        let date = if is_sent {
            let sent = find_value(&mail.raw, "Date")
                .and_then(|value| OffsetDateTime::parse(&value, &Rfc2822).ok());
            match sent {
                Some(moment) => moment.date(),
                None => return false,
            }
        } else {
            mail.received_at.date()
        };
        match self {
            Self::Before(day) => date < day,
            Self::On(day) => date == day,
            Self::Since(day) => date >= day,
        }
    }
}
