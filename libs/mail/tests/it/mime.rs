use std::time::{Duration, Instant};

use mailmesh_mail::message::{NamedAddress, ParsedMail, parse};
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases/mime");

#[test]
fn mails_from_the_field_are_read_as_people_meant_them() {
    let expected = std::fs::read_to_string(format!("{FOLDER}/expected.json")).unwrap();
    let expected: Map<String, Value> = serde_json::from_str(&expected).unwrap();
    let mut failures = Vec::new();

    for (name, fields) in &expected {
        let raw = std::fs::read(format!("{FOLDER}/{name}")).unwrap();
        let parsed = parse(&raw);
        for (key, value) in fields.as_object().unwrap() {
            let (is_right, found) = compare(&parsed, key, value);
            if !is_right {
                failures.push(format!("{name}: {key} is {found}, not {value}"));
            }
        }
        let people = [&parsed.from, &parsed.reply_to, &parsed.to, &parsed.cc];
        for mailbox in people.into_iter().flatten().chain(&parsed.sender) {
            let is_remote = mailbox.address.contains('@');
            if is_remote && NamedAddress::parse(&mailbox.address).is_err() {
                failures.push(format!("{name}: {} cannot be sent to", mailbox.address));
            }
        }
    }

    assert!(failures.is_empty(), "{}", failures.join("\n"));
    let files = std::fs::read_dir(FOLDER).unwrap().count();
    assert_eq!(files, expected.len() + 1);
}

/// Cut off anywhere, they are still one mail, soon.
#[test]
fn no_prefix_of_a_mail_from_the_field_breaks_the_reader() {
    let started = Instant::now();
    for file in std::fs::read_dir(FOLDER).unwrap() {
        let raw = std::fs::read(file.unwrap().path()).unwrap();
        let step = raw.len() / 64 + 1;
        for end in (0..raw.len()).step_by(step) {
            parse(&raw[..end]);
        }
    }
    assert!(started.elapsed() < Duration::from_mins(1));
}

/// Octets put in, left out, exchanged and doubled, the same ones in each run.
#[test]
fn no_damage_to_a_mail_from_the_field_breaks_the_reader() {
    const ROUNDS: u64 = 20;
    const PIECES: [&[u8]; 16] = [
        b"\"", b"(", b"<", b">", b"=?", b"?=", b"\r\n", b"\n\n", b"\0", b"\xff", b"\x1b$B", b"=",
        b";", b"--", b"'", b":",
    ];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % (below.max(1) as u64)).unwrap()
    };
    let started = Instant::now();

    for file in std::fs::read_dir(FOLDER).unwrap() {
        let whole = std::fs::read(file.unwrap().path()).unwrap();
        for _ in 0..ROUNDS {
            let mut raw = whole.get(..16 * 1024).unwrap_or(&whole).to_vec();
            for _ in 0..=random(6) {
                let at = random(raw.len());
                let to = (at + random(12)).min(raw.len());
                match random(4) {
                    0 => drop(raw.drain(at..to)),
                    1 => drop(raw.splice(at..at, PIECES[random(PIECES.len())].iter().copied())),
                    2 => drop(raw.splice(at..to, [u8::try_from(random(256)).unwrap()])),
                    _ => raw.extend_from_within(at..),
                }
            }
            let parsed = parse(&raw);
            let values = parsed.headers.iter().map(|(_, value)| value);
            let names = parsed
                .from
                .iter()
                .chain(&parsed.to)
                .filter_map(|from| from.name.as_ref());
            for line in values.chain(names).chain(&parsed.subject) {
                assert!(!line.contains(['\n', '\r', '\0']), "{line:?}");
            }
            for mailbox in parsed.from.iter().chain(&parsed.to).chain(&parsed.cc) {
                let is_remote = mailbox.address.contains('@');
                assert!(
                    !is_remote || NamedAddress::parse(&mailbox.address).is_ok(),
                    "{mailbox:?}"
                );
            }
        }
    }

    assert!(started.elapsed() < Duration::from_mins(2));
}

fn compare(parsed: &ParsedMail, key: &str, value: &Value) -> (bool, String) {
    if let Some(field) = key.strip_suffix('#') {
        let count = people(parsed, field).len();
        return (value.as_u64() == Some(count as u64), count.to_string());
    }
    if let Some(field) = key.strip_suffix('~') {
        let found = found(parsed, field);
        let part = value.as_str().unwrap_or_default();
        let holds = match &found {
            Value::Array(many) => many.contains(value),
            one => squeezed(one).contains(&squeezed(value)),
        };
        return (holds && !part.is_empty(), found.to_string());
    }
    let found = found(parsed, key);
    let is_right = match key {
        "text" | "html" => squeezed(&found) == squeezed(value),
        "date" => moment(&found) == moment(value),
        _ => found == *value,
    };
    (is_right, found.to_string())
}

fn found(parsed: &ParsedMail, field: &str) -> Value {
    let files = || parsed.attachments.iter();
    match field {
        "text" => content(parsed.text.as_ref()),
        "html" => content(parsed.html.as_ref()),
        "subject" => parsed.subject.clone().into(),
        "message_id" => parsed.message_id.clone().into(),
        "in_reply_to" => parsed.in_reply_to.clone().into(),
        "references" => parsed.references.clone().into(),
        "from_name" => parsed
            .from
            .first()
            .and_then(|from| from.name.clone())
            .into(),
        "date" => {
            let date = parsed.date.and_then(|date| date.format(&Rfc3339).ok());
            date.into()
        }
        "att" => files()
            .map(|file| {
                let name = file.filename.clone().unwrap_or_default();
                serde_json::json!([name, file.content_type, file.bytes])
            })
            .collect(),
        "att_names" => files().map(|file| file.filename.clone()).collect(),
        "inline" => files().map(|file| file.is_inline).collect(),
        people_field => {
            let people = people(parsed, people_field).iter();
            people.map(|mailbox| mailbox.address.clone()).collect()
        }
    }
}

fn people<'a>(parsed: &'a ParsedMail, field: &str) -> &'a [NamedAddress] {
    match field {
        "from" => &parsed.from,
        "to" => &parsed.to,
        "cc" => &parsed.cc,
        // A key that nobody compares would pass as a list of nobody.
        _ => unreachable!("{field} is no field"),
    }
}

fn content(text: Option<&mailmesh_mail::message::InlineText>) -> Value {
    text.map(|text| text.content.clone()).into()
}

fn squeezed(value: &Value) -> String {
    let words = value.as_str().unwrap_or_default().split_whitespace();
    words.collect::<Vec<_>>().join(" ")
}

fn moment(value: &Value) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(value.as_str()?, &Rfc3339).ok()
}
