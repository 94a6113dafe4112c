use std::collections::BTreeSet;

use mailmesh_tests::{Leftovers, World, WorldSettings};
use serde_json::json;

/// The names in the first column of the page.
fn documented() -> BTreeSet<String> {
    let page = include_str!("../../../docs/metrics.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    let names = rows.filter_map(|row| row.split_once('`'));
    names.map(|(name, _)| name.to_owned()).collect()
}

/// The names that a process prints with their kind.
fn printed(shown: &str) -> BTreeSet<String> {
    let rows = shown
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "));
    let names = rows.filter_map(|row| row.split_once(' '));
    names
        .map(|(name, _)| name.to_owned())
        .filter(|name| name.starts_with("mailmesh_"))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_metric_that_is_shown_is_documented() {
    let mut world = World::start(WorldSettings::default()).await.unwrap();
    let mailbox = world.connect_sandbox("support").await.unwrap();
    let raw = crate::sample::mail(&mailbox.address, "in", "x");
    let store = world.sandbox.mail();
    store.deliver(&mailbox.address, raw.into()).unwrap();
    let command = json!({ "to": "a@example.com", "subject": "out", "text": "x" });
    let subject = format!("mail.send.{}", mailbox.outbound);
    world.publish(&subject, &command).await.unwrap();
    let inbound = Some(mailbox.inbound.as_str());
    world
        .events
        .wait("mail.received", inbound, 1)
        .await
        .unwrap();
    let outbound = Some(mailbox.outbound.as_str());
    world.events.wait("mail.sent", outbound, 1).await.unwrap();

    let shown = world.mesh.metrics().await.unwrap();

    let shown: BTreeSet<String> = shown.iter().flat_map(|each| printed(each)).collect();
    let documented = documented();
    let unknown: Vec<&String> = shown.difference(&documented).collect();
    assert!(unknown.is_empty(), "not in docs/metrics.md: {unknown:?}");
    for name in [
        "mailmesh_outbound_mails_total",
        "mailmesh_outbound_queue_mails",
        "mailmesh_mails_received",
        "mailmesh_bus_publishes_total",
    ] {
        assert!(shown.contains(name), "{name} is not shown: {shown:?}");
    }
    world.finish(Leftovers::default()).await.unwrap();
}
