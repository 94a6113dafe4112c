//! Servers that fail: mail waits, others are not held up, and people are told.

use anyhow::{Context, Result};
use mailmesh_domain::{AccountState, MustAct, Protocol, VerdictKind};
use mailmesh_events::account::{AccountFailing, AccountRecovered};
use mailmesh_sandbox::{Fault, FaultRule};
use mailmesh_store::account_status;
use mailmesh_testkit::eventually;

use crate::world::{ALICE, PASSWORD, World, mail, over_each_protocol};

over_each_protocol! {
    connection_that_is_cut_in_a_fetch_loses_and_doubles_nothing,
    wrong_password_is_told_once_and_recovery_too,
    full_stream_holds_mail_back_until_there_is_room,
    events_that_pose_as_ours_hold_up_no_mail,
}

pub(crate) fn rule(point: &str, fault: Fault, count: Option<u64>) -> FaultRule {
    FaultRule {
        point: point.to_owned(),
        address: None,
        count,
        after: 0,
        fault,
    }
}

async fn connection_that_is_cut_in_a_fetch_loses_and_doubles_nothing(
    protocol: Protocol,
) -> Result<()> {
    let world = World::over(protocol).await?;
    let account = world.account("support", |_| {}).await?;
    for number in 1..=30 {
        world.deliver(mail(number))?;
    }
    for (after, point) in [
        (0, "imap.fetch"),
        (12, "imap.fetch.body"),
        (0, "imap.search"),
    ] {
        let fault = FaultRule {
            after,
            ..rule(world.point(point), Fault::Cut, Some(1))
        };
        world.sandbox.faults().add(fault)?;
    }
    let replica = world.start().await?;

    world.mails("support", 30).await?;

    world.recorded(&account, 30).await?;
    world.finish(replica).await
}

async fn wrong_password_is_told_once_and_recovery_too(protocol: Protocol) -> Result<()> {
    let world = World::over(protocol).await?;
    let account = world.account("support", |_| {}).await?;
    world.sandbox.mail().set_password(ALICE, "another")?;
    world.deliver(mail(1))?;
    let replica = world.start().await?;
    let failing: AccountFailing = world.base.first_event("support").await?;
    assert_eq!(failing.problem.must_act, MustAct::Administrator);
    assert_eq!(world.state(&account).await?, AccountState::Failing);

    world.sandbox.mail().set_password(ALICE, PASSWORD)?;

    world.mails("support", 1).await?;
    let recovered: AccountRecovered = world.base.first_event("support").await?;
    assert_eq!(recovered.was, AccountState::Failing);
    assert_eq!(world.state(&account).await?, AccountState::Active);
    assert_eq!(
        world.base.events::<AccountFailing>("support").await?.len(),
        1
    );
    world.finish(replica).await
}

async fn full_stream_holds_mail_back_until_there_is_room(protocol: Protocol) -> Result<()> {
    let world = World::with_streams(|streams| {
        streams.events_max_bytes = 300 * 1024;
        streams.events_max_age_seconds = 8;
        streams.duplicate_window_seconds = 2;
    })
    .await?
    .with(protocol);
    let account = world.account("support", |_| {}).await?;
    let body = "x".repeat(60_000);
    for number in 1..=8 {
        let raw = format!("Subject: {number}\r\n\r\n{body}\r\n");
        world.deliver(raw)?;
    }
    let mut received = world.base.bus.subscribe("mail.received", None).await?;
    let replica = world.start().await?;
    eventually("the full stream is told", async || {
        let state = world.state(&account).await?;
        anyhow::ensure!(state == AccountState::Unknown, "{state}");
        anyhow::Ok(())
    })
    .await?;
    let mut tx = world.base.begin().await?;
    let status = account_status::list_by_ids(&mut tx, &[account.id]).await?;
    tx.commit().await?;
    let why = status.first().and_then(|status| status.unreported.clone());
    let why = why.context("no reason")?;
    assert_eq!(why.what, "Stream EVENTS is full");
    assert_eq!(why.must_act, MustAct::Administrator);

    // The oldest events age out; what was held back follows.
    world.recorded(&account, 8).await?;

    let mut subjects = Vec::new();
    while subjects.len() < 8 {
        let hint = received.next().await.expect("the subscription is open");
        let event: mailmesh_events::mail::MailReceived = serde_json::from_slice(&hint.payload)?;
        subjects.push(event.subject.unwrap_or_default());
    }
    subjects.sort_unstable();
    assert_eq!(subjects, ["1", "2", "3", "4", "5", "6", "7", "8"]);
    replica.stop().await
}

