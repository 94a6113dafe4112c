//! Much mail that waits for its account.

use anyhow::{Result, ensure};
use mailmesh_sandbox::{Fault, FaultRule};
use mailmesh_store::account::Account;
use mailmesh_testkit::eventually;

use crate::custom::change;
use crate::world::{World, send_body};

/// More than is put off, or made due again, in one transaction.
const MAILS: usize = 1_100;

#[tokio::test]
async fn long_backlog_is_told_once_and_goes_out_once_the_account_works() -> Result<()> {
    let mut world = World::new().await?;
    let account = world.add_account("one", 4).await?;
    let faults = world.sandbox.faults().clone();
    let text = "535 5.7.8 Bad credentials".to_owned();
    faults.add(FaultRule {
        count: None,
        ..FaultRule::once("smtp.auth", Fault::Reply { text })
    })?;
    world.start_sender().await?;
    for number in 0..MAILS {
        let body = send_body("one", "a@elsewhere.test", &format!("mail {number}."));
        world.publish("mail.send", body).await?;
    }
    for _ in 0..MAILS {
        world.event("mail.deferred").await?;
    }

    faults.clear();
    // As an administrator who has corrected the password.
    let name = "corrected".to_owned();
    change(&mut world, &Account { name, ..account }).await?;
    eventually("all are sent", async || {
        let mails = world.mails().await?;
        let sent = mails.iter().filter(|mail| mail.state.as_str() == "sent");
        let sent = sent.count();
        ensure!(sent == MAILS, "{sent} sent");
        Ok(())
    })
    .await?;

    assert_eq!(world.outbox_texts().len(), MAILS);
    for name in ["mail.sent", "account.failing", "account.recovered"] {
        world.forget(name).await?;
    }
    world.finish().await
}

const QUEUED: i64 = 100_000;

/// Mails of the account that were queued long ago; their wait was told.
fn fill(account: &Account) -> String {
    format!(
        "INSERT INTO outbound_mails (mail_id, account_id, idempotency_key, is_key_given,
             content_sha256, message_id, envelope_from, recipients, size_bytes, chunks, state,
             due_at, on_uncertain, problem, created_at)
         SELECT gen_random_uuid(), '{}', 'k' || n, true, '\\x00', '<' || n || '@x>',
                'one@sandbox.test', '[{{\"address\": \"a@elsewhere.test\"}}]', 10, 1, 'queued',
                now() - interval '1 hour', 'hold',
                '{{\"kind\": \"transient\", \"what\": \"x\", \"must_act\": \"nobody\", \"action\": \"x\", \"mail\": \"x\"}}', now()
         FROM generate_series(1, {QUEUED}) n;
         VACUUM ANALYZE outbound_mails;",
        account.id
    )
}

const UPDATED: &str = "SELECT coalesce(sum(n_tup_upd), 0)::bigint FROM pg_stat_user_tables
    WHERE relname LIKE 'outbound_%'";
const OF_ONE: &str = "SELECT count(*) FROM outbound_mails m JOIN accounts a USING (account_id)
    WHERE a.key = 'one' AND m.state <> 'queued'";

/// A server that hangs up keeps its account's queue waiting. What that costs must not grow with the queue, nor must it keep
/// the account from working again.
#[tokio::test]
async fn queue_of_a_blocked_account_costs_nothing_while_it_waits() -> Result<()> {
    let mut world = World::new().await?;
    let account = world.add_account("one", 1).await?;
    world.add_account("two", 1).await?;
    for statement in fill(&account).split_inclusive(';') {
        world.base.execute_sql(statement).await?;
    }
    let faults = world.sandbox.faults().clone();
    let text = "421 4.3.2 Not now".to_owned();
    let mut refused = FaultRule::once("smtp.auth", Fault::Reply { text });
    (refused.address, refused.count) = (Some("one@sandbox.test".to_owned()), None);
    faults.add(refused)?;
    let before = world.base.read_number(UPDATED).await?;
    world.start_sender().await?;

    // Three failed sign-ins: seconds, in which all of the queue was rewritten again and again.
    eventually("the account has been tried", async || {
        let taken: u64 = faults.list().iter().map(|fault| fault.taken).sum();
        ensure!(taken >= 3, "{taken} sign-ins");
        Ok(())
    })
    .await?;
    let body = send_body("two", "a@elsewhere.test", "of another account");
    world.publish("mail.send", body).await?;
    let sent = world.event("mail.sent").await?;
    assert_eq!(sent["account"], "two");
    assert_eq!(world.base.read_number(OF_ONE).await?, 0);
    world.stop_senders();
    eventually("the statistics are written", async || {
        let updated = world.base.read_number(UPDATED).await? - before;
        ensure!(updated > 0, "none yet");
        ensure!(updated < 1_000, "{updated} rows were updated");
        Ok(())
    })
    .await?;

    faults.clear();
    world.start_sender().await?;
    eventually("its queue moves", async || {
        let moved = world.base.read_number(OF_ONE).await?;
        ensure!(moved > 0, "nothing moves");
        Ok(())
    })
    .await?;
    Ok(())
}
