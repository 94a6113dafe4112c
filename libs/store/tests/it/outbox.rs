use anyhow::Result;
use mailmesh_domain::ReplicaId;
use mailmesh_events::EncodedEvent;
use mailmesh_store::outbox::{self, OutboxRow};
use mailmesh_store::{Tx, replica};

use crate::sample::{self, NOW};
use crate::world::World;

const SOURCE: &str = "mailmesh/outbound-sender";

fn event(id: &str) -> EncodedEvent {
    let headers = [("ce-id", id), ("ce-source", SOURCE)];
    EncodedEvent {
        subject: "mail.sent.support".to_owned(),
        id: id.to_owned(),
        headers: headers
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        payload: vec![0, 159, b'x'],
    }
}

async fn insert(tx: &mut Tx, replica: ReplicaId, ids: &[&str]) -> Result<()> {
    let events: Vec<EncodedEvent> = ids.iter().copied().map(event).collect();
    Ok(outbox::insert(tx, replica, &events, NOW).await?)
}

async fn list(tx: &mut Tx, replica: ReplicaId) -> Result<Vec<OutboxRow>> {
    Ok(outbox::list(tx, replica, 100).await?)
}

fn ids(rows: &[OutboxRow]) -> Vec<&str> {
    rows.iter().map(|row| row.event.id.as_str()).collect()
}

