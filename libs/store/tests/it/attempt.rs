use std::collections::HashSet;

use anyhow::{Context, Result};
use mailmesh_domain::{AccountId, MailId, OutboundState, ReplicaId};
use mailmesh_store::outbound_mail::{self, OutboundMail, Outcome};
use mailmesh_store::{Tx, lease, send_attempt};

use crate::sample::{self, LATER, NOW};
use crate::world::World;

pub(crate) struct Sending {
    pub(crate) account: AccountId,
    pub(crate) replica: ReplicaId,
    pub(crate) mails: Vec<MailId>,
}

/// Mails that a replica has claimed for their first attempt.
pub(crate) async fn sending(tx: &mut Tx, count: usize) -> Result<Sending> {
    let replica = sample::replica();
    let account = sample::held(tx, "support", replica).await?;
    let mut mails = Vec::new();
    for _ in 0..count {
        let mail = sample::outbound(account, &sample::mail_id().to_string());
        mails.push(mail.id);
        outbound_mail::insert(tx, &[mail], NOW).await?;
    }
    outbound_mail::claim_due(tx, replica, account, 100, NOW).await?;
    Ok(Sending {
        account,
        replica,
        mails,
    })
}

pub(crate) async fn load(tx: &mut Tx, id: MailId) -> Result<OutboundMail> {
    let found = outbound_mail::find(tx, id).await?;
    found.context("the mail is gone")
}

pub(crate) fn sent(mail_id: MailId, attempt: i32) -> Outcome {
    let mut recipient = sample::recipient("a@example.org");
    recipient.accepted = Some(true);
    recipient.reply = Some("250 2.1.5 ok".to_owned());
    Outcome {
        mail_id,
        attempt,
        state: OutboundState::Sent,
        failures: 0,
        due_at: NOW,
        recipients: vec![recipient],
        problem: None,
        reply: Some("250 2.0.0 queued as 1".to_owned()),
    }
}

fn deferred(mail_id: MailId, attempt: i32) -> Outcome {
    Outcome {
        state: OutboundState::Queued,
        failures: 1,
        due_at: LATER,
        recipients: vec![sample::recipient("a@example.org")],
        problem: Some(sample::problem()),
        reply: None,
        ..sent(mail_id, attempt)
    }
}

#[tokio::test]
async fn committing_is_entered_once_and_by_its_own_attempt() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let Sending { mails, .. } = sending(&mut tx, 2).await?;

    let asked = [(mails[0], 1), (mails[1], 2), (sample::mail_id(), 1)];
    let entered = send_attempt::enter_committing(&mut tx, &asked).await?;
    let again = send_attempt::enter_committing(&mut tx, &asked).await?;

    assert_eq!(entered, HashSet::from([mails[0]]));
    assert!(again.is_empty());
    Ok(())
}

#[tokio::test]
async fn outcomes_end_or_defer_their_mails() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let Sending { mails, .. } = sending(&mut tx, 3).await?;
    let failed = Outcome {
        state: OutboundState::Failed,
        problem: Some(sample::problem()),
        ..sent(mails[2], 1)
    };
    let outcomes = [sent(mails[0], 1), deferred(mails[1], 1), failed];

    let recorded = outbound_mail::record_outcomes(&mut tx, &outcomes, LATER).await?;
    tx.commit().await?;

    assert_eq!(recorded, mails.iter().copied().collect());
    let mut tx = world.database.begin().await?;
    let sent = load(&mut tx, mails[0]).await?;
    assert_eq!(
        (sent.state, sent.finished_at),
        (OutboundState::Sent, Some(LATER))
    );
    assert_eq!(sent.recipients, outcomes[0].recipients);
    assert_eq!(sent.reply, outcomes[0].reply);
    assert!(sent.recipients[0].outcome().accepted);
    let deferred = load(&mut tx, mails[1]).await?;
    assert_eq!(
        (deferred.state, deferred.finished_at),
        (OutboundState::Queued, None)
    );
    assert_eq!((deferred.failures, deferred.due_at), (1, LATER));
    assert_eq!(deferred.problem, Some(sample::problem()));
    let failed = load(&mut tx, mails[2]).await?;
    assert_eq!(
        (failed.state, failed.finished_at),
        (OutboundState::Failed, Some(LATER))
    );
    let attempts: String = world
        .read(
            "SELECT string_agg(stage || ' ' || outcome, ',' ORDER BY outcome) FROM send_attempts
             WHERE finished_at IS NOT NULL",
        )
        .await?;
    assert_eq!(attempts, "finished failed,finished queued,finished sent");
    Ok(())
}

