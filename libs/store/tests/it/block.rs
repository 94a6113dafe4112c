use anyhow::Result;
use mailmesh_domain::{AccountId, FailureCause, ReplicaId};
use mailmesh_events::Problem;
use mailmesh_store::Tx;
use mailmesh_store::outbound_mail::{self, Block, OutboundMail};
use time::Duration;

use crate::sample::{self, LATER, NOW};
use crate::world::World;

async fn block(
    tx: &mut Tx,
    replica: ReplicaId,
    account: AccountId,
    problem: &Problem,
) -> Result<()> {
    let block = Block {
        problem,
        until: LATER,
    };
    Ok(outbound_mail::block(tx, replica, account, block).await?)
}

/// Publishes the wait of up to ten mails, as the sender does.
async fn tell(tx: &mut Tx, account: AccountId) -> Result<Vec<OutboundMail>> {
    let mails = outbound_mail::list_untold(tx, account, NOW, 10).await?;
    if let Some(last) = mails.last() {
        outbound_mail::set_told(tx, account, last.into()).await?;
    }
    Ok(mails)
}

#[tokio::test]
async fn mail_of_a_blocked_account_is_shown_as_it_waits_and_stays_as_it_is() -> Result<()> {
    let world = World::new().await?;
    let replica = sample::replica();
    let mut tx = world.database.begin().await?;
    let account = sample::held(&mut tx, "support", replica).await?;
    let mail = sample::outbound(account, "order-1");
    outbound_mail::insert(&mut tx, std::slice::from_ref(&mail), NOW).await?;
    let problem = Problem::new("the sign-in ended", FailureCause::GrantDead);

    block(&mut tx, sample::replica(), account, &problem).await?;
    let of_a_stranger = outbound_mail::next_due(&mut tx, &[account]).await?;
    block(&mut tx, replica, account, &problem).await?;
    let blocked = outbound_mail::next_due(&mut tx, &[account]).await?;
    let shown = outbound_mail::find(&mut tx, mail.id).await?.unwrap();
    let listed = outbound_mail::list(&mut tx, None, None, None, 10).await?;
    outbound_mail::unblock(&mut tx, account).await?;
    let unblocked = outbound_mail::next_due(&mut tx, &[account]).await?;
    let claimed = outbound_mail::claim_due(&mut tx, replica, account, 10, NOW).await?;

    assert_eq!(of_a_stranger, [(account, NOW)]);
    assert_eq!(blocked, [(account, LATER)]);
    for mail in [&shown, &listed[0]] {
        assert_eq!(
            (mail.due_at, &mail.problem),
            (LATER, &Some(problem.clone()))
        );
        assert_eq!((mail.attempts, mail.failures), (0, 0));
    }
    assert_eq!(unblocked, [(account, NOW)]);
    assert_eq!(claimed.len(), 1);
    Ok(())
}

fn of_code(cause: FailureCause, text: &str, code: &str) -> Problem {
    Problem::new(text, cause).with_code(Some(code.to_owned()))
}

#[tokio::test]
async fn reason_is_told_anew_only_when_somebody_has_something_else_to_do() -> Result<()> {
    let world = World::new().await?;
    let replica = sample::replica();
    let mut tx = world.database.begin().await?;
    let account = sample::held(&mut tx, "support", replica).await?;
    let mail = sample::outbound(account, "order-1");
    outbound_mail::insert(&mut tx, std::slice::from_ref(&mail), NOW).await?;
    let administrator = FailureCause::TenantForbids;
    let (transient, throttled) = (FailureCause::Transient, FailureCause::Throttled);

    let mut told = Vec::new();
    for (cause, text, code) in [
        (transient, "busy, session 1", "421 4.3.2"),
        (transient, "busy, session 2", "421 4.3.2"),
        (throttled, "full, session 3", "451 4.3.1"),
        (administrator, "switched off, host a", "535 5.7.139"),
        (administrator, "switched off, host b", "535 5.7.139"),
        (transient, "busy, session 4", "421 4.3.2"),
        (administrator, "switched off, host b", "535 5.7.139"),
        (administrator, "blocked", "550 5.1.8"),
    ] {
        let problem = of_code(cause, text, code);
        block(&mut tx, replica, account, &problem).await?;
        told.push(tell(&mut tx, account).await?.len());
        outbound_mail::unblock(&mut tx, account).await?;
    }

    assert_eq!(told, [1, 0, 0, 1, 0, 0, 0, 1]);
    Ok(())
}

#[tokio::test]
async fn wait_is_told_once_in_the_order_of_the_queue() -> Result<()> {
    let world = World::new().await?;
    let replica = sample::replica();
    let mut tx = world.database.begin().await?;
    let account = sample::held(&mut tx, "support", replica).await?;
    let mails: Vec<_> = (0..25)
        .map(|number| sample::outbound(account, &number.to_string()))
        .collect();
    outbound_mail::insert(&mut tx, &mails, NOW - Duration::minutes(1)).await?;
    let open = tell(&mut tx, account).await?;
    block(&mut tx, replica, account, &sample::problem()).await?;

    let mut told = Vec::new();
    for _ in 0..4 {
        told.push(tell(&mut tx, account).await?.len());
    }
    let late = ["late", "not due"].map(|key| sample::outbound(account, key));
    outbound_mail::insert(&mut tx, &late[..1], NOW).await?;
    outbound_mail::insert(&mut tx, &late[1..], LATER).await?;
    let then = tell(&mut tx, account).await?;

    assert!(open.is_empty(), "nothing waits");
    assert_eq!(told, [10, 10, 5, 0]);
    assert_eq!(then.len(), 1);
    assert_eq!(then[0].id, late[0].id);
    Ok(())
}
