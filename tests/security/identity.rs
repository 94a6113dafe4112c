//! Attacks on secrets and identity, against the real binaries: each failed to be refused once.

use anyhow::{Context, Result};
use mailmesh_secrets::SecretString;
use mailmesh_tests::{Leftovers, Service, World, WorldSettings};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;

async fn world(services: Vec<Service>) -> Result<World> {
    let settings = WorldSettings {
        services,
        ..WorldSettings::default()
    };
    World::start(settings).await
}

async fn key_of(world: &mut World, key: Value) -> Result<(SecretString, String)> {
    let made = world.api.post("/v1/api-keys", &key).await?;
    let text = |name: &str| made.get(name).and_then(Value::as_str).map(str::to_owned);
    let (key, id) = text("key").zip(text("id")).context("no key")?;
    world.plant("API key", &key);
    Ok((key.into(), id))
}

/// Waits until the account has the state.
async fn until_state(world: &World, account: &str, state: &str) -> Result<()> {
    let path = format!("/v1/accounts/{account}");
    mailmesh_testkit::eventually(&format!("{account} is {state}"), async || {
        let found = world.api.get(&path).await?;
        let is_there = found.get("state").and_then(Value::as_str) == Some(state);
        anyhow::ensure!(is_there, "{found}");
        Ok(())
    })
    .await
}

/// Returns whether anybody has connected.
async fn was_reached(listener: &TcpListener) -> bool {
    let limit = std::time::Duration::from_millis(1);
    tokio::time::timeout(limit, listener.accept()).await.is_ok()
}

/// A name of this machine that is no `localhost`, where it has one.
fn own_name() -> Option<String> {
    let name = std::fs::read_to_string("/etc/hostname").ok()?;
    let name = name.trim().to_owned();
    (!name.is_empty()).then_some(name)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_modellers_account_looks_into_no_internal_network() {
    let services = vec![Service::Admin, Service::InboundFetcher];
    let mut world = world(services).await.unwrap();
    let (modeller, _) = key_of(&mut world, json!({"name": "m", "role": "modeller"}))
        .await
        .unwrap();
    let modeller = world.api.with_key(Some(modeller));
    let internal = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = internal.local_addr().unwrap().port();
    let account = |key: &str, host: &str| {
        json!({
            "key": key, "protocol": "imap", "host": host, "port": port, "login": "a@example.com",
            "authorisation": "password", "password": "the-planted-password-Zr4",
        })
    };

    for host in [
        "localhost",
        "127.0.0.1",
        "::1",
        "10.0.0.1",
        "169.254.169.254",
        "127.1",
    ] {
        let body = account("m", host);
        let refused = modeller
            .call(Method::POST, "/v1/accounts", Some(&body))
            .await
            .unwrap();
        assert!(
            [400, 403].contains(&refused.status),
            "{host}: {}",
            refused.text
        );
        assert_eq!(refused.fields(), ["host"], "{host}: {}", refused.text);
    }
    if let Some(name) = own_name() {
        let body = account("named", &name);
        let made = modeller
            .call(Method::POST, "/v1/accounts", Some(&body))
            .await
            .unwrap();
        assert_eq!(made.status, 201, "{}", made.text);
        let path = "/v1/accounts/named";
        until_state(&world, "named", "failing").await.unwrap();
        let hidden = modeller.call(Method::GET, path, None).await.unwrap();
        for told in [
            "public",
            "looked up",
            "refused",
            "took too long",
            "could not be reached",
        ] {
            assert!(!hidden.text.contains(told), "{told}: {}", hidden.text);
        }
        assert!(!was_reached(&internal).await, "a connection was made");
    }
    world.finish(Leftovers::default()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_follow_no_changed_url_and_the_log_names_who_tried() {
    let mut world = world(vec![
        Service::Admin,
        Service::AuthCallback,
        Service::TokenRefresh,
        Service::InboundFetcher,
        Service::OutboundSender,
    ])
    .await
    .unwrap();
    let mailbox = world.connect_sandbox("bound").await.unwrap();
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!(
        "http://localhost:{}",
        elsewhere.local_addr().unwrap().port()
    );
    let path = "/v1/client-configurations/sandbox";
    let urls = json!({
        "authorize_url": format!("{url}/authorize"), "token_url": format!("{url}/token"),
    });
    let (modeller, id) = key_of(&mut world, json!({"name": "m", "role": "modeller"}))
        .await
        .unwrap();

    let refused = world.api.with_key(Some(modeller));
    let refused = refused
        .call(Method::PATCH, path, Some(&urls))
        .await
        .unwrap();
    let without_secret = world
        .api
        .call(Method::PATCH, path, Some(&urls))
        .await
        .unwrap();
    assert_eq!(refused.status, 403, "{}", refused.text);
    assert_eq!(
        without_secret.fields(),
        ["client_secret"],
        "{}",
        without_secret.text
    );
    let logs = world.mesh.logs().unwrap();
    let names = |line: &str| line.contains("Request refused") && line.contains(&id);
    let is_named = logs.iter().any(|(_, log)| log.lines().any(names));
    assert!(is_named, "the refusal names no actor");

    // With the secret it may be changed: the refresh token still goes nowhere but where it came from.
    let mut with_secret = urls;
    with_secret["client_secret"] = json!("another-planted-secret-Hv2");
    let changed = world
        .api
        .call(Method::PATCH, path, Some(&with_secret))
        .await
        .unwrap();
    assert_eq!(changed.status, 200, "{}", changed.text);
    let waits = until_state(&world, &mailbox.inbound, "sign_in_required").await;
    waits.unwrap();
    assert!(
        !was_reached(&elsewhere).await,
        "the refresh token went elsewhere"
    );
    world.finish(Leftovers::default()).await.unwrap();
}