#[tokio::test]
async fn an_outcome_that_comes_twice_is_recorded_once() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let Sending { mails, .. } = sending(&mut tx, 1).await?;
    let outcome = [sent(mails[0], 1)];

    let first = outbound_mail::record_outcomes(&mut tx, &outcome, NOW).await?;
    let again = outbound_mail::record_outcomes(&mut tx, &outcome, LATER).await?;

    assert_eq!(first, HashSet::from([mails[0]]));
    assert!(again.is_empty());
    assert_eq!(load(&mut tx, mails[0]).await?.finished_at, Some(NOW));
    Ok(())
}

#[tokio::test]
async fn a_deferred_mail_is_claimed_again_under_the_next_number() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let Sending {
        account,
        replica,
        mails,
    } = sending(&mut tx, 1).await?;
    outbound_mail::record_outcomes(&mut tx, &[deferred(mails[0], 1)], NOW).await?;

    let early = outbound_mail::claim_due(&mut tx, replica, account, 10, NOW).await?;
    let due = outbound_mail::claim_due(&mut tx, replica, account, 10, LATER).await?;
    let late = outbound_mail::record_outcomes(&mut tx, &[sent(mails[0], 1)], LATER).await?;

    assert!(early.is_empty());
    assert_eq!((due[0].attempts, due[0].failures), (2, 1));
    assert!(late.is_empty(), "an outcome settled a newer attempt");
    let entered = send_attempt::enter_committing(&mut tx, &[(mails[0], 1), (mails[0], 2)]).await?;
    assert_eq!(entered.len(), 1);
    Ok(())
}

#[tokio::test]
async fn an_uncertain_mail_is_decided_once() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let Sending { mails, .. } = sending(&mut tx, 3).await?;
    let mut uncertain: Vec<Outcome> = mails.iter().map(|id| sent(*id, 1)).collect();
    for outcome in &mut uncertain {
        outcome.state = OutboundState::Uncertain;
        outcome.problem = Some(sample::problem());
    }
    outbound_mail::record_outcomes(&mut tx, &uncertain, NOW).await?;

    for (id, state, finished_at, problem) in [
        (mails[0], OutboundState::Queued, None, None),
        (mails[1], OutboundState::Sent, Some(LATER), None),
        (
            mails[2],
            OutboundState::Failed,
            Some(LATER),
            Some(sample::problem()),
        ),
    ] {
        let decided = outbound_mail::resolve_uncertain(&mut tx, id, state, LATER).await?;
        let again = outbound_mail::resolve_uncertain(&mut tx, id, state, LATER).await?;

        let decided = decided.context("it was not uncertain")?;
        assert_eq!((decided.state, decided.finished_at), (state, finished_at));
        assert_eq!(decided.problem, problem);
        assert_eq!(decided.due_at, LATER);
        assert!(again.is_none());
    }
    Ok(())
}

#[tokio::test]
async fn a_late_outcome_settles_an_uncertain_mail_but_no_newer_attempt() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let Sending {
        account,
        replica,
        mails,
    } = sending(&mut tx, 2).await?;
    let mut uncertain = [sent(mails[0], 1), sent(mails[1], 1)];
    for outcome in &mut uncertain {
        outcome.state = OutboundState::Uncertain;
    }
    outbound_mail::record_outcomes(&mut tx, &uncertain, NOW).await?;
    // Somebody decides to send the second again, and that attempt is under way.
    outbound_mail::resolve_uncertain(&mut tx, mails[1], OutboundState::Queued, NOW).await?;
    let before_claim = outbound_mail::record_outcomes(&mut tx, &[sent(mails[1], 1)], NOW).await?;
    outbound_mail::claim_due(&mut tx, replica, account, 10, NOW).await?;

    let late = [sent(mails[0], 1), sent(mails[1], 1)];
    let recorded = outbound_mail::record_outcomes(&mut tx, &late, LATER).await?;

    assert!(before_claim.is_empty());
    assert_eq!(recorded, HashSet::from([mails[0]]));
    assert_eq!(load(&mut tx, mails[0]).await?.state, OutboundState::Sent);
    let newer = load(&mut tx, mails[1]).await?;
    assert_eq!((newer.state, newer.attempts), (OutboundState::Sending, 2));
    Ok(())
}

