use mailmesh_domain::{
    Clock as _, FailureCause, Key, MailId, OutboundState, ReplicaId, SystemClock, UncertainPolicy,
};
use mailmesh_events::Problem;
use mailmesh_events::mail::{MailCancelled, MailFailed, MailSent};
use mailmesh_store::outbound_mail::{self, NewOutboundMail, Outcome, Recipient};
use mailmesh_store::{account, lease, replica};
use serde_json::{Value, json};

use crate::world::World;

fn recipients() -> Vec<Recipient> {
    vec![Recipient::new("to@example.com".to_owned())]
}

/// Puts a mail into the queue of the account `out`.
pub(crate) async fn queued(world: &World, key: &str) -> anyhow::Result<MailId> {
    let mut tx = world.base.begin().await?;
    let account = account::find_by_key(&mut tx, &Key::try_new("out")?).await?;
    let account = account.ok_or_else(|| anyhow::anyhow!("no account"))?;
    let id = MailId::generate(&SystemClock);
    let mail = NewOutboundMail {
        id,
        account_id: account.id,
        idempotency_key: key.to_owned(),
        is_key_given: true,
        content_sha256: [1; 32],
        message_id: format!("<{key}@example.com>"),
        envelope_from: "support@example.com".to_owned(),
        recipients: recipients(),
        size_bytes: 10,
        raw_sha256: [2; 32],
        chunks: 1,
        on_uncertain: UncertainPolicy::Hold,
        trace_parent: None,
        stream_sequence: 1,
    };
    outbound_mail::insert(&mut tx, &[mail], SystemClock.now()).await?;
    tx.commit().await?;
    Ok(id)
}

/// Puts a mail into the queue and takes it to where its delivery is unknown.
async fn uncertain(world: &World, key: &str) -> anyhow::Result<MailId> {
    let id = queued(world, key).await?;
    let mut tx = world.base.begin().await?;
    let account = account::find_by_key(&mut tx, &Key::try_new("out")?).await?;
    let account = account.ok_or_else(|| anyhow::anyhow!("no account"))?.id;
    let me = ReplicaId::generate(&SystemClock);
    let now = SystemClock.now();
    replica::beat(&mut tx, me, "outbound-sender").await?;
    lease::acquire(&mut tx, me, mailmesh_domain::Direction::Outbound, 1).await?;
    outbound_mail::claim_due(&mut tx, me, account, 10, now).await?;
    let outcome = Outcome {
        mail_id: id,
        attempt: 1,
        state: OutboundState::Uncertain,
        failures: 0,
        due_at: now,
        recipients: recipients(),
        problem: Some(Problem::new(
            "lost after the dot",
            FailureCause::MailGivenUp,
        )),
        reply: None,
    };
    outbound_mail::record_outcomes(&mut tx, &[outcome], now).await?;
    lease::release(&mut tx, me, &[account]).await?;
    tx.commit().await?;
    Ok(id)
}

async fn world() -> anyhow::Result<World> {
    let world = World::new().await?;
    world.google().await?;
    world.account("out", "smtp").await?;
    Ok(world)
}

async fn next(hints: &mut mailmesh_bus::Subscription) -> anyhow::Result<Vec<u8>> {
    let limit = std::time::Duration::from_secs(20);
    let hint = tokio::time::timeout(limit, hints.next()).await?;
    let hint = hint.ok_or_else(|| anyhow::anyhow!("the subscription ended"))?;
    Ok(hint.payload.to_vec())
}

