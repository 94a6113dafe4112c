//! Requests from the field, and what must become of each.

use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::send_mail::NewMail;
use super::*;
use crate::draft::Refusal;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expectation {
    case: String,
    request: Value,
    #[serde(default)]
    recipients: Vec<String>,
    /// What the raw mail holds, and what it lacks.
    #[serde(default)]
    holds: Vec<String>,
    #[serde(default)]
    lacks: Vec<String>,
    /// The path in `mail.rejected`.
    rejected: Option<String>,
}

fn taken(request: &Value) -> Result<NewMail, Refusal> {
    let delivery = delivery("mail.send.support", &request.to_string());
    let send = match read(&delivery) {
        Read::Send(send) => send,
        Read::Rejected(rejection) => return Err(rejection.refusal),
        _ => panic!("{request} was not read"),
    };
    let account = Arc::new(sample::account());
    send.build(&delivery, Some(&account), &Config::default())
}

#[test]
fn requests_from_the_field_are_sent_whole_or_rejected_by_path() {
    let text = include_str!("../../../tests/cases/requests.json");
    let cases: Vec<Expectation> =
        serde_json::from_str(&text.replace("{900}", &"a".repeat(900))).unwrap();
    for case in cases {
        let taken = taken(&case.request);
        match (taken, case.rejected) {
            (Err(refusal), path) => assert_eq!(Some(refusal.field), path, "{}", case.case),
            (Ok(_), Some(path)) => panic!("{} is not rejected for {path}", case.case),
            (Ok(mail), None) => {
                let rows = mail.row.recipients.iter();
                let recipients: Vec<_> = rows.map(|one| one.address.clone()).collect();
                assert_eq!(recipients, case.recipients, "{}", case.case);
                let raw = String::from_utf8(mail.raw.to_vec())
                    .unwrap()
                    .replace("\r\n ", " ");
                for held in case.holds {
                    assert!(raw.contains(&held), "{}: {held:?} in {raw}", case.case);
                }
                for lacked in case.lacks {
                    assert!(!raw.contains(&lacked), "{}: {lacked:?} in {raw}", case.case);
                }
            }
        }
    }
}

/// A request with one list or map of far too many entries, and the path under which it is refused.
fn excessive() -> Vec<(Value, &'static str)> {
    const MANY: usize = 100_000;
    let headers: serde_json::Map<_, _> =
        (0..MANY).map(|n| (format!("X-{n}"), json!("a"))).collect();
    let list = |item: Value| Value::Array(vec![item; MANY]);
    let text = "a@b.c,".repeat(MANY);
    let mut requests = vec![
        (json!({ "to": "a@b.c", "headers": headers }), "headers"),
        (
            json!({ "to": "a@b.c", "references": list(json!("<a@b.c>")) }),
            "references",
        ),
        (
            json!({ "to": "a@b.c", "attachments": list(json!({ "content": "" })) }),
            "attachments",
        ),
        (
            json!({ "to": "a@b.c", "headers": { "Mail-Reply-To": text } }),
            "headers.Mail-Reply-To",
        ),
        (
            json!({ "to": "a@b.c", "headers": { "X-A": "a ".repeat(MANY) } }),
            "headers.X-A",
        ),
        (
            json!({ "to": "a@b.c", "subject": "=?".repeat(MANY) }),
            "subject",
        ),
        (
            json!({ "to": "a@b.c", "idempotency_key": "k".repeat(MANY) }),
            "idempotency_key",
        ),
        (
            json!({ "to": "a@b.c", "in_reply_to": "k".repeat(MANY) }),
            "in_reply_to",
        ),
    ];
    for field in ["to", "cc", "bcc", "reply_to"] {
        for value in [
            list(json!("a@b.c")),
            list(json!({ "address": "a@b.c" })),
            json!(text),
        ] {
            let mut request = json!({ "to": "a@b.c" });
            request[field] = value;
            requests.push((request, field));
        }
    }
    requests
}

#[test]
fn each_list_and_map_is_bounded_and_refused_in_linear_time() {
    for (request, path) in excessive() {
        let began = Instant::now();

        let refusal = taken(&request).unwrap_err();

        assert_eq!(refusal.field, path, "{}", refusal.reason);
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "{path}: {:?}",
            began.elapsed()
        );
    }
}
