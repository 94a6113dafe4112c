use super::*;

fn error(draft: &Draft) -> (String, FieldProblem) {
    let error = build(draft, &context()).unwrap_err();
    (error.path, error.problem)
}

type Change = fn(&mut Draft);

fn assert_refused(cases: impl IntoIterator<Item = (Change, &'static str, FieldProblem)>) {
    for (change, path, problem) in cases {
        let mut draft = draft();
        change(&mut draft);
        assert_eq!(error(&draft), (path.to_owned(), problem));
    }
}

#[test]
fn bad_people_are_named_by_their_path() {
    use crate::message::AddressProblem as A;
    use FieldProblem as P;
    let cases: [(Change, _, _); 10] = [
        (
            |d| d.to[0].name = Some("x\ny".into()),
            "to[0].name",
            P::ControlCharacter,
        ),
        (
            |d| d.to[0].address = "nobody".into(),
            "to[0]",
            P::Address(A::Malformed),
        ),
        (
            |d| d.to[0].address = "a@b.c,d@e.f".into(),
            "to[0]",
            P::Address(A::Malformed),
        ),
        (
            |d| d.to[0].address = "a@b.c\n".into(),
            "to[0]",
            P::Address(A::ControlCharacter),
        ),
        (
            |d| d.cc = vec![mailbox("ü@b.c")],
            "cc[0]",
            P::Address(A::NonAsciiLocalPart),
        ),
        (
            |d| d.bcc = vec![mailbox("a@b.c"), mailbox("")],
            "bcc[1]",
            P::Address(A::Malformed),
        ),
        (|d| d.to.clear(), "to", P::NoRecipients),
        (
            |d| d.to = vec![mailbox("a@b.c"); 501],
            "to",
            P::TooMany { limit: 500 },
        ),
        (
            |d| d.bcc = vec![mailbox("nobody"); 501],
            "bcc",
            P::TooMany { limit: 500 },
        ),
        (
            |d| d.reply_to = vec![mailbox("a@b.c"); 501],
            "reply_to",
            P::TooMany { limit: 500 },
        ),
    ];

    assert_refused(cases);
}

#[test]
fn bad_text_is_named_by_its_path() {
    use FieldProblem as P;
    let cases: [(Change, _, _); 9] = [
        (
            |d| d.subject = "a\r\nBcc: x@y.z".into(),
            "subject",
            P::ControlCharacter,
        ),
        (|d| d.subject = "a\0".into(), "subject", P::ControlCharacter),
        (
            |d| d.subject = "a".repeat(9000),
            "subject",
            P::TooLong { limit: 8192 },
        ),
        (|d| d.text = Some("\0".into()), "text", P::Nul),
        (
            |d| d.in_reply_to = Some("a b".into()),
            "in_reply_to",
            P::InvalidMessageId,
        ),
        (
            |d| d.references = vec!["<a>".into(), "<b\r\nc>".into()],
            "references[1]",
            P::ControlCharacter,
        ),
        (
            |d| d.references = vec!["<a>".into(); 1_001],
            "references",
            P::TooMany { limit: 1_000 },
        ),
        (
            |d| d.in_reply_to = Some("a".repeat(996)),
            "in_reply_to",
            P::InvalidMessageId,
        ),
        (
            |d| d.subject = "a\u{b}b".into(),
            "subject",
            P::ControlCharacter,
        ),
    ];

    assert_refused(cases);
}

#[test]
fn bad_headers_are_named_by_their_path() {
    use FieldProblem as P;
    fn header(draft: &mut Draft, name: &str, value: &str) {
        draft.headers.insert(name.into(), value.into());
    }
    let cases: [(Change, _, _); 7] = [
        (
            |d| header(d, "X-Foo", "a\nb"),
            "headers.X-Foo",
            P::ControlCharacter,
        ),
        (
            |d| header(d, "bcc", "a@b.c"),
            "headers.bcc",
            P::ReservedHeader,
        ),
        (
            |d| header(d, "Content-Type", "x"),
            "headers.Content-Type",
            P::ReservedHeader,
        ),
        (
            |d| header(d, "X Foo", "x"),
            "headers.X Foo",
            P::InvalidHeaderName,
        ),
        (
            |d| header(d, "X\r\nTo", "x"),
            "headers.X\\r\\nTo",
            P::InvalidHeaderName,
        ),
        (
            |d| (0..201).for_each(|n| header(d, &format!("X-{n}"), "x")),
            "headers",
            P::TooMany { limit: 200 },
        ),
        (
            |d| ["X-A", "x-a"].iter().for_each(|name| header(d, name, "x")),
            "headers.x-a",
            P::DuplicateHeader,
        ),
    ];

    assert_refused(cases);
}

#[test]
fn bad_attachments_are_named_by_their_path() {
    use FieldProblem as P;
    fn typed(draft: &mut Draft, content_type: &str) {
        let mut file = attachment("a", None);
        file.content_type = Some(content_type.into());
        draft.attachments.push(file);
    }
    let cases: [(Change, _, _); 5] = [
        (
            |d| d.attachments = vec![attachment("a", Some(&"x".repeat(501)))],
            "attachments[0].content_id",
            P::TooLong { limit: 500 },
        ),
        (
            |d| d.attachments = vec![attachment("a\nb", None)],
            "attachments[0].filename",
            P::ControlCharacter,
        ),
        (
            |d| typed(d, "multipart/mixed; boundary=x"),
            "attachments[0].content_type",
            P::InvalidContentType,
        ),
        (
            |d| typed(d, "pdf"),
            "attachments[0].content_type",
            P::InvalidContentType,
        ),
        (
            |d| d.attachments = vec![attachment("a", Some("x y"))],
            "attachments[0].content_id",
            P::InvalidMessageId,
        ),
    ];

    assert_refused(cases);
}

#[test]
fn a_mail_over_the_limit_is_refused_before_it_is_encoded() {
    let mut draft = draft();
    draft.attachments = vec![DraftAttachment {
        content: Bytes::from(vec![0; 30_000_000]),
        ..attachment("big", None)
    }];

    assert_eq!(
        error(&draft),
        (
            "attachments[0].content".into(),
            FieldProblem::TooLarge { limit: 36_700_160 }
        )
    );
}

#[test]
fn without_a_sender_the_field_is_missing() {
    let context = BuildContext {
        default_from: None,
        ..context()
    };

    assert_eq!(build(&draft(), &context).unwrap_err().path, "from");
}