#[tokio::test]
async fn mails_are_listed_by_page_account_and_state() {
    let world = world().await.unwrap();
    let mut ids = Vec::new();
    for key in ["one", "two", "three"] {
        ids.push(queued(&world, key).await.unwrap().to_string());
    }
    ids.sort();

    let first = world
        .get("/v1/outbox?limit=2&account=out&state=queued")
        .await
        .unwrap();
    let before = first["next_before"].as_str().unwrap();
    let second = world
        .get(&format!("/v1/outbox?limit=2&before={before}"))
        .await
        .unwrap();
    let none = world.get("/v1/outbox?state=sent").await.unwrap();
    let bad = world
        .call(
            reqwest::Method::GET,
            "/v1/outbox?state=x&limit=0&before=y&account=Z&colour=red",
            &Value::Null,
        )
        .await
        .unwrap();

    assert_eq!(first["mails"][0]["mail_id"], ids[2].as_str());
    assert_eq!(first["mails"][0]["account"], "out");
    assert_eq!(second["mails"][0]["mail_id"], ids[0].as_str());
    assert_eq!(
        (second["next_before"].clone(), none["mails"].clone()),
        (Value::Null, json!([]))
    );
    assert_eq!(
        bad.fields(),
        ["state", "limit", "before", "account", "colour"]
    );
    world.finish().await.unwrap();
}

#[tokio::test]
async fn an_uncertain_mail_is_decided_once_and_told() {
    let world = world().await.unwrap();
    let mut sent = world.base.bus.subscribe("mail.sent", None).await.unwrap();
    let mut failed = world.base.bus.subscribe("mail.failed", None).await.unwrap();
    let first = uncertain(&world, "first").await.unwrap();
    let second = uncertain(&world, "second").await.unwrap();
    let third = uncertain(&world, "third").await.unwrap();
    let decide = async |id: MailId, decision: &str| {
        let path = format!("/v1/outbox/{id}/decision");
        world
            .post(&path, json!({"decision": decision}))
            .await
            .unwrap()
    };

    let bad = decide(first, "maybe").await;
    let assumed = decide(first, "assume_sent").await;
    let again = decide(first, "fail").await;
    let gone = decide(second, "fail").await;
    let resent = decide(third, "resend").await;

    assert_eq!(bad.fields(), ["decision"]);
    assert_eq!(assumed.success().unwrap()["state"], "sent");
    assert_eq!((again.status, again.code()), (409, "conflict".to_owned()));
    assert_eq!(gone.success().unwrap()["state"], "failed");
    assert_eq!(resent.success().unwrap()["state"], "queued");
    let event: MailSent = serde_json::from_slice(&next(&mut sent).await.unwrap()).unwrap();
    assert_eq!((event.mail_id, event.recipients[0].accepted), (first, true));
    assert_eq!(event.idempotency_key.as_deref(), Some("first"));
    let event: MailFailed = serde_json::from_slice(&next(&mut failed).await.unwrap()).unwrap();
    assert_eq!(
        (event.mail_id, event.recipients[0].accepted),
        (second, false)
    );
    world.finish().await.unwrap();
}

#[tokio::test]
async fn a_queued_mail_is_taken_back_once_and_told() {
    let world = world().await.unwrap();
    let mut cancelled = world
        .base
        .bus
        .subscribe("mail.cancelled", None)
        .await
        .unwrap();
    let id = queued(&world, "one").await.unwrap();
    let path = format!("/v1/outbox/{id}/cancel");

    let first = world.post(&path, json!({})).await.unwrap();
    let second = world.post(&path, json!({})).await.unwrap();
    let shown = world.get(&format!("/v1/outbox/{id}")).await.unwrap();

    assert_eq!(first.success().unwrap()["state"], "cancelled");
    assert_eq!(
        (second.status, shown["state"].clone()),
        (409, json!("cancelled"))
    );
    let event: MailCancelled =
        serde_json::from_slice(&next(&mut cancelled).await.unwrap()).unwrap();
    assert_eq!(
        (event.mail_id, event.idempotency_key.as_deref()),
        (id, Some("one"))
    );
    world.finish().await.unwrap();
}

#[tokio::test]
async fn an_account_with_unsent_mail_is_not_deleted() {
    let world = world().await.unwrap();
    let id = queued(&world, "one").await.unwrap();

    let refused = world.delete("/v1/accounts/out").await.unwrap();
    world
        .post(&format!("/v1/outbox/{id}/cancel"), json!({}))
        .await
        .unwrap()
        .success()
        .unwrap();
    let deleted = world.delete("/v1/accounts/out").await.unwrap();

    assert_eq!((refused.status, deleted.status), (409, 204));
    assert!(refused.text.contains("queued"), "{}", refused.text);
    world.finish().await.unwrap();
}
