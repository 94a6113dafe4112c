use super::super::super::parsed::InlineText;
use super::*;

/// Makes a multipart of parts, each given as its fields and its body.
fn multipart(kind: &str, parts: &[(&str, &str)]) -> String {
    let mut raw = format!("From: a@b.c\r\nContent-Type: multipart/{kind}; boundary=x\r\n\r\n");
    for (fields, body) in parts {
        write!(raw, "--x\r\n{fields}\r\n\r\n{body}\r\n").unwrap();
    }
    raw + "--x--\r\n"
}

fn read(kind: &str, parts: &[(&str, &str)]) -> (String, String, Vec<String>) {
    let parsed = parse(multipart(kind, parts).as_bytes());
    let content = |text: Option<InlineText>| text.unwrap_or_default().content;
    let names = parsed.attachments.iter();
    let names = names.map(|file| file.filename.clone().unwrap_or_default());
    let names = names.collect();
    let is_own = !parsed.text_derived;
    (
        content(parsed.text.filter(|_| is_own)),
        content(parsed.html),
        names,
    )
}

#[test]
fn named_text_is_the_body_when_nothing_else_is() {
    let named = ("Content-Type: text/plain; name=a.txt", "named");
    let inline = (
        "Content-Type: text/plain\r\nContent-Disposition: inline; filename=a.txt",
        "named",
    );
    let attached = (
        "Content-Type: text/plain\r\nContent-Disposition: attachment; filename=b.txt",
        "attached",
    );
    let html = ("Content-Type: text/html", "<p>html");
    let named_html = ("Content-Type: text/html; name=a.html", "<p>html");

    for (kind, parts, text, html, names) in [
        ("mixed", &[named][..], "named", "", &[][..]),
        ("mixed", &[attached, inline], "named", "", &["b.txt"]),
        ("mixed", &[named, named], "named", "", &["a.txt"]),
        ("mixed", &[html, named], "", "<p>html", &["a.txt"]),
        ("mixed", &[attached], "", "", &["b.txt"]),
        ("alternative", &[named, named_html], "named", "<p>html", &[]),
        (
            "alternative",
            &[attached, named_html],
            "attached",
            "<p>html",
            &[],
        ),
        ("alternative", &[named, attached], "named", "", &["b.txt"]),
    ] {
        let (found_text, found_html, found_names) = read(kind, parts);
        assert_eq!(
            (found_text.as_str(), found_html.as_str()),
            (text, html),
            "{kind} {parts:?}"
        );
        assert_eq!(found_names, names, "{kind} {parts:?}");
    }
}

#[test]
fn html_within_an_alternative_is_the_body_under_any_name() {
    let related = "Content-Type: multipart/related; boundary=y";
    let inner = "--y\r\nContent-Type: text/html; name=m.html\r\n\r\n<p>html\r\n--y\r\nContent-Type: image/png; name=i.png\r\n\
        Content-ID: <i>\r\n\r\nx\r\n--y\r\nContent-Type: text/plain; name=n.txt\r\n\r\nnote\r\n--y--";

    let (text, html, names) = read(
        "alternative",
        &[("Content-Type: text/plain", "plain"), (related, inner)],
    );

    assert_eq!((text.as_str(), html.as_str()), ("plain", "<p>html"));
    assert_eq!(names, ["i.png", "n.txt"]);
}

#[test]
fn only_what_asks_for_it_is_inline() {
    let inline = |kind: &str, fields: &str| {
        let raw = multipart(kind, &[("", "text"), (fields, "x")]);
        parse(raw.as_bytes()).attachments[0].is_inline
    };

    for (kind, fields, expected) in [
        ("mixed", "Content-Type: image/png", false),
        ("mixed", "Content-Type: image/png\r\nContent-ID: <a>", false),
        ("mixed", "Content-Type: message/rfc822", false),
        (
            "mixed",
            "Content-Type: image/png\r\nContent-Disposition: inline",
            true,
        ),
        (
            "mixed",
            "Content-Type: image/png\r\nContent-Disposition: (c) \"INLINE\"",
            true,
        ),
        (
            "mixed",
            "Content-Type: image/png\r\nContent-Disposition: x-new; filename=a",
            false,
        ),
        (
            "related",
            "Content-Type: image/png\r\nContent-ID: <a>",
            true,
        ),
        (
            "related",
            "Content-Type: image/png\r\nContent-Location: a.png",
            true,
        ),
        ("related", "Content-Type: image/png", false),
        (
            "related",
            "Content-Type: image/png\r\nContent-ID: <a>\r\nContent-Disposition: attachment",
            false,
        ),
    ] {
        assert_eq!(inline(kind, fields), expected, "{kind} {fields}");
    }
}

