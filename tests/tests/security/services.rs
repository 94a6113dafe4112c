use mailmesh_bus::{Bus, BusSettings, StreamError};
use mailmesh_domain::Key;
use mailmesh_sandbox::Visitor;
use mailmesh_store::sealed::{self, SealedColumn};
use mailmesh_store::{account, api_key, client_configuration, grant, mailbox, outbound_mail};
use mailmesh_testkit::eventually;
use mailmesh_tests::{Leftovers, SeenEvent, Service, World, WorldSettings};
use serde_json::json;

use crate::locked::{OPERATOR, Servers, inbox};

/// As the user that may make them.
async fn provision(servers: &Servers) {
    let settings = BusSettings {
        url: servers.url(OPERATOR),
        inbox_prefix: inbox(OPERATOR),
        ..servers.address.bus.clone()
    };
    let bus = Bus::connect(&settings).await.unwrap();
    bus.ensure_streams().await.unwrap();
}

/// inbound-fetcher's work, also on a mail in several chunks.
async fn receive(world: &mut World, address: &str) -> Vec<SeenEvent> {
    for (subject, length) in [("first", 10), ("large", 3 * 1024 * 1024)] {
        let text = "x".repeat(70);
        let body = format!("{text}\r\n").repeat(length / 72 + 1);
        let raw =
            format!("From: a@example.com\r\nTo: {address}\r\nSubject: {subject}\r\n\r\n{body}");
        world.sandbox.mail().deliver(address, raw.into()).unwrap();
    }
    world.events.wait("mail.received", None, 2).await.unwrap()
}

/// A sign-in as an owner does it, and once more the link that was used up by it.
async fn sign_in_again(world: &World, account: &str, address: &str) {
    let link = world.sign_in_link(account).await.unwrap();
    let mut visitor = Visitor::try_new(None).unwrap();
    let signed_in = visitor.sign_in(&link, address, true).await.unwrap();
    assert_eq!(signed_in.status, 200, "{}", signed_in.html);

    let used = Visitor::try_new(None).unwrap().get(&link).await.unwrap();

    let status = used.status().as_u16();
    let html = used.text().await.unwrap();
    assert!(status < 500 && html.contains("connected"), "{html}");
}

