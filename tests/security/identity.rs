//! Attacks on secrets and identity, against the real binaries: each failed to be refused once.

use anyhow::{Context, Result, ensure};
use mailmesh_secrets::SecretString;
use mailmesh_testkit::Api;
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
    let key = text("key").context("no key")?;
    world.plant("API key", &key);
    Ok((key.into(), text("id").context("no id")?))
}

/// A name of this machine that is no `localhost`, where it has one.
fn own_name() -> Option<String> {
    let name = std::fs::read_to_string("/etc/hostname").ok()?;
    let name = name.trim().to_owned();
    (!name.is_empty()).then_some(name)
}

/// Has a modeller make an account at a name of this machine, which may be looked up but not connected to.
async fn look_into(world: &World, modeller: &Api, body: &Value) -> Result<()> {
    let made = modeller
        .call(Method::POST, "/v1/accounts", Some(body))
        .await?;
    ensure!(made.status == 201, "{}", made.text);
    let path = "/v1/accounts/named";
    mailmesh_testkit::eventually("it fails", async || {
        let found = world.api.get(path).await?;
        ensure!(found.get("state") == Some(&json!("failing")), "{found}");
        anyhow::Ok(())
    })
    .await?;
    let hidden = modeller.call(Method::GET, path, None).await?;
    for told in [
        "public",
        "looked up",
        "refused",
        "took too long",
        "could not be reached",
    ] {
        ensure!(!hidden.text.contains(told), "{told}: {}", hidden.text);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_modellers_account_looks_into_no_internal_network() {
    let mut world = world(vec![Service::Admin, Service::InboundFetcher])
        .await
        .unwrap();
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
        look_into(&world, &modeller, &body).await.unwrap();
        let limit = std::time::Duration::from_millis(1);
        let came = tokio::time::timeout(limit, internal.accept()).await;
        assert!(came.is_err(), "a connection was made");
    }
    world.finish(Leftovers::default()).await.unwrap();
}

/// Has a modeller and an administrator without the secret try to change the configuration's URLs.
async fn change_urls(world: &World, modeller: SecretString, id: &str, urls: &Value) -> Result<()> {
    let path = "/v1/client-configurations/sandbox";
    let refused = world.api.with_key(Some(modeller));
    let refused = refused.call(Method::PATCH, path, Some(urls)).await?;
    let without_secret = world.api.call(Method::PATCH, path, Some(urls)).await?;
    ensure!(refused.status == 403, "{}", refused.text);
    let fields = without_secret.fields();
    ensure!(fields == ["client_secret"], "{}", without_secret.text);
    let logs = world.mesh.logs()?;
    let names = |line: &str| line.contains("Request refused") && line.contains(id);
    let is_named = logs.iter().any(|(_, log)| log.lines().any(names));
    ensure!(is_named, "the refusal names no actor");
    Ok(())
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

    change_urls(&world, modeller, &id, &urls).await.unwrap();

    // With the secret it may be changed: the refresh token still goes nowhere but where it came from.
    let mut with_secret = urls;
    with_secret["client_secret"] = json!("another-planted-secret-Hv2");
    let changed = world
        .api
        .call(Method::PATCH, path, Some(&with_secret))
        .await
        .unwrap();
    assert_eq!(changed.status, 200, "{}", changed.text);
    mailmesh_testkit::eventually("a new sign-in is asked for", async || {
        let path = format!("/v1/accounts/{}", mailbox.inbound);
        let found = world.api.get(&path).await?;
        anyhow::ensure!(found["state"] == "sign_in_required", "{found}");
        Ok(())
    })
    .await
    .unwrap();
    let limit = std::time::Duration::from_millis(1);
    let came = tokio::time::timeout(limit, elsewhere.accept()).await;
    assert!(came.is_err(), "the refresh token went elsewhere");
    world.finish(Leftovers::default()).await.unwrap();
}
