//! Bodies in the store of raw mails.

use anyhow::{Context, Result, ensure};
use mailmesh_bus::NewRawMail;
use mailmesh_events::account::AccountChanged;
use mailmesh_outbound_sender::Config;
use mailmesh_sandbox::{Fault, FaultRule};
use mailmesh_store::account;
use mailmesh_testkit::eventually;
use serde_json::Value;

use crate::custom::{patient, start};
use crate::world::{World, send_body};

const MIB: usize = 1_024 * 1_024;

async fn has_body(world: &World, event: &Value) -> Result<bool> {
    let id = event["mail_id"].as_str().context("a mail id")?;
    Ok(world.base.bus.raw_mails().get(id).await?.is_some())
}

#[tokio::test]
async fn body_of_a_sent_mail_goes_early_and_that_of_a_failed_one_stays() -> Result<()> {
    let mut world = World::new().await?;
    world.add_account("one", 1).await?;
    let sender = start(&world, patient()).await?;
    let body = send_body("one", "a@elsewhere.test", "x");
    world.publish("mail.send", body.clone()).await?;
    let sent = world.event("mail.sent").await?;
    let text = "554 5.6.0 Not this one".to_owned();
    let refusal = FaultRule::once("smtp.final_dot", Fault::Reply { text });
    world.sandbox.faults().add(refusal)?;
    world.publish("mail.send", body).await?;
    let failed = world.event("mail.failed").await?;
    sender.stop().await?;
    assert!(has_body(&world, &sent).await?);

    let config = Config {
        keep_sent_bodies_hours: 0,
        ..patient()
    };
    let sender = start(&world, config).await?;
    eventually("the body is deleted", async || {
        ensure!(!has_body(&world, &sent).await?, "it is there");
        Ok(())
    })
    .await?;

    assert!(has_body(&world, &failed).await?);
    assert_eq!(world.mail(&sent).await?.chunks, 0);
    sender.stop().await?;
    world.finish().await
}

#[tokio::test]
async fn the_rest_of_a_deleted_account_goes_as_soon_as_it_is_told() -> Result<()> {
    let mut world = World::new().await?;
    let account = world.add_account("one", 1).await?;
    let history = format!(
        "INSERT INTO received_mails (mail_id, account_id, folder, epoch, position, ordinal, sha256, size_bytes,
             chunks, is_post_action_due, recorded_at)
         SELECT gen_random_uuid(), '{}', 'INBOX', '1', n, n, sha256(n::text::bytea), 1, 1, false, now()
         FROM generate_series(1, 3500) n",
        account.id
    );
    world.base.execute_sql(&history).await?;
    let sender = start(&world, patient()).await?;

    let mut tx = world.base.begin().await?;
    account::delete(&mut tx, account.id).await?;
    tx.commit().await?;
    let deleted = AccountChanged {
        account: account.key,
        is_deleted: true,
    };
    world
        .publish("account.changed.one", serde_json::to_vec(&deleted)?)
        .await?;
    world.event("account.changed").await?;

    eventually("nothing is left of the account", async || {
        let left = "SELECT count(*) FROM accounts";
        let left = world.base.read_number(left).await?;
        ensure!(left == 0, "it is there");
        Ok(())
    })
    .await?;
    let left = world
        .base
        .read_number("SELECT count(*) FROM received_mails");
    assert_eq!(left.await?, 0);
    sender.stop().await?;
    world.finish().await
}

#[tokio::test]
async fn full_store_of_raw_mails_keeps_no_mail_from_being_sent() -> Result<()> {
    let mut world = World::new().await?;
    world.add_account("one", 1).await?;
    // All but two of the 64 MiB are taken by others.
    for number in 0..62 {
        let bytes = vec![b'x'; MIB].into();
        let mail_id = format!("other-{number}");
        let raws = world.base.bus.raw_mails();
        raws.put(NewRawMail { mail_id, bytes }).await?;
    }
    let sender = start(&world, patient()).await?;
    let text = format!("{}\r\n", "x".repeat(70)).repeat(MIB / 2 / 72);
    let command = serde_json::json!({ "to": "a@elsewhere.test", "text": text });

    for _ in 0..6 {
        world.publish("mail.send.one", command.to_string()).await?;
        world.event("mail.sent").await?;
    }

    assert_eq!(world.outbox_texts().len(), 6);
    sender.stop().await?;
    world.finish().await
}
