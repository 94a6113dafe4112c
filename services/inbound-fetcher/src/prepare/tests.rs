use mailmesh_domain::Key;
use uuid::Uuid;

use super::*;

fn id(folder: &str, uid: u32, sha256: u8) -> MailId {
    let account = AccountId::from_uuid(Uuid::from_u128(7));
    let position = Position::Imap {
        uid_validity: 3,
        uid,
    };
    mail_id(account, folder, &position, &[sha256; 32])
}

#[test]
fn ids_are_the_same_for_the_same_mail_and_differ_in_every_part() {
    let first = id("INBOX", 1, 0);

    assert_eq!(first, id("INBOX", 1, 0));
    assert_eq!(first.as_uuid().get_version_num(), 8);
    for other in [id("INBOX2", 1, 0), id("INBOX", 2, 0), id("INBOX", 1, 1)] {
        assert_ne!(first, other);
    }
}

#[test]
fn imap_ids_are_those_of_earlier_releases() {
    let id = id("INBOX", 1, 0).to_string();

    assert_eq!(id, "e0595ce9-505d-8395-99f2-6edaab7e626a");
}

#[test]
fn pop3_ids_differ_by_uidl_and_content() {
    let account = AccountId::from_uuid(Uuid::from_u128(7));
    let id = |uidl: Option<&str>, sha256: u8| {
        let uidl = uidl.map(ToOwned::to_owned);
        mail_id(account, "INBOX", &Position::Pop3 { uidl }, &[sha256; 32])
    };

    assert_eq!(id(Some("a"), 0), id(Some("a"), 0));
    for other in [id(Some("b"), 0), id(Some("a"), 1), id(None, 0)] {
        assert_ne!(id(Some("a"), 0), other);
    }
}

#[test]
fn hashes_are_written_and_read_back() {
    let hash = mailmesh_secrets::sha256(b"abc");

    assert_eq!(from_hex(&to_hex(&hash)), Some(hash));
    for bad in ["", "zz", &"é".repeat(32), &"0".repeat(63)] {
        assert_eq!(from_hex(bad), None, "{bad}");
    }
}

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
            _ = parse_apart(mail.into()) => "parsed",
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
                parse_apart(mail.clone()).await;
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
            position: Position::Imap {
                uid_validity: 1,
                uid: 1,
            },
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
