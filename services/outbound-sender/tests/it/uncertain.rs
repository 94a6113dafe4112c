//! Mail that the server may have.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use mailmesh_accounts::Connections;
use mailmesh_domain::{
    Clock, Direction, MailId, OutboundState, ReplicaId, SystemClock, UncertainPolicy,
};
use mailmesh_outbound_sender::{Config, Service};
use mailmesh_sandbox::{Fault, FaultRule};
use mailmesh_store::account::Account;
use mailmesh_store::outbound_mail::{self, NewOutboundMail, Outcome, Recipient};
use mailmesh_store::{ServiceRole, lease, replica, send_attempt};
use mailmesh_testkit::{RunningReplica, eventually};
use serde_json::json;

use crate::world::{World, send_body};

/// More visits than any test makes, so that a rule only counts them.
const MANY: u64 = 1_000_000;

/// Starts a sender for which a server's time to reply is soon over.
async fn start(world: &World, final_reply_timeout_seconds: u64) -> Result<RunningReplica> {
    let config = Config {
        retry_delays_seconds: vec![1],
        sent_folder_delay_seconds: 1,
        final_reply_timeout_seconds,
        ..Config::default()
    };
    let role = ServiceRole::OutboundSender;
    let (database, bus) = world.base.connections_of(role).await?;
    let connections = Connections::new(database, bus);
    let (keys, clock) = (world.base.keys.clone(), Arc::new(SystemClock));
    let service = Service::build(config, keys, &connections, clock).await?;
    Ok(RunningReplica::start(|lifecycle| service.start(lifecycle)))
}

async fn with_hasty_sender() -> Result<(World, RunningReplica)> {
    let world = World::new().await?;
    world.add_account("one", 1).await?;
    let sender = start(&world, 2).await?;
    Ok((world, sender))
}

/// A rule at `point` that does nothing but count who comes by.
fn counter(point: &str) -> FaultRule {
    FaultRule {
        after: MANY,
        ..FaultRule::once(point, Fault::Cut)
    }
}

/// Returns how often somebody came by at the point of a [`counter`].
fn visits(world: &World, point: &str) -> u64 {
    let states = world.sandbox.faults().list();
    let counters = states.iter().map(|state| &state.rule);
    let left = counters
        .filter(|rule| rule.point == point)
        .map(|rule| rule.after);
    left.max().map_or(0, |left| MANY - left)
}

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
    let (mut world, sender) = with_hasty_sender().await?;
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
    sender.stop().await?;
    world.finish().await
}

#[tokio::test]
async fn absence_proves_nothing_where_the_server_keeps_no_copies() -> Result<()> {
    let (mut world, sender) = with_hasty_sender().await?;
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
    sender.stop().await?;
    world.finish().await
}

#[tokio::test]
async fn lost_reply_to_the_commit_is_uncertain_and_held() -> Result<()> {
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
    assert_eq!(uncertain["stage"], "committing");
    assert_eq!(world.mail(&uncertain).await?.state.as_str(), "uncertain");
    assert_eq!(world.outbox_texts().len(), 2);
    world.finish().await
}

#[tokio::test]
async fn callers_policy_decides_when_nothing_else_does() -> Result<()> {
    let (mut world, sender) = with_hasty_sender().await?;
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
    // What follows a second lost reply in a row waits for a moment.
    world.forget("mail.deferred").await?;
    sender.stop().await?;
    world.finish().await
}

