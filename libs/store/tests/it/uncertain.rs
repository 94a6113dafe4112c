use anyhow::Result;
use mailmesh_domain::OutboundState;
use mailmesh_store::outbound_mail::{self, Outcome};
use mailmesh_store::send_attempt;

use crate::attempt::{sending, sent};
use crate::sample::{self, LATER, NOW};
use crate::world::World;

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