/// Whoever may publish on the subject poses as the fetcher: once with what cannot be read, once with an event of its own again,
/// its proof and all, but another body.
async fn events_that_pose_as_ours_hold_up_no_mail(protocol: Protocol) -> Result<()> {
    let world = World::over(protocol).await?;
    let account = world.account("support", |_| {}).await?;
    let replica = world.start().await?;
    world.deliver(mail(1))?;
    world.mails("support", 1).await?;
    world.recorded(&account, 1).await?;
    let subject = "mail.received.support";
    let stored = world.base.stored(subject).await?;
    let headers = stored.iter().flat_map(|event| &event.headers);
    let envelope = headers.filter(|(name, _)| !name.to_ascii_lowercase().starts_with("nats-"));
    let envelope: Vec<(&str, &str)> = envelope
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    anyhow::ensure!(
        envelope.iter().any(|(name, _)| *name == "Mailmesh-Proof"),
        "{envelope:?}"
    );
    world.base.publish(subject, &envelope, "not JSON").await?;
    let body = String::from_utf8(stored[0].payload.to_vec())?;
    let other = body.replace("\"account\":", "\"sender\":null,\"account\":");
    anyhow::ensure!(other != body, "{body}");
    world.base.publish(subject, &envelope, other).await?;

    // The next owner reads them back.
    world.base.bus.take_fence("support").await?;
    world.deliver(mail(2))?;

    eventually("mail 2 is published", async || {
        let stored = world.base.stored(subject).await?;
        anyhow::ensure!(stored.len() == 4, "{}", stored.len());
        anyhow::Ok(())
    })
    .await?;
    assert_eq!(world.state(&account).await?, AccountState::Active);
    replica.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_that_refuses_to_push_is_asked_again_after_each_sign_in() -> Result<()> {
    for refusal in [
        "{tag} BAD Request is throttled. Suggested Backoff Time: 300 milliseconds",
        "{tag} NO not here",
    ] {
        let world = World::new().await?;
        world
            .account("support", |account| account.poll_interval_seconds = 1)
            .await?;
        let text = refusal.to_owned();
        let fault = rule("imap.idle", Fault::Reply { text }, Some(1));
        let id = world.sandbox.faults().add(fault)?;
        let replica = world.start().await?;
        eventually("IDLE was refused", async || {
            let rules = world.sandbox.faults().list();
            rules.iter().any(|rule| rule.id == id && rule.taken == 1)
        })
        .await?;

        world.sandbox.mail().expire_sessions(ALICE)?;

        eventually("the server pushes", async || {
            let counters = world.sandbox.mail().counters();
            anyhow::ensure!(counters.imap_idling == 1, "{counters:?}");
            anyhow::Ok(())
        })
        .await?;
        world.deliver(mail(1))?;
        world.mails("support", 1).await?;
        world.finish(replica).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disabled_account_is_given_up_and_a_changed_one_starts_anew() -> Result<()> {
    let world = World::new().await?;
    let mut account = world.account("support", |_| {}).await?;
    let replica = world.start().await?;
    world.deliver(mail(1))?;
    world.mails("support", 1).await?;
    world.recorded(&account, 1).await?;

    account.folders = vec!["INBOX".to_owned(), "Archive".to_owned()];
    world.update(&mut account).await?;
    let archive = world.sandbox.mail();
    archive.append(
        ALICE,
        "Archive",
        mail(2),
        mailmesh_sandbox::Flags::default(),
    )?;
    let mails = world.mails("support", 2).await?;
    assert_eq!(mails[1].origin.folder, "Archive");

    account.is_enabled = false;
    world.update(&mut account).await?;
    eventually("the session has ended", async || {
        let counters = world.sandbox.mail().counters();
        anyhow::ensure!(counters.imap_connections == 0, "{counters:?}");
        anyhow::Ok(())
    })
    .await?;
    world.finish(replica).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_refused_by_rule_is_told_as_one_that_is_not_there() -> Result<()> {
    let world = World::new().await?;
    for (key, host, is_trusted) in [
        ("rule", "localhost", false),
        ("name", "unknown.invalid", true),
        ("port", "localhost", true),
    ] {
        world
            .account(key, |account| {
                account.is_host_trusted = is_trusted;
                if let Some(server) = &mut account.server {
                    server.host = host.to_owned();
                    server.port = if key == "port" { 1 } else { server.port };
                }
            })
            .await?;
    }
    let replica = world.start().await?;

    for (key, advice) in [
        ("rule", "network.allow"),
        ("name", "host and port"),
        ("port", "host and port"),
    ] {
        let failing: AccountFailing = world.base.first_event(key).await?;
        let problem = failing.problem;
        assert_eq!(problem.kind, VerdictKind::NeedsAdministrator, "{problem:?}");
        assert_eq!(problem.must_act, MustAct::Administrator, "{problem:?}");
        assert!(problem.action.contains(advice), "{problem:?}");
    }
    world.finish(replica).await
}