#[tokio::test]
async fn copy_that_comes_late_to_the_sent_folder_keeps_its_mail_from_being_sent_again() -> Result<()>
{
    let mut world = World::new().await?;
    world.add_account("one", 1).await?;
    world.add_inbound("one").await?;
    world.sandbox.mail().set_sent_copy(true);
    let sender = start(&world, 60).await?;
    let body = send_body("one", "a@elsewhere.test", "witness");
    world.publish("mail.send", body).await?;
    world.event("mail.sent").await?;
    let faults = world.sandbox.faults().clone();
    faults.add(FaultRule::once("smtp.final_dot", Fault::Cut))?;
    faults.add(counter("imap.search"))?;

    world
        .publish("mail.send", send_body("one", "a@elsewhere.test", "late"))
        .await?;
    let uncertain = world.event("mail.uncertain").await?;
    eventually("it was looked for in vain, again and again", async || {
        // One for the mail and one for the witness.
        ensure!(visits(&world, "imap.search") >= 6, "not yet");
        Ok(())
    })
    .await?;
    let message_id = uncertain["message_id"].as_str().unwrap_or_default();
    let raw = format!("Message-ID: {message_id}\r\n\r\n");
    let (mailbox, to) = ("one@sandbox.test", vec!["a@elsewhere.test".to_owned()]);
    world
        .sandbox
        .mail()
        .submit(mailbox, mailbox, to, raw.into());
    let sent = world.event("mail.sent").await?;

    assert_eq!(sent["mail_id"], uncertain["mail_id"]);
    assert_eq!(sent["reply"], "found in the Sent folder");
    assert_eq!(world.outbox_texts().len(), 2);
    sender.stop().await?;
    world.finish().await
}

#[tokio::test]
async fn mail_whose_replies_are_all_swallowed_is_sent_a_few_times_and_then_held() -> Result<()> {
    let (mut world, sender) = with_hasty_sender().await?;
    world.sandbox.faults().add(FaultRule {
        count: None,
        ..FaultRule::once("smtp.after_final_dot", Fault::Cut)
    })?;

    let body = json!({ "to": "a@elsewhere.test", "text": "x", "on_uncertain": "resend" });
    world.publish("mail.send.one", body.to_string()).await?;
    for _ in 0..3 {
        world.event("mail.uncertain").await?;
    }
    let held = world.event("mail.uncertain").await?;

    let text = held["problem"]["mail"].as_str().unwrap_or_default();
    assert!(text.contains("not sent again by itself"), "{text}");
    let mail = world.mail(&held).await?;
    assert_eq!((mail.state.as_str(), mail.attempts), ("uncertain", 3));
    assert!(mail.due_at > SystemClock.now() + Duration::from_hours(1));
    assert_eq!(world.outbox_texts().len(), 3);
    // What follows a second lost reply in a row waits for a moment.
    world.forget("mail.deferred").await?;
    sender.stop().await?;
    world.finish().await
}

#[tokio::test]
async fn recipients_left_out_of_an_uncertain_attempt_get_the_mail_in_the_next() -> Result<()> {
    let (mut world, _) = World::with_sender().await?;
    world.add_inbound("one").await?;
    world.sandbox.mail().set_sent_copy(true);
    let faults = world.sandbox.faults().clone();
    let text = "452 4.5.3 Too many recipients".to_owned();
    faults.add(FaultRule {
        after: 1,
        ..FaultRule::once("smtp.rcpt", Fault::Reply { text })
    })?;
    faults.add(FaultRule::once("smtp.after_final_dot", Fault::Cut))?;

    let body = json!({ "to": ["a@elsewhere.test", "b@elsewhere.test"], "text": "x" });
    world.publish("mail.send.one", body.to_string()).await?;
    world.event("mail.uncertain").await?;
    let deferred = world.event("mail.deferred").await?;
    let sent = world.event("mail.sent").await?;

    assert_eq!(deferred["recipients"][0]["address"], "b@elsewhere.test");
    let recipients = sent["recipients"].as_array().unwrap();
    assert!(
        recipients.iter().all(|one| one["accepted"] == true),
        "{sent}"
    );
    let outbox = world.sandbox.mail().outbox();
    let reached: Vec<_> = outbox.iter().map(|one| one.recipients.join(",")).collect();
    assert_eq!(reached, ["a@elsewhere.test", "b@elsewhere.test"]);
    world.finish().await
}

