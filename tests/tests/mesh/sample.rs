use std::collections::BTreeMap;

use mailmesh_mail::message;
use mailmesh_sandbox::{Fault, FaultRule};
use mailmesh_testkit::eventually;
use mailmesh_tests::{SandboxMailbox, SeenEvent, World};
use serde_json::{Value, json};

/// A mail as it lies on a server, with this subject and body.
pub(crate) fn mail(to: &str, subject: &str, body: &str) -> String {
    format!(
        "From: Customer <customer@example.com>\r\nTo: {to}\r\nSubject: {subject}\r\n\
         Message-ID: <{}@example.com>\r\nDate: Tue, 24 Nov 2026 09:00:00 +0000\r\n\r\n{body}\r\n",
        subject.replace(' ', "-")
    )
}

/// Subjects that are numbered, so that sets can be compared.
pub(crate) fn subjects(prefix: &str, numbers: impl Iterator<Item = usize>) -> Vec<String> {
    numbers.map(|number| format!("{prefix} {number}")).collect()
}

/// Counts each value of a text field.
pub(crate) fn tally(events: &[SeenEvent], field: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for event in events {
        *counts.entry(event.text(field).to_owned()).or_default() += 1;
    }
    counts
}

/// Fails unless each expected value is there exactly once and nothing else is.
pub(crate) fn assert_each_once(counts: &BTreeMap<String, usize>, expected: &[String]) {
    let missing: Vec<&String> = expected
        .iter()
        .filter(|value| !counts.contains_key(*value))
        .collect();
    let wrong: Vec<(&String, &usize)> = counts
        .iter()
        .filter(|(value, count)| **count != 1 || !expected.contains(*value))
        .collect();
    assert!(
        missing.is_empty() && wrong.is_empty(),
        "missing: {missing:?}; not once or not expected: {wrong:?}"
    );
}

/// Random numbers that are the same in every run (Knuth's MMIX generator).
#[derive(Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns a number below `limit`.
    pub(crate) fn roll(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// A command whose subject is its key.
pub(crate) fn command(mailbox: &SandboxMailbox, key: &str) -> Value {
    json!({
        "account": mailbox.outbound, "to": "a@example.com", "subject": key, "text": "t",
        "idempotency_key": key,
    })
}

/// Publishes commands and lets none of them be sent before all are queued.
pub(crate) async fn publish_at_once(world: &World, mailbox: &SandboxMailbox, keys: &[String]) {
    let hold = FaultRule {
        count: None,
        ..FaultRule::once("smtp.mail", Fault::Stall { seconds: None })
    };
    let faults = world.sandbox.faults();
    let hold = faults.add(hold).unwrap();
    for key in keys {
        let command = command(mailbox, key);
        world.publish("mail.send", &command).await.unwrap();
    }
    let queued = eventually("all are queued", async || {
        world
            .events
            .count("MAIL_SEND")
            .await
            .is_ok_and(|count| count == 0)
    });
    queued.await.unwrap();
    assert!(faults.remove(hold));
}

/// How often each subject was submitted.
pub(crate) fn submitted(world: &World) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for submission in world.sandbox.mail().outbox() {
        let subject = message::parse(&submission.raw).subject.unwrap_or_default();
        *counts.entry(subject).or_default() += 1;
    }
    counts
}
