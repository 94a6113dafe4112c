use anyhow::Result;
use mailmesh_accounts::RelayError;

use super::world::{World, event};

#[tokio::test]
async fn more_than_a_batch_is_stored_in_the_order_of_commits() -> Result<()> {
    let world = World::new().await?;
    let (relay, _handle) = world.relay();
    let accounts = ["a", "b", "c"];
    let ids: Vec<String> = (0..1_201).map(|number| format!("e{number}")).collect();
    let events: Vec<_> = ids
        .iter()
        .zip(accounts.iter().cycle())
        .map(|(id, account)| event(account, id))
        .collect();
    world.commit_as(world.replica, &events).await?;

    assert_eq!(relay.flush_once().await?, 1_201);

    for (place, account) in accounts.iter().enumerate() {
        let wanted: Vec<&String> = ids.iter().skip(place).step_by(3).collect();
        let stored = world.stored(account).await?;
        assert!(stored.iter().eq(wanted), "{account}: {stored:?}");
    }
    Ok(())
}

#[tokio::test]
async fn events_of_different_kinds_keep_their_order() -> Result<()> {
    let world = World::new().await?;
    let (relay, _handle) = world.relay();
    let mut failed = event("support", "e2");
    failed.subject = "mail.failed.support".to_owned();
    let events = [event("support", "e1"), failed, event("support", "e3")];
    world.commit(&events).await?;

    relay.flush_once().await?;

    assert_eq!(world.stored("support").await?, ["e1", "e2", "e3"]);
    Ok(())
}

#[tokio::test]
async fn an_event_that_must_wait_keeps_back_its_own_account_alone() -> Result<()> {
    let world = World::new().await?;
    let (relay, _handle) = world.relay();
    let mut held_up = event("support", "e1");
    held_up.subject = "no.stream.takes.support".to_owned();
    let events = [held_up, event("support", "e2"), event("sales", "s1")];
    world.commit(&events).await?;

    let error = relay.flush_once().await.unwrap_err();

    assert!(matches!(error, RelayError::Publish(_)), "{error:?}");
    assert!(world.stored("support").await?.is_empty());
    assert_eq!(world.stored("sales").await?, ["s1"]);
    assert_eq!(world.waiting().await?, 2);
    Ok(())
}

#[tokio::test]
async fn a_full_stream_keeps_events_in_order_until_it_has_room() -> Result<()> {
    let mut world = World::new().await?;
    let (relay, _handle) = world.relay();
    let filler: Vec<_> = (0..8)
        .map(|number| {
            let mut large = event("filler", &format!("f{number}"));
            large.subject = "account.failing.filler".to_owned();
            large.payload = vec![b'x'; 700 * 1024];
            large
        })
        .collect();
    world.commit_as(world.replica, &filler).await?;
    let full = relay.flush_once().await.unwrap_err();
    let RelayError::Publish(error) = &full else {
        panic!("{full:?}");
    };
    assert!(error.is_full(), "{error:?}");
    let stored = world.stored("filler").await?.len();
    assert!((1..8).contains(&stored), "{stored} are stored");
    // A small one would still fit, but must not overtake.
    let mut last = event("filler", "last");
    last.subject = "account.failing.filler".to_owned();
    world.commit(&[last]).await?;
    assert!(relay.flush_once().await.is_err());

    world.settings.streams.events_max_bytes = 64 * 1024 * 1024;
    let roomier = mailmesh_bus::Bus::connect(&world.settings).await?;
    roomier.ensure_streams().await?;
    relay.flush_once().await?;

    let wanted = ["f0", "f1", "f2", "f3", "f4", "f5", "f6", "f7", "last"];
    assert_eq!(world.stored("filler").await?, wanted);
    assert_eq!(world.waiting().await?, 0);
    Ok(())
}
