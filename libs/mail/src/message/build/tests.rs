mod people;
mod refused;

use mail_parser::{MessageParser, MimeHeaders as _};
use time::macros::datetime;

use super::super::address::NamedAddress;
use super::super::draft::{BuildLimits, DraftAttachment, DraftCalendar};
use super::*;

fn context() -> BuildContext {
    BuildContext {
        message_id: "id-1@example.com".into(),
        date: datetime!(2026-03-01 12:30:00 UTC),
        default_from: Some(mailbox("Support <support@example.com>")),
        limits: BuildLimits::default(),
    }
}

fn mailbox(address: &str) -> NamedAddress {
    NamedAddress {
        name: None,
        address: address.into(),
    }
}

fn draft() -> Draft {
    Draft {
        to: vec![mailbox("a@b.c")],
        subject: "Hi".into(),
        text: Some("Hello\n.\nbye\r".into()),
        ..Draft::default()
    }
}

fn attachment(filename: &str, content_id: Option<&str>) -> DraftAttachment {
    DraftAttachment {
        filename: filename.into(),
        content: Bytes::from_static(b"%PDF\n\0\xff"),
        content_id: content_id.map(Into::into),
        ..DraftAttachment::default()
    }
}

/// Checks what holds for every mail, then returns it.
fn built(draft: &Draft) -> String {
    let built = build(draft, &context()).unwrap();
    let text = String::from_utf8(built.raw.to_vec()).unwrap();
    assert!(text.ends_with("\r\n"));
    assert!(text.is_ascii() && !text.contains('\0'));
    assert!(!text.replace("\r\n", "").contains(['\r', '\n']), "{text:?}");
    assert!(text.split("\r\n").all(|line| line.len() <= 998));
    text
}

#[test]
fn plain_mail_has_the_headers_that_servers_want() {
    let raw = built(&draft());

    assert_eq!(
        raw,
        "Date: Sun, 01 Mar 2026 12:30:00 +0000\r\nFrom: \"Support\" <support@example.com>\r\nTo: a@b.c\r\n\
         Message-ID: <id-1@example.com>\r\nSubject: Hi\r\nMIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\nHello\r\n.\r\nbye\r\n"
    );
}

#[test]
fn everything_together_is_read_back_by_a_parser() {
    let mut draft = draft();
    draft.from = Some(mailbox("Zoë, \"Q\" <zoe@example.com>"));
    draft.from.as_mut().unwrap().name = Some("Zoë, \"Q\"".into());
    draft.from.as_mut().unwrap().address = "zoe@bücher.example".into();
    draft.subject = "Grüße ".repeat(60);
    draft.text = Some(format!("Ünïcode\n{}\n", "long ".repeat(400)));
    draft.html = Some("<img src=cid:logo>".into());
    draft.attachments = vec![
        attachment("logo.png", Some("logo")),
        attachment("Rëchnung 1.pdf", None),
    ];
    draft.in_reply_to = Some("<p@x>".into());
    draft.references = (0..80).map(|n| format!("r{n}@x")).collect();
    draft.headers.insert("X-Ticket".into(), "äöü 7".into());

    let raw = built(&draft);
    let parsed = MessageParser::new().parse(raw.as_bytes()).unwrap();

    let from = parsed.from().unwrap().first().unwrap();
    assert_eq!(from.name(), Some("Zoë, \"Q\""));
    assert_eq!(from.address(), Some("zoe@xn--bcher-kva.example"));
    assert_eq!(parsed.subject(), Some(draft.subject.trim()));
    assert_eq!(
        parsed.body_text(0).unwrap().trim_end(),
        draft.text.unwrap().trim_end().replace('\n', "\r\n")
    );
    assert_eq!(
        parsed.body_html(0).unwrap().trim_end(),
        "<img src=cid:logo>"
    );
    let references = parsed.references().as_text_list().unwrap();
    assert_eq!(references.len(), 50);
    assert_eq!((&*references[0], &*references[49]), ("r0@x", "p@x"));
    let files: Vec<_> = parsed
        .attachments()
        .map(|part| (part.attachment_name(), part.content_id(), part.contents()))
        .collect();
    assert_eq!(
        files,
        [
            (Some("logo.png"), Some("logo"), &b"%PDF\n\0\xff"[..]),
            (Some("Rëchnung 1.pdf"), None, &b"%PDF\n\0\xff"[..]),
        ]
    );
}

