use mailmesh_domain::{Key, MailId};
use uuid::Uuid;

use super::*;

#[test]
fn event_that_is_too_large_leaves_fields_out_and_says_so() {
    let mut event = bare();
    event.html = Some("\u{1}".repeat(100_000));
    event.text = Some("\u{1}".repeat(100_000));
    event.headers = vec![Header {
        name: "X".to_owned(),
        value: "\u{1}".repeat(10_000),
    }];
    let id = EventId::from_uuid(Uuid::nil());

    let encoded = encode_bounded(event, id, "test", OffsetDateTime::UNIX_EPOCH).unwrap();

    assert!(encoded.payload.len() <= PAYLOAD_BYTES);
    let event: MailReceived = serde_json::from_slice(&encoded.payload).unwrap();
    assert_eq!(event.truncated, [Truncated::Html]);
    assert!(event.html.is_none() && event.text.is_some() && !event.headers.is_empty());
}

#[tokio::test]
async fn only_small_mails_are_parsed_without_giving_way() {
    for (bytes, expected) in [(1_000, "parsed"), (500_000, "gave way")] {
        let mut mail = b"Subject: x\r\n\r\n".to_vec();
        mail.resize(bytes, b'x');

        let first = tokio::select! {
            biased;
            _ = parse_apart(mail.into(), true) => "parsed",
            () = std::future::ready(()) => "gave way",
        };

        assert_eq!(first, expected, "{bytes}");
    }
}

#[tokio::test]
async fn a_batch_of_small_mails_lets_others_work() {
    let mail = Bytes::from_static(b"Subject: x\r\n\r\n");

    let first = tokio::select! {
        biased;
        () = async {
            for _ in 0..1_000 {
                parse_apart(mail.clone(), true).await;
            }
        } => "parsed",
        () = std::future::ready(()) => "gave way",
    };

    assert_eq!(first, "gave way");
}

fn bare() -> MailReceived {
    MailReceived {
        mail_id: MailId::from_uuid(Uuid::nil()),
        account: Key::try_new("support").unwrap(),
        origin: Origin {
            folder: "INBOX".to_owned(),
            position: Position::imap(1, 1),
        },
        received_at: None,
        date: None,
        message_id: None,
        in_reply_to: Vec::new(),
        references: Vec::new(),
        from: Vec::new(),
        sender: None,
        reply_to: Vec::new(),
        to: Vec::new(),
        cc: Vec::new(),
        bcc: Vec::new(),
        subject: None,
        text: None,
        text_derived: false,
        html: None,
        headers: Vec::new(),
        attachments: Vec::new(),
        truncated: Vec::new(),
        flags: Vec::new(),
        raw: RawMail {
            stream: String::new(),
            subject: String::new(),
            chunks: 1,
            bytes: 0,
            sha256: String::new(),
        },
        parse_problem: None,
    }
}
