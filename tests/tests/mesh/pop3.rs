//! Mailboxes read by POP3, from the sign-in to the event.

use mailmesh_testkit::eventually;
use mailmesh_tests::{Leftovers, World, WorldSettings};
use serde_json::json;

use crate::sample::mail;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mailbox_is_connected_read_by_pop3_and_emptied() {
    let mut world = World::start(WorldSettings::default()).await.unwrap();
    let pop3 = world.sandbox.addresses().mail.pop3_tls.port();
    let inbound = json!({
        "protocol": "pop3",
        "port": pop3,
        "poll_interval_seconds": 5,
        "after_receive": "delete",
    });
    let mailbox = world.add_sandbox_accounts("pop", &inbound).await.unwrap();
    world
        .sign_in(&mailbox.inbound, &mailbox.address)
        .await
        .unwrap();
    let store = world.sandbox.mail().clone();
    for subject in ["first", "second"] {
        let raw = mail(&mailbox.address, subject, "By POP3.");
        store.deliver(&mailbox.address, raw.into()).unwrap();
    }

    let key = Some(mailbox.inbound.as_str());
    let events = world.events.wait("mail.received", key, 2).await.unwrap();

    let position = &events[0].data["origin"]["position"]["pop3"];
    assert!(position["uidl"].is_string(), "{position}");
    eventually("the maildrop is empty", async || {
        let left = store.list(&mailbox.address, "INBOX")?.len();
        anyhow::ensure!(left == 0, "{left} are left");
        anyhow::Ok(())
    })
    .await
    .unwrap();
    world.finish(Leftovers::default()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mailbox_at_greenmail_is_read_by_pop3_beside_imap() {
    let mut world = World::start(WorldSettings::default()).await.unwrap();
    let mailbox = world.connect_greenmail("both").await.unwrap();
    let account = json!({
        "key": "maildrop",
        "protocol": "pop3",
        "host": mailbox.server.host(),
        "port": mailbox.server.ports().pop3,
        "encryption": "none",
        "login": mailbox.address,
        "client_configuration": "sandbox",
        "poll_interval_seconds": 5,
    });
    world.api.post("/v1/accounts", &account).await.unwrap();
    for subject in ["first", "second"] {
        let raw = mail(&mailbox.address, subject, "By both.");
        let deliver = mailbox
            .server
            .deliver("customer@example.com", &mailbox.address, &raw);
        deliver.await.unwrap();
    }

    for key in [mailbox.inbound.as_str(), "maildrop"] {
        let events = world.events.wait("mail.received", Some(key), 2).await;
        let events = events.unwrap();
        let mut subjects: Vec<&str> = events.iter().map(|event| event.text("subject")).collect();
        subjects.sort_unstable();
        assert_eq!(subjects, ["first", "second"], "{key}");
    }
    world.finish(Leftovers::default()).await.unwrap();
}
