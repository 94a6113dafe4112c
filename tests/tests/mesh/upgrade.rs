//! Today's services on the data of earlier releases; `tests/upgrade/README.md` says what is in each.

use anyhow::{Context, ensure};
use mailmesh_domain::{Key, MailId, OutboundState};
use mailmesh_events::mail::Origin;
use mailmesh_sandbox::Flags;
use mailmesh_store::mailbox::UnreadMail;
use mailmesh_store::{account, mailbox, outbound_mail};
use mailmesh_testkit::eventually;
use mailmesh_tests::{Leftovers, Restored, World};
use serde_json::json;

use crate::sample::{assert_each_once, mail, submitted, tally};

/// What the folders held at the dump, apart from what was set aside.
const DELIVERED: [&str; 10] = [
    "received 1",
    "received 2",
    "archived 1",
    "archived 2",
    "unrecorded 1",
    "unrecorded 2",
    "marked",
    "unmarked",
    "failed and counted",
    "moved",
];
const FOLDERS: [(&str, &str); 5] = [
    ("support", "INBOX"),
    ("support", "Archive"),
    ("billing", "INBOX"),
    ("orders", "INBOX"),
    ("invoices", "INBOX"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_of_before_positions_by_protocol_lose_and_double_nothing() {
    let extra = "[outbound_sender]\nsent_folder_delay_seconds = 1\n";
    let mut restored = Restored::start("2026-11-30", extra).await.unwrap();
    let world = &mut restored.world;

    receives_each_mail_once(world).await;
    keeps_what_is_quarantined(world).await;
    finishes_post_actions(world).await;
    reads_again_what_moved(world).await;
    sends_what_was_not_sent(world).await;
    leaves_the_uncertain_to_a_person(world).await;
    remembers_keys_of_sent_mails(world).await;

    restored.world.finish(Leftovers::default()).await.unwrap();
}

async fn receives_each_mail_once(world: &mut World) {
    let mut expected: Vec<String> = DELIVERED.iter().map(ToString::to_string).collect();
    for (name, folder) in FOLDERS {
        let (to, subject) = (address(name), format!("new in {name} {folder}"));
        let raw = mail(&to, &subject, "body").into();
        let store = world.sandbox.mail();
        store.append(&to, folder, raw, Flags::default()).unwrap();
        expected.push(subject);
    }

    // Mails come in the order of their UIDs, so that all others were decided on before the new ones.
    let all = expected.len();
    let events = world.events.wait("mail.received", None, all).await.unwrap();

    assert_each_once(&tally(&events, "subject"), &expected);
    for event in &events {
        let raw = format!("/v1/mails/{}/raw", event.text("mail_id"));
        let what = format!("{} is recorded", event.text("subject"));
        eventually(&what, async || world.api.download(&raw).await)
            .await
            .unwrap();
    }
}

async fn keeps_what_is_quarantined(world: &mut World) {
    let events = world.events.named("mail.quarantined", None).await.unwrap();
    assert_eq!(events.len(), 1, "{events:?}");
    let origin: Origin = serde_json::from_value(events[0].data["origin"].clone()).unwrap();

    let mut tx = world.base.begin().await.unwrap();
    let key = Key::try_new("support").unwrap();
    let account = account::find_by_key(&mut tx, &key).await.unwrap().unwrap();
    let now = world.base.clock.now();
    let mail = UnreadMail::new(&origin.folder, &origin.position, 0, None);
    let was_free = mailbox::quarantine(&mut tx, account.id, &mail, now).await;
    assert!(!was_free.unwrap(), "{origin:?}");
    let problem = serde_json::from_value(events[0].data["problem"].clone()).unwrap();
    let failures = mailbox::count_failure(&mut tx, account.id, &mail, &problem, now).await;
    assert_eq!(failures.unwrap().attempts, 4, "{origin:?}");
}

async fn finishes_post_actions(world: &World) {
    let to = address("billing");
    eventually("unmarked is marked as read", async || {
        let mails = world.sandbox.mail().list(&to, "INBOX")?;
        // The sandbox of the test has lost the mark of the first one: it is not made twice.
        let flags: Vec<String> = mails.iter().map(|mail| mail.flags.to_string()).collect();
        ensure!(flags == ["", "\\Seen", "\\Seen"], "{flags:?}");
        Ok(())
    })
    .await
    .unwrap();
}

async fn reads_again_what_moved(world: &mut World) {
    let resets = world.events.wait("mailbox.reset", None, 1).await.unwrap();
    assert_eq!(resets.len(), 1, "{resets:?}");
    assert_eq!(
        (resets[0].key.as_str(), resets[0].text("reason")),
        ("invoices", "server_changed")
    );
    world.base.until_published().await.unwrap();
    let changes = world.events.named("account.changed", Some("invoices"));
    let changes = tally(&changes.await.unwrap(), "account");
    assert_eq!(changes["invoices"], 2, "made, and given another server");
}

async fn sends_what_was_not_sent(world: &mut World) {
    for (account, name) in [("orders-out", "started"), ("invoices-out", "queued")] {
        let keys = [format!("{name} 1"), format!("{name} 2")];
        let sent = world.events.wait("mail.sent", Some(account), 2).await;
        assert_each_once(&tally(&sent.unwrap(), "idempotency_key"), &keys);
        let submitted = submitted(world);
        assert!(
            keys.iter().all(|key| submitted[key] == 1),
            "{account}: {submitted:?}"
        );
    }
}

async fn leaves_the_uncertain_to_a_person(world: &mut World) {
    for (account, key, decision) in [
        ("support-out", "uncertain", "resend"),
        ("billing-out", "dot sent", "assume_sent"),
    ] {
        let told = world.events.wait("mail.uncertain", Some(account), 1);
        let id = told.await.unwrap()[0].text("mail_id").to_owned();
        held(world, id.parse().unwrap()).await;
        assert!(!submitted(world).contains_key(key), "{key}");

        let decided = json!({ "decision": decision });
        let path = format!("/v1/outbox/{id}/decision");
        world.api.post(&path, &decided).await.unwrap();
        let what = format!("{key} is sent");
        eventually(&what, async || {
            let sent = world.events.named("mail.sent", Some(account)).await?;
            let copies = tally(&sent, "idempotency_key").get(key).copied();
            ensure!(copies == Some(1), "{copies:?}");
            Ok(())
        })
        .await
        .unwrap();

        let told = world.events.named("mail.uncertain", Some(account)).await;
        assert_eq!(told.unwrap().len(), 1, "{key}");
        let copies = submitted(world).get(key).copied();
        assert_eq!(copies, (decision == "resend").then_some(1), "{key}");
    }
}

/// Waits until it was looked for in the Sent folder in vain: then the next look is hours away.
async fn held(world: &World, mail: MailId) {
    eventually("the mail is held", async || {
        let mut tx = world.base.begin().await?;
        let found = outbound_mail::find(&mut tx, mail).await?;
        let found = found.context("the mail is gone")?;
        let waits = found.due_at - world.base.clock.now();
        let is_held = found.state == OutboundState::Uncertain && waits.whole_hours() >= 1;
        ensure!(is_held, "{found:?}");
        anyhow::Ok(())
    })
    .await
    .unwrap();
}

async fn remembers_keys_of_sent_mails(world: &mut World) {
    for key in ["sent", "after the upgrade"] {
        let command = json!({
            "account": "support-out", "to": "a@example.com", "subject": key, "text": "t",
            "idempotency_key": key,
        });
        world.publish("mail.send", &command).await.unwrap();
    }

    let expected = ["sent", "uncertain", "after the upgrade"].map(ToOwned::to_owned);
    let sent = world.events.wait("mail.sent", Some("support-out"), 3).await;
    assert_each_once(&tally(&sent.unwrap(), "idempotency_key"), &expected);
    assert!(!submitted(world).contains_key("sent"));
}

fn address(name: &str) -> String {
    format!("{name}@sandbox.test")
}
