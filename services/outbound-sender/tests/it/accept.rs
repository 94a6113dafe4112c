//! What becomes of commands before they are sent.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::world::{World, send_body};

#[tokio::test]
async fn bare_binary_and_structured_commands_are_sent() -> Result<()> {
    let (mut world, _) = World::with_sender().await?;
    let body = |subject| send_body("one", "a@elsewhere.test", subject);
    let structured = json!({
        "specversion": "1.0", "type": "mail.send.v1", "id": "1", "source": "shop",
        "data": { "to": "a@elsewhere.test", "subject": "structured", "text": "Hello" },
    });

    world.publish("mail.send", body("bare")).await?;
    let binary = [
        ("ce-specversion", "1.0"),
        ("ce-type", "mail.send.v1"),
        ("ce-id", "1"),
        ("ce-source", "a"),
    ];
    world
        .base
        .publish("mail.send", &binary, body("binary"))
        .await?;
    world
        .publish("mail.send.one", structured.to_string())
        .await?;
    for _ in 0..3 {
        let sent = world.event("mail.sent").await?;
        assert_eq!(sent["recipients"][0]["accepted"], true);
        assert_eq!(sent["attempts"], 1);
        assert!(sent["reply"].as_str().unwrap().starts_with("250 "));
    }

    let texts = world.outbox_texts();
    for subject in ["bare", "binary", "structured"] {
        let line = format!("Subject: {subject}\r\n");
        assert_eq!(texts.iter().filter(|text| text.contains(&line)).count(), 1);
    }
    world.finish().await
}

#[tokio::test]
async fn all_that_one_text_names_get_the_mail() -> Result<()> {
    let (mut world, _) = World::with_sender().await?;
    let list = "Sales <a@elsewhere.test>, \"Doe, J.\" <b@elsewhere.test>; taro.@elsewhere.test";
    let message = json!({
        "content_type": "message/rfc822",
        "content": "U3ViamVjdDog5A0KDQpoaQ0K",
    });
    let body = json!({
        "account": "one", "to": list, "bcc": "C <c@elsewhere.test>", "text": "x",
        "attachments": [message],
    });

    world.publish("mail.send", body.to_string()).await?;
    let sent = world.event("mail.sent").await?;

    let recipients = sent["recipients"].as_array().cloned().unwrap_or_default();
    let accepted: Vec<&str> = recipients
        .iter()
        .filter(|one| one["accepted"] == true)
        .filter_map(|one| one["address"].as_str())
        .collect();
    let expected = [
        "a@elsewhere.test",
        "b@elsewhere.test",
        "\"taro.\"@elsewhere.test",
        "c@elsewhere.test",
    ];
    assert_eq!(accepted, expected);
    let outbox = world.sandbox.mail().outbox();
    let raw = &outbox.first().context("a mail")?.raw;
    let within = b"Subject: \xe4\r\n\r\nhi\r\n";
    assert!(raw.windows(within.len()).any(|window| window == within));
    world.finish().await
}

#[tokio::test]
async fn same_key_is_sent_once_and_with_other_content_rejected() -> Result<()> {
    let (mut world, _) = World::with_sender().await?;
    let keyed = |subject: &str| {
        json!({ "account": "one", "to": "a@elsewhere.test", "subject": subject, "text": "x",
                "idempotency_key": "order-1" })
        .to_string()
    };

    // In one batch, and again after the mail was sent.
    for _ in 0..3 {
        world.publish("mail.send", keyed("first")).await?;
    }
    let sent = world.event("mail.sent").await?;
    world.publish("mail.send", keyed("first")).await?;
    let other = world.publish("mail.send", keyed("other")).await?;
    let rejected = world.event("mail.rejected").await?;
    for _ in 0..3 {
        let repeated = world.event("mail.repeated").await?;
        assert_eq!(repeated["mail_id"], sent["mail_id"]);
        assert_eq!(repeated["first_stream_sequence"], sent["stream_sequence"]);
        assert_eq!(repeated["idempotency_key"], "order-1");
    }

    assert_eq!(sent["idempotency_key"], "order-1");
    assert_eq!(rejected["field"], "idempotency_key");
    assert_eq!(rejected["stream_sequence"], other);
    assert_eq!(world.outbox_texts().len(), 1);
    assert_eq!(world.mails().await?.len(), 1);
    world.finish().await
}

fn bad_commands() -> Vec<(&'static str, Value, &'static str)> {
    let attached = json!([{ "filename": "f", "content": "!" }]);
    vec![
        (
            "mail.send",
            json!({ "account": "nobody", "to": "a@b.c" }),
            "account",
        ),
        (
            "mail.send",
            json!({ "account": "one", "to": "a@b.c", "extra": 1 }),
            "extra",
        ),
        ("mail.send", json!({ "account": "one" }), "to"),
        (
            "mail.send.one",
            json!({ "account": "two", "to": "a@b.c" }),
            "account",
        ),
        (
            "mail.send.one",
            json!({ "to": "a@b.c", "from": "x@y.z" }),
            "from",
        ),
        (
            "mail.send.one",
            json!({ "to": "a@b.c", "subject": "a\r\nBcc: x@y.z" }),
            "subject",
        ),
        (
            "mail.send.one",
            json!({ "to": "a@b.c", "attachments": attached }),
            "attachments[0].content",
        ),
        ("mail.send", json!("text"), ""),
    ]
}

#[tokio::test]
async fn what_cannot_be_sent_is_rejected_by_its_field_and_loses_nothing_else() -> Result<()> {
    let (mut world, _) = World::with_sender().await?;
    let mut expected = Vec::new();
    for (subject, body, field) in bad_commands() {
        let sequence = world.publish(subject, body.to_string()).await?;
        expected.push((sequence, field.to_owned()));
    }
    let good = send_body("one", "a@elsewhere.test", "good");
    world.publish("mail.send", good).await?;

    let mut found = Vec::new();
    for _ in &expected {
        let rejected = world.event("mail.rejected").await?;
        let field = rejected["field"].as_str().unwrap_or_default().to_owned();
        found.push((
            rejected["stream_sequence"].as_u64().unwrap_or_default(),
            field,
        ));
    }
    world.event("mail.sent").await?;

    found.sort();
    assert_eq!(found, expected);
    assert_eq!(world.outbox_texts().len(), 1);
    world.finish().await
}

#[tokio::test]
async fn queued_mail_is_taken_back() -> Result<()> {
    let mut world = World::new().await?;
    let mut account = world.password_account("one", 1)?;
    account.is_enabled = false;
    world.base.insert_account(&account).await?;
    world.start_sender().await?;
    let body = json!({ "to": "a@b.c", "text": "x", "idempotency_key": "k" });

    world.publish("mail.send.one", body.to_string()).await?;
    world
        .publish(
            "mail.cancel.one",
            json!({ "idempotency_key": "k" }).to_string(),
        )
        .await?;
    let cancelled = world.event("mail.cancelled").await?;
    world
        .publish(
            "mail.cancel.one",
            json!({ "idempotency_key": "k" }).to_string(),
        )
        .await?;
    let again = world.event("mail.cancelled").await?;
    world.publish("mail.cancel", "{}").await?;
    let rejected = world.event("mail.rejected").await?;

    assert_eq!(cancelled["idempotency_key"], "k");
    assert_eq!(again["mail_id"], cancelled["mail_id"]);
    assert_eq!(rejected["field"], "account");
    assert_eq!(rejected["command"], "mail.cancel");
    let mails = world.mails().await?;
    ensure!(
        mails.len() == 1 && mails[0].state.as_str() == "cancelled",
        "{mails:?}"
    );
    world.finish().await
}
