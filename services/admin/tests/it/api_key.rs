//! What a key allows: until when, for which accounts, and who made it.

use std::time::Duration;

use anyhow::{Context, Result};
use mailmesh_domain::{ApiKeyId, Clock, Role, SystemClock};
use mailmesh_secrets::sha256;
use mailmesh_store::api_key::{self, ApiKey};
use reqwest::Method;
use serde_json::{Value, json};

use crate::account::sign_in;
use crate::world::World;

const GET: Method = Method::GET;

async fn make(world: &World, key: Value) -> Result<(String, Value)> {
    let made = world.post("/v1/api-keys", key).await?.success()?;
    let key = made.get("key").and_then(Value::as_str);
    let key = key.context("no key")?.to_owned();
    Ok((key, made))
}

async fn status(world: &World, key: &str, method: Method, path: &str) -> Result<u16> {
    let answer = world.call_as(Some(key), method, path, &Value::Null).await?;
    Ok(answer.status)
}

fn mailbox(key: &str) -> Value {
    json!({
        "key": key, "protocol": "imap", "host": "mail.example.com", "login": "ceo@example.com",
        "authorisation": "password", "password": "secret",
    })
}

#[tokio::test]
async fn a_key_ends_and_tells_its_maker_and_last_use() -> Result<()> {
    let world = World::new().await?;
    let (key, made) = make(
        &world,
        json!({"name": "for a day", "role": "viewer", "valid_days": 1}),
    )
    .await?;
    let before = status(&world, &key, GET, "/v1/system").await?;
    let keys = world.get("/v1/api-keys").await?;
    let keys = keys["api_keys"].as_array().context("no keys")?;
    let shown = keys
        .iter()
        .find(|key| key["id"] == made["id"])
        .context("none")?;
    let maker = keys
        .iter()
        .find(|key| key["id"] == shown["made_by"])
        .context("no maker")?;

    assert_eq!(before, 200);
    assert_eq!(maker["role"], "administrator");
    assert!(
        shown["last_used_at"].is_string() && maker["made_by"].is_null(),
        "{shown}"
    );
    assert!(shown["expires_at"].is_string(), "{shown}");
    assert_eq!(shown["raw_mail"], false);

    let now = SystemClock.now();
    let ending = ApiKey {
        id: ApiKeyId::generate(&SystemClock),
        name: "ends soon".to_owned(),
        role: Role::Viewer,
        accounts: None,
        may_read_raw: false,
        made_by: None,
        created_at: now,
        expires_at: Some(now + Duration::from_secs(3)),
        last_used_at: None,
        revoked_at: None,
    };
    let mut tx = world.base.begin().await?;
    api_key::insert(&mut tx, &ending, &sha256(b"mm_ending")).await?;
    tx.commit().await?;
    let (key, before) = (
        "mm_ending",
        status(&world, "mm_ending", GET, "/v1/system").await?,
    );
    assert_eq!(before, 200);
    mailmesh_testkit::eventually("the key is over", async || {
        let after = status(&world, key, GET, "/v1/system").await?;
        anyhow::ensure!(after == 401, "{after}");
        Ok(())
    })
    .await?;
    for (key, is_told) in [(key, true), ("mm_unknown", false)] {
        let refused = world
            .call_as(Some(key), GET, "/v1/system", &Value::Null)
            .await?;
        let text = &refused.text;
        assert_eq!(text.contains("has expired on"), is_told, "{text}");
    }
    world.finish().await
}

