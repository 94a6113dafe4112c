mod given_up;
mod request;

use std::sync::Arc;

use bytes::Bytes;
use mailmesh_bus::Delivery;
use mailmesh_domain::Key;
use time::OffsetDateTime;

use super::command::{Read, Rejection, read};
use super::send_mail;
use crate::config::Config;
use crate::sample;

fn delivery(subject: &str, body: &str) -> Delivery {
    Delivery {
        subject: subject.to_owned(),
        headers: Vec::new(),
        payload: Bytes::from(body.to_owned()),
        stream_sequence: 7,
        timestamp: OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap(),
        attempt: 1,
        is_last_attempt: false,
    }
}

fn rejection(subject: &str, body: &str) -> Rejection {
    match read(&delivery(subject, body)) {
        Read::Rejected(rejection) => rejection,
        _ => panic!("{body} was not rejected"),
    }
}

#[test]
fn sender_of_a_body_that_cannot_be_read_is_told_by_the_account_in_it() {
    for body in [
        r#"{"account":"support","too":"a"}"#,
        r#"{"specversion":"1.0","data":{"account":"support","too":"a"}}"#,
    ] {
        let rejection = rejection("mail.send", body);
        assert_eq!(rejection.account, Key::try_new("support").ok(), "{body}");
    }
}

