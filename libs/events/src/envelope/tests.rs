use mailmesh_domain::Key;
use time::macros::datetime;

use super::*;
use crate::account::AccountChanged;
use crate::mail::SendMail;

const BARE: &str = r#"{"account":"support","to":"a@b.c","subject":"Hi","text":"Hello"}"#;

fn send(headers: &[(&str, &str)], payload: &str) -> Result<CloudEvent<SendMail>, DecodeError> {
    let headers = headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    decode_command(&headers, payload.as_bytes())
}

#[test]
fn a_command_is_read_in_all_three_modes() {
    let bare = send(&[], BARE).unwrap();
    let binary = send(
        &[
            ("Ce-Specversion", "1.0"),
            ("CE-TYPE", "mail.send.v1"),
            ("ce-id", "a%20b"),
            ("ce-source", "/erp"),
        ],
        BARE,
    )
    .unwrap();
    let envelope = format!(
        r#"{{"specversion":"1.0","type":"mail.send.v1","id":"1","source":"/erp","data":{BARE}}}"#
    );
    let structured = send(
        &[("Content-Type", "application/cloudevents+json")],
        &envelope,
    )
    .unwrap();
    let headless = send(&[], &envelope).unwrap();

    assert_eq!(bare.id, None);
    assert_eq!(binary.id.as_deref(), Some("a b"));
    assert_eq!(structured.id.as_deref(), Some("1"));
    for other in [binary, structured, headless] {
        assert_eq!(other.data, bare.data);
    }
}

#[test]
fn errors_name_the_path_of_the_field() {
    for (payload, path) in [
        (r#"{"to":1}"#, "to"),
        (r#"{"to":["a@b.c",{"adress":"x"}]}"#, "to[1]"),
        (r#"{"to":["a@b.c",{"address":"x","nam":"y"}]}"#, "to[1].nam"),
        (r#"{"bccc":"a@b.c"}"#, "bccc"),
        (r#"{"text":{}}"#, "text"),
        (
            r#"{"attachments":[{"filename":"a","content":5}]}"#,
            "attachments[0].content",
        ),
        (r#"{"attachments":[{"filename":"a"}]}"#, "attachments[0]"),
        (r#"{"account":"No Slug"}"#, "account"),
        (r#"{"headers":{"X-A":1}}"#, "headers.X-A"),
        (r#"{"on_uncertain":"maybe"}"#, "on_uncertain"),
        (r#"{"on_uncertain":5}"#, "on_uncertain"),
        (r#"{"on_uncertain":true}"#, "on_uncertain"),
        (r#"{"on_uncertain":["hold"]}"#, "on_uncertain"),
        ("[]", ""),
        (r#"{"on_uncertain":5"#, ""),
        ("{", ""),
        ("{} {}", ""),
        ("Hello", ""),
        ("", ""),
    ] {
        let error = send(&[], payload).unwrap_err();
        assert_eq!(error.field(), path, "{payload}: {error}");
    }
}

#[test]
fn an_envelope_of_another_type_is_refused() {
    let wrong = send(&[("ce-type", "mail.send.v9")], BARE).unwrap_err();
    let typeless = send(&[("ce-specversion", "1.0")], BARE).unwrap_err();
    let incomplete = send(
        &[],
        r#"{"specversion":"1.0","type":"mail.send.v1","data":{}}"#,
    );

    assert_eq!(wrong.field(), "type");
    assert_eq!(typeless.field(), "type");
    assert_eq!(incomplete.unwrap_err().field(), "id");
}

#[test]
fn an_encoded_event_reads_back_and_tolerates_new_fields() {
    let event = AccountChanged {
        account: Key::try_new("support").unwrap(),
        is_deleted: false,
    };
    let id = EventId::from_uuid(uuid::Uuid::nil());

    let encoded = encode(&event, id, "mesh né", datetime!(2026-01-02 03:04:05 UTC)).unwrap();
    let newer = br#"{"account":"support","is_deleted":false,"colour":"red"}"#;

    assert_eq!(encoded.subject, "account.changed.support");
    assert!(
        encoded
            .headers
            .contains(&("ce-source".into(), "mesh%20n%C3%A9".into()))
    );
    let read: CloudEvent<AccountChanged> =
        decode_event(&encoded.headers, &encoded.payload).unwrap();
    assert_eq!(read.data, event);
    assert_eq!(read.source.as_deref(), Some("mesh né"));
    let read: CloudEvent<AccountChanged> = decode_event(&encoded.headers, newer).unwrap();
    assert_eq!(read.data, event);
}
