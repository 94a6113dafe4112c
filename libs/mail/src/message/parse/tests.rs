mod hostile;
mod parts;

use std::fmt::Write as _;

use time::macros::datetime;

use super::super::address::NamedAddress;
use super::super::head::{MAX_ADDRESS_BYTES, MAX_FIELD_BYTES, MAX_FIELDS_BYTES};
use super::*;

fn text_of(parsed: &ParsedMail) -> &str {
    parsed.text.as_ref().map_or("", |text| &text.content)
}

#[test]
fn a_type_is_read_behind_any_number_of_fields() {
    let many = "X-Trace: a rather long field of a relay on the way\r\n".repeat(4_000);
    let raw = format!("From: a@b.c\r\n{many}Content-Transfer-Encoding: base64\r\n\r\nSGVsbG8=\r\n");

    assert_eq!(text_of(&parse(raw.as_bytes())), "Hello");
}

#[test]
fn a_mail_of_another_kind_of_text_is_plain() {
    for (kind, text) in [
        ("text/markdown", "# x"),
        ("text/enriched", "# x"),
        ("text/x-plain", "# x"),
        ("text/calendar", ""),
        ("text/csv", ""),
    ] {
        let raw = format!("From: a@b.c\r\nContent-Type: {kind}\r\n\r\n# x");
        let parsed = parse(raw.as_bytes());
        assert_eq!(text_of(&parsed), text, "{kind}");
        assert_eq!(parsed.attachments.is_empty(), !text.is_empty(), "{kind}");
    }
}

#[test]
fn an_empty_date_gives_way_to_the_next() {
    let parsed = parse(b"Date: \r\nDate: Mon, 2 Mar 2026 12:00:00 +0200\r\n\r\nx");

    assert_eq!(parsed.date, Some(datetime!(2026-03-02 12:00 +2)));
}

#[test]
fn headers_addresses_and_text_are_read() {
    let parsed = parse(
        b"Received: from a by b;\r\n\tMon, 2 Mar 2026 10:00:00 +0000\r\nMessage-ID: <m1@x>\r\n\
          Date: Mon, 2 Mar 2026 12:00:00 +0200\r\nFrom: =?utf-8?q?Zo=C3=AB?= <zoe@example.com>, b@c.d\r\n\
          Sender: bot@example.com\r\nTo: \"Doe, J\" <j@example.com>, undisclosed:;\r\nTo: k@example.com\r\n\
          Reply-To: r@example.com\r\nSubject: =?iso-8859-1?Q?Gr=FC=DFe?=\r\n folded\r\n\
          In-Reply-To: <p@x>\r\nReferences: <r@x>\r\n <p@x>\r\nAuto-Submitted: Auto-Replied (x)\r\n\
          X-Note: a\r\n  b\r\n\r\nHello \xc3\xa4\r\n",
    );

    let expected_from = [
        NamedAddress {
            name: Some("Zoë".into()),
            address: "zoe@example.com".into(),
        },
        NamedAddress {
            name: None,
            address: "b@c.d".into(),
        },
    ];
    assert_eq!(parsed.from, expected_from);
    let to: Vec<_> = parsed.to.iter().map(|to| to.address.as_str()).collect();
    assert_eq!(to, ["j@example.com", "k@example.com"]);
    assert_eq!(parsed.sender.as_ref().unwrap().address, "bot@example.com");
    assert_eq!(parsed.reply_to.len(), 1);
    assert_eq!(parsed.message_id.as_deref(), Some("<m1@x>"));
    assert_eq!(parsed.in_reply_to, ["<p@x>"]);
    assert_eq!(parsed.references, ["<r@x>", "<p@x>"]);
    assert_eq!(parsed.subject.as_deref(), Some("Grüße folded"));
    assert_eq!(parsed.date, Some(datetime!(2026-03-02 12:00:00 +2)));
    assert_eq!(parsed.auto_submitted.as_deref(), Some("auto-replied"));
    assert_eq!(text_of(&parsed), "Hello ä\r\n");
    assert_eq!(
        parsed.headers.last().unwrap(),
        &("X-Note".to_owned(), "a b".to_owned())
    );
    assert_eq!(parsed.headers.len(), 13);
    assert_eq!((parsed.problem, parsed.headers_truncated), (None, false));
}

