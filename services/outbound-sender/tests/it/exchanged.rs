//! Raw mails that somebody else writes over while they wait to be sent.

use anyhow::{Context, Result};
use bytes::Bytes;
use mailmesh_bus::{NewRawMail, Outgoing};
use mailmesh_store::account;

use crate::custom::until_mails;
use crate::world::{World, send_body};

/// Queues mails of these subjects, with their bodies on the bus and in no sender's memory.
async fn queue(world: &World, subjects: &[&str]) -> Result<Vec<(String, Bytes)>> {
    let accepting = world.sender().await?;
    let mut queued = Vec::new();
    for (index, subject) in subjects.iter().enumerate() {
        let body = send_body("one", "a@elsewhere.test", subject);
        world.publish("mail.send", body).await?;
        until_mails(world, "queued", index + 1).await?;
        let mut mails = world.mails().await?;
        mails.sort_by_key(|mail| mail.id);
        let mail = mails.pop().context("a mail")?;
        let id = mail.id.to_string();
        let raw = world.base.bus.raw_mails().get_whole(&id, 1 << 20).await?;
        queued.push((id, raw.context("its body")?));
    }
    accepting.stop().await?;
    Ok(queued)
}

#[tokio::test]
async fn body_that_was_exchanged_is_not_sent_and_its_neighbours_are() -> Result<()> {
    let mut world = World::new().await?;
    let mut account = world.password_account("one", 1)?;
    account.is_enabled = false;
    world.base.insert_account(&account).await?;
    let subjects = ["same size", "larger", "smaller", "unmarked", "untouched"];
    let queued = queue(&world, &subjects).await?;
    for (subject, (id, raw)) in subjects.iter().zip(&queued) {
        let text = String::from_utf8(raw.to_vec())?;
        let other = match *subject {
            "same size" => text.replace("Hello", "Bad!!"),
            "larger" => text + "More\r\n",
            "smaller" => text.replace("Hello", "Bad"),
            "untouched" => continue,
            _ => {
                let plain = Outgoing {
                    subject: format!("raw.{id}.0"),
                    message_id: String::new(),
                    headers: Vec::new(),
                    payload: Bytes::from(text),
                };
                world.base.bus.publish(plain).await?;
                continue;
            }
        };
        let bytes = Bytes::from(other);
        let mail_id = id.clone();
        let exchanged = NewRawMail { mail_id, bytes };
        world.base.bus.raw_mails().put(exchanged).await?;
    }

    account.is_enabled = true;
    let mut tx = world.base.begin().await?;
    account::update(&mut tx, &account).await?;
    tx.commit().await?;
    world.start_sender().await?;
    let mut failed = Vec::new();
    for _ in 0..4 {
        let event = world.event("mail.failed").await?;
        assert_eq!(event["problem"]["must_act"], "administrator", "{event}");
        let action = event["problem"]["action"].as_str().unwrap_or_default();
        assert!(action.contains("MAIL_RAW"), "{action}");
        failed.push(event["mail_id"].as_str().unwrap_or_default().to_owned());
    }
    let sent = world.event("mail.sent").await?;

    failed.sort();
    let mut ids: Vec<String> = queued.into_iter().map(|(id, _)| id).collect();
    assert_eq!(sent["mail_id"].as_str(), ids.pop().as_deref());
    ids.sort();
    assert_eq!(failed, ids);
    assert_eq!(world.outbox_texts().len(), 1);
    world.finish().await
}
