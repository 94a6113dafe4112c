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