#[tokio::test]
async fn a_scoped_key_sees_and_changes_its_accounts_alone() -> Result<()> {
    let world = World::new().await?;
    for key in ["mine", "theirs"] {
        world.post("/v1/accounts", mailbox(key)).await?.success()?;
    }
    let (key, _) = make(
        &world,
        json!({"name": "m", "role": "modeller", "accounts": ["mine", "new"]}),
    )
    .await?;
    let call = async |method: Method, path: &str, body: Value| {
        world.call_as(Some(&key), method, path, &body).await
    };

    let listed = call(GET, "/v1/accounts", Value::Null).await?.success()?;
    let listed = listed["accounts"]
        .as_array()
        .context("no accounts")?
        .clone();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0]["key"], "mine");
    for (method, path, is_allowed) in [
        (GET, "/v1/accounts/mine", true),
        (GET, "/v1/accounts/theirs", false),
        (Method::DELETE, "/v1/accounts/theirs", false),
        (Method::POST, "/v1/accounts/theirs/sign-in", false),
        (GET, "/v1/outbox?account=mine", true),
    ] {
        let answer = call(method, path, Value::Null).await?;
        assert_eq!(answer.status != 404, is_allowed, "{path}: {}", answer.text);
    }
    let theirs = call(Method::PATCH, "/v1/accounts/theirs", json!({"name": "x"})).await?;
    let mine = call(Method::PATCH, "/v1/accounts/mine", json!({"name": "x"})).await?;
    let other = call(Method::POST, "/v1/accounts", mailbox("other")).await?;
    let new = call(Method::POST, "/v1/accounts", mailbox("new")).await?;
    let all = call(GET, "/v1/outbox", Value::Null).await?;
    let outbox = call(GET, "/v1/outbox?account=theirs", Value::Null).await?;
    assert_eq!((theirs.status, mine.status), (404, 200));
    assert_eq!((other.status, new.status), (400, 201), "{}", new.text);
    assert_eq!((all.status, outbox.status), (400, 400));
    world.finish().await
}

#[tokio::test]
async fn raw_mail_is_a_right_of_its_own() -> Result<()> {
    let world = World::new().await?;
    let id = "01a22d61-53b5-70d3-9d4a-3b4c1e295144";
    let (without, _) = make(&world, json!({"name": "v", "role": "modeller"})).await?;
    let (with, _) = make(
        &world,
        json!({"name": "v", "role": "viewer", "raw_mail": true}),
    )
    .await?;
    let (scoped, _) = make(
        &world,
        json!({"name": "v", "role": "viewer", "raw_mail": true, "accounts": ["mine"]}),
    )
    .await?;
    for path in [
        format!("/v1/mails/{id}/raw"),
        format!("/v1/mails/{id}/attachments/1"),
    ] {
        for (key, expected) in [(&without, 403), (&with, 404), (&scoped, 404)] {
            assert_eq!(status(&world, key, GET, &path).await?, expected, "{path}");
        }
    }
    world.finish().await
}

#[tokio::test]
async fn keys_are_asked_for_what_they_can_be() -> Result<()> {
    let world = World::new().await?;
    for (key, path) in [
        (
            json!({"name": "a", "role": "viewer", "valid_days": 0}),
            "valid_days",
        ),
        (
            json!({"name": "a", "role": "viewer", "accounts": []}),
            "accounts",
        ),
        (
            json!({"name": "a", "role": "viewer", "accounts": ["A b"]}),
            "accounts[0]",
        ),
        (
            json!({"name": "a", "role": "administrator", "accounts": ["a"]}),
            "accounts",
        ),
        (
            json!({"name": "a", "role": "administrator", "raw_mail": false}),
            "raw_mail",
        ),
    ] {
        let refused = world.post("/v1/api-keys", key).await?;
        assert_eq!(refused.fields(), [path], "{}", refused.text);
    }
    world.finish().await
}

#[tokio::test]
async fn a_modellers_account_on_anothers_login_waits_for_that_owners_sign_in() -> Result<()> {
    let world = World::new().await?;
    world.google().await?;
    world.account("in", "imap").await?;
    let (_, grant) = sign_in(&world, "in").await?;
    let modeller = world.key_of("modeller").await?;
    let account = |key: &str| {
        json!({
            "key": key, "protocol": "imap", "login": "Support@example.com",
            "client_configuration": "google",
        })
    };

    let made = world
        .call_as(
            Some(&modeller),
            Method::POST,
            "/v1/accounts",
            &account("theirs"),
        )
        .await?
        .success()?;
    let own = world
        .post("/v1/accounts", account("own"))
        .await?
        .success()?;

    assert!(
        made["grant"].is_null() && made["sign_in_needed"] == true,
        "{made}"
    );
    assert_eq!(
        own["grant"]["id"],
        grant.to_string(),
        "an administrator vouches for it"
    );
    world.finish().await
}
