use std::collections::BTreeMap;

use mailmesh_domain::{Key, MailId, UncertainPolicy};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::envelope::command;
use crate::{AddressInput, Recipients};

/// Asks for a mail to be sent. At least one of `to`, `cc`, `bcc` must name somebody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct SendMail {
    /// The outbound account's key; may be left out when the subject names it (`mail.send.<account>`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Key>,
    /// The author; the account's first From address when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::address::one_address")]
    pub from: Option<AddressInput>,
    /// Where answers go.
    #[serde(default, skip_serializing_if = "Recipients::is_empty")]
    pub reply_to: Recipients,
    /// Main recipients.
    #[serde(default, skip_serializing_if = "Recipients::is_empty")]
    pub to: Recipients,
    /// Recipients of a copy.
    #[serde(default, skip_serializing_if = "Recipients::is_empty")]
    pub cc: Recipients,
    /// Recipients of a copy, hidden from the others.
    #[serde(default, skip_serializing_if = "Recipients::is_empty")]
    pub bcc: Recipients,
    /// The subject line, of up to 8,192 octets.
    #[serde(default)]
    pub subject: String,
    /// The body as plain text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The body as HTML; with `text` both are sent as alternatives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub html: Option<String>,
    /// An invitation, an answer to one or its cancellation. It goes out as an alternative of the text, where mail programs
    /// show what can be answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calendar: Option<OutgoingCalendar>,
    /// Files to attach; at most 100.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub attachments: Vec<OutgoingAttachment>,
    /// The `Message-ID` of the mail that this one answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_reply_to: Option<String>,
    /// The `Message-ID`s of the thread, oldest first; at most 1,000, of which the first and the last 49 are sent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000))]
    pub references: Vec<String>,
    /// Further headers, such as `X-Ticket`; at most 200. Those that mailmesh or servers set are refused.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "super::header_map::read"
    )]
    #[schemars(extend("maxProperties" = 200))]
    pub headers: BTreeMap<String, String>,
    /// The same key is sent once per account, for as long as keys are kept (30 days by default).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub idempotency_key: Option<String>,
    /// What to do when delivery stays unknown; `hold` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_uncertain: Option<UncertainPolicy>,
}
command!(SendMail, "mail.send");

/// A message of iTIP (RFC 5546) for the calendar of the recipients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct OutgoingCalendar {
    /// `PUBLISH`, `REQUEST`, `REPLY`, `ADD`, `CANCEL`, `REFRESH`, `COUNTER` or `DECLINECOUNTER`: the same as the property
    /// `METHOD` of the content.
    pub method: String,
    /// The iCalendar object (RFC 5545), from `BEGIN:VCALENDAR` to `END:VCALENDAR`.
    pub content: String,
}

/// A file to attach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct OutgoingAttachment {
    /// The file's name; of a path the last part counts, and an empty name is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
    /// The media type; `application/octet-stream` when left out. `message/rfc822` and its kin go out as they are, or are
    /// refused when mail cannot carry them so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// The content in Base64 (RFC 4648 §4).
    #[schemars(extend("contentEncoding" = "base64"))]
    pub content: String,
    /// Shows the file inside the HTML body, as `cid:<content_id>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_id: Option<String>,
}

/// Asks for a mail that was not sent yet to be taken back. Names it by id or by idempotency key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct CancelMail {
    /// The outbound account's key; may be left out when the subject names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Key>,
    /// The mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mail_id: Option<MailId>,
    /// The key given to `mail.send`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
}
command!(CancelMail, "mail.cancel");
