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

fn attached_message(content: &'static [u8]) -> SinglePart {
    let mail = DraftAttachment {
        filename: "mail.eml".into(),
        content_type: Some("Message/RFC822".into()),
        content: Bytes::from_static(content),
        ..DraftAttachment::default()
    };
    attachment_part("attachments[0]", &mail).unwrap()
}

#[test]
fn an_attached_message_is_sent_as_it_is() {
    let part = attached_message(b"Subject: x\n\nhi\r\n");

    let headers = part.headers().to_string();
    assert!(headers.contains("Content-Type: message/rfc822\r\n"));
    assert!(headers.contains("Content-Transfer-Encoding: 7bit\r\n"));
    assert_eq!(part.raw_body(), b"Subject: x\r\n\r\nhi\r\n");
}

#[test]
fn an_attached_message_that_7bit_cannot_carry_is_a_file() {
    let long = Vec::leak(b"x".repeat(999));
    for content in [b"Subject: \xc3\xa4\r\n\r\n", &b"a: b\n\n\0"[..], long] {
        let headers = attached_message(content).headers().to_string();

        assert!(headers.contains("Content-Type: application/octet-stream\r\n"));
        assert!(headers.contains("Content-Transfer-Encoding: base64\r\n"));
    }
}
