use anyhow::Result;
use mailmesh_domain::{AccountId, Direction, MailId, OutboundState, ReplicaId};
use mailmesh_store::outbound_mail::{self, OutboundMail};
use mailmesh_store::{Database, Tx, lease};

use crate::sample::{self, LATER, NOW};
use crate::world::World;

/// Queues mails that are due at these moments.
async fn queue(
    tx: &mut Tx,
    account: AccountId,
    due: &[time::OffsetDateTime],
) -> Result<Vec<MailId>> {
    let mut ids = Vec::new();
    for due_at in due {
        let mail = sample::outbound(account, &sample::mail_id().to_string());
        ids.push(mail.id);
        outbound_mail::insert(tx, &[mail], *due_at).await?;
    }
    Ok(ids)
}

fn ids(mails: &[OutboundMail]) -> Vec<MailId> {
    mails.iter().map(|mail| mail.id).collect()
}

#[tokio::test]
async fn due_mails_are_claimed_in_their_order_and_each_starts_an_attempt() -> Result<()> {
    let world = World::new().await?;
    let replica = sample::replica();
    let mut tx = world.database.begin().await?;
    let account = sample::held(&mut tx, "support", replica).await?;
    let minute = time::Duration::MINUTE;
    let due = [NOW, NOW - minute, NOW + minute, NOW - minute * 2];
    let queued = queue(&mut tx, account, &due).await?;

    let first = outbound_mail::claim_due(&mut tx, replica, account, 2, NOW).await?;
    let rest = outbound_mail::claim_due(&mut tx, replica, account, 2, NOW).await?;
    tx.commit().await?;

    assert_eq!(ids(&first), [queued[3], queued[1]]);
    assert_eq!(ids(&rest), [queued[0]]);
    assert!(first.iter().all(|mail| mail.attempts == 1));
    assert!(
        first
            .iter()
            .all(|mail| mail.state == OutboundState::Sending)
    );
    let attempts: String = world
        .read(&format!(
            "SELECT string_agg(attempt || stage, ',') FROM send_attempts
             WHERE replica_id = '{replica}' AND finished_at IS NULL"
        ))
        .await?;
    assert_eq!(attempts, "1started,1started,1started");
    Ok(())
}

#[tokio::test]
async fn without_the_lease_nothing_is_claimed() -> Result<()> {
    let world = World::new().await?;
    let (holder, other) = (sample::replica(), sample::replica());
    let mut tx = world.database.begin().await?;
    let account = sample::held(&mut tx, "support", holder).await?;
    let queued = queue(&mut tx, account, &[NOW]).await?;

    let stolen = outbound_mail::claim_due(&mut tx, other, account, 10, NOW).await?;
    lease::release(&mut tx, holder, &[account]).await?;
    let released = outbound_mail::claim_due(&mut tx, holder, account, 10, NOW).await?;

    assert!(stolen.is_empty());
    assert!(released.is_empty());
    let mail = outbound_mail::find(&mut tx, queued[0]).await?.unwrap();
    assert_eq!((mail.state, mail.attempts), (OutboundState::Queued, 0));
    Ok(())
}

async fn claim(database: &Database, replica: ReplicaId, account: AccountId) -> Result<Vec<MailId>> {
    let mut tx = database.begin().await?;
    let claimed = outbound_mail::claim_due(&mut tx, replica, account, 10, NOW).await?;
    tx.commit().await?;
    Ok(ids(&claimed))
}

#[tokio::test]
async fn two_tasks_that_claim_at_once_get_different_mails() -> Result<()> {
    let world = World::new().await?;
    let replica = sample::replica();
    let mut tx = world.database.begin().await?;
    let account = sample::held(&mut tx, "support", replica).await?;
    let mut queued = queue(&mut tx, account, &[NOW; 12]).await?;
    tx.commit().await?;

    let (one, two) = tokio::try_join!(
        claim(&world.database, replica, account),
        claim(&world.database, replica, account)
    )?;
    let rest = claim(&world.database, replica, account).await?;

    let mut claimed = [one, two, rest].concat();
    claimed.sort_unstable();
    queued.sort_unstable();
    assert_eq!(claimed, queued);
    Ok(())
}

#[tokio::test]
async fn the_next_due_moment_is_told_for_accounts_with_queued_mail() -> Result<()> {
    let world = World::new().await?;
    let replica = sample::replica();
    let mut tx = world.database.begin().await?;
    let busy = sample::held(&mut tx, "busy", replica).await?;
    let idle = sample::held(&mut tx, "idle", replica).await?;
    let sending = sample::held(&mut tx, "sending", replica).await?;
    queue(&mut tx, busy, &[LATER, NOW]).await?;
    queue(&mut tx, sending, &[NOW]).await?;
    outbound_mail::claim_due(&mut tx, replica, sending, 10, NOW).await?;

    let due = outbound_mail::next_due(&mut tx, &[idle, busy, sending]).await?;

    assert_eq!(due, [(busy, NOW)]);
    Ok(())
}

#[tokio::test]
async fn mails_are_listed_newest_first_by_account_and_state() -> Result<()> {
    let world = World::new().await?;
    let replica = sample::replica();
    let mut tx = world.database.begin().await?;
    let one = sample::held(&mut tx, "one", replica).await?;
    let two = sample::held(&mut tx, "two", replica).await?;
    let mut all = queue(&mut tx, one, &[NOW, NOW, LATER]).await?;
    all.extend(queue(&mut tx, two, &[NOW]).await?);
    outbound_mail::claim_due(&mut tx, replica, one, 1, NOW).await?;
    all.sort_unstable_by(|a, b| b.cmp(a));
    let queued = Some(OutboundState::Queued);

    let everything = outbound_mail::list(&mut tx, None, None, None, 10).await?;
    let page = outbound_mail::list(&mut tx, None, None, Some(all[1]), 1).await?;
    let of_two = outbound_mail::list(&mut tx, Some(two), None, None, 10).await?;
    let waiting = outbound_mail::list(&mut tx, Some(one), queued, None, 10).await?;
    let sent = outbound_mail::list(&mut tx, None, Some(OutboundState::Sent), None, 10).await?;

    assert_eq!(ids(&everything), all);
    assert_eq!(ids(&page), [all[2]]);
    assert_eq!(of_two.len(), 1);
    assert_eq!(waiting.len(), 2);
    assert!(sent.is_empty());
    Ok(())
}

#[tokio::test]
async fn finished_mails_are_deleted_in_portions_and_open_ones_never() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let account = sample::stored(&mut tx, "support", Direction::Outbound).await?;
    let queued = queue(&mut tx, account, &[NOW; 4]).await?;
    for id in &queued[..3] {
        outbound_mail::cancel(&mut tx, account, Some(*id), None, NOW).await?;
    }

    let too_young = outbound_mail::delete_finished(&mut tx, NOW, 10).await?;
    let first = outbound_mail::delete_finished(&mut tx, LATER, 2).await?;
    let second = outbound_mail::delete_finished(&mut tx, LATER, 2).await?;

    assert!(too_young.is_empty());
    assert_eq!((first.len(), second.len()), (2, 1));
    assert!(outbound_mail::find(&mut tx, queued[0]).await?.is_none());
    assert!(outbound_mail::find(&mut tx, queued[3]).await?.is_some());
    Ok(())
}
