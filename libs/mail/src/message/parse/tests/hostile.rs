use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::*;

/// Each of these made a straightforward parser overflow the stack, or take time that grows with the square.
#[test]
fn hostile_nesting_takes_bounded_time() {
    let mut multiparts = String::new();
    let mut messages = String::new();
    for n in 0..10_000 {
        write!(
            multiparts,
            "Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n"
        )
        .unwrap();
        messages.push_str("Content-Type: message/rfc822\r\n\r\n");
    }
    let unopened = format!(
        "Content-Type: multipart/mixed; boundary=x\r\n\r\n{}",
        "--x\r\nContent-Type: multipart/mixed; boundary=none\r\n\r\n".repeat(100_000)
    );
    let started = Instant::now();

    assert_eq!(
        parse(multiparts.as_bytes()).problem,
        Some(ParseProblem::TooManyParts)
    );
    assert_eq!(parse(messages.as_bytes()).attachments.len(), 1);
    let parsed = parse(unopened.as_bytes());
    assert!(parsed.attachments_truncated);

    // A debug build on a busy machine needs well under a second; the square would need minutes.
    assert!(started.elapsed() < Duration::from_secs(20));
}

/// Encoded words without an end, and parameters in pieces, took a parser that looks back time by the square.
#[test]
fn hostile_header_fields_take_bounded_time() {
    let names = [
        "Subject",
        "From",
        "To",
        "Sender",
        "Date",
        "Message-ID",
        "References",
        "Received",
        "Auto-Submitted",
        "Content-Type: text/plain; name=x; charset",
        "Content-Disposition: attachment; filename",
        "Content-ID",
        "X-Other",
    ];
    let values = [
        "=?ab?q?x ",
        "\"=?ab?q?x\" ",
        "=?ab?q?x\r\n ",
        "=?ab?b?xxxx",
        "=?=?=?",
        "=?utf-8?q?=41?= ",
        "=?utf-8?b?QQ==?==?koi8-r?b?QQ==?=",
        "a@b.c, ",
        "(((((",
        "a:b;<",
        "a\\\"",
        "<a@b> ",
        "x; n*0*=utf-8'e'a%41; ",
        "y; x=\"a\"; n*1=b; z'z'",
        "'''*'",
        ",\r\n ,",
    ];
    let started = Instant::now();

    for name in names {
        for value in values {
            let field = |bytes: usize| format!("{name}: {}\r\n", value.repeat(bytes / value.len()));
            parse(field(250_000).as_bytes());
            parse(field(1_000).repeat(20).as_bytes());
        }
    }

    // A debug build needs some seconds for these 56 MB; the square took as long for each of many fields.
    assert!(started.elapsed() < Duration::from_secs(90));
}

/// A mail of 256 parts may have as many heads as it has parts.
#[test]
fn hostile_part_heads_take_bounded_time() {
    let mut raw = "Content-Type: multipart/mixed; boundary=x\r\n\r\n".to_owned();
    let words = "=?ab?q?x ".repeat(3_000);
    let mut parameters = String::new();
    for n in 0..2_000 {
        write!(parameters, ";n{n}*1=''a").unwrap();
    }
    for value in [words.as_str(), &parameters] {
        for start in ["filename=\"", "filename=", "f"] {
            let field = format!("Content-Disposition: attachment; {start}{value}");
            raw.push_str(&format!("--x\r\n{field}\r\n\r\n\r\n").repeat(40));
        }
    }
    let started = Instant::now();

    assert_eq!(parse(raw.as_bytes()).attachments.len(), 240);

    assert!(started.elapsed() < Duration::from_secs(20));
}

#[test]
fn no_prefix_of_a_mail_and_no_changed_byte_breaks_the_parser() {
    for end in 0..NESTED.len() {
        parse(&NESTED[..end]);
    }
    let mut raw = NESTED.to_vec();
    for at in 0..raw.len() {
        let before = raw[at];
        for byte in [0, b'\n', b'"', b'=', b'-', 0xff] {
            raw[at] = byte;
            parse(&raw);
        }
        raw[at] = before;
    }
}
