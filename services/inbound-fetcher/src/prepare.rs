use bytes::Bytes;
use mailmesh_bus::{Outgoing, RawMails, trace};
use mailmesh_domain::{EventId, Position};
use mailmesh_events::mail::{Attachment, Header, MailReceived, Origin, RawMail, Truncated};
use mailmesh_events::{EncodedEvent, MailAddress, subject};
use mailmesh_mail::message::{InlineText, NamedAddress, ParsedMail, parse, parse_beginning};
use mailmesh_mail::source::{FetchedMail, ListedMail};
use mailmesh_store::mailbox::{FoundMail, ReceivedMail};
use time::OffsetDateTime;

use crate::account_context::AccountContext;
use crate::mail_id::{derive, length, to_hex};

/// Maximum bytes of an event: below NATS's default `max_payload` of 1 MiB, with a reserve for headers.
const PAYLOAD_BYTES: usize = 900 * 1024;
/// Larger heads are parsed on the blocking pool, so that they do not delay other accounts' tasks.
const PARSE_APART_BYTES: usize = 16 * 1024;

/// A mail all of which was read.
#[derive(Debug)]
pub(crate) struct WholeMail {
    pub(crate) ordinal: u64,
    pub(crate) position: Position,
    /// Its size by the listing, if it was listed with one.
    pub(crate) listed_bytes: Option<u64>,
    pub(crate) received_at: Option<OffsetDateTime>,
    pub(crate) flags: Vec<String>,
    pub(crate) sha256: [u8; 32],
    pub(crate) bytes: u64,
    /// The mail's beginning, or all of it.
    pub(crate) head: Bytes,
}

impl WholeMail {
    pub(crate) fn new(mail: FetchedMail, listed: &ListedMail) -> Self {
        Self {
            ordinal: mail.ordinal,
            position: listed.position.clone(),
            listed_bytes: listed.bytes,
            received_at: mail.received_at,
            flags: mail.flags,
            sha256: mailmesh_secrets::sha256(&mail.body),
            bytes: length(&mail.body),
            head: mail.body,
        }
    }

    pub(crate) fn to_found(&self) -> FoundMail {
        FoundMail {
            ordinal: self.ordinal,
            position: self.position.clone(),
            sha256: self.sha256,
        }
    }
}

/// A mail that is ready to be published and recorded.
#[derive(Debug)]
pub(crate) struct PreparedEvent {
    pub(crate) event: Outgoing,
    pub(crate) record: ReceivedMail,
    /// Shared with the fetched mail, not a copy.
    pub(crate) raw: Bytes,
}

/// Makes the event, which names `source` as its own, and the record of a mail.
pub(crate) async fn prepare(
    owner: &AccountContext,
    folder: &str,
    mail: WholeMail,
    source: &str,
) -> Result<PreparedEvent, serde_json::Error> {
    let record = record_of(owner, folder, &mail);
    let raw = mail.head.clone();
    let is_whole = length(&mail.head) == mail.bytes;
    let parsed = parse_apart(mail.head.clone(), is_whole).await;
    let event = event_of(owner, mail, parsed, &record);
    let id = EventId::from_uuid(record.id.as_uuid());
    let encoded = encode_bounded(event, id, source, owner.context.now())?;
    let mut headers = encoded.headers;
    trace::inject(&mut headers);
    let event = Outgoing {
        subject: encoded.subject,
        message_id: encoded.id,
        headers,
        payload: encoded.payload.into(),
    };
    Ok(PreparedEvent { event, record, raw })
}

async fn parse_apart(head: Bytes, is_whole: bool) -> ParsedMail {
    let parse = if is_whole { parse } else { parse_beginning };
    if head.len() < PARSE_APART_BYTES {
        tokio::task::consume_budget().await;
        return parse(&head);
    }
    // The parser returns no errors; should it panic, the mail is announced raw.
    let parsed = tokio::task::spawn_blocking(move || parse(&head)).await;
    parsed.unwrap_or_default()
}

fn record_of(owner: &AccountContext, folder: &str, mail: &WholeMail) -> ReceivedMail {
    let id = owner.account.id;
    ReceivedMail {
        id: derive(id, folder, &mail.position, &mail.sha256),
        account_id: id,
        folder: folder.to_owned(),
        position: mail.position.clone(),
        ordinal: mail.ordinal,
        sha256: mail.sha256,
        size_bytes: mail.bytes,
        chunks: RawMails::chunk_count(mail.bytes),
        listed_bytes: mail.listed_bytes,
        is_post_action_due: owner.opens_for_changes(),
    }
}

fn event_of(
    owner: &AccountContext,
    mail: WholeMail,
    parsed: ParsedMail,
    record: &ReceivedMail,
) -> MailReceived {
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
        account: owner.account.key.clone(),
        origin: Origin {
            folder: record.folder.clone(),
            position: mail.position,
        },
        received_at: mail.received_at,
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
        text_derived: parsed.text_derived,
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
) -> Result<EncodedEvent, serde_json::Error> {
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
            Truncated::Text => (event.text, event.text_derived) = (None, false),
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

fn addresses(mailboxes: Vec<NamedAddress>) -> Vec<MailAddress> {
    mailboxes.into_iter().map(address).collect()
}

fn address(mailbox: NamedAddress) -> MailAddress {
    MailAddress {
        name: mailbox.name,
        address: mailbox.address,
    }
}

fn attachment(found: mailmesh_mail::message::ParsedAttachment) -> Attachment {
    Attachment {
        part: found.part,
        filename: found.filename,
        content_type: found.content_type,
        content_id: found.content_id,
        is_inline: found.is_inline,
        bytes: found.bytes,
    }
}

#[cfg(test)]
mod tests;
