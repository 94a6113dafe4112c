use std::collections::HashSet;

use anyhow::Result;
use mailmesh_domain::{Direction, MailId, OutboundState, ReplicaId};
use mailmesh_store::outbound_mail::{self, OutboundMail, RecoveredAttempts};
use mailmesh_store::{Database, Tx, lease, replica, send_attempt};

use crate::attempt::{Sending, load, sending, sent};
use crate::sample::{self, LATER, NOW};
use crate::world::World;

/// Another replica takes the account over and recovers what was left behind.
async fn take_over(tx: &mut Tx, from: &Sending) -> Result<(ReplicaId, RecoveredAttempts)> {
    let heir = sample::replica();
    lease::release(tx, from.replica, &[from.account]).await?;
    lease::acquire(tx, heir, Direction::Outbound, 10).await?;
    let recovered =
        outbound_mail::recover(tx, &[from.account], heir, &sample::problem(), LATER).await?;
    Ok((heir, recovered))
}

fn ids(mails: &[OutboundMail]) -> Vec<MailId> {
    mails.iter().map(|mail| mail.id).collect()
}

#[tokio::test]
async fn a_frozen_sender_cannot_commit_a_recovered_attempt() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let frozen = sending(&mut tx, 1).await?;
    let mail = frozen.mails[0];
    replica::beat(&mut tx, frozen.replica, "outbound-sender").await?;

    let (heir, recovered) = take_over(&mut tx, &frozen).await?;
    let woken = send_attempt::enter_committing(&mut tx, &[(mail, 1)]).await?;
    let claimed = outbound_mail::claim_due(&mut tx, heir, frozen.account, 10, LATER).await?;
    let woken_again = send_attempt::enter_committing(&mut tx, &[(mail, 1)]).await?;
    let entered = send_attempt::enter_committing(&mut tx, &[(mail, 2)]).await?;

    assert_eq!(recovered.requeued, [frozen.account]);
    assert!(recovered.uncertain.is_empty());
    assert!(woken.is_empty() && woken_again.is_empty());
    assert_eq!((ids(&claimed), claimed[0].attempts), (vec![mail], 2));
    assert_eq!(claimed[0].failures, 0);
    assert_eq!(entered, HashSet::from([mail]));
    Ok(())
}

#[tokio::test]
async fn a_mail_that_a_dead_replica_was_committing_is_uncertain() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let dead = sending(&mut tx, 2).await?;
    send_attempt::enter_committing(&mut tx, &[(dead.mails[0], 1)]).await?;

    let (heir, recovered) = take_over(&mut tx, &dead).await?;

    assert_eq!(ids(&recovered.uncertain), [dead.mails[0]]);
    assert_eq!(recovered.requeued.len(), 1);
    let uncertain = load(&mut tx, dead.mails[0]).await?;
    assert_eq!(uncertain.state, OutboundState::Uncertain);
    assert_eq!(uncertain.problem, Some(sample::problem()));
    assert_eq!(uncertain.due_at, LATER);
    let claimed = outbound_mail::claim_due(&mut tx, heir, dead.account, 10, LATER).await?;
    assert_eq!(ids(&claimed), [dead.mails[1]]);
    // It was alive after all: its outcome is the truth.
    let late = outbound_mail::record_outcomes(&mut tx, &[sent(dead.mails[0], 1)], LATER).await?;
    assert_eq!(late.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_mail_that_a_living_replica_is_committing_is_left_to_it() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let living = sending(&mut tx, 1).await?;
    replica::beat(&mut tx, living.replica, "outbound-sender").await?;
    send_attempt::enter_committing(&mut tx, &[(living.mails[0], 1)]).await?;

    let (heir, recovered) = take_over(&mut tx, &living).await?;
    tx.commit().await?;

    assert!(recovered.requeued.is_empty() && recovered.uncertain.is_empty());
    world
        .execute("UPDATE replicas SET seen_at = seen_at - interval '11 s'")
        .await?;
    let mut tx = world.database.begin().await?;
    let later =
        outbound_mail::recover(&mut tx, &[living.account], heir, &sample::problem(), LATER).await?;
    assert_eq!(ids(&later.uncertain), living.mails);
    Ok(())
}

