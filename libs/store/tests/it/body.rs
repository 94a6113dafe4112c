use anyhow::Result;
use mailmesh_domain::OutboundState;
use mailmesh_store::outbound_mail::{self, Outcome};

use crate::attempt::{load, sending, sent};
use crate::sample::LATER;
use crate::world::World;

#[tokio::test]
async fn bodies_of_sent_mails_are_dropped_once_and_of_failed_ones_never() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let own = sending(&mut tx, 4).await?;
    let ended = |number: usize, state| Outcome {
        state,
        ..sent(own.mails[number], 1)
    };
    let outcomes = [
        ended(0, OutboundState::Sent),
        ended(1, OutboundState::Failed),
        ended(2, OutboundState::Uncertain),
    ];
    outbound_mail::record_outcomes(&mut tx, &outcomes, LATER).await?;

    let too_young = outbound_mail::drop_bodies(&mut tx, LATER, 10).await?;
    let after = LATER + time::Duration::SECOND;
    let dropped = outbound_mail::drop_bodies(&mut tx, after, 10).await?;
    let again = outbound_mail::drop_bodies(&mut tx, after, 10).await?;

    assert!(too_young.is_empty() && again.is_empty());
    assert_eq!(dropped, [own.mails[0]]);
    assert_eq!(load(&mut tx, own.mails[0]).await?.chunks, 0);
    assert_eq!(load(&mut tx, own.mails[1]).await?.chunks, 1);
    Ok(())
}