const NESTED: &[u8] = b"From: a@b.c\r\nContent-Type: multipart/mixed; boundary=\"out\"\r\n\r\npreamble\r\n--out\r\n\
    Content-Type: multipart/alternative; boundary=in\r\n\r\n--in\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Content-Transfer-Encoding: quoted-printable\r\n\r\nGr=C3=BC=\r\n=C3=9Fe\r\n--in  \r\nContent-Type: text/html\r\n\
    Content-Transfer-Encoding: base64\r\n\r\nPGI+aGk8L2I+\r\n--in--\r\n--out\r\nContent-Type: image/png; name=x.png\r\n\
    Content-ID: <logo>\r\nContent-Disposition: inline\r\nContent-Transfer-Encoding: base64\r\n\r\nAAEC\r\n--out\r\n\
    Content-Type: text/plain\r\nContent-Disposition: attachment; filename*=utf-8''b%C3%A4r.txt\r\n\r\nnot the body\r\n--out\r\n\
    Content-Type: message/rfc822\r\n\r\nFrom: x@y.z\r\nSubject: inner\r\n\r\ninner text\r\n--out--\r\nepilogue";

#[test]
fn nested_parts_become_text_html_and_attachments() {
    let parsed = parse(NESTED);

    assert_eq!(text_of(&parsed), "Grüße");
    assert_eq!(parsed.html.as_ref().unwrap().content, "<b>hi</b>");
    let parts: Vec<_> = parsed
        .attachments
        .iter()
        .map(|a| {
            (
                a.part,
                a.filename.as_deref(),
                a.content_type.as_str(),
                a.content_id.as_deref(),
                a.is_inline,
                a.bytes,
            )
        })
        .collect();
    assert_eq!(
        parts,
        [
            (3, Some("x.png"), "image/png", Some("logo"), true, Some(3)),
            (4, Some("bär.txt"), "text/plain", None, false, Some(12)),
            (5, None, "message/rfc822", None, false, Some(41)),
        ]
    );
    assert_eq!(&attachment(NESTED, 3).unwrap().content[..], [0, 1, 2]);
    assert_eq!(&attachment(NESTED, 4).unwrap().content[..], b"not the body");
    assert_eq!(attachment(NESTED, 6), None);
    assert_eq!(attachment(NESTED, 0), None);
}