#[tokio::test]
async fn recovering_leaves_ones_own_attempts_and_other_accounts_alone() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let own = sending(&mut tx, 1).await?;
    let other = sample::held(&mut tx, "other", own.replica).await?;
    let problem = sample::problem();

    let accounts = [own.account];
    let by_self = outbound_mail::recover(&mut tx, &accounts, own.replica, &problem, LATER).await?;
    let heir = sample::replica();
    let elsewhere = outbound_mail::recover(&mut tx, &[other], heir, &problem, LATER).await?;

    for recovered in [by_self, elsewhere] {
        assert!(recovered.requeued.is_empty() && recovered.uncertain.is_empty());
    }
    assert_eq!(
        load(&mut tx, own.mails[0]).await?.state,
        OutboundState::Sending
    );
    Ok(())
}

#[tokio::test]
async fn attempts_that_their_own_replica_lost_are_ended() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let own = sending(&mut tx, 3).await?;
    let [in_hand, started, committing] = own.mails[..] else {
        panic!("three mails");
    };
    send_attempt::enter_committing(&mut tx, &[(committing, 1)]).await?;
    let problem = sample::problem();
    let accounts = [own.account];

    let too_young = outbound_mail::recover_lost(
        &mut tx,
        &accounts,
        own.replica,
        &[in_hand],
        &problem,
        (NOW, LATER),
    )
    .await?;
    let recovered = outbound_mail::recover_lost(
        &mut tx,
        &accounts,
        own.replica,
        &[in_hand],
        &problem,
        (LATER, LATER),
    )
    .await?;

    assert!(too_young.requeued.is_empty() && too_young.uncertain.is_empty());
    assert_eq!(recovered.requeued, [own.account]);
    assert_eq!(ids(&recovered.uncertain), [committing]);
    assert_eq!(load(&mut tx, in_hand).await?.state, OutboundState::Sending);
    let requeued = load(&mut tx, started).await?;
    assert_eq!(
        (requeued.state, requeued.due_at),
        (OutboundState::Queued, LATER)
    );
    let woken = send_attempt::enter_committing(&mut tx, &[(started, 1), (in_hand, 1)]).await?;
    assert_eq!(woken, HashSet::from([in_hand]));
    Ok(())
}

/// Records outcomes of a replica that was thought dead, in the order in which they came.
async fn record_late(database: &Database, mails: &[MailId]) -> Result<()> {
    let outcomes: Vec<_> = mails.iter().map(|id| sent(*id, 1)).collect();
    let mut tx = database.begin().await?;
    outbound_mail::record_outcomes(&mut tx, &outcomes, LATER).await?;
    Ok(tx.commit().await?)
}

async fn enter_late(database: &Database, mails: &[MailId]) -> Result<()> {
    let attempts: Vec<_> = mails.iter().map(|id| (*id, 1)).collect();
    let mut tx = database.begin().await?;
    send_attempt::enter_committing(&mut tx, &attempts).await?;
    Ok(tx.commit().await?)
}

#[tokio::test]
async fn recovering_and_recording_at_once_wait_for_no_deadlock() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let dead = sending(&mut tx, 100).await?;
    tx.commit().await?;
    let back: Vec<MailId> = dead.mails.iter().rev().copied().collect();
    let (entering, ending) = back.split_at(50);
    for _ in 0..30 {
        world
            .execute(
                "UPDATE outbound_mails SET state = 'sending', finished_at = NULL,
                     claimed_by = (SELECT replica_id FROM send_attempts LIMIT 1)",
            )
            .await?;
        world
            .execute("UPDATE send_attempts SET stage = 'started', finished_at = NULL")
            .await?;
        let recover = async |heir: ReplicaId| -> Result<()> {
            let mut tx = world.database.begin().await?;
            let accounts = [dead.account];
            outbound_mail::recover(&mut tx, &accounts, heir, &sample::problem(), LATER).await?;
            Ok(tx.commit().await?)
        };

        tokio::try_join!(
            enter_late(&world.database, entering),
            recover(sample::replica()),
            record_late(&world.database, ending),
            recover(sample::replica()),
        )?;
    }
    Ok(())
}