/// What admin reads, with the raw mail by direct get.
async fn read_as_admin(world: &World, mail_id: &str) {
    let raw = world
        .api
        .download(&format!("/v1/mails/{mail_id}/raw"))
        .await
        .unwrap();
    assert!(!raw.is_empty());
    for path in [
        "/v1/accounts",
        "/v1/outbox",
        "/v1/client-configurations",
        "/v1/api-keys",
        "/v1/system",
    ] {
        world.api.get(path).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_service_does_its_work_with_its_own_user_and_role() {
    let servers = Servers::start().await.unwrap();
    provision(&servers).await;
    let mut world = World::start(WorldSettings {
        locked: Some(servers.locked()),
        ..WorldSettings::default()
    })
    .await
    .unwrap();
    world.plant("passwords of servers", "planted-password-of-everybody-Xw3");

    // admin, auth-callback.
    let mailbox = world.connect_sandbox("support").await.unwrap();
    world.active(&mailbox.inbound).await.unwrap();
    sign_in_again(&world, &mailbox.inbound, &mailbox.address).await;
    // token-refresh, asked by both others.
    world.sandbox.tokens().expire_access(&mailbox.address);
    let mail_store = world.sandbox.mail();
    mail_store.expire_sessions(&mailbox.address).unwrap();
    let received = receive(&mut world, &mailbox.address).await;
    // outbound-sender: sent, rejected, cancelled.
    let command = json!({ "to": "a@example.com", "subject": "s", "text": "t" });
    let to = format!("mail.send.{}", mailbox.outbound);
    world.publish(&to, &command).await.unwrap();
    world.events.wait("mail.sent", None, 1).await.unwrap();
    world
        .publish("mail.send", &json!({ "account": "nobody" }))
        .await
        .unwrap();
    world.events.wait("mail.rejected", None, 1).await.unwrap();

    let refreshed = world.events.named("token.refreshed", None).await.unwrap();
    assert_eq!(
        refreshed.len(),
        3,
        "one for each sign-in, one for the refresh"
    );
    read_as_admin(&world, received[1].text("mail_id")).await;
    // A service that starts again reads back with the same rights.
    let number = world.mesh.newest(Service::InboundFetcher).unwrap();
    world.mesh.kill9(number).await.unwrap();
    world
        .mesh
        .start_replica(Service::InboundFetcher)
        .await
        .unwrap();
    let raw = format!("To: {}\r\nSubject: after\r\n\r\nx\r\n", mailbox.address);
    world
        .sandbox
        .mail()
        .deliver(&mailbox.address, raw.into())
        .unwrap();
    world.events.wait("mail.received", None, 3).await.unwrap();
    for account in [&mailbox.outbound, &mailbox.inbound] {
        world
            .api
            .delete(&format!("/v1/accounts/{account}"))
            .await
            .unwrap();
    }

    world.finish(Leftovers::default()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_makes_no_streams_and_says_who_does() {
    let servers = Servers::start().await.unwrap();
    let settings = BusSettings {
        url: servers.url("token-refresh"),
        inbox_prefix: inbox("token-refresh"),
        provision: false,
        ..servers.address.bus.clone()
    };
    let bus = Bus::connect(&settings).await.unwrap();

    let refused = bus.ensure_streams().await;

    assert!(
        matches!(refused, Err(StreamError::NotProvisioned { .. })),
        "{refused:?}"
    );
    let said = refused.unwrap_err().to_string();
    assert!(said.contains("mailmesh provision"), "{said}");
}

/// Fails unless Postgres refuses.
macro_rules! refused {
    ($database:expr, $work:expr) => {{
        let mut tx = $database.begin().await.unwrap();
        let answer = $work(&mut tx).await;
        let text = format!("{:?}", answer.as_ref().err());
        let is_refused = text.contains("permission denied");
        assert!(is_refused, "{}: {text}", stringify!($work));
    }};
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_reads_and_writes_only_what_its_service_needs() {
    let servers = Servers::start().await.unwrap();
    let key = Key::try_new("a").unwrap();

    let callback = servers.database_of(Service::AuthCallback).await.unwrap();
    refused!(callback, async |tx| account::list(tx).await);
    refused!(callback, async |tx| api_key::list(tx).await);
    refused!(callback, async |tx| mailbox::list_cursors(tx, &[]).await);
    refused!(callback, async |tx| outbound_mail::next_due(tx, &[]).await);
    let mut tx = callback.begin().await.unwrap();
    account::list_without_passwords(&mut tx, &[]).await.unwrap();
    client_configuration::list(&mut tx).await.unwrap();
    drop(tx);

    let admin = servers.database_of(Service::Admin).await.unwrap();
    refused!(admin, async |tx| grant::list_by_ids(tx, &[]).await);
    let mut tx = admin.begin().await.unwrap();
    grant::list_summaries(&mut tx, &[]).await.unwrap();
    account::find_by_key(&mut tx, &key).await.unwrap();
    client_configuration::list(&mut tx).await.unwrap();
    drop(tx);
    for column in SealedColumn::ALL {
        refused!(admin, async |tx| sealed::list(tx, column, None, 1).await);
    }

    let refresh = servers.database_of(Service::TokenRefresh).await.unwrap();
    refused!(refresh, async |tx| account::list(tx).await);
    refused!(refresh, async |tx| api_key::list(tx).await);
    refused!(refresh, async |tx| outbound_mail::next_due(tx, &[]).await);

    let fetcher = servers.database_of(Service::InboundFetcher).await.unwrap();
    refused!(fetcher, async |tx| outbound_mail::next_due(tx, &[]).await);
    refused!(fetcher, async |tx| client_configuration::list(tx).await);
    let sender = servers.database_of(Service::OutboundSender).await.unwrap();
    refused!(sender, async |tx| api_key::list(tx).await);
    for database in [&callback, &admin, &refresh, &fetcher, &sender] {
        let granted = database.grant_roles().await;
        assert!(granted.is_err(), "a service changes rights");
        eventually("the database answers", async || database.ping().await)
            .await
            .unwrap();
    }
}
