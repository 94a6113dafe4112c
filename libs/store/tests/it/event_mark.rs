use anyhow::Result;
use mailmesh_domain::{AccountId, Direction, SystemClock};
use mailmesh_store::event_mark::{self, EventMark};

use crate::sample::{self, NOW};
use crate::world::World;

#[tokio::test]
async fn marks_of_many_accounts_are_kept_with_their_stream() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let one = sample::stored(&mut tx, "one", Direction::Inbound).await?;
    let two = sample::stored(&mut tx, "two", Direction::Inbound).await?;
    let gone = AccountId::generate(&SystemClock);
    let mark = |sequence, stream_created_at| EventMark {
        stream_created_at,
        sequence,
    };

    let at_first = event_mark::find(&mut tx, one).await?;
    let marks = [
        (one, mark(7, Some(NOW))),
        (two, mark(9, None)),
        (gone, mark(1, None)),
    ];
    event_mark::set(&mut tx, &marks).await?;

    assert_eq!(at_first, Some(mark(0, None)));
    assert_eq!(
        event_mark::find(&mut tx, one).await?,
        Some(mark(7, Some(NOW)))
    );
    assert_eq!(event_mark::find(&mut tx, two).await?, Some(mark(9, None)));
    assert_eq!(event_mark::find(&mut tx, gone).await?, None);
    Ok(())
}
