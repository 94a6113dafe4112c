//! Cancels that come before their mail, while it is being sent, or in vain.

use std::time::Duration;

use anyhow::{Result, ensure};
use mailmesh_domain::{Clock, MailId, SystemClock, UncertainPolicy};
use mailmesh_sandbox::{Fault, FaultRule};
use mailmesh_store::Tx;
use mailmesh_store::account::Account;
use mailmesh_store::outbound_mail::{self, NewOutboundMail};
use mailmesh_testkit::{eventually, within};
use serde_json::json;

use crate::world::World;

fn keyed(key: &str) -> String {
    json!({ "account": "one", "to": "a@elsewhere.test", "subject": "x", "text": "x",
            "idempotency_key": key })
    .to_string()
}

fn cancel(key: &str) -> String {
    json!({ "account": "one", "idempotency_key": key }).to_string()
}

const KEPT: &str = "SELECT count(*) FROM outbound_cancels";
const WAITING: &str = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
    OR l.database IS NULL
    WHERE NOT l.granted AND l.locktype IN ('transactionid', 'tuple', 'spectoken')
      AND l.pid IN (SELECT pid FROM pg_stat_activity WHERE datname = current_database())";

/// A mail of the test's own with this key, in a transaction that waits: who queues the same waits for it.
async fn hold_key(world: &World, account: &Account, key: &str) -> Result<Tx> {
    let mut tx = world.base.begin().await?;
    let mail = NewOutboundMail {
        id: MailId::generate(&SystemClock),
        account_id: account.id,
        idempotency_key: key.to_owned(),
        is_key_given: true,
        content_sha256: [0; 32],
        message_id: "<held@sandbox.test>".to_owned(),
        envelope_from: "one@sandbox.test".to_owned(),
        recipients: Vec::new(),
        size_bytes: 1,
        raw_sha256: [0; 32],
        chunks: 1,
        on_uncertain: UncertainPolicy::Hold,
        trace_parent: None,
        stream_sequence: 1,
    };
    outbound_mail::insert(&mut tx, &[mail], SystemClock.now()).await?;
    Ok(tx)
}

async fn kept(world: &World, count: i64) -> Result<()> {
    eventually("the cancels are kept", async || {
        let kept = world.base.read_number(KEPT).await?;
        ensure!(kept == count, "{kept} are kept");
        Ok(())
    })
    .await
}

/// One sender holds the `mail.send` and freezes before it is in the table; another takes the `mail.cancel` behind it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancel_holds_although_its_mail_is_held_by_a_frozen_sender() -> Result<()> {
    let mut world = World::new().await?;
    let account = world.add_account("one", 1).await?;
    let held = hold_key(&world, &account, "k").await?;
    let first = world.freezable_sender();
    world.publish("mail.send", keyed("k")).await?;
    eventually("the first sender queues the mail", async || {
        ensure!(world.base.read_number(WAITING).await? > 0, "not yet");
        Ok(())
    })
    .await?;
    let frozen = first.freeze().await?;
    drop(held);
    world.start_sender().await?;

    // What the frozen sender has requested goes to it, until its request expires after 30 s.
    let mut cancels = 0;
    within(Duration::from_mins(1), "a cancel is kept", async || {
        world.publish("mail.cancel", cancel("k")).await?;
        cancels += 1;
        tokio::time::sleep(Duration::from_secs(1)).await;
        ensure!(world.base.read_number(KEPT).await? > 0, "none is kept");
        Ok(())
    })
    .await?;
    frozen.thaw();
    let cancelled = world.event("mail.cancelled").await?;
    for _ in 1..cancels {
        world.event("mail.cancelled").await?;
    }
    first.stop().await?;

    assert_eq!(cancelled["idempotency_key"], "k");
    assert_eq!(cancelled["stream_sequence"], 1);
    assert!(world.outbox_texts().is_empty(), "it was sent all the same");
    kept(&world, 0).await?;
    world.finish().await
}

#[tokio::test]
async fn mail_that_fails_while_its_cancel_waits_is_not_tried_again() -> Result<()> {
    let mut world = World::new().await?;
    world.add_account("one", 1).await?;
    let faults = world.sandbox.faults().clone();
    let stall = Fault::Stall { seconds: None };
    let stalled = faults.add(FaultRule::once("smtp.mail", stall))?;
    let text = "451 4.3.0 Try again".to_owned();
    faults.add(FaultRule::once("smtp.rcpt", Fault::Reply { text }))?;
    world.start_sender().await?;
    world.publish("mail.send", keyed("k")).await?;
    eventually("it is being sent", async || {
        ensure!(faults.list().iter().any(|fault| fault.taken > 0), "not yet");
        Ok(())
    })
    .await?;

    let sequence = world.publish("mail.cancel", cancel("k")).await?;
    kept(&world, 1).await?;
    faults.remove(stalled);
    let cancelled = world.event("mail.cancelled").await?;

    assert_eq!(cancelled["cancel_stream_sequence"], sequence);
    assert!(world.outbox_texts().is_empty(), "it was sent all the same");
    world.forget("mail.deferred").await?;
    world.finish().await
}

#[tokio::test]
async fn cancel_in_vain_is_told_with_the_reason() -> Result<()> {
    let (mut world, _) = World::with_sender().await?;
    world.publish("mail.send", keyed("sent")).await?;
    let sent = world.event("mail.sent").await?;

    let late = world.publish("mail.cancel", cancel("sent")).await?;
    let too_late = world.event("mail.rejected").await?;
    let nothing = world.publish("mail.cancel", cancel("other")).await?;
    let unknown = world.event("mail.rejected").await?;
    let by_id = json!({ "account": "one", "mail_id": "01900000-0000-7000-8000-000000000000" });
    world.publish("mail.cancel", by_id.to_string()).await?;
    let no_id = world.event("mail.rejected").await?;

    for (rejected, sequence, field, reason) in [
        (
            &too_late,
            late,
            "idempotency_key",
            "names a mail that is sent",
        ),
        (
            &unknown,
            nothing,
            "idempotency_key",
            "names no mail of this account",
        ),
        (
            &no_id,
            nothing + 1,
            "mail_id",
            "names no mail of this account",
        ),
    ] {
        assert_eq!(rejected["stream_sequence"], sequence);
        assert_eq!(rejected["command"], "mail.cancel");
        assert_eq!(
            (&rejected["field"], &rejected["reason"]),
            (&json!(field), &json!(reason))
        );
    }
    assert_eq!(too_late["mail_id"], sent["mail_id"]);
    kept(&world, 0).await?;
    world.finish().await
}

/// A batch is written mails first: what is asked for after a cancel must not fall to it.
#[tokio::test]
async fn mail_that_was_asked_for_after_a_cancel_goes_out() -> Result<()> {
    let mut world = World::new().await?;
    world.add_account("one", 1).await?;
    for _ in 0..2 {
        world.publish("mail.cancel", cancel("k")).await?;
    }
    world.publish("mail.send", keyed("k")).await?;
    world.start_sender().await?;

    for _ in 0..2 {
        world.event("mail.rejected").await?;
    }
    world.event("mail.sent").await?;

    assert_eq!(world.outbox_texts().len(), 1);
    world.finish().await
}
