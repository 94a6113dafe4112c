use bytes::Bytes;
use thiserror::Error;
use time::OffsetDateTime;

use super::address::NamedAddress;

/// A received mail as far as it could be read. All text is without NUL.
///
/// An address is one that a mail can be sent to; it is empty where the mail names none, and has no `@` where it names a
/// mailbox on the host that wrote the mail.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ParsedMail {
    /// The `Message-ID` with its angle brackets.
    pub message_id: Option<String>,
    /// The `In-Reply-To` ids with their angle brackets.
    pub in_reply_to: Vec<String>,
    /// The `References` ids with their angle brackets.
    pub references: Vec<String>,
    /// The authors.
    pub from: Vec<NamedAddress>,
    pub sender: Option<NamedAddress>,
    /// Where answers should go.
    pub reply_to: Vec<NamedAddress>,
    /// The main recipients.
    pub to: Vec<NamedAddress>,
    /// The recipients of a copy.
    pub cc: Vec<NamedAddress>,
    /// The recipients of a hidden copy, as far as the header names them.
    pub bcc: Vec<NamedAddress>,
    /// The subject line.
    pub subject: Option<String>,
    pub date: Option<OffsetDateTime>,
    /// All header fields in order, unfolded and decoded.
    pub headers: Vec<(String, String)>,
    /// Whether header fields or addresses were left out or cut.
    pub headers_truncated: bool,
    /// The plain-text body.
    pub text: Option<InlineText>,
    /// Whether `text` was made from `html`, as the mail has no text of its own.
    pub text_derived: bool,
    /// The HTML body.
    pub html: Option<InlineText>,
    /// The other parts.
    pub attachments: Vec<ParsedAttachment>,
    /// Whether parts are missing from `attachments`.
    pub attachments_truncated: bool,
    /// The `Auto-Submitted` value in lower case (RFC 3834), such as `auto-replied`.
    pub auto_submitted: Option<String>,
    /// Why the above is incomplete.
    pub problem: Option<ParseProblem>,
}

/// A body text, perhaps cut.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InlineText {
    /// The text.
    pub content: String,
    /// Whether it was cut.
    pub truncated: bool,
}

/// A part that is not the mail's own text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParsedAttachment {
    /// The part's number, for [`attachment`](super::attachment).
    pub part: u32,
    /// The file's name.
    pub filename: Option<String>,
    /// The media type.
    pub content_type: String,
    /// The id that the HTML body may refer to, without angle brackets.
    pub content_id: Option<String>,
    /// Whether the part asks to be shown inside the body.
    pub is_inline: bool,
    /// The decoded size; `None` when only the mail's beginning was read, and the part goes on behind it.
    pub bytes: Option<u64>,
}

/// One part's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachmentContent {
    /// What the list of parts says about it.
    pub attachment: ParsedAttachment,
    /// The decoded content.
    pub content: Bytes,
}

/// Why a mail was not read in full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ParseProblem {
    /// It has no header fields.
    #[error("the mail has no header fields")]
    NoHeader,
    /// The header is longer than what is read.
    #[error("the header is longer than 256 KiB; the rest was not read")]
    HeaderTooLong,
    /// There are more or deeper parts than what is read.
    #[error(
        "the mail has more than 256 parts, or parts nested deeper than 16; the rest was not read"
    )]
    TooManyParts,
    /// A multipart without its parts.
    #[error(
        "a multipart names no boundary, or one that no line of it has; it was read as plain text"
    )]
    MultipartUnopened,
}
