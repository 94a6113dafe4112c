//! What becomes of queued mail.

use std::collections::HashMap;

use anyhow::{Result, ensure};
use mailmesh_sandbox::{Fault, FaultRule};
use mailmesh_testkit::eventually;
use serde_json::json;

use crate::world::{World, send_body};

fn reply(text: &str) -> Fault {
    Fault::Reply {
        text: text.to_owned(),
    }
}

#[tokio::test]
async fn each_recipient_has_its_own_outcome() -> Result<()> {
    let (mut world, _) = World::with_sender().await?;
    let body = json!({ "to": ["a@elsewhere.test", "refuse@elsewhere.test"],
                       "bcc": "hidden@elsewhere.test", "text": "x" });

    world.publish("mail.send.one", body.to_string()).await?;
    let sent = world.event("mail.sent").await?;

    let recipients = sent["recipients"].as_array().unwrap();
    let accepted: Vec<bool> = recipients
        .iter()
        .map(|one| one["accepted"] == true)
        .collect();
    assert_eq!(accepted, [true, false, true]);
    assert!(
        recipients[1]["reply"]
            .as_str()
            .unwrap()
            .starts_with("550 5.1.1")
    );
    let outbox = world.sandbox.mail().outbox();
    assert_eq!(
        outbox[0].recipients,
        ["a@elsewhere.test", "hidden@elsewhere.test"]
    );
    assert!(!world.outbox_texts()[0].contains("hidden"));
    world.finish().await
}

#[tokio::test]
async fn transient_refusal_is_retried_and_permanent_one_reported() -> Result<()> {
    let (mut world, _) = World::with_sender().await?;
    let faults = world.sandbox.faults();
    faults.add(FaultRule::once(
        "smtp.final_dot",
        reply("451 4.3.0 Try later"),
    ))?;

    world
        .publish("mail.send", send_body("one", "a@elsewhere.test", "later"))
        .await?;
    let deferred = world.event("mail.deferred").await?;
    let sent = world.event("mail.sent").await?;
    let faults = world.sandbox.faults();
    faults.add(FaultRule::once(
        "smtp.final_dot",
        reply("554 5.6.0 Not this one"),
    ))?;
    world
        .publish("mail.send", send_body("one", "a@elsewhere.test", "never"))
        .await?;
    let failed = world.event("mail.failed").await?;

    assert_eq!(deferred["problem"]["code"], "451 4.3.0");
    assert_eq!(sent["attempts"], 2);
    assert_eq!(failed["problem"]["code"], "554 5.6.0");
    assert_eq!(failed["recipients"][0]["accepted"], false);
    assert_eq!(world.outbox_texts().len(), 1);
    world.finish().await
}

#[tokio::test]
async fn connection_cut_before_the_dot_is_retried_and_delivered_once() -> Result<()> {
    let (mut world, _) = World::with_sender().await?;
    // More than the system's buffers guard: the dot of a small mail may be on its way before the cut is seen.
    let long = format!("{}\r\n", "x".repeat(70)).repeat(80_000);
    for (point, text) in [
        ("smtp.mail", "short"),
        ("smtp.data", "short"),
        ("smtp.content", &long),
    ] {
        world.sandbox.mail().clear_outbox();
        world
            .sandbox
            .faults()
            .add(FaultRule::once(point, Fault::Cut))?;

        let command = serde_json::json!({
            "account": "one", "to": "a@elsewhere.test", "subject": point, "text": text,
        });
        world.publish("mail.send", command.to_string()).await?;
        world.event("mail.deferred").await?;
        world.event("mail.sent").await?;

        assert_eq!(world.outbox_texts().len(), 1, "{point}");
    }
    world.finish().await
}