#[test]
fn field_at_fault_and_account_are_named_as_far_as_they_can_be_read() {
    for (subject, body, account, field) in [
        ("mail.send", "no json", None, ""),
        ("mail.send", "[]", None, ""),
        ("mail.send", "{}", None, "account"),
        ("mail.send.support", "{", Some("support"), ""),
        ("mail.send.Support", "{}", None, "account"),
        (
            "mail.send.support",
            r#"{"too":"a"}"#,
            Some("support"),
            "too",
        ),
        (
            "mail.send.support",
            r#"{"to":[1]}"#,
            Some("support"),
            "to[0]",
        ),
        (
            "mail.send.support",
            r#"{"account":"x"}"#,
            Some("support"),
            "account",
        ),
        ("mail.send", r#"{"account":"A"}"#, None, "account"),
        (
            "mail.send",
            r#"{"account":"support","idempotency_key":""}"#,
            Some("support"),
            "idempotency_key",
        ),
        (
            "mail.send",
            r#"{"account":"support","idempotency_key":"a\u0000b"}"#,
            Some("support"),
            "idempotency_key",
        ),
        (
            "mail.cancel",
            r#"{"account":"support"}"#,
            Some("support"),
            "mail_id",
        ),
        (
            "mail.cancel.support",
            r#"{"mail_id":"x"}"#,
            Some("support"),
            "mail_id",
        ),
    ] {
        let rejection = rejection(subject, body);

        assert_eq!(
            rejection.account.as_ref().map(Key::as_str),
            account,
            "{body}"
        );
        assert_eq!(rejection.refusal.field, field, "{body}");
    }
}

#[test]
fn cancel_takes_the_keys_that_a_mail_may_have() {
    for key in [String::new(), "a\0b".into(), "k".repeat(256)] {
        let body = serde_json::json!({ "idempotency_key": key }).to_string();
        let rejection = rejection("mail.cancel.support", &body);
        assert_eq!(rejection.refusal.field, "idempotency_key", "{key:?}");
    }
}

#[test]
fn same_delivery_is_the_same_mail_and_another_is_not() {
    let one = delivery("mail.send", "{}");
    let again = Delivery {
        attempt: 2,
        ..one.clone()
    };
    let other = Delivery {
        stream_sequence: 8,
        ..one.clone()
    };

    assert_eq!(send_mail::mail_id(&one), send_mail::mail_id(&again));
    assert_ne!(send_mail::mail_id(&one), send_mail::mail_id(&other));
    assert_eq!(send_mail::mail_id(&one).as_uuid().get_version_num(), 7);
}

#[test]
fn built_mail_bears_the_accounts_address_and_its_own_id() {
    let body =
        r#"{"account":"support","to":"a@b.c","bcc":"h@b.c","text":"x","idempotency_key":"k"}"#;
    let delivery = delivery("mail.send", body);
    let Read::Send(send) = read(&delivery) else {
        panic!("not read");
    };

    let new = send
        .build(
            &delivery,
            Some(&Arc::new(sample::account())),
            &Config::default(),
        )
        .unwrap();

    let text = String::from_utf8(new.raw.to_vec()).unwrap();
    assert_eq!(new.row.message_id, format!("<{}@example.com>", new.row.id));
    assert_eq!(new.row.envelope_from, "support@example.com");
    assert_eq!(new.row.recipients.len(), 2);
    assert!(new.row.is_key_given);
    assert!(!text.contains("h@b.c"), "{text}");
    assert!(text.contains("Date: Fri, 15 Jan 2027"), "{text}");
}

#[test]
fn trace_is_kept_only_where_it_is_one() {
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for (given, kept) in [(parent, Some(parent)), ("a\0b", None), ("", None)] {
        let mut delivery = delivery("mail.send.support", r#"{"to":"a@b.c"}"#);
        delivery.headers = vec![("traceparent".to_owned(), given.to_owned())];
        let Read::Send(send) = read(&delivery) else {
            panic!("{given:?} was not read");
        };

        let account = Arc::new(sample::account());
        let new = send.build(&delivery, Some(&account), &Config::default());

        assert_eq!(new.unwrap().row.trace_parent.as_deref(), kept, "{given:?}");
    }
}

#[test]
fn mail_is_the_same_whether_body_or_subject_names_the_account() {
    let new = |subject: &str, body: &str| {
        let delivery = delivery(subject, body);
        let Read::Send(send) = read(&delivery) else {
            panic!("{body} was not read");
        };
        let account = Arc::new(sample::account());
        send.build(&delivery, Some(&account), &Config::default())
            .unwrap()
    };

    let by_subject = new("mail.send.support", r#"{"to":"a@b.c"}"#);
    let by_body = new("mail.send", r#"{"to":"a@b.c","account":"support"}"#);
    let other = new("mail.send.support", r#"{"to":"a@b.d"}"#);

    let hash = |new: &send_mail::NewMail| new.row.content_sha256;
    assert_eq!(hash(&by_subject), hash(&by_body));
    assert_ne!(hash(&by_subject), hash(&other));
}

#[test]
fn author_of_an_international_domain_is_no_obstacle_to_the_message_id() {
    let body = r#"{"to":"a@b.c","from":"info@bücher.example"}"#;
    let delivery = delivery("mail.send.support", body);
    let Read::Send(send) = read(&delivery) else {
        panic!("not read");
    };
    let mut account = sample::account();
    account.from_addresses = vec!["info@bücher.example".into()];

    let built = send.build(&delivery, Some(&Arc::new(account)), &Config::default());

    let id = built.unwrap().row.message_id;
    assert!(id.ends_with("@xn--bcher-kva.example>"), "{id}");
}

#[test]
fn bad_fields_are_refused_where_the_mail_is_built() {
    for (body, field) in [
        (r#"{"subject":"x"}"#, "to"),
        (r#"{"to":"a"}"#, "to[0]"),
        (r#"{"to":"a@b.c","from":"x@y.z"}"#, "from"),
        (r#"{"to":"a@b.c","subject":"a\r\nBcc: x@y.z"}"#, "subject"),
        (r#"{"to":"a@b.c","headers":{"X-A":"a\nb"}}"#, "headers.X-A"),
        (
            r#"{"to":"a@b.c","attachments":[{"filename":"a","content":"*"}]}"#,
            "attachments[0].content",
        ),
    ] {
        let delivery = delivery("mail.send.support", body);
        let Read::Send(send) = read(&delivery) else {
            panic!("{body} was not read");
        };

        let account = Arc::new(sample::account());
        let refused = send.build(&delivery, Some(&account), &Config::default());

        assert_eq!(refused.unwrap_err().field, field, "{body}");
    }
}
