use anyhow::Result;
use mailmesh_domain::{AccountId, MustAct, OutboundState, ReplicaId, Verdict};
use mailmesh_events::Problem;
use mailmesh_store::outbound_mail::{self, Outcome, Parked, Parking};
use mailmesh_store::{Tx, send_attempt};

use crate::attempt::{load, sending, sent};
use crate::sample::{self, LATER, NOW};
use crate::world::World;

async fn park(
    tx: &mut Tx,
    replica: ReplicaId,
    account: AccountId,
    problem: &Problem,
) -> Result<Parked> {
    let parking = Parking {
        problem,
        until: LATER,
        now: NOW,
    };
    Ok(outbound_mail::park(tx, replica, account, parking, 10).await?)
}

fn of_code(verdict: Verdict, text: &str, code: &str) -> Problem {
    Problem::new(text, verdict).with_code(Some(code.to_owned()))
}

async fn make_due(tx: &mut Tx, account: AccountId) -> Result<usize> {
    let resumed = outbound_mail::resume(tx, account, NOW, 10, NOW).await?;
    Ok(resumed.count)
}

#[tokio::test]
async fn mail_of_an_account_that_cannot_send_waits_without_an_attempt() -> Result<()> {
    let world = World::new().await?;
    let replica = sample::replica();
    let mut tx = world.database.begin().await?;
    let account = sample::held(&mut tx, "support", replica).await?;
    let mail = sample::outbound(account, "order-1");
    outbound_mail::insert(&mut tx, std::slice::from_ref(&mail), NOW).await?;
    let problem = Problem::new("the sign-in ended", Verdict::needs_sign_in());

    let stolen = park(&mut tx, sample::replica(), account, &problem).await?;
    let first = park(&mut tx, replica, account, &problem).await?;
    let not_due = outbound_mail::claim_due(&mut tx, replica, account, 10, NOW).await?;
    let resumed = make_due(&mut tx, account).await?;
    let told_again = park(&mut tx, replica, account, &problem).await?;
    make_due(&mut tx, account).await?;
    let other_reason = park(&mut tx, replica, account, &sample::problem()).await?;

    assert_eq!(stolen.count, 0);
    assert_eq!((first.count, first.told.len()), (1, 1));
    let told = &first.told[0];
    assert_eq!((told.id, told.due_at), (mail.id, LATER));
    assert_eq!(told.problem, Some(problem));
    assert!(not_due.is_empty());
    assert_eq!(resumed, 1);
    assert_eq!((told_again.count, told_again.told.len()), (1, 0));
    assert_eq!(other_reason.told.len(), 1);
    let parked = load(&mut tx, mail.id).await?;
    assert_eq!((parked.attempts, parked.failures), (0, 0));
    Ok(())
}

#[tokio::test]
async fn reason_is_told_anew_only_when_something_else_is_to_be_done() -> Result<()> {
    let world = World::new().await?;
    let replica = sample::replica();
    let mut tx = world.database.begin().await?;
    let account = sample::held(&mut tx, "support", replica).await?;
    let mail = sample::outbound(account, "order-1");
    outbound_mail::insert(&mut tx, std::slice::from_ref(&mail), NOW).await?;
    let administrator = Verdict::needs_administrator(MustAct::TenantAdministrator);
    let transient = Verdict::transient();

    let mut told = Vec::new();
    for (verdict, text, code) in [
        (transient, "busy, session 1", "421 4.3.2"),
        (transient, "busy, session 2", "421 4.3.2"),
        (transient, "full, session 3", "451 4.3.1"),
        (administrator, "switched off, host a", "535 5.7.139"),
        (administrator, "switched off, host b", "535 5.7.139"),
        (administrator, "blocked", "550 5.1.8"),
    ] {
        let problem = of_code(verdict, text, code);
        let parked = park(&mut tx, replica, account, &problem).await?;
        assert_eq!(parked.count, 1, "{text}");
        told.push(parked.told.len());
        make_due(&mut tx, account).await?;
    }

    assert_eq!(told, [1, 0, 0, 1, 0, 1]);
    Ok(())
}

#[tokio::test]
async fn mail_that_waits_for_its_own_schedule_is_not_resumed() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let own = sending(&mut tx, 1).await?;
    let deferred = Outcome {
        state: OutboundState::Queued,
        failures: 1,
        due_at: LATER,
        problem: Some(sample::problem()),
        ..sent(own.mails[0], 1)
    };
    outbound_mail::record_outcomes(&mut tx, &[deferred], NOW).await?;

    assert_eq!(make_due(&mut tx, own.account).await?, 0);
    assert_eq!(load(&mut tx, own.mails[0]).await?.due_at, LATER);
    Ok(())
}

