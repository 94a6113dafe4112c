use mailmesh_mail::message;
use mailmesh_tests::{Leftovers, World, WorldSettings};
use serde_json::json;

use crate::sample::{assert_each_once, mail, subjects, tally};

const MAILS: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_mailboxes_do_not_mix() {
    let mut world = World::start(WorldSettings::default()).await.unwrap();
    let sales = world.connect_sandbox("sales").await.unwrap();
    let support = world.connect_sandbox("support").await.unwrap();

    for number in 0..MAILS {
        for mailbox in [&sales, &support] {
            let subject = format!("{} {number}", mailbox.inbound);
            let raw = mail(&mailbox.address, &subject, "x");
            let store = world.sandbox.mail();
            store.deliver(&mailbox.address, raw.into()).unwrap();
            let command = json!({
                "to": "a@example.com", "subject": subject, "text": "x", "idempotency_key": subject,
            });
            let to = format!("mail.send.{}", mailbox.outbound);
            world.publish(&to, &command).await.unwrap();
        }
    }

    for mailbox in [&sales, &support] {
        let expected = subjects(&mailbox.inbound, 0..MAILS);
        let key = Some(mailbox.inbound.as_str());
        let received = world.events.wait("mail.received", key, MAILS).await;
        assert_each_once(&tally(&received.unwrap(), "subject"), &expected);
        let key = Some(mailbox.outbound.as_str());
        let sent = world.events.wait("mail.sent", key, MAILS).await;
        assert_each_once(&tally(&sent.unwrap(), "idempotency_key"), &expected);
    }
    let submissions = world.sandbox.mail().outbox();
    assert_eq!(submissions.len(), 2 * MAILS);
    for submission in submissions {
        let subject = message::parse(&submission.raw).subject.unwrap();
        let mailbox = if subject.starts_with("sales") {
            &sales
        } else {
            &support
        };
        assert_eq!(submission.account, mailbox.address);
        assert_eq!(submission.sender, mailbox.address);
    }
    assert_ne!(
        world.grant(&sales.inbound).await.unwrap().id,
        world.grant(&support.inbound).await.unwrap().id
    );
    assert_eq!(
        world.grant(&sales.inbound).await.unwrap().id,
        world.grant(&sales.outbound).await.unwrap().id
    );
    world.finish(Leftovers::default()).await.unwrap();
}
