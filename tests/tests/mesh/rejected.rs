use std::collections::BTreeMap;

use mailmesh_mail::message;
use mailmesh_tests::{Leftovers, World, WorldSettings};
use serde_json::{Value, json};

use crate::sample::assert_each_once;

/// Merged into a good command; the path of the field that must be named.
fn malformed() -> Vec<(Value, &'static str)> {
    vec![
        (json!({"account": "nobody"}), "account"),
        (json!({"account": "bad"}), "account"),
        (json!({"account": "No Key"}), "account"),
        (json!({"to": "not an address"}), "to[0]"),
        (json!({"to": ["a@example.com", "b@@example.com"]}), "to[1]"),
        (json!({"to": 5}), "to"),
        (json!({"to": ["a@example.com", 5]}), "to[1]"),
        (json!({"to": []}), "to"),
        (
            json!({"cc": "a@example.com\r\nBcc: b@example.com"}),
            "cc[0]",
        ),
        (
            json!({"to": [{"name": "A\r\nBcc: b@x.y", "address": "a@x.y"}]}),
            "to[0].name",
        ),
        (json!({"from": "somebody@else.test"}), "from"),
        (json!({"subject": "a\r\nBcc: b@example.com"}), "subject"),
        (json!({"subject": 7}), "subject"),
        (json!({"text": ["x"]}), "text"),
        (json!({"text": "x".repeat(300_000)}), "text"),
        (json!({"txt": "typo"}), "txt"),
        (json!({"headers": {"Bcc": "b@example.com"}}), "headers.Bcc"),
        (
            json!({"headers": {"X-Ticket": "1\r\nX: y"}}),
            "headers.X-Ticket",
        ),
        (json!({"in_reply_to": "no id"}), "in_reply_to"),
        (json!({"idempotency_key": ""}), "idempotency_key"),
        (
            json!({"attachments": [{"filename": "a", "content": "%%%"}]}),
            "attachments[0].content",
        ),
        (
            json!({"attachments": [{"filename": "a", "content": "A".repeat(400_000)}]}),
            "attachments[0].content",
        ),
        (
            json!({"attachments": [{"filename": "a", "content": "", "content_type": "x"}]}),
            "attachments[0].content_type",
        ),
        (
            json!({"attachments": [{"filename": "a", "content": "", "size": 1}]}),
            "attachments[0].size",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_malformed_command_is_rejected_with_its_field_and_loses_no_other() {
    let mut world = World::start(WorldSettings {
        extra: "[outbound_sender]\nmax_mail_bytes = 200000\n".to_owned(),
        ..WorldSettings::default()
    })
    .await
    .unwrap();
    let mailbox = world.connect_sandbox("bad").await.unwrap();
    let mut expected: BTreeMap<u64, &str> = BTreeMap::new();
    let mut good = Vec::new();

    for (change, field) in malformed() {
        let mut command = command(&mailbox.outbound, "never");
        let change = change.as_object().cloned().unwrap_or_default();
        command.as_object_mut().unwrap().extend(change);
        let sequence = world.publish("mail.send", &command).await.unwrap();
        expected.insert(sequence, field);
        good.push(publish_good(&world, &mailbox.outbound, good.len()).await);
    }
    for (subject, headers, body, field) in envelopes(&mailbox.outbound) {
        let sequence = world.base.publish(&subject, &headers, body).await.unwrap();
        expected.insert(sequence, field);
        good.push(publish_good(&world, &mailbox.outbound, good.len()).await);
    }

    let rejected = world
        .events
        .wait("mail.rejected", None, expected.len())
        .await;
    let named: BTreeMap<u64, String> = rejected
        .unwrap()
        .iter()
        .map(|event| {
            let sequence = event.data["stream_sequence"].as_u64().unwrap();
            assert!(!event.text("reason").is_empty());
            (sequence, event.text("field").to_owned())
        })
        .collect();
    let wrong: Vec<_> = expected
        .iter()
        .map(|(sequence, field)| (*field, named.get(sequence)))
        .filter(|(field, named)| named.is_none_or(|named| named != field))
        .collect();
    assert!(wrong.is_empty(), "expected, named: {wrong:?}");
    world
        .events
        .wait("mail.sent", None, good.len())
        .await
        .unwrap();
    let mut counts = BTreeMap::new();
    for submission in world.sandbox.mail().outbox() {
        let subject = message::parse(&submission.raw).subject.unwrap_or_default();
        *counts.entry(subject).or_default() += 1;
    }
    assert_each_once(&counts, &good);
    world.finish(Leftovers::default()).await.unwrap();
}

fn command(account: &str, subject: &str) -> Value {
    json!({"account": account, "to": "a@example.com", "subject": subject, "text": "t"})
}

/// In turn bare, in binary and in structured mode.
async fn publish_good(world: &World, account: &str, number: usize) -> String {
    let subject = format!("good {number}");
    let command = command(account, &subject);
    let id = number.to_string();
    let binary = [
        ("ce-specversion", "1.0"),
        ("ce-id", id.as_str()),
        ("ce-source", "e2e"),
        ("ce-type", "mail.send.v1"),
    ];
    let stored = match number % 3 {
        0 => world.publish("mail.send", &command).await,
        1 => {
            let body = command.to_string();
            world.base.publish("mail.send", &binary, body).await
        }
        _ => {
            let envelope = json!({
                "specversion": "1.0", "id": id, "source": "e2e", "type": "mail.send.v1",
                "datacontenttype": "application/json", "data": command,
            });
            let headers = [("content-type", "application/cloudevents+json")];
            let body = envelope.to_string();
            world.base.publish("mail.send", &headers, body).await
        }
    };
    stored.unwrap();
    subject
}

type Envelope = (
    String,
    Vec<(&'static str, &'static str)>,
    String,
    &'static str,
);

fn envelopes(account: &str) -> Vec<Envelope> {
    let body = command(account, "never").to_string();
    let of_account = format!("mail.send.{account}");
    let bare = |body: &str, field| ("mail.send".to_owned(), Vec::new(), body.to_owned(), field);
    let no_id = json!({"specversion": "1.0", "source": "e", "type": "mail.send.v1", "data": {}});
    let other = vec![
        ("ce-specversion", "1.0"),
        ("ce-id", "1"),
        ("ce-source", "e"),
        ("ce-type", "mail.post.v1"),
    ];
    vec![
        bare("not json", ""),
        bare("[]", ""),
        bare("{}", "account"),
        bare(&no_id.to_string(), "id"),
        (of_account.clone(), Vec::new(), "{".to_owned(), ""),
        (
            "mail.send.somebody-else".to_owned(),
            Vec::new(),
            body.clone(),
            "account",
        ),
        (of_account, other, body, "type"),
    ]
}
