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
        "Content-Transfer-Encoding",
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
        "\\\"",
        "a(b",
        "<a b",
        "a@b c ",
        "a,",
        "a b,",
        "a(b),",
        "a@b <>",
        "a@\u{fc}\u{fd}",
        "a:;",
        "\"a\" ",
        "[a@",
        "=?iso-2022-jp?b?GyRC?=",
        "; x=(\"",
        "a\r\n ",
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

    // A debug build needs some seconds for these 130 MB; the square took as long for each of many fields.
    assert!(started.elapsed() < Duration::from_mins(4));
}

/// Each of these is for one thing that looks ahead or back: ends of comments and quotes, joined Base64, escapes, marks.
#[test]
fn hostile_bodies_take_bounded_time() {
    const BYTES: usize = 5 << 20;
    let bodies: [(&str, &[u8]); 20] = [
        ("Content-Transfer-Encoding: base64", b"QUI="),
        ("Content-Transfer-Encoding: base64", b"QUI=\r\n"),
        ("Content-Transfer-Encoding: base64", b"Q U J D\r\n"),
        ("Content-Transfer-Encoding: base64", b"QUJD\r\n-- \r\n"),
        ("Content-Transfer-Encoding: x-uuencode", b"begin 644 a\n"),
        ("Content-Transfer-Encoding: x-uuencode", b"M86)C\n"),
        ("Content-Transfer-Encoding: quoted-printable", b"= \t"),
        (
            "Content-Type: text/plain; charset=iso-2022-jp",
            b"\x1b$B\x1b(B",
        ),
        (
            "Content-Type: text/plain; charset=iso-2022-kr",
            b"\x1b$)C\x0eVP\x0f",
        ),
        ("Content-Type: text/plain; charset=hz-gb-2312", b"~{VP~}~~"),
        ("Content-Type: text/plain; charset=utf-7", b"+AOQ-+"),
        ("Content-Type: text/plain; charset=utf-16", b"\xc3\0"),
        (
            "Content-Type: text/plain; charset=utf-8",
            b"\xc3\xa4\xff\xc3",
        ),
        ("Content-Type: text/plain", b"\xe4 \xc3\xa4\x1b$B"),
        (
            "Content-Type: text/plain; format=flowed; delsp=yes",
            b"> > a \r\n",
        ),
        ("Content-Type: text/html", b"<meta charset<meta "),
        ("Content-Type: text/html", b"<div>"),
        ("Content-Type: multipart/mixed; boundary=x", b"--x\r\n"),
        ("Content-Type: multipart/mixed; boundary=x", b"--x--y\r\n"),
        ("Content-Type: multipart/mixed; boundary=\"-\"", b"--"),
    ];
    let started = Instant::now();

    for (head, body) in bodies {
        let mut raw = format!("From: a@b.c\r\n{head}\r\n\r\n").into_bytes();
        raw.extend(body.repeat(BYTES / body.len()));
        parse(&raw);
        attachment(&raw, 1);
    }

    // A debug build needs some seconds for these 100 MB, each read twice.
    assert!(started.elapsed() < Duration::from_mins(1));
}

#[test]
fn hostile_beginnings_take_bounded_time() {
    let started = Instant::now();

    for line in [
        "\r\n",
        " \r\n",
        "x\r\n",
        "X:\r\n",
        "X: \r\n y\r\n",
        "From: (\r\n",
        "Date: (((((\r\n",
        "\tx\r\n",
    ] {
        let raw = line.repeat((5 << 20) / line.len());
        parse(raw.as_bytes());
        parse(format!("{raw}\r\n{raw}").as_bytes());
    }

    assert!(started.elapsed() < Duration::from_mins(1));
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