#[tokio::test]
async fn events_are_listed_in_the_order_of_insertion() -> Result<()> {
    let world = World::new().await?;
    let (own, other) = (sample::replica(), sample::replica());
    let mut tx = world.database.begin().await?;
    let many: Vec<String> = (0..50).map(|number| number.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();

    insert(&mut tx, own, &many).await?;
    insert(&mut tx, other, &["theirs"]).await?;
    insert(&mut tx, own, &["last"]).await?;
    insert(&mut tx, own, &[]).await?;

    let rows = list(&mut tx, own).await?;
    assert_eq!(ids(&rows), [many, vec!["last"]].concat());
    assert_eq!(format!("{:?}", rows[0].event), format!("{:?}", event("0")));
    assert_eq!(outbox::list(&mut tx, own, 3).await?.len(), 3);
    assert_eq!(outbox::count(&mut tx).await?, 52);
    Ok(())
}

#[tokio::test]
async fn published_rows_are_gone() -> Result<()> {
    let world = World::new().await?;
    let own = sample::replica();
    let mut tx = world.database.begin().await?;
    insert(&mut tx, own, &["a", "b", "c"]).await?;
    let rows = list(&mut tx, own).await?;

    outbox::delete(&mut tx, &[rows[0].id, rows[2].id]).await?;
    outbox::delete(&mut tx, &[]).await?;

    assert_eq!(ids(&list(&mut tx, own).await?), ["b"]);
    Ok(())
}

#[tokio::test]
async fn the_rows_of_the_dead_are_adopted_and_come_first() -> Result<()> {
    let world = World::new().await?;
    let (dead, living, heir) = (sample::replica(), sample::replica(), sample::replica());
    let mut tx = world.database.begin().await?;
    for id in [dead, living, heir] {
        replica::beat(&mut tx, id, "admin").await?;
    }
    insert(&mut tx, dead, &["d1", "d2"]).await?;
    insert(&mut tx, heir, &["h1"]).await?;
    insert(&mut tx, living, &["l1"]).await?;
    let left_without_a_word = sample::replica();
    insert(&mut tx, left_without_a_word, &["w1"]).await?;
    tx.commit().await?;
    world
        .execute(&format!(
            "UPDATE replicas SET seen_at = seen_at - interval '11 s' WHERE replica_id = '{dead}'"
        ))
        .await?;

    let mut tx = world.database.begin().await?;
    let adopted = outbox::adopt(&mut tx, heir, SOURCE, 100).await?;

    assert_eq!(adopted, 3);
    assert_eq!(ids(&list(&mut tx, heir).await?), ["d1", "d2", "h1", "w1"]);
    assert_eq!(ids(&list(&mut tx, living).await?), ["l1"]);
    assert_eq!(outbox::adopt(&mut tx, heir, SOURCE, 100).await?, 0);
    Ok(())
}

#[tokio::test]
async fn of_two_heirs_each_row_goes_to_one() -> Result<()> {
    let world = World::new().await?;
    let (one, two) = (sample::replica(), sample::replica());
    let mut tx = world.database.begin().await?;
    for id in [one, two] {
        replica::beat(&mut tx, id, "admin").await?;
    }
    insert(&mut tx, sample::replica(), &["a", "b", "c"]).await?;
    tx.commit().await?;

    let mut first = world.database.begin().await?;
    let mine = outbox::adopt(&mut first, one, SOURCE, 100).await?;
    let mut second = world.database.begin().await?;
    // Before the first has committed: it neither waits for those rows nor takes them.
    let theirs = outbox::adopt(&mut second, two, SOURCE, 100).await?;
    first.commit().await?;
    second.commit().await?;

    assert_eq!((mine, theirs), (3, 0));
    let mut tx = world.database.begin().await?;
    assert_eq!(list(&mut tx, one).await?.len(), 3);
    Ok(())
}

#[tokio::test]
async fn the_oldest_rows_are_adopted_first() -> Result<()> {
    let world = World::new().await?;
    let heir = sample::replica();
    let mut tx = world.database.begin().await?;
    let (one, two) = (sample::replica(), sample::replica());
    insert(&mut tx, one, &["a"]).await?;
    insert(&mut tx, two, &["b"]).await?;
    insert(&mut tx, one, &["c"]).await?;

    assert_eq!(outbox::adopt(&mut tx, heir, SOURCE, 2).await?, 2);

    assert_eq!(ids(&list(&mut tx, heir).await?), ["a", "b"]);
    Ok(())
}

#[tokio::test]
async fn a_row_that_was_set_aside_is_tried_again_by_the_next_owner_alone() -> Result<()> {
    let world = World::new().await?;
    let (own, heir) = (sample::replica(), sample::replica());
    let mut tx = world.database.begin().await?;
    insert(&mut tx, own, &["refused", "fine"]).await?;
    let rows = list(&mut tx, own).await?;

    outbox::set_aside(&mut tx, rows[0].id).await?;

    assert_eq!(ids(&list(&mut tx, own).await?), ["fine"]);
    assert_eq!(outbox::count(&mut tx).await?, 2);
    outbox::adopt(&mut tx, heir, SOURCE, 10).await?;
    assert_eq!(ids(&list(&mut tx, heir).await?), ["refused", "fine"]);
    Ok(())
}

#[tokio::test]
async fn rows_of_another_service_are_left_to_it() -> Result<()> {
    let world = World::new().await?;
    let (heir, dead) = (sample::replica(), sample::replica());
    let mut tx = world.database.begin().await?;
    insert(&mut tx, dead, &["a", "b"]).await?;

    let adopted = outbox::adopt(&mut tx, heir, "mailmesh/admin", 10).await?;

    assert_eq!(adopted, 0);
    assert_eq!(outbox::adopt(&mut tx, heir, SOURCE, 10).await?, 2);
    Ok(())
}

#[tokio::test]
async fn long_outbox_is_told_from_a_short_one() -> Result<()> {
    let world = World::new().await?;
    let (own, other) = (sample::replica(), sample::replica());
    let mut tx = world.database.begin().await?;
    let events: Vec<_> = ["a", "b", "c"].map(event).into();
    outbox::insert(&mut tx, own, &events, NOW).await?;

    assert!(outbox::has_more_than(&mut tx, own, 2).await?);
    assert!(!outbox::has_more_than(&mut tx, own, 3).await?);
    assert!(!outbox::has_more_than(&mut tx, other, 0).await?);
    Ok(())
}
