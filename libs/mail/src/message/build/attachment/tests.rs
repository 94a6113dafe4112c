use bytes::Bytes;

use super::*;

#[test]
fn a_file_of_ascii_is_base64_where_lettre_sends_its_bare_line_feeds() {
    let csv = DraftAttachment {
        filename: "a.csv".into(),
        content: Bytes::from_static(b"a;b\n1;2\n"),
        ..DraftAttachment::default()
    };

    let by_lettre = SinglePart::builder().body(csv.content.to_vec());
    assert_eq!(by_lettre.raw_body(), b"a;b\n1;2\n");
    let part = attachment_part("attachments[0]", &csv).unwrap();
    assert_eq!(part.raw_body(), b"YTtiCjE7Mgo=");
}

#[test]
fn base64_has_lines_of_76_characters_and_no_line_end_behind_the_last() {
    for (octets, encoded) in [(0, 0), (57, 76), (58, 76 + 2 + 4), (114, 76 + 2 + 76)] {
        let content = vec![0; octets];

        assert_eq!(base64_body(&content).len(), encoded);
        assert_eq!(base64::encoded_len(octets), encoded);
    }
}

fn attached(content_type: &str, content: &'static [u8]) -> Result<SinglePart, BuildError> {
    let mail = DraftAttachment {
        filename: "mail.eml".into(),
        content_type: Some(content_type.into()),
        content: Bytes::from_static(content),
        ..DraftAttachment::default()
    };
    attachment_part("attachments[0]", &mail)
}

#[test]
fn an_attached_message_is_sent_as_it_is() {
    for (content, encoding, sent) in [
        (
            &b"Subject: x\n\nhi\r\n"[..],
            "7bit",
            &b"Subject: x\r\n\r\nhi\r\n"[..],
        ),
        (
            b"Subject: \xc3\xa4\r\n\r\n\xe4",
            "8bit",
            b"Subject: \xc3\xa4\r\n\r\n\xe4",
        ),
    ] {
        for (given, written) in [
            ("Message/RFC822", "message/rfc822"),
            (
                "message/rfc822; charset=utf-8",
                "message/rfc822; charset=utf-8",
            ),
            ("message/delivery-status", "message/delivery-status"),
            ("message/global", "message/global"),
        ] {
            let part = attached(given, content).unwrap();

            let headers = part.headers().to_string();
            assert!(
                headers.contains(&format!("Content-Type: {written}\r\n")),
                "{headers}"
            );
            assert!(headers.contains(&format!("Content-Transfer-Encoding: {encoding}\r\n")));
            assert_eq!(part.raw_body(), sent);
        }
    }
}

#[test]
fn a_message_that_mail_cannot_carry_as_it_is_is_refused() {
    let long: &[u8] = Vec::leak(b"x".repeat(999));
    for (content_type, content) in [
        ("message/rfc822", &b"a: b\n\n\0"[..]),
        ("message/rfc822", long),
        ("MESSAGE/delivery-status", long),
        ("message/partial; id=\"x\"; number=1", b"\xe4"),
        ("message/external-body; access-type=URL", b"\xe4"),
    ] {
        let refused = attached(content_type, content).unwrap_err();

        assert_eq!(refused.path, "attachments[0].content");
        assert_eq!(
            refused.problem,
            FieldProblem::InvalidMessage,
            "{content_type}"
        );
    }
}

#[test]
fn a_file_without_a_name_is_attached_without_one() {
    let file = |filename: &str, content_id: Option<&str>| {
        let file = DraftAttachment {
            filename: filename.into(),
            content_id: content_id.map(Into::into),
            ..DraftAttachment::default()
        };
        attachment_part("attachments[0]", &file)
            .unwrap()
            .headers()
            .to_string()
    };

    assert!(file("", None).contains("Content-Disposition: attachment\r\n"));
    assert!(file("..", Some("logo")).contains("Content-Disposition: inline\r\n"));
    assert!(file("../../etc/passwd", None).contains("attachment; filename=\"passwd\"\r\n"));
}

#[test]
fn a_file_name_that_reads_like_an_encoded_word_is_encoded() {
    let file = |filename: &str| DraftAttachment {
        filename: filename.to_owned(),
        ..DraftAttachment::default()
    };
    let name = "=?utf-8?q?evil.exe?=.txt";

    let part = attachment_part("attachments[0]", &file(name)).unwrap();

    let sent = String::from_utf8(part.formatted()).unwrap();
    let read = crate::message::attachment(sent.as_bytes(), 1).unwrap();
    assert_eq!(read.attachment.filename.as_deref(), Some(name), "{sent}");
    assert!(!sent.contains("=?"), "{sent}");
    assert!(sent.lines().all(|line| line.len() < 100), "{sent}");
}

#[test]
fn a_type_whose_quotes_do_not_end_is_refused() {
    for (content_type, is_taken) in [
        ("text/plain; name=\"a\"", true),
        ("text/plain; name=\"evil\\\"", false),
        ("text/plain; name=\"a", false),
    ] {
        let file = DraftAttachment {
            content_type: Some(content_type.to_owned()),
            ..DraftAttachment::default()
        };
        let built = attachment_part("attachments[0]", &file);
        assert_eq!(built.is_ok(), is_taken, "{content_type}");
    }
}