#[test]
fn hidden_recipients_are_in_the_envelope_alone() {
    let mut draft = draft();
    let again = [
        mailbox("a@B.C"),
        mailbox("\"a\"@b.c"),
        mailbox("\"\\a\"@b.c"),
    ];
    draft.cc = vec![mailbox("C <c@example.com>")];
    draft.cc.extend(again);
    draft.bcc = vec![mailbox("hidden@example.com")];
    draft.sender = Some(mailbox("bot@example.com"));

    let built = build(&draft, &context()).unwrap();

    let raw = String::from_utf8(built.raw.to_vec()).unwrap();
    assert!(!raw.to_lowercase().contains("bcc") && !raw.contains("hidden"));
    assert_eq!(
        built.envelope.recipients(),
        ["a@b.c", "c@example.com", "hidden@example.com"]
    );
    assert_eq!(built.envelope.from(), Some("bot@example.com"));
    assert_eq!(built.message_id, "<id-1@example.com>");
}

#[test]
fn five_hundred_recipients_are_folded() {
    let mut draft = draft();
    draft.to = (0..500)
        .map(|n| mailbox(&format!("Näme {n} <user{n}@example.com>")))
        .collect();

    let raw = built(&draft);

    let parsed = MessageParser::new().parse(raw.as_bytes()).unwrap();
    assert_eq!(parsed.to().unwrap().iter().count(), 500);
    assert!(raw.split("\r\n").all(|line| line.len() <= 78));
}

#[test]
fn tabs_in_subject_and_headers_become_spaces() {
    let mut draft = draft();
    draft.subject = "Order\t4711".into();
    draft.headers.insert("X-Ticket".into(), "a\tb".into());

    let raw = built(&draft);

    assert!(raw.contains("Subject: Order 4711\r\n"));
    assert!(raw.contains("X-Ticket: a b\r\n"));
}

#[test]
fn ids_of_the_longest_kind_are_never_encoded() {
    let id = |letter: &str| format!("<{}@=?example.com>", letter.repeat(980));
    let draft = Draft {
        in_reply_to: Some(id("a")),
        references: vec![id("b"), "c@example.com".into()],
        ..draft()
    };

    let raw = built(&draft);

    assert!(raw.contains(&format!("In-Reply-To: \r\n {}\r\n", id("a"))));
    assert!(raw.contains(&format!(
        "References: \r\n {}\r\n <c@example.com>\r\n {}\r\n",
        id("b"),
        id("a")
    )));
}

#[test]
fn ids_of_other_mails_are_repeated_with_their_spaces() {
    let draft = Draft {
        in_reply_to: Some("<a b @example.com>".into()),
        references: vec!["<[1] x@example.com>".into()],
        ..draft()
    };

    let raw = built(&draft);

    assert!(raw.contains("In-Reply-To: <a b @example.com>\r\n"));
    assert!(raw.contains("References: <[1] x@example.com> <a b @example.com>\r\n"));
}

#[test]
fn separators_of_lines_and_paragraphs_become_spaces() {
    let draft = Draft {
        subject: "a\u{2028}b\u{2029}c\u{85}\u{3000}d".into(),
        ..draft()
    };

    let raw = built(&draft);

    let parsed = MessageParser::new().parse(raw.as_bytes()).unwrap();
    assert_eq!(parsed.subject(), Some("a b c \u{3000}d"));
}

#[test]
fn a_value_of_one_word_or_one_gap_still_has_short_lines() {
    let gap = " ".repeat(2000);
    for subject in ["x".repeat(2000), format!("a{gap}b"), format!("ä{gap}ö")] {
        let draft = Draft { subject, ..draft() };

        let raw = built(&draft);

        let parsed = MessageParser::new().parse(raw.as_bytes()).unwrap();
        assert_eq!(parsed.subject(), Some(draft.subject.as_str()));
    }
}

