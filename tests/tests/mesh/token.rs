use mailmesh_tests::{Leftovers, Service, World, WorldSettings};
use serde_json::json;

use crate::sample::mail;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_token_is_refreshed_once_by_two_replicas_for_both_directions() {
    let mut services = Service::ALL.to_vec();
    services.push(Service::TokenRefresh);
    let mut world = World::start(WorldSettings {
        services,
        ..WorldSettings::default()
    })
    .await
    .unwrap();
    let mailbox = world.connect_sandbox("expiring").await.unwrap();
    world.active(&mailbox.inbound).await.unwrap();

    let expired = world.sandbox.tokens().expire_access(&mailbox.address);
    world
        .sandbox
        .mail()
        .expire_sessions(&mailbox.address)
        .unwrap();
    let raw = mail(&mailbox.address, "while expired", "x");
    world
        .sandbox
        .mail()
        .deliver(&mailbox.address, raw.into())
        .unwrap();
    let command = json!({
        "account": mailbox.outbound, "to": "a@example.com", "subject": "s", "text": "t",
    });
    world.publish("mail.send", &command).await.unwrap();

    assert_eq!(expired, 1);
    let received = world.events.wait("mail.received", None, 1).await.unwrap();
    assert_eq!(received[0].text("subject"), "while expired");
    let sent = world.events.wait("mail.sent", None, 1).await.unwrap();
    assert_eq!(sent.len(), 1);
    let refreshed = world.events.named("token.refreshed", None).await.unwrap();
    assert_eq!(
        refreshed.len(),
        2,
        "one for the sign-in, one for the refresh"
    );
    let counters = world.sandbox.oauth_counters();
    assert_eq!(counters.mailboxes[&mailbox.address].refreshes, 1);
    assert_eq!(counters.mailboxes[&mailbox.address].refused_refreshes, 0);
    world.finish(Leftovers::default()).await.unwrap();
}
