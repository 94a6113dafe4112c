//! A server that takes the sign-in and then fails all that it is asked.

use anyhow::{Result, ensure};
use mailmesh_sandbox::{Fault, FaultRule};
use mailmesh_testkit::eventually;

use crate::world::{World, send_body};

fn always(point: &str, text: &str) -> FaultRule {
    let text = text.to_owned();
    FaultRule {
        count: None,
        ..FaultRule::once(point, Fault::Reply { text })
    }
}

/// Waits until all mails are sent, and forgets their events.
async fn until_sent(world: &mut World, mails: usize) -> Result<()> {
    eventually("all are sent", async || {
        let found = world.mails().await?;
        let sent = found.iter().filter(|mail| mail.state.as_str() == "sent");
        let sent = sent.count();
        ensure!(sent == mails, "{sent} sent");
        Ok(())
    })
    .await?;
    world.forget("mail.sent").await?;
    world.forget("mail.deferred").await
}

#[tokio::test]
async fn server_that_refuses_every_mail_is_asked_now_and_then() -> Result<()> {
    let (mut world, _) = World::with_sender().await?;
    let faults = world.sandbox.faults().clone();
    faults.add(always("smtp.mail", "421 4.3.2 Going down"))?;

    for number in 0..50 {
        let body = send_body("one", "a@elsewhere.test", &format!("mail {number}."));
        world.publish("mail.send", body).await?;
    }
    for _ in 0..50 {
        world.event("mail.deferred").await?;
    }
    let asked: u64 = faults.list().iter().map(|fault| fault.taken).sum();
    let failures: i32 = world.mails().await?.iter().map(|mail| mail.failures).sum();
    faults.clear();

    assert!(asked <= 4, "asked {asked} times");
    assert!(failures <= 4, "{failures} failures are counted");
    until_sent(&mut world, 50).await?;
    assert_eq!(world.outbox_texts().len(), 50);
    world.finish().await
}

#[tokio::test]
async fn server_that_hangs_up_after_each_sign_in_is_asked_now_and_then() -> Result<()> {
    let (mut world, _) = World::with_sender().await?;
    let faults = world.sandbox.faults().clone();
    let rule = always("smtp.auth", "235 2.7.0 Welcome\r\n421 4.3.2 Going down");
    faults.add(rule)?;

    world
        .publish("mail.send", send_body("one", "a@elsewhere.test", "x"))
        .await?;
    let deferred = world.event("mail.deferred").await?;
    let asked: u64 = faults.list().iter().map(|fault| fault.taken).sum();
    faults.clear();

    assert!(asked <= 6, "asked {asked} times");
    assert_eq!(deferred["problem"]["kind"], "transient");
    until_sent(&mut world, 1).await?;
    let mails = world.mails().await?;
    assert_eq!(mails[0].failures, 0);
    world.finish().await
}

#[tokio::test]
async fn connection_that_breaks_after_good_work_is_replaced_at_once() -> Result<()> {
    let (mut world, _) = World::with_sender().await?;
    world
        .publish("mail.send", send_body("one", "a@elsewhere.test", "first"))
        .await?;
    world.event("mail.sent").await?;
    world
        .sandbox
        .faults()
        .add(FaultRule::once("smtp.mail", Fault::Cut))?;

    for subject in ["cut", "next"] {
        let body = send_body("one", "a@elsewhere.test", subject);
        world.publish("mail.send", body).await?;
    }
    let deferred = world.event("mail.deferred").await?;
    until_sent(&mut world, 3).await?;

    let mails = world.mails().await?;
    let failures: i32 = mails.iter().map(|mail| mail.failures).sum();
    assert_eq!(failures, 1, "another mail had to wait: {deferred}");
    world.finish().await
}