#[tokio::test]
async fn server_that_does_not_answer_keeps_no_other_accounts_mail_uncertain() -> Result<()> {
    let mut world = World::new().await?;
    for key in ["one", "two"] {
        world.add_account(key, 1).await?;
        world.add_inbound(key).await?;
    }
    world.sandbox.mail().set_sent_copy(true);
    world.start_sender().await?;
    let faults = world.sandbox.faults().clone();
    faults.add(FaultRule {
        address: Some("one@sandbox.test".to_owned()),
        ..FaultRule::once("imap.select", Fault::Stall { seconds: None })
    })?;
    for key in ["one", "two"] {
        faults.add(FaultRule::once("smtp.after_final_dot", Fault::Cut))?;
        let body = send_body(key, "a@elsewhere.test", "x");
        world.publish("mail.send", body).await?;
        world.event("mail.uncertain").await?;
        let is_at_one = async || faults.list().iter().any(|fault| fault.taken > 0);
        eventually("the first is being looked for", is_at_one).await?;
    }

    let sent = world.event("mail.sent").await?;
    faults.clear();
    let later = world.event("mail.sent").await?;

    assert_eq!(sent["account"], "two");
    assert_eq!(later["account"], "one");
    world.finish().await
}

/// Puts mails into the table that a sender of old left uncertain just now.
async fn leave_uncertain(world: &World, account: &Account, count: usize) -> Result<()> {
    let now = SystemClock.now();
    let mails: Vec<_> = (0..count)
        .map(|number| NewOutboundMail {
            id: MailId::generate(&SystemClock),
            account_id: account.id,
            idempotency_key: number.to_string(),
            is_key_given: true,
            content_sha256: [1; 32],
            message_id: format!("<{number}@sandbox.test>"),
            envelope_from: "one@sandbox.test".to_owned(),
            recipients: vec![Recipient::new("a@elsewhere.test".to_owned())],
            size_bytes: 10,
            raw_sha256: [2; 32],
            chunks: 1,
            on_uncertain: UncertainPolicy::AssumeSent,
            trace_parent: None,
            stream_sequence: 1,
        })
        .collect();
    let me = ReplicaId::generate(&SystemClock);
    let mut tx = world.base.begin().await?;
    outbound_mail::insert(&mut tx, &mails, now).await?;
    replica::beat(&mut tx, me, "outbound-sender").await?;
    lease::acquire(&mut tx, me, Direction::Outbound, 1).await?;
    let claimed = outbound_mail::claim_due(&mut tx, me, account.id, 100, now).await?;
    let attempts: Vec<_> = claimed.iter().map(|mail| (mail.id, 1)).collect();
    send_attempt::enter_committing(&mut tx, &attempts).await?;
    let outcomes: Vec<_> = claimed
        .into_iter()
        .map(|mail| Outcome {
            mail_id: mail.id,
            attempt: 1,
            state: OutboundState::Uncertain,
            failures: 0,
            due_at: now,
            recipients: mail.recipients,
            problem: None,
            reply: None,
        })
        .collect();
    outbound_mail::record_outcomes(&mut tx, &outcomes, now).await?;
    lease::release(&mut tx, me, &[account.id]).await?;
    Ok(tx.commit().await?)
}

#[tokio::test]
async fn all_uncertain_mails_of_an_account_are_looked_for_in_one_session() -> Result<()> {
    let mut world = World::new().await?;
    let account = world.add_account("one", 1).await?;
    world.add_inbound("one").await?;
    world.sandbox.mail().set_sent_copy(true);
    world.sandbox.mail().submit(
        "one@sandbox.test",
        "one@sandbox.test",
        Vec::new(),
        "Subject: it makes the folder\r\n\r\n".into(),
    );
    leave_uncertain(&world, &account, 40).await?;
    world.sandbox.faults().add(counter("imap.authenticate"))?;
    world.sandbox.faults().add(counter("imap.search"))?;

    let sender = start(&world, 2).await?;
    for _ in 0..40 {
        let sent = world.event("mail.sent").await?;
        assert_eq!(sent["reply"], "assumed sent");
    }

    assert!(visits(&world, "imap.search") >= 40);
    let sessions = visits(&world, "imap.authenticate");
    assert!(sessions <= 8, "{sessions} sessions");
    sender.stop().await?;
    world.finish().await
}
