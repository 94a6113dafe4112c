use anyhow::Result;
use mailmesh_domain::{Direction, OutboundState, UncertainPolicy};
use mailmesh_secrets::sha256;
use mailmesh_store::outbound_mail::{self, AcceptResult};
use mailmesh_store::{Database, StoreError};

use crate::sample::{self, NOW};
use crate::world::World;

#[tokio::test]
async fn an_accepted_mail_is_queued_as_it_was_given() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let account = sample::stored(&mut tx, "support", Direction::Outbound).await?;
    let mut mail = sample::outbound(account, "order-1");
    mail.on_uncertain = UncertainPolicy::Resend;
    mail.recipients.push(sample::recipient("b@example.org"));

    let accepted = outbound_mail::insert(&mut tx, std::slice::from_ref(&mail), NOW).await?;

    assert_eq!(accepted, [AcceptResult::New]);
    let found = outbound_mail::find(&mut tx, mail.id).await?.unwrap();
    assert_eq!(found.account_id, account);
    assert_eq!(found.given_key(), Some("order-1".to_owned()));
    assert_eq!(found.message_id, mail.message_id);
    assert_eq!(found.envelope_from, mail.envelope_from);
    assert_eq!(found.recipients, mail.recipients);
    assert_eq!((found.size_bytes, found.chunks), (1_234, 1));
    assert_eq!(found.raw_sha256, Some(mail.raw_sha256));
    assert_eq!(found.state, OutboundState::Queued);
    assert_eq!((found.attempts, found.failures), (0, 0));
    assert_eq!((found.due_at, found.created_at), (NOW, NOW));
    assert_eq!(found.on_uncertain, UncertainPolicy::Resend);
    assert_eq!(found.trace_parent, mail.trace_parent);
    assert_eq!(
        (found.problem, found.reply, found.finished_at),
        (None, None, None)
    );
    Ok(())
}

#[tokio::test]
async fn a_repeated_request_is_told_from_another_with_its_key() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let account = sample::stored(&mut tx, "support", Direction::Outbound).await?;
    let other = sample::stored(&mut tx, "other", Direction::Outbound).await?;
    let first = sample::outbound(account, "order-1");
    outbound_mail::insert(&mut tx, std::slice::from_ref(&first), NOW).await?;

    let mut different = sample::outbound(account, "order-1");
    different.content_sha256 = sha256(b"something else");
    let requests = [
        sample::outbound(account, "order-1"),
        different,
        sample::outbound(account, "order-2"),
        sample::outbound(other, "order-1"),
        first.clone(),
    ];
    let accepted = outbound_mail::insert(&mut tx, &requests, NOW).await?;

    let wanted = [
        AcceptResult::Repeated(first.id),
        AcceptResult::KeyTaken(first.id),
        AcceptResult::New,
        AcceptResult::New,
        AcceptResult::Repeated(first.id),
    ];
    assert_eq!(accepted, wanted);
    Ok(())
}

#[tokio::test]
async fn of_one_key_twice_in_a_batch_the_first_is_new() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let account = sample::stored(&mut tx, "support", Direction::Outbound).await?;
    let first = sample::outbound(account, "order-1");
    let repeated = sample::outbound(account, "order-1");
    let mut different = sample::outbound(account, "order-1");
    different.content_sha256 = sha256(b"something else");
    // The one that sorts last by id comes first in the batch.
    let (first, repeated) = (repeated, first);

    let batch = [first.clone(), repeated, different];
    let accepted = outbound_mail::insert(&mut tx, &batch, NOW).await?;

    let wanted = [
        AcceptResult::New,
        AcceptResult::Repeated(first.id),
        AcceptResult::KeyTaken(first.id),
    ];
    assert_eq!(accepted, wanted);
    assert!(outbound_mail::find(&mut tx, first.id).await?.is_some());
    Ok(())
}

async fn accept(database: &Database, mails: &[outbound_mail::NewOutboundMail]) -> Result<usize> {
    let mut tx = database.begin().await?;
    let accepted = outbound_mail::insert(&mut tx, mails, NOW).await?;
    tx.commit().await?;
    let new = accepted.iter().filter(|each| **each == AcceptResult::New);
    Ok(new.count())
}

#[tokio::test]
async fn replicas_that_take_the_same_requests_at_once_queue_each_once() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let account = sample::stored(&mut tx, "support", Direction::Outbound).await?;
    tx.commit().await?;
    for round in 0..10 {
        let keys: Vec<String> = (0..50).map(|number| format!("{round}-{number}")).collect();
        let mails: Vec<_> = keys
            .iter()
            .map(|key| sample::outbound(account, key))
            .collect();
        // In the opposite order, in which careless locking would deadlock.
        let again: Vec<_> = mails.iter().rev().cloned().collect();

        let (one, two) = tokio::try_join!(
            accept(&world.database, &mails),
            accept(&world.database, &again)
        )?;

        assert_eq!(one + two, 50);
    }
    Ok(())
}

#[tokio::test]
async fn mail_for_a_deleted_account_is_not_accepted() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let account = sample::stored(&mut tx, "support", Direction::Outbound).await?;
    mailmesh_store::account::delete(&mut tx, account).await?;

    let orphan = [sample::outbound(account, "order-1")];
    let error = outbound_mail::insert(&mut tx, &orphan, NOW)
        .await
        .unwrap_err();

    assert!(matches!(error, StoreError::Conflict { .. }), "{error}");
    Ok(())
}

#[tokio::test]
async fn known_mails_are_told() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let account = sample::stored(&mut tx, "support", Direction::Outbound).await?;
    let mail = sample::outbound(account, "order-1");
    outbound_mail::insert(&mut tx, std::slice::from_ref(&mail), NOW).await?;

    let known = outbound_mail::list_known(&mut tx, &[sample::mail_id(), mail.id]).await?;

    assert_eq!(known, [mail.id]);
    Ok(())
}
