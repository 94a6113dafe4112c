use anyhow::Result;
use mailmesh_accounts::RelayError;
use mailmesh_bus::Outgoing;
use mailmesh_store::{outbox, replica};

use super::world::{NOW, World, event, run};

#[tokio::test]
async fn a_committed_event_is_on_the_bus_with_its_headers() -> Result<()> {
    let world = World::new().await?;
    let (relay, _handle) = world.relay();
    let committed = event("support", "e1");
    world.commit(std::slice::from_ref(&committed)).await?;

    let relayed = relay.flush_once().await?;

    assert_eq!(relayed, 1);
    let found = world
        .bus
        .read_back("mail.sent.support", 0)?
        .collect_all()
        .await?;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].payload, committed.payload);
    for (name, value) in [("ce-id", "e1"), ("Nats-Msg-Id", "e1")] {
        let header = (name.to_owned(), value.to_owned());
        assert!(found[0].headers.contains(&header), "{found:?}");
    }
    assert_eq!(world.waiting().await?, 0);
    Ok(())
}

#[tokio::test]
async fn what_was_not_committed_is_not_published() -> Result<()> {
    let world = World::new().await?;
    let (relay, _handle) = world.relay();
    let mut tx = world.database.begin().await?;
    outbox::insert(&mut tx, world.replica, &[event("support", "e1")], NOW).await?;

    let relayed = relay.flush_once().await?;
    drop(tx);

    assert_eq!(relayed + relay.flush_once().await?, 0);
    assert!(world.stored("support").await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_crash_between_publishing_and_deleting_leaves_one_event() -> Result<()> {
    let world = World::new().await?;
    let (relay, _handle) = world.relay();
    let committed = event("support", "e1");
    world.commit(std::slice::from_ref(&committed)).await?;
    // As it was published by the process that died before it could delete the row.
    let published = Outgoing {
        subject: committed.subject,
        message_id: committed.id,
        headers: committed.headers,
        payload: committed.payload.into(),
    };
    world.bus.publish(published).await?;

    assert_eq!(relay.flush_once().await?, 1);

    assert_eq!(world.stored("support").await?, ["e1"]);
    assert_eq!(world.waiting().await?, 0);
    Ok(())
}

#[tokio::test]
async fn two_relays_of_the_same_rows_store_each_once() -> Result<()> {
    let world = World::new().await?;
    let (one, _) = world.relay();
    let (two, _) = world.relay();
    let ids: Vec<String> = (0..100).map(|number| format!("e{number}")).collect();
    let events: Vec<_> = ids.iter().map(|id| event("support", id)).collect();
    world.commit_as(world.replica, &events).await?;

    tokio::try_join!(one.flush_once(), two.flush_once())?;

    assert_eq!(world.stored("support").await?, ids);
    assert_eq!(world.waiting().await?, 0);
    Ok(())
}

#[tokio::test]
async fn an_event_that_the_bus_never_takes_holds_nobody_up() -> Result<()> {
    let world = World::new().await?;
    let (relay, _handle) = world.relay();
    let mut broken = event("support", "e2");
    let header = ("ce-subject".to_owned(), "two\r\nlines".to_owned());
    broken.headers.push(header);
    let events = [event("support", "e1"), broken, event("support", "e3")];
    world.commit(&events).await?;

    assert_eq!(relay.flush_once().await?, 2);

    assert_eq!(world.stored("support").await?, ["e1", "e3"]);
    // It is kept, and not tried again by this replica.
    assert_eq!(world.waiting().await?, 1);
    assert_eq!(relay.flush_once().await?, 0);
    Ok(())
}

#[tokio::test]
async fn the_events_of_a_dead_replica_are_published_by_another() -> Result<()> {
    let world = World::new().await?;
    let (dead, living) = (super::world::replica(), super::world::replica());
    let mut tx = world.database.begin().await?;
    replica::beat(&mut tx, living, "admin").await?;
    tx.commit().await?;
    world.commit_as(dead, &[event("dead", "d1")]).await?;
    world.commit_as(living, &[event("living", "l1")]).await?;

    let (relay, _handle) = world.relay();
    let running = run(relay);
    mailmesh_testkit::eventually("the dead one's event is published", async || {
        let stored = world.stored("dead").await?;
        anyhow::ensure!(stored == ["d1"], "{stored:?}");
        Ok(())
    })
    .await?;
    running.stop().await?;

    assert!(world.stored("living").await?.is_empty());
    assert_eq!(world.waiting().await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_failure_says_what_failed() -> Result<()> {
    let world = World::new().await?;
    let (relay, _handle) = world.relay();
    let mut nowhere = event("support", "e1");
    nowhere.subject = "no.stream.takes.this".to_owned();
    world.commit(&[nowhere]).await?;

    let error = relay.flush_once().await.unwrap_err();

    assert!(matches!(error, RelayError::Publish(_)), "{error:?}");
    assert_eq!(error.to_string(), "cannot publish an event of the outbox");
    assert_eq!(world.waiting().await?, 1);
    Ok(())
}
