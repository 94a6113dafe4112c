//! Senders whose memory for bodies is full.

use anyhow::Result;
use mailmesh_outbound_sender::Config;
use mailmesh_sandbox::{Fault, FaultRule};

use crate::custom::{patient, start, until_mails, until_struck};
use crate::world::{World, send_body};

const KIB: usize = 1_024;

fn large_body(account: &str) -> String {
    let text = format!("{}\r\n", "x".repeat(70)).repeat(600 * KIB / 72);
    let to = "a@elsewhere.test";
    serde_json::json!({ "account": account, "to": to, "subject": "large", "text": text })
        .to_string()
}

#[tokio::test]
async fn full_memory_is_emptied_after_the_connection_was_lost() -> Result<()> {
    let mut world = World::new().await?;
    world.add_account("one", 1).await?;
    let faults = world.sandbox.faults();
    let stall = Fault::Stall { seconds: None };
    let stalled = faults.add(FaultRule::once("smtp.mail", stall))?;
    faults.add(FaultRule::once("smtp.data", Fault::Cut))?;
    let config = Config {
        max_mail_bytes: 1_000 * KIB,
        raw_memory_bytes: 1_020 * KIB,
        ..patient()
    };
    let sender = start(&world, config).await?;
    let little = send_body("one", "a@elsewhere.test", "little");
    world.publish("mail.send", little).await?;
    until_struck(&world).await?;
    for _ in 0..3 {
        world.publish("mail.send", large_body("one")).await?;
    }
    // One body has room beside the small one, and waits for the connection; the next has none.
    until_mails(&world, "sending", 3).await?;

    world.sandbox.faults().remove(stalled);
    world.event("mail.deferred").await?;
    for _ in 0..4 {
        world.event("mail.sent").await?;
    }

    assert_eq!(world.outbox_texts().len(), 4);
    sender.stop().await?;
    world.finish().await
}

#[tokio::test]
async fn account_with_a_mute_server_leaves_memory_to_the_others() -> Result<()> {
    let mut world = World::new().await?;
    world.add_account("one", 4).await?;
    world.add_account("two", 1).await?;
    let mut mute = FaultRule::once("smtp.mail", Fault::Stall { seconds: None });
    (mute.address, mute.count) = (Some("one@sandbox.test".to_owned()), None);
    world.sandbox.faults().add(mute)?;
    let config = Config {
        max_mail_bytes: 700 * KIB,
        raw_memory_bytes: 2_500 * KIB,
        ..patient()
    };
    let sender = start(&world, config).await?;
    for _ in 0..8 {
        world.publish("mail.send", large_body("one")).await?;
    }
    until_struck(&world).await?;
    until_mails(&world, "sending", 2).await?;

    world.publish("mail.send", large_body("two")).await?;
    let sent = world.event("mail.sent").await?;

    assert_eq!(sent["account"], "two");
    world.sandbox.faults().clear();
    for _ in 0..8 {
        world.event("mail.sent").await?;
    }
    sender.stop().await?;
    world.finish().await
}
