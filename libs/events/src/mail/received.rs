use mailmesh_domain::{Key, MailId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::Origin;
use crate::envelope::event;
use crate::{MailAddress, Problem};

/// One header field of a mail, decoded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Header {
    /// The field's name as it stands in the mail.
    pub name: String,
    /// The field's value, unfolded and decoded.
    pub value: String,
}

/// Where the raw mail (RFC 5322) lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RawMail {
    /// The stream, read with direct get.
    pub stream: String,
    /// The subject of the first chunk ends in `.0`; chunk `n` lies on `<subject>.<n>`.
    pub subject: String,
    /// How many chunks to join.
    pub chunks: u32,
    /// The mail's size in bytes.
    pub bytes: u64,
    /// SHA-256 of the whole, in lower-case hexadecimal.
    pub sha256: String,
}

/// One part of a mail that is not its inline text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Attachment {
    /// The part's number, for fetching it: `GET /v1/mails/{id}/attachments/{part}`.
    pub part: u32,
    /// The file's name, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
    /// The media type.
    pub content_type: String,
    /// The content id that the HTML body may refer to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_id: Option<String>,
    /// Whether the part asks to be shown inside the body.
    pub is_inline: bool,
    /// The decoded size in bytes. Missing of the part in which the parsed beginning of a large mail ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

/// A field of [`MailReceived`] that was cut to its bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Truncated {
    /// The plain-text body.
    Text,
    /// The HTML body.
    Html,
    /// The header fields.
    Headers,
    /// The list of attachments: the mail is larger than what is parsed.
    Attachments,
}

/// A new mail in a watched folder.
///
/// An `address` in it is one that `mail.send` takes, with two exceptions: it is empty where the mail names nobody that
/// could be sent to (the `name` then has what it says), and it is without `@` where it names a mailbox on the host that
/// wrote the mail, such as `root`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MailReceived {
    /// The mail; equal to the event's id, and the same however often it is read.
    pub mail_id: MailId,
    /// The account that found it.
    pub account: Key,
    /// Where it was found.
    pub origin: Origin,
    /// When the server took it in (INTERNALDATE).
    #[serde(
        default,
        with = "time::serde::rfc3339::option",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub received_at: Option<OffsetDateTime>,
    /// The `Date` header; missing where it does not name a moment beyond doubt.
    #[serde(
        default,
        with = "time::serde::rfc3339::option",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub date: Option<OffsetDateTime>,
    /// The `Message-ID`, with its angle brackets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// The `In-Reply-To` ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub in_reply_to: Vec<String>,
    /// The `References` ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<String>,
    /// The authors.
    #[serde(default)]
    pub from: Vec<MailAddress>,
    /// The `Sender`, when it is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender: Option<MailAddress>,
    /// Where answers should go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reply_to: Vec<MailAddress>,
    /// The main recipients.
    #[serde(default)]
    pub to: Vec<MailAddress>,
    /// The recipients of a copy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cc: Vec<MailAddress>,
    /// The recipients of a hidden copy, as far as the mail tells.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bcc: Vec<MailAddress>,
    /// The subject line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The plain-text body, up to 64 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Whether `text` was made from `html`, as the mail has no text of its own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub text_derived: bool,
    /// The HTML body, up to 64 KiB. Not sanitised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub html: Option<String>,
    /// All header fields in order, up to a bound.
    #[serde(default)]
    pub headers: Vec<Header>,
    /// The other parts.
    #[serde(default)]
    pub attachments: Vec<Attachment>,
    /// What of the above is incomplete because of its size; the whole lies in the raw mail.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub truncated: Vec<Truncated>,
    /// The flags on the server when it was read.
    #[serde(default)]
    pub flags: Vec<String>,
    /// Where the raw mail lies.
    pub raw: RawMail,
    /// Why the fields above are incomplete, if the mail could not be parsed in full.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parse_problem: Option<String>,
}
event!(MailReceived, "mail.received", account);

/// A mail that could not be read after counted attempts; it stays on the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MailQuarantined {
    /// The account that found it.
    pub account: Key,
    /// Where it lies.
    pub origin: Origin,
    /// How many attempts were made.
    pub attempts: i32,
    /// What happened and what to do.
    pub problem: Problem,
}
event!(MailQuarantined, "mail.quarantined", account);

/// Why a folder is read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResetReason {
    /// The server renumbered the folder: its UIDVALIDITY changed.
    EpochEnded,
    /// The account was given another server or login.
    ServerChanged,
    /// The server gave UIDs again that it had given to other mails, under the same UIDVALIDITY, as after a restore from a
    /// backup.
    NumberingWentBack,
    /// Mails of another folder of this account, which is no longer watched, were found here: it was renamed.
    FolderRenamed,
    /// A server that lists its whole mailbox shows none of the positions that it showed before.
    PositionsReplaced,
}

/// A folder is read again from its beginning, without a second `mail.received` for what was received.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MailboxReset {
    /// The account that watches the folder.
    pub account: Key,
    /// The folder's name.
    pub folder: String,
    /// Why.
    pub reason: ResetReason,
}
event!(MailboxReset, "mailbox.reset", account);
