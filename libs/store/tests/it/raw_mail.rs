use anyhow::Result;
use mailmesh_domain::{Direction, MailId, SystemClock};
use mailmesh_store::{mailbox, outbound_mail, raw_mail};

use crate::sample::{self, NOW};
use crate::world::World;

#[tokio::test]
async fn hash_of_a_mail_is_found_whichever_way_it_went() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let account = sample::stored(&mut tx, "in", Direction::Inbound).await?;
    let received = sample::received(account, 7);
    mailbox::insert(&mut tx, std::slice::from_ref(&received), NOW).await?;
    let account = sample::stored(&mut tx, "out", Direction::Outbound).await?;
    let queued = sample::outbound(account, "order-1");
    outbound_mail::insert(&mut tx, std::slice::from_ref(&queued), NOW).await?;

    let of_received = raw_mail::find_sha256(&mut tx, received.id).await?;
    let of_queued = raw_mail::find_sha256(&mut tx, queued.id).await?;
    let of_none = raw_mail::find_sha256(&mut tx, MailId::generate(&SystemClock)).await?;

    assert_eq!(of_received, Some(received.sha256));
    assert_eq!(of_queued, Some(queued.raw_sha256));
    assert_eq!(of_none, None);
    tx.commit().await?;

    // As the release before has left it.
    world
        .execute("UPDATE outbound_mails SET raw_sha256 = NULL")
        .await?;
    let mut tx = world.database.begin().await?;
    assert_eq!(raw_mail::find_sha256(&mut tx, queued.id).await?, None);
    let found = outbound_mail::find(&mut tx, queued.id).await?;
    assert_eq!(found.and_then(|mail| mail.raw_sha256), None);
    Ok(())
}
