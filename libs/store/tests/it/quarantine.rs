use anyhow::Result;
use mailmesh_domain::Direction;
use mailmesh_events::mail::Origin;
use mailmesh_store::mailbox;

use crate::sample::{self, LATER, NOW};
use crate::world::World;

fn origin(uid_validity: u32, uid: u32) -> Origin {
    Origin {
        folder: "INBOX".to_owned(),
        position: sample::position(uid_validity, uid),
    }
}

#[tokio::test]
async fn failures_are_counted_per_mail() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let account = sample::stored(&mut tx, "support", Direction::Inbound).await?;
    let problem = sample::problem();

    let mut counts = Vec::new();
    for (origin, now) in [
        (origin(5, 1), NOW),
        (origin(5, 1), LATER),
        (origin(5, 2), LATER),
        (origin(6, 1), NOW),
    ] {
        let count = mailbox::count_failure(&mut tx, account, &origin, &problem, now).await?;
        counts.push((count.attempts, count.first_failed_at));
    }

    assert_eq!(counts, [(1, NOW), (2, NOW), (1, LATER), (1, NOW)]);
    Ok(())
}

#[tokio::test]
async fn a_mail_is_given_up_once() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let account = sample::stored(&mut tx, "support", Direction::Inbound).await?;
    let (broken, fine) = (origin(5, 1), origin(5, 2));
    mailbox::count_failure(&mut tx, account, &broken, &sample::problem(), NOW).await?;

    let first = mailbox::quarantine(&mut tx, account, &broken, NOW).await?;
    let again = mailbox::quarantine(&mut tx, account, &broken, LATER).await?;
    let unknown = mailbox::quarantine(&mut tx, account, &fine, NOW).await?;

    assert_eq!((first, again, unknown), (true, false, false));
    Ok(())
}
