//! Senders that are frozen or killed with a mail in hand.

use anyhow::{Result, ensure};
use mailmesh_domain::AccountState;
use mailmesh_sandbox::{Fault, FaultRule};
use mailmesh_store::account_status;
use mailmesh_testkit::{Freezable, FrozenReplica, eventually};

use crate::world::{World, send_body};

async fn taken(world: &World) -> Result<()> {
    let faults = world.sandbox.faults();
    eventually("the fault has struck", async || {
        faults.list().iter().any(|fault| fault.taken > 0)
    })
    .await
}

fn stall() -> Fault {
    Fault::Stall { seconds: None }
}

/// Freezes a sender whose server stalls at `point` of a mail, and starts another.
async fn frozen_and_succeeded_at(
    world: &mut World,
    point: &str,
) -> Result<(Freezable, FrozenReplica)> {
    world.add_account("one", 1).await?;
    let stalled = FaultRule::once(point, stall());
    world.sandbox.faults().add(stalled)?;
    let first = world.freezable_sender();
    let body = send_body("one", "a@elsewhere.test", "x");
    world.publish("mail.send", body).await?;
    taken(world).await?;
    let frozen = first.freeze().await?;
    world.start_sender().await?;
    Ok((first, frozen))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frozen_sender_that_was_taken_over_does_not_send() -> Result<()> {
    let mut world = World::new().await?;
    let (first, frozen) = frozen_and_succeeded_at(&mut world, "smtp.data").await?;
    let sent = world.event("mail.sent").await?;
    world.sandbox.faults().clear();
    frozen.thaw();
    first.stop().await?;

    assert_eq!(sent["attempts"], 2);
    assert_eq!(world.outbox_texts().len(), 1);
    world.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sender_frozen_after_its_dot_settles_what_was_called_uncertain() -> Result<()> {
    let mut world = World::new().await?;
    let (first, frozen) = frozen_and_succeeded_at(&mut world, "smtp.final_dot").await?;
    let uncertain = world.event("mail.uncertain").await?;
    world.sandbox.faults().clear();
    frozen.thaw();
    first.stop().await?;
    let sent = world.event("mail.sent").await?;

    assert_eq!(uncertain["mail_id"], sent["mail_id"]);
    assert_eq!(world.outbox_texts().len(), 1);
    world.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frozen_sender_that_was_taken_over_writes_no_state_of_the_account() -> Result<()> {
    let mut world = World::new().await?;
    let account = world.add_account("one", 1).await?;
    let faults = world.sandbox.faults();
    let stalled = faults.add(FaultRule::once("smtp.greeting", stall()))?;
    let first = world.freezable_sender();
    world
        .publish("mail.send", send_body("one", "a@elsewhere.test", "x"))
        .await?;
    taken(&world).await?;

    let frozen = first.freeze().await?;
    world.start_sender().await?;
    world.event("mail.sent").await?;
    // From here on whoever signs in is refused, as the first one is that was connecting when it froze.
    let refusal = Fault::Reply {
        text: "535 5.7.8 wrong password".to_owned(),
    };
    let faults = world.sandbox.faults();
    faults.add(FaultRule {
        count: None,
        ..FaultRule::once("smtp.auth", refusal)
    })?;
    faults.remove(stalled);
    frozen.thaw();
    first.stop().await?;

    let mut tx = world.base.begin().await?;
    let stored = account_status::list_stored(&mut tx, &[account.id]).await?;
    tx.commit().await?;
    ensure!(stored.len() == 1, "{stored:?}");
    assert_eq!(stored[0].1.state, AccountState::Active);
    assert_eq!(stored[0].1.problem, None);
    world.finish().await
}

#[tokio::test]
async fn killed_sender_leaves_uncertain_what_had_come_to_the_dot() -> Result<()> {
    let mut world = World::new().await?;
    world.add_account("one", 1).await?;
    world
        .sandbox
        .faults()
        .add(FaultRule::once("smtp.final_dot", stall()))?;
    let doomed = world.sender().await?;
    world
        .publish("mail.send", send_body("one", "a@elsewhere.test", "x"))
        .await?;
    taken(&world).await?;

    doomed.kill().await;
    world.start_sender().await?;
    let uncertain = world.event("mail.uncertain").await?;
    world.sandbox.faults().clear();

    let mail = world.mail(&uncertain).await?;
    assert_eq!(mail.state.as_str(), "uncertain");
    ensure!(world.outbox_texts().len() <= 1, "sent twice");
    world.finish().await
}