#[test]
fn odd_and_damaged_mails_are_read_as_far_as_they_go() {
    assert_eq!(parse(b"").problem, Some(ParseProblem::NoHeader));
    assert_eq!(text_of(&parse(b"\r\nno header")), "no header");

    let header_only = parse(b"Subject: only");
    assert_eq!(header_only.subject.as_deref(), Some("only"));
    assert_eq!(
        (
            header_only.message_id,
            header_only.date,
            header_only.problem
        ),
        (None, None, None)
    );

    let broken_charset = parse(b"Content-Type: text/plain; charset=\"no-such\"\r\n\r\n\xe4\0b");
    assert_eq!(text_of(&broken_charset), "äb");

    let no_boundary = parse(b"Content-Type: multipart/mixed; boundary=x\r\n\r\njust text");
    assert_eq!(text_of(&no_boundary), "just text");

    let unclosed =
        parse(b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\none\r\n--x\r\n\r\ntwo");
    assert_eq!(text_of(&unclosed), "one\ntwo");

    let bad_date = parse(b"Date: 99 Foo 2026 77:00\r\nMessage-ID: <>\r\n\r\n");
    assert_eq!((bad_date.date, bad_date.message_id), (None, None));

    let bare_cr = parse(b"Subject: cr\rTo: a@b.c\r\rbody\r");
    assert_eq!(
        (bare_cr.subject.as_deref(), text_of(&bare_cr)),
        (Some("cr"), "body\n")
    );

    let bare_lf = parse(b"Subject: lf\nTo: a@b.c\n\nbody\n");
    assert_eq!(
        (bare_lf.subject.as_deref(), text_of(&bare_lf)),
        (Some("lf"), "body\n")
    );
}

#[test]
fn long_text_is_cut_between_characters_and_says_so() {
    let mut raw = b"Subject: x\r\n\r\n".to_vec();
    raw.extend("ä".repeat(40_000).bytes());

    let text = parse(&raw).text.unwrap();

    assert_eq!(text.content.len(), 64 * 1024);
    assert!(text.truncated && text.content.chars().all(|character| character == 'ä'));
    assert!(!parse(b"Subject: x\r\n\r\nshort").text.unwrap().truncated);
}

#[test]
fn bounds_on_headers_are_reached_and_told() {
    let mut raw = String::new();
    for n in 0..5_000 {
        write!(
            raw,
            "X-{n}: {}\r\nTo: user{n}@example.com\r\n",
            "v".repeat(40)
        )
        .unwrap();
    }
    let parsed = parse(format!("{raw}\r\nbody").as_bytes());
    assert_eq!(parsed.problem, Some(ParseProblem::HeaderTooLong));
    assert!(parsed.headers_truncated);
    let bytes: usize = parsed
        .headers
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    assert!(bytes <= MAX_FIELDS_BYTES + 2 * MAX_FIELD_BYTES);
    assert!(parsed.to.len() * 20 < MAX_ADDRESS_BYTES);

    let long = parse(format!("Subject: {}\r\n\r\n", "x".repeat(100_000)).as_bytes());
    assert!(long.headers_truncated && long.subject.unwrap().len() == MAX_FIELD_BYTES);
}

#[test]
fn names_of_no_known_character_set_are_read_as_latin() {
    let parsed = parse(
        b"From: J\xfcrgen <j@example.com>\r\nTo: \"M\xf6we, A\" <m@example.com>,\r\n Zo\xc3\xab <z@example.com>\r\n\
          Subject: gr\xfcn\r\n\r\nx\r\n",
    );

    let name = |of: &NamedAddress| of.name.clone().unwrap_or_default();
    let to: Vec<String> = parsed.to.iter().map(name).collect();
    assert_eq!(name(&parsed.from[0]), "Jürgen");
    assert_eq!(to, ["Möwe, A", "Zoë"]);
    assert_eq!(parsed.subject.as_deref(), Some("grün"));
}

#[test]
fn fields_that_nobody_has_encoded_are_read_as_the_text_is() {
    for (charset, octets, expected) in [
        ("koi8-r", &b"\xf0\xd2\xc9"[..], "При"),
        ("gb2312", b"\xc4\xe3\xba\xc3", "你好"),
        ("shift_jis", b"\x83\x5c\x93\xfa", "ソ日"),
        ("iso-8859-2", b"\xa3\xf3", "Łó"),
        ("koi8-r", "При".as_bytes(), "При"),
        // Not what the text is in.
        ("gb2312", b"Gr\xfc\xdf \xff", "Grüß ÿ"),
        ("utf-8", b"gr\xfcn", "grün"),
    ] {
        let mut raw = b"Subject: ".to_vec();
        raw.extend_from_slice(octets);
        raw.extend_from_slice(b"\r\nFrom: ");
        raw.extend_from_slice(octets);
        raw.extend_from_slice(b" <a@b.c>\r\nContent-Type: text/plain; charset=");
        raw.extend_from_slice(charset.as_bytes());
        let parsed = parse(&raw);
        assert_eq!(parsed.subject.as_deref(), Some(expected));
        assert_eq!(parsed.from[0].name.as_deref(), Some(expected));
    }
}

#[test]
fn words_in_addresses_and_names_are_kept_together() {
    let parsed = parse(
        b"From: =?utf-8?q?Doe,_J_(x)?= <j@x>, \"=?utf-8?q?Zo=C3=AB=2C?=\" <z@x>\r\n\
          To: =?utf-8?q?a?=\r\n =?utf-8?q?b?= c <c@x>, d@x (=?utf-8?q?D=29?=)\r\n\
          Cc: =?no-such?q?a,b?= <e@x>, <a=?q@x>\r\n\
          Content-Type: application/x; boundary=\"=?a\";\r\n name=\"=?utf-8?q?=C3=A4;?=\r\n =?utf-8?q?b?=\"\r\n\r\n",
    );

    let names = |people: &[NamedAddress]| -> Vec<String> {
        let shown = people.iter().map(|mailbox| {
            let name = mailbox.name.as_deref().unwrap_or("-");
            format!("{name} {}", mailbox.address)
        });
        shown.collect()
    };
    assert_eq!(names(&parsed.from), ["Doe, J (x) j@x", "Zoë, z@x"]);
    assert_eq!(names(&parsed.to), ["ab c c@x", "D) d@x"]);
    assert_eq!(names(&parsed.cc), ["a,b e@x", "- a=?q@x"]);
    assert_eq!(parsed.attachments[0].filename.as_deref(), Some("ä;b"));
}

#[test]
fn values_of_one_line_hold_no_line_ends() {
    let parsed = parse(
        b"From: \"a\r\n b\" <a\r\n b@x>\r\nMessage-ID: <a\r\n b>\r\nReferences: <a\n b> <c\r@d>\r\n\
          Content-Type: application/x\r\ry; name=\"a\rb\r\n c\"\r\nContent-ID: <a\r\n b>\r\nX\rY: a\rb\r\n\r\n",
    );

    let shown = format!("{parsed:?}");
    assert!(!shown.contains("\\r") && !shown.contains("\\n"), "{shown}");
    assert_eq!(parsed.message_id.as_deref(), Some("<a b>"));
    assert_eq!(parsed.attachments[0].content_type, "application/xy");
}
