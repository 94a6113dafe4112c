use lettre::Address;
use lettre::message::header::{self as field, Header as _, Headers};
use lettre::message::{Mailboxes, MessageBuilder, SinglePart};
use mail_parser::MessageParser;

use super::*;

fn written(value: HeaderValue) -> String {
    let mut headers = Headers::new();
    headers.insert_raw(value);
    headers.to_string()
}

fn subject(value: &str) -> String {
    written(unstructured(field::Subject::name(), value))
}

fn subject_by_lettre(value: &str) -> String {
    written(field::Subject::from(value.to_owned()).display())
}

fn named(name: &str) -> NamedAddress {
    NamedAddress {
        name: Some(name.to_owned()),
        address: "a@b.c".into(),
    }
}

fn to(list: &[NamedAddress]) -> String {
    written(mailboxes(field::To::name(), list))
}

fn to_by_lettre(list: &[NamedAddress]) -> String {
    let list = list.iter().map(|mailbox| {
        lettre::message::Mailbox::new(mailbox.name.clone(), mailbox.address.parse().unwrap())
    });
    written(field::To::from(list.collect::<Mailboxes>()).display())
}

fn longest_line(field: &str) -> usize {
    field.lines().map(str::len).max().unwrap()
}

fn subject_as_read(field: &str) -> String {
    let raw = format!("{field}\r\n");
    let parsed = MessageParser::new().parse(raw.as_bytes()).unwrap();
    parsed.subject().unwrap().to_owned()
}

#[test]
fn text_is_folded_and_encoded_word_by_word() {
    assert_eq!(
        subject(" Rechnung 7 für Müller "),
        "Subject: Rechnung 7 =?utf-8?b?ZsO8ciBNw7xsbGVy?=\r\n"
    );
    for value in [
        "many words ".repeat(200),
        "Grüße an alle ".repeat(100),
        "ü".repeat(1000),
    ] {
        let folded = subject(&value);

        assert!(longest_line(&folded) <= 77, "{folded}");
        assert_eq!(subject_as_read(&folded), value.trim());
    }
}

#[test]
fn text_like_an_encoded_word_is_encoded_where_lettre_shows_another() {
    let value = "=?utf-8?q?x?=";

    assert_eq!(subject_as_read(&subject_by_lettre(value)), "x");
    assert_eq!(subject_as_read(&subject(value)), value);
}

#[test]
fn two_spaces_between_encoded_words_stay_where_lettre_loses_them() {
    let value = "Grüße  für  Zoë";

    assert_eq!(subject_as_read(&subject_by_lettre(value)), "GrüßefürZoë");
    assert_eq!(subject_as_read(&subject(value)), value);
}

#[test]
fn long_words_and_gaps_are_broken_where_lettre_passes_998_octets() {
    for value in ["x".repeat(2000), format!("a{}b", " ".repeat(2000))] {
        assert!(longest_line(&subject_by_lettre(&value)) > 998);
        assert!(longest_line(&subject(&value)) <= 77);
        assert_eq!(subject_as_read(&subject(&value)), value);
    }
    let at_most = format!("x{}{}", " ".repeat(MAX_GAP), "x".repeat(MAX_WORD));
    let line = longest_line(&written(unstructured(field::Subject::name(), &at_most)));
    assert_eq!(line, MAX_GAP + MAX_WORD);
}

#[test]
fn a_tab_is_a_space_where_lettre_writes_a_line_of_white_space() {
    let value = format!("{} \t {}", "x".repeat(66), "z".repeat(75));

    assert!(subject_by_lettre(&value).contains("\r\n \t\r\n"));
    assert!(!subject(&value).contains('\t'));
    assert!(subject(&value).lines().all(|line| !line.trim().is_empty()));
    assert_eq!(subject("a\tb"), "Subject: a b\r\n");
}

#[test]
fn lists_are_folded_where_lettre_passes_998_octets() {
    let bare = |n| NamedAddress {
        name: None,
        address: format!("user{n}@example.com"),
    };
    let list: Vec<NamedAddress> = (0..500).map(bare).collect();

    assert!(longest_line(&to_by_lettre(&list)) > 998);
    assert!(longest_line(&to(&list)) <= FOLD_AT);
    assert_eq!(to(&list).matches('@').count(), 500);
}

#[test]
fn names_are_quoted_or_encoded_as_needed() {
    for (name, expected) in [
        ("Jane Doe", r#""Jane Doe" <a@b.c>"#),
        ("booking.com", r#""booking.com" <a@b.c>"#),
        (r#"Doe, "J" \"#, r#""Doe, \"J\" \\" <a@b.c>"#),
        ("Zoë", "=?utf-8?b?Wm/Dqw==?= <a@b.c>"),
        ("=?utf-8?q?x?=", "=?utf-8?b?PT91dGYtOD9xP3g/PQ==?= <a@b.c>"),
        (" ", "a@b.c"),
    ] {
        assert_eq!(to(&[named(name)]), format!("To: {expected}\r\n"));
    }
}

#[test]
fn names_of_ascii_stay_readable_where_lettre_takes_base64() {
    for name in ["Doe, Jane", "O'Brien", "Sales (EU) & Co."] {
        assert!(to_by_lettre(&[named(name)]).contains("=?utf-8?b?"));
        assert_eq!(to(&[named(name)]), format!("To: \"{name}\" <a@b.c>\r\n"));
    }
}

#[test]
fn names_that_are_blank_or_all_quotes_are_sent_where_lettre_breaks_them() {
    let quotes = named(&"\"".repeat(500));

    // No phrase in front of the angle brackets, which RFC 5322 wants at least one word of.
    assert_eq!(to_by_lettre(&[named("")]), "To:  <a@b.c>\r\n");
    assert_eq!(to(&[named("")]), "To: a@b.c\r\n");
    assert!(longest_line(&to_by_lettre(std::slice::from_ref(&quotes))) > 998);
    assert!(longest_line(&to(&[quotes])) <= FOLD_AT);
}

/// Why the headers are put together here and not by lettre's `MessageBuilder`: it reads back what it wrote.
#[test]
fn lettre_refuses_senders_that_rfc_5321_allows() {
    for address in ["\"a b\"@example.com", "a@[192.0.2.1]"] {
        let address: Address = address.parse().unwrap();
        let envelope = lettre::address::Envelope::new(None, vec![address.clone()]).unwrap();

        let message = MessageBuilder::new()
            .from(address.into())
            .envelope(envelope)
            .singlepart(SinglePart::plain(String::new()));

        assert!(message.is_err());
    }
}

/// Why the date is written here.
#[test]
fn lettre_panics_over_dates_before_1970() {
    let date = std::time::SystemTime::UNIX_EPOCH - std::time::Duration::from_secs(1);

    assert!(std::panic::catch_unwind(|| field::Date::new(date)).is_err());
}

/// Why names of headers are checked here.
#[test]
fn lettre_takes_line_ends_in_the_name_of_a_header() {
    assert!(HeaderName::new_from_ascii("X\r\nBcc".into()).is_ok());
}