#[tokio::test]
async fn backlog_is_resumed_in_parts_and_past_what_others_hold() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let account = sample::held(&mut tx, "support", sample::replica()).await?;
    let mails: Vec<_> = (0..6)
        .map(|number| sample::outbound(account, &number.to_string()))
        .collect();
    outbound_mail::insert(&mut tx, &mails, NOW).await?;
    tx.commit().await?;
    world
        .execute(
            "UPDATE outbound_mails SET due_at = timestamptz '2030-01-01 12:00Z'
                 + idempotency_key::integer / 2 * interval '1 minute'",
        )
        .await?;
    let mut elsewhere = world.database.begin().await?;
    let first = mails[0].id;
    outbound_mail::cancel(&mut elsewhere, account, Some(first), None, NOW).await?;

    let mut parts = Vec::new();
    let mut since = NOW;
    loop {
        let mut tx = world.database.begin().await?;
        let part = outbound_mail::resume(&mut tx, account, since, 2, NOW).await?;
        tx.commit().await?;
        parts.push(part.count);
        let Some(last) = part.last_due_at else { break };
        since = last;
    }

    assert_eq!(parts, [2, 2, 1, 0]);
    elsewhere.commit().await?;
    Ok(())
}

#[tokio::test]
async fn mail_that_was_due_again_and_then_waits_for_its_account_is_resumed_with_it() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let own = sending(&mut tx, 1).await?;
    let retry = |due_at, attempt| Outcome {
        state: OutboundState::Queued,
        failures: 1,
        due_at,
        problem: Some(sample::problem()),
        ..sent(own.mails[0], attempt)
    };
    outbound_mail::record_outcomes(&mut tx, &[retry(NOW, 1)], NOW).await?;

    let parked = park(&mut tx, own.replica, own.account, &sample::problem()).await?;
    let resumed = make_due(&mut tx, own.account).await?;
    let claimed = outbound_mail::claim_due(&mut tx, own.replica, own.account, 10, NOW).await?;
    outbound_mail::record_outcomes(&mut tx, &[retry(LATER, 2)], NOW).await?;
    let on_schedule = make_due(&mut tx, own.account).await?;

    assert_eq!((parked.count, resumed), (1, 1));
    assert_eq!(claimed.len(), 1);
    assert_eq!(on_schedule, 0, "it keeps its own schedule again");
    Ok(())
}

#[tokio::test]
async fn uncertain_mails_are_looked_after_when_they_are_due() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let own = sending(&mut tx, 2).await?;
    let uncertain = |id, due_at| Outcome {
        state: OutboundState::Uncertain,
        due_at,
        ..sent(id, 1)
    };
    let outcomes = [uncertain(own.mails[0], NOW), uncertain(own.mails[1], LATER)];
    outbound_mail::record_outcomes(&mut tx, &outcomes, NOW).await?;
    let accounts = [own.account];

    let due = outbound_mail::claim_uncertain(&mut tx, &accounts, NOW, LATER, 10).await?;
    let again = outbound_mail::claim_uncertain(&mut tx, &accounts, NOW, LATER, 10).await?;
    let one = outbound_mail::claim_uncertain(&mut tx, &accounts, LATER, LATER, 1).await?;

    assert_eq!(due.len(), 1);
    assert_eq!((due[0].mail.id, due[0].mail.due_at), (own.mails[0], LATER));
    assert!(again.is_empty());
    assert_eq!(one.len(), 1);
    Ok(())
}

#[tokio::test]
async fn uncertain_mail_knows_how_long_ago_its_commit_was() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let own = sending(&mut tx, 1).await?;
    send_attempt::enter_committing(&mut tx, &[(own.mails[0], 1)]).await?;
    let uncertain = Outcome {
        state: OutboundState::Uncertain,
        ..sent(own.mails[0], 1)
    };
    outbound_mail::record_outcomes(&mut tx, &[uncertain], NOW).await?;
    tx.commit().await?;

    world
        .execute("UPDATE send_attempts SET committing_at = committing_at - interval '1 hour'")
        .await?;
    let mut tx = world.database.begin().await?;
    let due = outbound_mail::claim_uncertain(&mut tx, &[own.account], NOW, LATER, 10).await?;

    let minutes = due[0].since_commit.as_secs() / 60;
    assert!((60..70).contains(&minutes), "{minutes} minutes");
    Ok(())
}

#[tokio::test]
async fn rounds_of_an_uncertain_mail_are_counted_however_they_were_decided() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let own = sending(&mut tx, 1).await?;
    let mail = own.mails[0];
    let outcome = |attempt, state| Outcome {
        state,
        ..sent(mail, attempt)
    };
    let mut rounds = Vec::new();
    for attempt in 1..=3 {
        send_attempt::enter_committing(&mut tx, &[(mail, attempt)]).await?;
        if attempt == 2 {
            // Its replica dies.
            let (accounts, heir) = ([own.account], sample::replica());
            outbound_mail::recover(&mut tx, &accounts, heir, &sample::problem(), NOW).await?;
        } else {
            let uncertain = outcome(attempt, OutboundState::Uncertain);
            outbound_mail::record_outcomes(&mut tx, &[uncertain], NOW).await?;
        }
        let due = outbound_mail::claim_uncertain(&mut tx, &[own.account], NOW, LATER, 1).await?;
        rounds.extend(due.iter().map(|each| each.rounds));

        let again = outcome(attempt, OutboundState::Queued);
        outbound_mail::record_outcomes(&mut tx, &[again], NOW).await?;
        outbound_mail::claim_due(&mut tx, own.replica, own.account, 1, NOW).await?;
    }

    assert_eq!(rounds, [1, 2, 3]);
    Ok(())
}
