//! Mail that the server may have.

use anyhow::Result;
use mailmesh_sandbox::{Fault, FaultRule};
use serde_json::json;

use crate::world::World;

#[tokio::test]
async fn sent_folder_tells_that_the_mail_was_sent() -> Result<()> {
    let (mut world, _) = World::with_sender().await?;
    world.add_inbound("one").await?;
    world.sandbox.mail().set_sent_copy(true);
    world
        .sandbox
        .faults()
        .add(FaultRule::once("smtp.after_final_dot", Fault::Cut))?;

    let body = json!({ "to": "a@elsewhere.test", "text": "x" });
    world.publish("mail.send.one", body.to_string()).await?;
    world.event("mail.uncertain").await?;
    let sent = world.event("mail.sent").await?;

    assert_eq!(sent["reply"], "found in the Sent folder");
    assert_eq!(world.outbox_texts().len(), 1);
    world.finish().await
}

#[tokio::test]
async fn mail_that_is_surely_absent_from_the_sent_folder_is_sent_again() -> Result<()> {
    let (mut world, _) = World::with_sender().await?;
    world.add_inbound("one").await?;
    world.sandbox.mail().set_sent_copy(true);
    let body = json!({ "to": "a@elsewhere.test", "text": "x" });
    world.publish("mail.send.one", body.to_string()).await?;
    world.event("mail.sent").await?;
    // The server loses the mail with the connection.
    world
        .sandbox
        .faults()
        .add(FaultRule::once("smtp.final_dot", Fault::Cut))?;

    world.publish("mail.send.one", body.to_string()).await?;
    let uncertain = world.event("mail.uncertain").await?;
    let sent = world.event("mail.sent").await?;

    assert_eq!(sent["mail_id"], uncertain["mail_id"]);
    assert_eq!(sent["attempts"], 2);
    assert_eq!(world.outbox_texts().len(), 2);
    world.finish().await
}

#[tokio::test]
async fn absence_proves_nothing_where_the_server_keeps_no_copies() -> Result<()> {
    let (mut world, _) = World::with_sender().await?;
    world.add_inbound("one").await?;
    let body = json!({ "to": "a@elsewhere.test", "text": "x", "on_uncertain": "assume_sent" });
    world.publish("mail.send.one", body.to_string()).await?;
    world.event("mail.sent").await?;
    world
        .sandbox
        .faults()
        .add(FaultRule::once("smtp.after_final_dot", Fault::Cut))?;

    world.publish("mail.send.one", body.to_string()).await?;
    world.event("mail.uncertain").await?;
    let sent = world.event("mail.sent").await?;

    assert_eq!(sent["reply"], "assumed sent");
    assert_eq!(world.outbox_texts().len(), 2);
    world.finish().await
}

#[tokio::test]
async fn lost_reply_to_the_final_dot_is_uncertain_and_held() -> Result<()> {
    let (mut world, _) = World::with_sender().await?;
    world
        .sandbox
        .faults()
        .add(FaultRule::once("smtp.after_final_dot", Fault::Cut))?;

    let body = json!({ "to": "a@elsewhere.test", "text": "x" });
    world.publish("mail.send.one", body.to_string()).await?;
    let uncertain = world.event("mail.uncertain").await?;
    // The account goes on with other mail.
    world.publish("mail.send.one", body.to_string()).await?;
    let sent = world.event("mail.sent").await?;

    assert_ne!(uncertain["mail_id"], sent["mail_id"]);
    assert_eq!(uncertain["stage"], "final_dot");
    assert_eq!(world.mail(&uncertain).await?.state.as_str(), "uncertain");
    assert_eq!(world.outbox_texts().len(), 2);
    world.finish().await
}

#[tokio::test]
async fn callers_policy_decides_when_nothing_else_does() -> Result<()> {
    let (mut world, _) = World::with_sender().await?;
    for (policy, copies) in [("assume_sent", 1), ("resend", 2)] {
        world.sandbox.mail().clear_outbox();
        world
            .sandbox
            .faults()
            .add(FaultRule::once("smtp.after_final_dot", Fault::Cut))?;

        let body = json!({ "to": "a@elsewhere.test", "text": "x", "on_uncertain": policy });
        world.publish("mail.send.one", body.to_string()).await?;
        world.event("mail.uncertain").await?;
        let sent = world.event("mail.sent").await?;

        assert_eq!(sent["recipients"][0]["accepted"], true, "{policy}");
        assert_eq!(world.outbox_texts().len(), copies, "{policy}");
    }
    world.finish().await
}
