use super::address::NamedAddress;
use super::clean::{clean_line, cut};
use super::encoded_word::header_text;
use super::field::{HeaderField, fields};
use super::parsed::ParsedMail;
use super::{address_list, date, message_id};

pub(super) const MAX_FIELDS_BYTES: usize = 64 * 1024;
pub(super) const MAX_FIELD_BYTES: usize = 8 * 1024;
/// What a field costs besides its text, so that empty ones are bounded too.
const FIELD_OVERHEAD: usize = 32;
pub(super) const MAX_ADDRESS_BYTES: usize = 64 * 1024;
const MAX_AUTO_SUBMITTED: usize = 100;

/// Reads a mail's header fields.
pub(super) fn read(head: &[u8]) -> ParsedMail {
    let mut parsed = ParsedMail::default();
    let mut people = AddressCollector::default();
    let mut budget = MAX_FIELDS_BYTES;
    let mut has_date = false;
    for field in fields(head) {
        read_people(&mut parsed, &mut people, &field);
        read_thread(&mut parsed, &field);
        read_text(&mut parsed, &field);
        // Of two fields the first counts: servers and programs that add a second one put it behind.
        if field.is("Date") && !has_date && !field.value.trim_ascii().is_empty() {
            has_date = true;
            parsed.date = date::read(field.value);
        }
        if budget == 0 {
            parsed.headers_truncated = true;
            continue;
        }
        let mut name = clean_line(String::from_utf8_lossy(field.name).into_owned());
        let (value, is_cut) = cut_text(field.value);
        parsed.headers_truncated |= cut(&mut name, MAX_FIELD_BYTES) | is_cut;
        budget = budget.saturating_sub(name.len() + value.len() + FIELD_OVERHEAD);
        parsed.headers.push((name, value));
    }
    parsed.headers_truncated |= people.is_truncated;
    parsed
}

fn read_text(parsed: &mut ParsedMail, field: &HeaderField<'_>) {
    if field.is("Subject") && parsed.subject.is_none() {
        let (subject, is_cut) = cut_text(field.value);
        parsed.headers_truncated |= is_cut;
        parsed.subject = Some(subject).filter(|subject| !subject.is_empty());
    } else if field.is("Auto-Submitted") && parsed.auto_submitted.is_none() {
        let value = cut_text(field.value).0.to_ascii_lowercase();
        let word = value.split([';', ' ']).next();
        let mut word = word.unwrap_or_default().to_owned();
        cut(&mut word, MAX_AUTO_SUBMITTED);
        parsed.auto_submitted = Some(word);
    }
}

fn read_thread(parsed: &mut ParsedMail, field: &HeaderField<'_>) {
    if field.is("Message-ID") && parsed.message_id.is_none() {
        parsed.message_id = message_id::read(field.value).into_iter().next();
    } else if field.is("In-Reply-To") && parsed.in_reply_to.is_empty() {
        parsed.in_reply_to = message_id::read(field.value);
    } else if field.is("References") && parsed.references.is_empty() {
        parsed.references = message_id::read(field.value);
    }
}

fn read_people(parsed: &mut ParsedMail, people: &mut AddressCollector, field: &HeaderField<'_>) {
    if field.is("From") {
        people.add(&mut parsed.from, field);
    } else if field.is("Reply-To") {
        people.add(&mut parsed.reply_to, field);
    } else if field.is("To") {
        people.add(&mut parsed.to, field);
    } else if field.is("Cc") {
        people.add(&mut parsed.cc, field);
    } else if field.is("Bcc") {
        people.add(&mut parsed.bcc, field);
    } else if field.is("Sender") && parsed.sender.is_none() {
        let mut sender = Vec::new();
        people.add(&mut sender, field);
        parsed.sender = sender.into_iter().next();
    }
}

/// Decodes a field's value up to its limit and says whether it was cut.
fn cut_text(value: &[u8]) -> (String, bool) {
    let read = value.get(..4 * MAX_FIELD_BYTES).unwrap_or(value);
    let mut text = header_text(read);
    let is_cut = cut(&mut text, MAX_FIELD_BYTES) | (read.len() < value.len());
    (text, is_cut)
}

/// Reads addresses up to a total, since each of them ends up in the event.
#[derive(Default)]
struct AddressCollector {
    used_bytes: usize,
    is_truncated: bool,
}

impl AddressCollector {
    fn add(&mut self, list: &mut Vec<NamedAddress>, field: &HeaderField<'_>) {
        address_list::read(&field.unfolded(), |mailbox| {
            self.used_bytes +=
                mailbox.address.len() + mailbox.name.as_ref().map_or(0, String::len) + 16;
            self.is_truncated |= self.used_bytes > MAX_ADDRESS_BYTES;
            if !self.is_truncated {
                list.push(mailbox);
            }
            !self.is_truncated
        });
    }
}
