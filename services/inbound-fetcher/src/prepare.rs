use std::fmt::Write;

use aws_lc_rs::digest;
use bytes::Bytes;
use mailmesh_bus::{Outgoing, RawMails, trace};
use mailmesh_domain::{AccountId, AfterReceive, EventId, MailId, Position};
use mailmesh_events::mail::{Attachment, Header, MailReceived, Origin, RawMail, Truncated};
use mailmesh_events::{Encoded, MailAddress, subject};
use mailmesh_mail::imap::FetchedMail;
use mailmesh_mail::message::{InlineText, Mailbox, Parsed, parse};
use mailmesh_store::account::Account;
use mailmesh_store::mailbox::ReceivedMail;
use time::OffsetDateTime;

/// Under the server's limit of 1 MiB, with room for headers.
const PAYLOAD_BYTES: usize = 900 * 1024;
/// Larger heads are parsed off the threads that serve all accounts; many hundreds of the others come in one batch.
const PARSE_APART_BYTES: usize = 16 * 1024;

/// What is known of a mail once all of it was read.
#[derive(Debug)]
pub(crate) struct Whole {
    pub(crate) uid: u32,
    pub(crate) internal_date: Option<OffsetDateTime>,
    pub(crate) flags: Vec<String>,
    pub(crate) sha256: [u8; 32],
    pub(crate) bytes: u64,
    /// The mail's beginning, or all of it.
    pub(crate) head: Bytes,
}

impl Whole {
    pub(crate) fn of(mail: FetchedMail) -> Self {
        Self {
            uid: mail.uid,
            internal_date: mail.internal_date,
            flags: mail.flags,
            sha256: mailmesh_secrets::sha256(&mail.body),
            bytes: length(&mail.body),
            head: mail.body,
        }
    }
}

/// A mail that is ready to be published and recorded.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) event: Outgoing,
    pub(crate) record: ReceivedMail,
    /// Shared with the fetched mail, not a copy.
    pub(crate) raw: Bytes,
}

/// Where a mail lies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) account: &'a Account,
    pub(crate) folder: &'a str,
    pub(crate) position: &'a Position,
}

/// Makes the event and the record of a mail.
pub(crate) async fn prepare(
    place: Place<'_>,
    mail: Whole,
    source: &str,
    now: OffsetDateTime,
) -> Result<Prepared, serde_json::Error> {
    let record = record_of(place, &mail);
    let raw = mail.head.clone();
    let parsed = parse_apart(mail.head.clone()).await;
    let event = event_of(place, mail, parsed, &record);
    let id = EventId::from_uuid(record.id.as_uuid());
    let encoded = encode_bounded(event, id, source, now)?;
    let mut headers = encoded.headers;
    trace::inject(&mut headers);
    let event = Outgoing {
        subject: encoded.subject,
        message_id: encoded.id,
        headers,
        payload: encoded.payload.into(),
    };
    Ok(Prepared { event, record, raw })
}

async fn parse_apart(head: Bytes) -> Parsed {
    if head.len() < PARSE_APART_BYTES {
        tokio::task::consume_budget().await;
        return parse(&head);
    }
    // The parser has no way to fail; should it panic all the same, the mail is announced raw.
    let parsed = tokio::task::spawn_blocking(move || parse(&head)).await;
    parsed.unwrap_or_default()
}

fn record_of(place: Place<'_>, mail: &Whole) -> ReceivedMail {
    ReceivedMail {
        id: mail_id(place.account.id, place.folder, place.position, &mail.sha256),
        account_id: place.account.id,
        folder: place.folder.to_owned(),
        position: place.position.clone(),
        ordinal: u64::from(mail.uid),
        sha256: mail.sha256,
        size_bytes: mail.bytes,
        chunks: RawMails::chunk_count(mail.bytes),
        is_post_action_due: place.account.after_receive != AfterReceive::Keep,
    }
}

