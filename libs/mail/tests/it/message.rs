use bytes::Bytes;
use mailmesh_mail::message::{
    BuildContext, BuildLimits, Draft, DraftAttachment, NamedAddress, attachment, build, parse,
};
use time::macros::datetime;

#[test]
fn built_mail_is_read_back_as_it_was_meant() {
    let draft = Draft {
        to: vec![NamedAddress {
            name: Some("Zoë, \"Q\"".into()),
            address: "zoe@bücher.example".into(),
        }],
        subject: "Grüße, a long subject ".repeat(20),
        text: Some("Ünïcode\n.\nlast\n".into()),
        html: Some("<img src=cid:logo>".into()),
        attachments: vec![
            file("logo.png", Some("logo")),
            file(&format!("{}.pdf", "Rëchnung ".repeat(10)), None),
        ],
        in_reply_to: Some("parent@example.com".into()),
        ..Draft::default()
    };
    let context = context();

    let built = build(&draft, &context).unwrap();
    let parsed = parse(&built.raw);

    assert_eq!(parsed.problem, None);
    assert_eq!(parsed.message_id, Some(built.message_id));
    assert_eq!(parsed.date, Some(context.date));
    assert_eq!(parsed.from[0].name.as_deref(), Some("Support"));
    assert_eq!(parsed.to[0].name, draft.to[0].name);
    assert_eq!(parsed.to[0].address, "zoe@xn--bcher-kva.example");
    assert_eq!(parsed.subject.as_deref(), Some(draft.subject.trim()));
    assert_eq!(parsed.in_reply_to, ["<parent@example.com>"]);
    assert_eq!(parsed.references, ["<parent@example.com>"]);
    assert_eq!(parsed.text.unwrap().content, "Ünïcode\r\n.\r\nlast");
    assert_eq!(parsed.html.unwrap().content, "<img src=cid:logo>");
    let files: Vec<_> = parsed
        .attachments
        .iter()
        .map(|file| file.filename.clone())
        .collect();
    let given: Vec<_> = draft
        .attachments
        .iter()
        .map(|file| Some(file.filename.clone()))
        .collect();
    assert_eq!(files, given);
    for found in &parsed.attachments {
        assert_eq!(found.bytes, Some(5));
        assert_eq!(
            attachment(&built.raw, found.part).unwrap().content,
            &b"%PDF\0"[..]
        );
    }
}

#[test]
fn attached_mail_is_a_mail_to_who_reads_it() {
    let recipient = NamedAddress {
        name: None,
        address: "a@example.com".into(),
    };
    let inner = Draft {
        to: vec![recipient.clone()],
        subject: "Grüße".into(),
        html: Some("<p>inner".into()),
        attachments: vec![file("inner.pdf", None)],
        ..Draft::default()
    };
    let inner_context = BuildContext {
        message_id: "<inner@example.com>".into(),
        ..context()
    };
    let inner = build(&inner, &inner_context).unwrap();
    let outer = Draft {
        to: vec![recipient],
        text: Some("outer".into()),
        attachments: vec![DraftAttachment {
            content_type: Some("message/rfc822".into()),
            content: inner.raw.clone(),
            ..file("mail.eml", None)
        }],
        ..Draft::default()
    };

    let built = build(&outer, &context()).unwrap();
    let parsed = parse(&built.raw);

    assert_eq!(parsed.text.unwrap().content, "outer");
    assert_eq!(parsed.attachments.len(), 1);
    assert_eq!(parsed.attachments[0].content_type, "message/rfc822");
    let found = attachment(&built.raw, parsed.attachments[0].part).unwrap();
    assert_eq!(found.content, inner.raw);
}

fn context() -> BuildContext {
    BuildContext {
        message_id: "<id@example.com>".into(),
        date: datetime!(2026-03-01 12:30:00 +1),
        default_from: Some(NamedAddress {
            name: None,
            address: "Support <support@example.com>".into(),
        }),
        limits: BuildLimits::default(),
    }
}

fn file(name: &str, content_id: Option<&str>) -> DraftAttachment {
    DraftAttachment {
        filename: name.into(),
        content_type: Some("application/pdf".into()),
        content: Bytes::from_static(b"%PDF\0"),
        content_id: content_id.map(Into::into),
    }
}