#[tokio::test]
async fn only_queued_mail_can_be_taken_back() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let Sending {
        account,
        replica,
        mails,
    } = sending(&mut tx, 1).await?;
    let by_id = sample::outbound(account, "by-id");
    let by_key = sample::outbound(account, "by-key");
    outbound_mail::insert(&mut tx, &[by_id.clone(), by_key.clone()], NOW).await?;
    let other = sample::held(&mut tx, "other", replica).await?;

    let sending = outbound_mail::cancel(&mut tx, account, Some(mails[0]), None, NOW).await?;
    let foreign = outbound_mail::cancel(&mut tx, other, Some(by_id.id), None, NOW).await?;
    let nothing = outbound_mail::cancel(&mut tx, account, None, None, NOW).await?;
    let id = outbound_mail::cancel(&mut tx, account, Some(by_id.id), None, NOW).await?;
    let key = outbound_mail::cancel(&mut tx, account, None, Some("by-key"), LATER).await?;
    let again = outbound_mail::cancel(&mut tx, account, None, Some("by-key"), LATER).await?;

    assert!(sending.is_none() && foreign.is_none() && nothing.is_none() && again.is_none());
    assert_eq!(id.unwrap().id, by_id.id);
    let cancelled = key.unwrap();
    assert_eq!(cancelled.state, OutboundState::Cancelled);
    assert_eq!(cancelled.finished_at, Some(LATER));
    lease::renew(&mut tx, replica, mailmesh_domain::Direction::Outbound).await?;
    let left = outbound_mail::claim_due(&mut tx, replica, account, 10, LATER).await?;
    assert!(left.is_empty());
    Ok(())
}

#[tokio::test]
async fn uncertain_mail_that_counts_as_sent_goes_on_to_those_who_were_left_out() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let Sending { mails, .. } = sending(&mut tx, 1).await?;
    let mut left_out = sample::recipient("b@example.org");
    left_out.left_out_of = Some(1);
    let uncertain = Outcome {
        state: OutboundState::Uncertain,
        recipients: vec![sample::recipient("a@example.org"), left_out],
        ..sent(mails[0], 1)
    };
    outbound_mail::record_outcomes(&mut tx, &[uncertain], NOW).await?;

    let state = OutboundState::Sent;
    let decided = outbound_mail::resolve_uncertain(&mut tx, mails[0], state, LATER).await?;

    let decided = decided.context("it was not uncertain")?;
    let ends: Vec<_> = decided.recipients.iter().map(|one| one.accepted).collect();
    assert_eq!(ends, [Some(true), None]);
    assert_eq!(
        (decided.state, decided.finished_at),
        (OutboundState::Queued, None)
    );
    Ok(())
}

/// The tables as the migration found them.
const BEFORE_COMMITTING: &str = "
    ALTER TABLE send_attempts RENAME COLUMN committing_at TO final_dot_at;
    ALTER TABLE send_attempts DROP CONSTRAINT send_attempts_stage_check;
    UPDATE send_attempts SET stage = 'final_dot' WHERE stage = 'committing';
    ALTER TABLE send_attempts ADD CONSTRAINT send_attempts_stage_check
        CHECK (stage IN ('started', 'final_dot', 'finished'));
    DELETE FROM _sqlx_migrations WHERE version = 20261130132000";

#[tokio::test]
async fn attempt_at_its_final_dot_is_committing_after_an_upgrade() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let old = sending(&mut tx, 2).await?;
    send_attempt::enter_committing(&mut tx, &[(old.mails[0], 1)]).await?;
    tx.commit().await?;
    world.execute(BEFORE_COMMITTING).await?;

    world.database.migrate().await?;

    let stages: String = world
        .read(
            "SELECT string_agg(stage || (committing_at IS NOT NULL), ' ' ORDER BY stage)
             FROM send_attempts",
        )
        .await?;
    assert_eq!(stages, "committingtrue startedfalse");
    Ok(())
}
