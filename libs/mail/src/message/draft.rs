use std::collections::BTreeMap;

use bytes::Bytes;
use thiserror::Error;
use time::OffsetDateTime;

use super::address::{AddressProblem, Envelope, NamedAddress};

/// A mail to build. An address may hold `Name <a@b.c>` when its name is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Draft {
    /// The author; the context's default when left out.
    pub from: Option<NamedAddress>,
    /// Who sends for the author; becomes the envelope's sender.
    pub sender: Option<NamedAddress>,
    /// Where answers go.
    pub reply_to: Vec<NamedAddress>,
    /// Main recipients.
    pub to: Vec<NamedAddress>,
    /// Recipients of a copy.
    pub cc: Vec<NamedAddress>,
    /// Recipients that appear in the envelope alone.
    pub bcc: Vec<NamedAddress>,
    /// The subject line.
    pub subject: String,
    /// The body as plain text.
    pub text: Option<String>,
    /// The body as HTML.
    pub html: Option<String>,
    /// What a calendar program is to act on.
    pub calendar: Option<DraftCalendar>,
    /// Files to attach.
    pub attachments: Vec<DraftAttachment>,
    /// The `Message-ID` that this mail answers, with or without angle brackets.
    pub in_reply_to: Option<String>,
    /// The `Message-ID`s of the thread, oldest first.
    pub references: Vec<String>,
    /// Further headers.
    pub headers: BTreeMap<String, String>,
}

/// An invitation, an answer to one, or another message of iTIP (RFC 5546).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DraftCalendar {
    /// What is asked for, such as `REQUEST`; the same as in the content.
    pub method: String,
    /// The iCalendar object (RFC 5545).
    pub content: String,
}

/// A file to attach.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DraftAttachment {
    /// The file's name, of which the last part of a path counts; none when it is empty.
    pub filename: String,
    /// The media type; `application/octet-stream` when left out.
    pub content_type: Option<String>,
    pub content: Bytes,
    /// The id by which the HTML body shows the file (`cid:<content_id>`); such a file is inline.
    pub content_id: Option<String>,
}

/// What a mail takes from elsewhere than its draft.
#[derive(Debug, Clone)]
pub struct BuildContext {
    /// The `Message-ID`, the same on every attempt, with or without angle brackets.
    pub message_id: String,
    pub date: OffsetDateTime,
    /// The author of drafts that name none.
    pub default_from: Option<NamedAddress>,
    /// What is too much.
    pub limits: BuildLimits,
}

/// What is too much for one mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BuildLimits {
    /// The size of the built mail.
    pub max_bytes: usize,
    /// The recipients in to, cc and bcc together.
    pub max_recipients: usize,
    pub max_attachments: usize,
    /// The octets of one header value as it was given.
    pub max_header_bytes: usize,
}

impl Default for BuildLimits {
    /// Gmail and Exchange Online refuse more than about 35 MB and 500 recipients.
    fn default() -> Self {
        Self {
            max_bytes: 36_700_160,
            max_recipients: 500,
            max_attachments: 100,
            max_header_bytes: 8_192,
        }
    }
}

/// A mail ready for the wire.
#[derive(Debug, Clone)]
pub struct Built {
    /// The mail (RFC 5322), with CRLF line ends.
    pub raw: Bytes,
    /// The `Message-ID` with its angle brackets.
    pub message_id: String,
    /// Who it goes from and to.
    pub envelope: Envelope,
}

/// A draft that cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{path} {problem}")]
pub struct BuildError {
    /// The path of the field at fault, such as `to[1].name` or `headers.X-Ticket`.
    pub path: String,
    /// What is wrong with it.
    pub problem: FieldProblem,
}

impl BuildError {
    pub(super) fn new(path: impl Into<String>, problem: impl Into<FieldProblem>) -> Self {
        Self {
            path: path.into(),
            problem: problem.into(),
        }
    }
}

/// What is wrong with a field.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FieldProblem {
    /// The address cannot be used.
    #[error(transparent)]
    Address(#[from] AddressProblem),
    /// It could smuggle in other headers or breaks what reads it.
    #[error("holds a line break or another control character")]
    ControlCharacter,
    /// A body must be text.
    #[error("holds a NUL character")]
    Nul,
    /// Nobody is named.
    #[error("names nobody: at least one of to, cc and bcc must")]
    NoRecipients,
    /// It was left out and has no default.
    #[error("is missing")]
    Missing,
    /// It is longer than allowed.
    #[error("is longer than {limit} octets")]
    TooLong {
        /// The most that is allowed.
        limit: usize,
    },
    /// It has more entries than allowed.
    #[error("has more than {limit} entries")]
    TooMany {
        /// The most that is allowed.
        limit: usize,
    },
    /// The mail is larger than allowed.
    #[error("makes the mail larger than {limit} octets")]
    TooLarge {
        /// The most that is allowed.
        limit: usize,
    },
    /// Programs read it, which decode no encoded words (RFC 2047 §5).
    #[error("holds other than ASCII characters, which this header cannot carry")]
    NotAscii,
    /// It cannot be folded into lines of mail, and must not be encoded.
    #[error("has a part without spaces that does not fit a line of {limit} octets")]
    Unfoldable {
        /// The octets of a line.
        limit: usize,
    },
    /// The header is set by other fields or by servers.
    #[error("is set from other fields or by servers, and cannot be given here")]
    ReservedHeader,
    /// The header's name is not a name.
    #[error("is not a header name")]
    InvalidHeaderName,
    /// Two names differ only in case.
    #[error("is given twice")]
    DuplicateHeader,
    /// The media type cannot be read or may not be attached.
    #[error("is not a media type that can be attached, such as `application/pdf`")]
    InvalidContentType,
    /// It is none of RFC 5546.
    #[error("is no method of iTIP, such as `REQUEST`, `REPLY` or `CANCEL`")]
    InvalidMethod,
    /// Part and content would say different things.
    #[error("is not the METHOD of the calendar's content")]
    OtherMethod,
    /// It does not begin and end as one.
    #[error("is no iCalendar object, from BEGIN:VCALENDAR to END:VCALENDAR")]
    InvalidCalendar,
    /// Such a message can neither go as it is nor in Base64 (RFC 2046 §5.2).
    #[error(
        "is no message that mail can carry as it is (a NUL, a line over 998 octets, or 8-bit octets in a type that forbids \
         them); attach it as application/octet-stream"
    )]
    InvalidMessage,
    /// The id is not one message id.
    #[error("is not one message id such as `<id@example.com>`")]
    InvalidMessageId,
    /// The moment has no calendar form in mail.
    #[error("cannot be written as a mail date")]
    InvalidDate,
}
