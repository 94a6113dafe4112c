use std::sync::LazyLock;

use mail_parser::{DateTime, Header, HeaderName, HeaderValue, MessageParser};
use time::{Date, Month, OffsetDateTime, Time, UtcOffset};

use super::address::Mailbox;
use super::clean::{clean_line, cut};
use super::encoded_word::header_text;
use super::field::{read_fields, unmask};
use super::parsed::Parsed;

pub(super) const MAX_FIELDS_BYTES: usize = 64 * 1024;
pub(super) const MAX_FIELD_BYTES: usize = 8 * 1024;
/// What a field costs besides its text, so that empty ones are bounded too.
const FIELD_OVERHEAD: usize = 32;
pub(super) const MAX_ADDRESS_BYTES: usize = 64 * 1024;
const MAX_IDS: usize = 100;
const MAX_ID: usize = 998;
const MAX_AUTO_SUBMITTED: usize = 100;

static PARSER: LazyLock<MessageParser> = LazyLock::new(|| {
    MessageParser::new()
        .with_address_headers()
        .with_date_headers()
        .with_message_ids()
        .default_header_ignore()
});

/// Reads a mail's header fields, as far as the limit; `None` when they broke the parser.
pub(super) fn read(head: &[u8], limit: usize) -> Option<Parsed> {
    read_fields(&PARSER, head, limit, read_head)
}

fn read_head(bytes: &[u8], fields: &[Header<'_>]) -> Parsed {
    let mut parsed = Parsed::default();
    let mut addresses = AddressBudget::default();
    let mut budget = MAX_FIELDS_BYTES;
    for field in fields {
        read_field(&mut parsed, &mut addresses, field);
        let value = slice(bytes, field.offset_start, field.offset_end);
        read_text(&mut parsed, &field.name, value);
        if budget == 0 {
            parsed.headers_truncated = true;
            continue;
        }
        let name = slice(bytes, field.offset_field, field.offset_start);
        let name = name.strip_suffix(b":").unwrap_or(name).trim_ascii();
        let mut name = clean_line(String::from_utf8_lossy(name).into_owned());
        let (value, is_cut) = cut_text(value);
        parsed.headers_truncated |= cut(&mut name, MAX_FIELD_BYTES) | is_cut;
        budget = budget.saturating_sub(name.len() + value.len() + FIELD_OVERHEAD);
        parsed.headers.push((name, value));
    }
    parsed.headers_truncated |= addresses.is_truncated;
    parsed
}

/// Reads the fields whose text is used as it is; the parser gave no value for them.
fn read_text(parsed: &mut Parsed, name: &HeaderName<'_>, value: &[u8]) {
    match name {
        HeaderName::Subject if parsed.subject.is_none() => {
            let (subject, is_cut) = cut_text(value);
            parsed.headers_truncated |= is_cut;
            parsed.subject = Some(subject).filter(|subject| !subject.is_empty());
        }
        HeaderName::AutoSubmitted => {
            let value = cut_text(value).0.to_ascii_lowercase();
            let mut word = value
                .split([';', ' '])
                .next()
                .unwrap_or_default()
                .to_owned();
            cut(&mut word, MAX_AUTO_SUBMITTED);
            parsed.auto_submitted = Some(word);
        }
        _ => {}
    }
}

/// Decodes a field's value up to its limit and says whether it was cut.
fn cut_text(value: &[u8]) -> (String, bool) {
    let read = value.get(..4 * MAX_FIELD_BYTES).unwrap_or(value);
    let mut text = header_text(read);
    let is_cut = cut(&mut text, MAX_FIELD_BYTES) | (read.len() < value.len());
    (text, is_cut)
}

fn slice(bytes: &[u8], from: u32, to: u32) -> &[u8] {
    // The parser also saw the end that the head may lack.
    let to = bytes.len().min(to as usize);
    bytes.get(from as usize..to).unwrap_or_default()
}

fn read_field(parsed: &mut Parsed, addresses: &mut AddressBudget, field: &Header<'_>) {
    match (&field.name, &field.value) {
        (HeaderName::Date, HeaderValue::DateTime(value)) => parsed.date = moment(value),
        (HeaderName::MessageId, value) if parsed.message_id.is_none() => {
            parsed.message_id = ids(value).into_iter().next();
        }
        (HeaderName::InReplyTo, value) => parsed.in_reply_to = ids(value),
        (HeaderName::References, value) => parsed.references = ids(value),
        (HeaderName::From, value) => addresses.add(&mut parsed.from, value),
        (HeaderName::ReplyTo, value) => addresses.add(&mut parsed.reply_to, value),
        (HeaderName::To, value) => addresses.add(&mut parsed.to, value),
        (HeaderName::Cc, value) => addresses.add(&mut parsed.cc, value),
        (HeaderName::Bcc, value) => addresses.add(&mut parsed.bcc, value),
        (HeaderName::Sender, value) => {
            let mut sender = Vec::new();
            addresses.add(&mut sender, value);
            parsed.sender = sender.into_iter().next();
        }
        _ => {}
    }
}

/// Reads addresses up to a total, since each of them ends up in the event.
#[derive(Default)]
struct AddressBudget {
    used_bytes: usize,
    is_truncated: bool,
}

impl AddressBudget {
    fn add(&mut self, list: &mut Vec<Mailbox>, value: &HeaderValue<'_>) {
        let HeaderValue::Address(found) = value else {
            return;
        };
        for entry in found.iter() {
            let Some(address) = entry.address() else {
                continue;
            };
            let name = entry
                .name()
                .map(|name| header_text(unmask(name).as_bytes()));
            let mailbox = Mailbox {
                name: name.filter(|name| !name.is_empty()),
                address: clean_line(unmask(address).into_owned()),
            };
            self.used_bytes +=
                mailbox.address.len() + mailbox.name.as_ref().map_or(0, String::len) + 16;
            if self.used_bytes > MAX_ADDRESS_BYTES {
                self.is_truncated = true;
                return;
            }
            list.push(mailbox);
        }
    }
}

fn ids(value: &HeaderValue<'_>) -> Vec<String> {
    let all: &[std::borrow::Cow<'_, str>] = match value {
        HeaderValue::Text(one) => std::slice::from_ref(one),
        HeaderValue::TextList(many) => many,
        _ => &[],
    };
    all.iter()
        .filter(|id| !id.is_empty() && id.len() <= MAX_ID)
        .take(MAX_IDS)
        .map(|id| clean_line(format!("<{}>", unmask(id))))
        .collect()
}

pub(super) fn moment(value: &DateTime) -> Option<OffsetDateTime> {
    let month = Month::try_from(value.month).ok()?;
    let date = Date::from_calendar_date(i32::from(value.year), month, value.day).ok()?;
    // Mail may name a leap second, which the calendar here does not have.
    let time = Time::from_hms(value.hour, value.minute, value.second.min(59)).ok()?;
    let sign = if value.tz_before_gmt { -1 } else { 1 };
    let hours = i8::try_from(value.tz_hour).ok()?;
    let minutes = i8::try_from(value.tz_minute).ok()?;
    let offset = UtcOffset::from_hms(sign * hours, sign * minutes, 0).ok()?;
    Some(date.with_time(time).assume_offset(offset))
}