#[tokio::test]
async fn two_replicas_deliver_each_of_200_mails_once() -> Result<()> {
    let mut world = World::new().await?;
    world.add_account("one", 4).await?;
    world.add_account("two", 4).await?;
    world.start_sender().await?;
    world.start_sender().await?;

    for number in 0..200 {
        let account = if number % 2 == 0 { "one" } else { "two" };
        let body = send_body(account, "a@elsewhere.test", &format!("mail {number}."));
        world.publish("mail.send", body).await?;
    }
    for _ in 0..200 {
        world.event("mail.sent").await?;
    }

    let mut copies: HashMap<String, u32> = HashMap::new();
    for text in world.outbox_texts() {
        let subject = text.lines().find(|line| line.starts_with("Subject:"));
        *copies
            .entry(subject.unwrap_or_default().to_owned())
            .or_default() += 1;
    }
    assert_eq!(copies.len(), 200);
    assert!(copies.values().all(|count| *count == 1), "{copies:?}");
    world.finish().await
}

#[tokio::test]
async fn throttle_of_one_account_delays_no_other() -> Result<()> {
    let mut world = World::new().await?;
    world.add_account("one", 1).await?;
    world.add_account("two", 1).await?;
    world.start_sender().await?;
    let mut rule = FaultRule::once("smtp.mail", reply("421 4.7.0 Try again later"));
    rule.address = Some("one@sandbox.test".to_owned());
    world.sandbox.faults().add(rule)?;

    world
        .publish("mail.send", send_body("one", "a@elsewhere.test", "slow"))
        .await?;
    let deferred = world.event("mail.deferred").await?;
    world
        .publish("mail.send", send_body("two", "a@elsewhere.test", "fast"))
        .await?;
    let sent = world.event("mail.sent").await?;

    assert_eq!(deferred["problem"]["kind"], "throttled");
    assert_eq!(sent["account"], "two");
    let mail = world.mail(&deferred).await?;
    assert_eq!((mail.state.as_str(), mail.failures), ("queued", 0));
    world.finish().await
}

#[tokio::test]
async fn attachment_arrives_intact() -> Result<()> {
    let (mut world, _) = World::with_sender().await?;
    let content: Vec<u8> = (0..400_000_u32)
        .map(|number| (number % 251) as u8)
        .collect();
    let text = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &content);
    let body = json!({ "to": "rcpt@sandbox.test", "text": ".dot\n..", "attachments":
        [{ "filename": "data.bin", "content": text }] });

    world.publish("mail.send.one", body.to_string()).await?;
    world.event("mail.sent").await?;

    let inbox = world.sandbox.mail().list("rcpt@sandbox.test", "INBOX")?;
    let parsed = mailmesh_mail::message::parse(&inbox[0].raw);
    ensure!(parsed.attachments.len() == 1, "{:?}", parsed.attachments);
    let part = parsed.attachments[0].part;
    let arrived = mailmesh_mail::message::attachment(&inbox[0].raw, part);
    ensure!(
        arrived.is_some_and(|one| one.content == content),
        "the content differs"
    );
    world.finish().await
}

#[tokio::test]
async fn stopped_sender_leaves_its_mail_to_the_next() -> Result<()> {
    let mut world = World::new().await?;
    world.add_account("one", 1).await?;
    world.start_sender().await?;
    world.sandbox.faults().add(FaultRule {
        count: None,
        ..FaultRule::once("smtp.mail", reply("451 4.3.0 Not now"))
    })?;
    for number in 0..20 {
        let body = send_body("one", "a@elsewhere.test", &format!("mail {number}."));
        world.publish("mail.send", body).await?;
    }
    world.event("mail.deferred").await?;

    world.stop_senders();
    world.sandbox.faults().clear();
    world.start_sender().await?;
    eventually("all are sent", async || {
        let mails = world.mails().await?;
        let sent = mails
            .iter()
            .filter(|mail| mail.state.as_str() == "sent")
            .count();
        ensure!(sent == 20, "{sent} sent");
        Ok(())
    })
    .await?;

    assert_eq!(world.outbox_texts().len(), 20);
    for _ in 0..20 {
        world.event("mail.sent").await?;
    }
    world.forget("mail.deferred").await?;
    world.finish().await
}