#[test]
fn first_of_two_fields_counts() {
    let parsed = parse(
        b"Date: Mon, 30 Nov 2026 10:00:00 +0000\r\nDate: Tue, 1 Dec 2026 10:00:00 +0000\r\nMessage-ID: <a@x>\r\n\
          Message-ID: <b@x>\r\nSubject: a\r\nSubject: b\r\nSender: a@x.y\r\nSender: b@x.y\r\nReferences: <a@x>\r\n\
          References: <b@x>\r\nIn-Reply-To: <a@x>\r\nIn-Reply-To: <b@x>\r\nContent-Type: \r\n\
          Content-Type: text/html; charset=iso-8859-2\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\
          Content-Transfer-Encoding: 7bit\r\n\r\no/O/",
    );

    assert_eq!(parsed.date, Some(datetime!(2026-11-30 10:00:00 +0)));
    assert_eq!(
        (parsed.message_id.as_deref(), parsed.subject.as_deref()),
        (Some("<a@x>"), Some("a"))
    );
    assert_eq!(parsed.sender.unwrap().address, "a@x.y");
    assert_eq!(
        (parsed.references, parsed.in_reply_to),
        (vec!["<a@x>".into()], vec!["<a@x>".into()])
    );
    assert_eq!(parsed.html.unwrap().content, "Łóż");
}

#[test]
fn multipart_that_cannot_be_opened_is_told() {
    for (field, body) in [
        ("multipart/mixed", "--x\r\n\r\ntext\r\n--x--"),
        ("multipart/mixed; boundary=\"\"", "--x\r\n\r\ntext"),
        ("multipart/mixed; boundary=y", "--x\r\n\r\ntext"),
        ("multipart/mixed; boundary=x", "text"),
    ] {
        let parsed =
            parse(format!("From: a@b.c\r\nContent-Type: {field}\r\n\r\n{body}").as_bytes());
        assert_eq!(
            parsed.problem,
            Some(ParseProblem::MultipartUnopened),
            "{field}"
        );
        assert_eq!(text_of(&parsed), body);
    }
    let nested = multipart(
        "mixed",
        &[
            ("", "text"),
            ("Content-Type: multipart/alternative", "inner"),
        ],
    );
    let parsed = parse(nested.as_bytes());
    assert_eq!(parsed.problem, Some(ParseProblem::MultipartUnopened));
    assert_eq!(text_of(&parsed).trim(), "text\ninner");
}

#[test]
fn size_of_a_part_that_goes_on_is_not_told() {
    let file = |name: &str| format!("Content-Disposition: attachment; filename={name}");
    let raw = multipart(
        "mixed",
        &[("", "text"), (&file("a"), "aaaa"), (&file("b"), "bbbb")],
    );
    let sizes = |parsed: ParsedMail| -> Vec<Option<u64>> {
        parsed.attachments.iter().map(|file| file.bytes).collect()
    };

    let cut = raw.find("bb\r\n--x").unwrap();
    assert_eq!(
        sizes(parse_beginning(&raw.as_bytes()[..cut])),
        [Some(4), None]
    );
    assert_eq!(sizes(parse_beginning(raw.as_bytes())), [Some(4), Some(4)]);
    assert_eq!(sizes(parse(&raw.as_bytes()[..cut])), [Some(4), Some(2)]);

    let cut = raw.find("xt\r\n--x").unwrap();
    assert!(
        parse_beginning(&raw.as_bytes()[..cut])
            .text
            .unwrap()
            .truncated
    );
    assert!(!parse(&raw.as_bytes()[..cut]).text.unwrap().truncated);
}

#[test]
fn text_is_made_of_html_where_there_is_none() {
    let html = ("Content-Type: text/html", "<p>Order <b>4711</b></p>");

    for (parts, expected, is_derived) in [
        (&[html][..], "Order 4711", true),
        (&[("", " \r\n"), html], "Order 4711", true),
        (&[("", "own"), html], "own", false),
    ] {
        let parsed = parse(multipart("alternative", parts).as_bytes());
        assert_eq!(text_of(&parsed).trim(), expected);
        assert_eq!(parsed.text_derived, is_derived);
    }
    let picture =
        parse(multipart("mixed", &[("Content-Type: text/html", "<img src=x>")]).as_bytes());
    assert_eq!((picture.text, picture.text_derived), (None, false));
}