#[test]
fn mail_that_is_built_twice_is_the_same_octets() {
    let draft = Draft {
        html: Some("<img src=\"cid:logo\">".into()),
        attachments: vec![
            attachment("logo.png", Some("logo")),
            attachment("a.pdf", None),
        ],
        headers: [("X-B".into(), "b".into()), ("X-A".into(), "a".into())].into(),
        ..draft()
    };

    let first = built(&draft);

    assert_eq!(first.matches("boundary=").count(), 3);
    assert_eq!(first, built(&draft));
    let other = BuildContext {
        message_id: "id-2@example.com".into(),
        ..context()
    };
    let other = build(&draft, &other).unwrap();
    let boundary = |raw: &str| {
        raw.split("boundary=")
            .nth(1)
            .map(|rest| rest.chars().take(42).collect::<String>())
    };
    assert_ne!(
        boundary(&first),
        boundary(&String::from_utf8_lossy(&other.raw))
    );
}

#[test]
fn multiparts_around_an_eight_bit_message_declare_it() {
    let mut message = attachment("mail.eml", None);
    message.content_type = Some("message/rfc822".into());
    message.content = Bytes::from_static(b"Subject: \xe4\n\nhi");
    let draft = Draft {
        html: Some("<img src=cid:logo>".into()),
        attachments: vec![attachment("logo.png", Some("logo")), message],
        ..draft()
    };

    let raw = build(&draft, &context()).unwrap().raw;

    let text = String::from_utf8_lossy(&raw);
    // Three multiparts and the message.
    assert_eq!(
        text.matches("Content-Transfer-Encoding: 8bit\r\n").count(),
        4,
        "{text}"
    );
    let within = b"Subject: \xe4\r\n\r\nhi\r\n";
    assert!(raw.windows(within.len()).any(|window| window == within));
}

#[test]
fn an_invitation_is_the_last_of_the_alternatives() {
    let content = "BEGIN:VCALENDAR\nMETHOD:REQUEST\nEND:VCALENDAR\n";
    let draft = Draft {
        html: Some("<p>Hello</p>".into()),
        calendar: Some(DraftCalendar {
            method: "REQUEST".into(),
            content: content.into(),
        }),
        attachments: vec![attachment("agenda.pdf", None)],
        ..draft()
    };

    let raw = built(&draft);

    let parsed = MessageParser::new().parse(raw.as_bytes()).unwrap();
    let types: Vec<_> = parsed
        .parts
        .iter()
        .filter_map(|part| part.content_type())
        .map(|each| {
            (
                each.c_subtype.as_deref().unwrap_or_default(),
                each.attribute("method"),
            )
        })
        .collect();
    assert_eq!(
        types,
        [
            ("mixed", None),
            ("alternative", None),
            ("plain", None),
            ("html", None),
            ("calendar", Some("REQUEST")),
            ("octet-stream", None),
        ]
    );
    let calendar = parsed.parts[4].contents();
    assert_eq!(calendar, content.replace('\n', "\r\n").as_bytes());
}

#[test]
fn large_texts_are_encoded_in_linear_time() {
    const OCTETS: usize = 512 * 1024;
    for unit in [
        "ä", "a", " ", "\r", "a\n", "=", "\n.\n", "ä ", "a\t\r\n", "\u{2028}",
    ] {
        let text = unit.repeat(OCTETS / unit.len());
        let draft = Draft {
            text: Some(text.clone()),
            html: Some(text),
            ..draft()
        };
        let began = std::time::Instant::now();

        build(&draft, &context()).unwrap();

        assert!(began.elapsed().as_secs() < 10, "{unit:?}");
    }
}

#[test]
fn header_like_text_and_boundary_like_lines_stay_text() {
    let mut draft = draft();
    draft.text = Some("\r\nFrom: x\r\n--\r\n.\r\nFrom here".into());
    draft.attachments = vec![attachment("a\".pdf", None)];

    let raw = built(&draft);

    let parsed = MessageParser::new().parse(raw.as_bytes()).unwrap();
    assert_eq!(
        parsed.body_text(0).unwrap(),
        "\r\nFrom: x\r\n--\r\n.\r\nFrom here"
    );
    assert_eq!(
        parsed.attachment(0).unwrap().attachment_name(),
        Some("a\".pdf")
    );
}
