//! Accounts that change or are given up while mail is on its way.

use anyhow::Result;
use mailmesh_sandbox::{Fault, FaultRule};
use mailmesh_store::account::Account;
use serde_json::{Value, json};

use crate::custom::{change, patient, start, until_mails, until_struck};
use crate::world::{World, send_body};

#[tokio::test]
async fn mail_without_final_reply_comes_to_its_end_beside_new_settings() -> Result<()> {
    let mut world = World::new().await?;
    let account = world.add_account("one", 1).await?;
    // Longer than connections are waited for.
    let stall = Fault::Stall { seconds: Some(23) };
    let faults = world.sandbox.faults();
    faults.add(FaultRule::once("smtp.final_dot", stall))?;
    let sender = start(&world, patient()).await?;
    let mail = |key| {
        let body = json!({ "account": "one", "to": "a@elsewhere.test", "text": key, "idempotency_key": key });
        body.to_string()
    };
    world.publish("mail.send", mail("slow")).await?;
    until_struck(&world).await?;

    let name = "renamed".to_owned();
    change(&mut world, &Account { name, ..account }).await?;
    world.publish("mail.send", mail("quick")).await?;
    let first = world.event("mail.sent").await?;
    let second = world.event("mail.sent").await?;

    // The quick one may have been claimed with the old settings and handed back; the slow one was never let go.
    let is_slow = |sent: &&Value| sent["idempotency_key"] == "slow";
    let slow = [&first, &second].into_iter().find(is_slow);
    assert_eq!(slow.expect("it was sent")["attempts"], 1);
    assert_ne!(first["mail_id"], second["mail_id"]);
    assert_eq!(world.outbox_texts().len(), 2);
    sender.stop().await?;
    world.finish().await
}

#[tokio::test]
async fn account_with_a_mute_server_is_given_up_at_once() -> Result<()> {
    let mut world = World::new().await?;
    let account = world.add_account("one", 1).await?;
    let stall = Fault::Stall { seconds: None };
    let faults = world.sandbox.faults();
    faults.add(FaultRule::once("smtp.mail", stall))?;
    let sender = start(&world, patient()).await?;
    for number in 0..12 {
        let body = send_body("one", "a@elsewhere.test", &format!("mail {number}."));
        world.publish("mail.send", body).await?;
    }
    until_struck(&world).await?;
    // One is with the server, four wait for it, and the next has no place among them.
    until_mails(&world, "sending", 6).await?;

    let is_enabled = false;
    change(
        &mut world,
        &Account {
            is_enabled,
            ..account
        },
    )
    .await?;
    until_mails(&world, "queued", 11).await?;

    world.sandbox.faults().clear();
    world.event("mail.sent").await?;
    sender.stop().await?;
    world.finish().await
}
