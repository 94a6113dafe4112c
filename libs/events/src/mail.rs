//! Events about mail, and the commands that send and cancel it.

mod header_map;
mod origin;
mod received;
mod send;

use mailmesh_domain::{AttemptStage, Key, MailId, OutboundState};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

pub use origin::Origin;
pub use received::{
    Attachment, Header, MailQuarantined, MailReceived, MailboxReset, RawMail, ResetReason,
    Truncated,
};
pub use send::{CancelMail, OutgoingAttachment, OutgoingCalendar, SendMail};

use crate::Problem;
use crate::envelope::event;

/// What became of one recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RecipientOutcome {
    /// The recipient's address.
    pub address: String,
    /// Whether the server accepted the mail for this recipient.
    pub accepted: bool,
    /// The server's reply for this recipient, such as `550 5.1.1 no such user`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<String>,
}

/// The server accepted a mail for at least one recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MailSent {
    /// The mail.
    pub mail_id: MailId,
    /// The account it was sent through.
    pub account: Key,
    /// The caller's idempotency key, if one was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// The sequence of its `mail.send` in `MAIL_SEND`; absent for mails that an earlier release accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_sequence: Option<u64>,
    /// The `Message-ID` header, with its angle brackets.
    pub message_id: String,
    /// The server's final reply.
    pub reply: String,
    /// How many attempts it took.
    pub attempts: i32,
    /// When the server's final reply came.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub sent_at: OffsetDateTime,
    /// Each recipient's outcome.
    pub recipients: Vec<RecipientOutcome>,
}
event!(MailSent, "mail.sent", account);

/// An attempt failed and another follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MailDeferred {
    /// The mail.
    pub mail_id: MailId,
    /// The account it is sent through.
    pub account: Key,
    /// The caller's idempotency key, if one was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// The sequence of its `mail.send` in `MAIL_SEND`; absent for mails that an earlier release accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_sequence: Option<u64>,
    /// How many attempts were made.
    pub attempts: i32,
    /// When the next attempt is due; absent while the account waits for a person.
    #[serde(
        default,
        with = "time::serde::rfc3339::option",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub next_attempt_at: Option<OffsetDateTime>,
    /// What happened and what to do.
    pub problem: Problem,
    /// The recipients that still wait.
    pub recipients: Vec<RecipientOutcome>,
}
event!(MailDeferred, "mail.deferred", account);

/// A mail will not be sent; its body is kept for replay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MailFailed {
    /// The mail.
    pub mail_id: MailId,
    /// The account it was to be sent through.
    pub account: Key,
    /// The caller's idempotency key, if one was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// The sequence of its `mail.send` in `MAIL_SEND`; absent for mails that an earlier release accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_sequence: Option<u64>,
    /// How many attempts were made.
    pub attempts: i32,
    /// What happened and what to do.
    pub problem: Problem,
    /// Each recipient's outcome.
    pub recipients: Vec<RecipientOutcome>,
}
event!(MailFailed, "mail.failed", account);

/// The reply to the handover of a mail was lost: the provider may have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MailUncertain {
    /// The mail.
    pub mail_id: MailId,
    /// The account it was sent through.
    pub account: Key,
    /// The caller's idempotency key, if one was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// The sequence of its `mail.send` in `MAIL_SEND`; absent for mails that an earlier release accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_sequence: Option<u64>,
    /// The `Message-ID` header, to look for in the Sent folder.
    pub message_id: String,
    /// The stage that the attempt had entered.
    pub stage: AttemptStage,
    /// What happened and what to do.
    pub problem: Problem,
}
event!(MailUncertain, "mail.uncertain", account);

/// A `mail.send` that cannot be accepted, of which nothing was sent; or a `mail.cancel` that cannot be obeyed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MailRejected {
    /// The account that it named, as far as it could be read; `unknown` otherwise.
    pub account: Key,
    /// The caller's idempotency key, if one could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// The path of the field at fault, such as `to[1]` or `attachments[0].content`; empty for the whole message.
    pub field: String,
    /// What is wrong with it.
    pub reason: String,
    /// The message's sequence in `MAIL_SEND`.
    pub stream_sequence: u64,
    /// Which command was rejected; `mail.send` when it is absent.
    #[serde(default)]
    pub command: RejectedCommand,
    /// The mail that a `mail.cancel` names and that cannot be taken back, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mail_id: Option<MailId>,
}
event!(MailRejected, "mail.rejected", account);

/// A command that can be rejected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RejectedCommand {
    /// Nothing of the mail was sent.
    #[default]
    #[serde(rename = "mail.send")]
    MailSend,
    /// The mail goes on, or had come to its end before.
    #[serde(rename = "mail.cancel")]
    MailCancel,
}

/// A `mail.send` whose idempotency key was used before for the same mail: nothing more is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MailRepeated {
    /// The mail that the key was first used for; its own events tell what becomes of it.
    pub mail_id: MailId,
    /// The account it is sent through.
    pub account: Key,
    /// The caller's idempotency key, if one was given; a CloudEvents id serves as one otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// Where that mail stands: `queued`, `sending`, `sent`, `failed`, `uncertain` or `cancelled`.
    pub state: OutboundState,
    /// The sequence of the repeated `mail.send` in `MAIL_SEND`.
    pub stream_sequence: u64,
    /// The sequence of the first one; absent for mails that an earlier release accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_stream_sequence: Option<u64>,
}
event!(MailRepeated, "mail.repeated", account);

/// A mail was taken back before it was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MailCancelled {
    /// The mail.
    pub mail_id: MailId,
    /// The account it was to be sent through.
    pub account: Key,
    /// The caller's idempotency key, if one was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// The sequence of its `mail.send` in `MAIL_SEND`; absent for mails that an earlier release accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_sequence: Option<u64>,
    /// The sequence of the `mail.cancel` in `MAIL_SEND`; absent when an operator took the mail back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel_stream_sequence: Option<u64>,
}
event!(MailCancelled, "mail.cancelled", account);