/// Derives the id of a mail, so that whoever reads it again finds the same.
pub(crate) fn mail_id(
    account: AccountId,
    folder: &str,
    position: &Position,
    sha256: &[u8; 32],
) -> MailId {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(account.as_uuid().as_bytes());
    context.update(&length(folder.as_bytes()).to_be_bytes());
    context.update(folder.as_bytes());
    match position {
        // Events of earlier releases are read back: these bytes stay as they are.
        Position::Imap { uid_validity, uid } => {
            context.update(&uid_validity.to_be_bytes());
            context.update(&uid.to_be_bytes());
        }
        Position::Pop3 { uidl } => {
            context.update(b"pop3");
            let uidl = uidl.as_deref().unwrap_or_default().as_bytes();
            context.update(&length(uidl).to_be_bytes());
            context.update(uidl);
        }
    }
    context.update(sha256);
    let mut id = [0; 16];
    let digest = context.finish();
    for (to, from) in id.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    // Version 8: a UUID whose bits have a meaning of our own (RFC 9562).
    MailId::from_uuid(uuid::Builder::from_custom_bytes(id).into_uuid())
}

fn event_of(place: Place<'_>, mail: Whole, parsed: Parsed, record: &ReceivedMail) -> MailReceived {
    let is_head_only = length(&mail.head) < mail.bytes;
    let truncated = [
        (is_cut(parsed.text.as_ref()), Truncated::Text),
        (is_cut(parsed.html.as_ref()), Truncated::Html),
        (parsed.headers_truncated, Truncated::Headers),
        (
            parsed.attachments_truncated || is_head_only,
            Truncated::Attachments,
        ),
    ];
    MailReceived {
        mail_id: record.id,
        account: place.account.key.clone(),
        origin: Origin {
            folder: place.folder.to_owned(),
            position: place.position.clone(),
        },
        received_at: mail.internal_date,
        date: parsed.date,
        message_id: parsed.message_id,
        in_reply_to: parsed.in_reply_to,
        references: parsed.references,
        from: addresses(parsed.from),
        sender: parsed.sender.map(address),
        reply_to: addresses(parsed.reply_to),
        to: addresses(parsed.to),
        cc: addresses(parsed.cc),
        bcc: addresses(parsed.bcc),
        subject: parsed.subject,
        text: parsed.text.map(|text| text.content),
        html: parsed.html.map(|text| text.content),
        headers: parsed
            .headers
            .into_iter()
            .map(|(name, value)| Header { name, value })
            .collect(),
        attachments: parsed.attachments.into_iter().map(attachment).collect(),
        truncated: truncated
            .into_iter()
            .filter_map(|(is_cut, field)| is_cut.then_some(field))
            .collect(),
        flags: mail.flags,
        raw: RawMail {
            stream: subject::MAIL_RAW_STREAM.to_owned(),
            subject: format!("raw.{}", record.id),
            chunks: record.chunks,
            bytes: mail.bytes,
            sha256: to_hex(&mail.sha256),
        },
        parse_problem: parsed.problem.map(|problem| problem.to_string()),
    }
}

/// Encodes the event; leaves fields out until the server takes it, as escapes can make six bytes of one.
fn encode_bounded(
    mut event: MailReceived,
    id: EventId,
    source: &str,
    now: OffsetDateTime,
) -> Result<Encoded, serde_json::Error> {
    let cuts = [
        Truncated::Html,
        Truncated::Headers,
        Truncated::Text,
        Truncated::Attachments,
    ];
    let mut encoded = mailmesh_events::encode(&event, id, source, now)?;
    for field in cuts {
        if encoded.payload.len() <= PAYLOAD_BYTES {
            break;
        }
        match field {
            Truncated::Html => event.html = None,
            Truncated::Headers => event.headers.clear(),
            Truncated::Text => event.text = None,
            Truncated::Attachments => event.attachments.clear(),
        }
        if !event.truncated.contains(&field) {
            event.truncated.push(field);
        }
        encoded = mailmesh_events::encode(&event, id, source, now)?;
    }
    Ok(encoded)
}

fn is_cut(text: Option<&InlineText>) -> bool {
    text.is_some_and(|text| text.truncated)
}

fn addresses(mailboxes: Vec<Mailbox>) -> Vec<MailAddress> {
    mailboxes.into_iter().map(address).collect()
}

fn address(mailbox: Mailbox) -> MailAddress {
    MailAddress {
        name: mailbox.name,
        address: mailbox.address,
    }
}

fn attachment(found: mailmesh_mail::message::Attachment) -> Attachment {
    Attachment {
        part: found.part,
        filename: found.filename,
        content_type: found.content_type,
        content_id: found.content_id,
        is_inline: found.is_inline,
        bytes: found.bytes,
    }
}

pub(crate) fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

fn to_hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a string never fails.
        write!(text, "{byte:02x}").ok();
    }
    text
}

pub(crate) fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests;
