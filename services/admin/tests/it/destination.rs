//! Tokens and passwords go to no server that they were not given for.

use anyhow::Result;
use mailmesh_domain::{AccountState, FailureCause, Key};
use mailmesh_events::Problem;
use mailmesh_store::account;
use mailmesh_testkit::ApiResponse;
use reqwest::Method;
use serde_json::{Value, json};

use crate::outbox::queued;
use crate::world::World;

const PATH: &str = "/v1/accounts";
const CA: &str = include_str!("ca.pem");

/// A world with a client configuration and the key of a modeller.
async fn world() -> Result<(World, String)> {
    let world = World::new().await?;
    world.google().await?;
    let modeller = world.key_of("modeller").await?;
    Ok((world, modeller))
}

fn with(account: &Value, change: &Value) -> Value {
    let mut account = account.clone();
    if let (Some(account), Some(change)) = (account.as_object_mut(), change.as_object()) {
        account.extend(change.clone());
    }
    account
}

fn oauth(key: &str) -> Value {
    json!({
        "key": key, "protocol": "imap", "login": "ceo@example.com", "client_configuration": "google",
    })
}

fn password(key: &str) -> Value {
    json!({
        "key": key, "protocol": "imap", "host": "mail.example.com", "login": "ceo@example.com",
        "authorisation": "password", "password": "secret",
    })
}

fn assert_refused(answer: &ApiResponse, path: &str) {
    assert_eq!(answer.status, 403, "{}", answer.text);
    assert_eq!(answer.code(), "forbidden");
    assert_eq!(answer.fields(), [path], "{}", answer.text);
    assert!(answer.text.contains("administrator"), "{}", answer.text);
}

#[tokio::test]
async fn a_modeller_cannot_send_tokens_to_a_server_of_their_own() {
    let (world, modeller) = world().await.unwrap();
    let key = Some(modeller.as_str());
    world.account("in", "imap").await.unwrap();
    let before = world.get("/v1/accounts/in").await.unwrap();
    let changes = [
        (json!({"host": "evil.example"}), "host"),
        (
            json!({"host": "localhost", "encryption": "none", "port": 1}),
            "host",
        ),
        (json!({"ca_pem": CA}), "ca_pem"),
    ];

    for (change, path) in changes {
        let new = with(&oauth("new"), &change);
        let post = world.call_as(key, Method::POST, PATH, &new).await.unwrap();
        let patch = world.call_as(key, Method::PATCH, "/v1/accounts/in", &change);
        assert_refused(&post, path);
        assert_refused(&patch.await.unwrap(), path);
    }

    assert_eq!(world.get("/v1/accounts/in").await.unwrap(), before);
    let stored = world.get(PATH).await.unwrap();
    assert_eq!(stored["accounts"].as_array().unwrap().len(), 1);
    world.finish().await.unwrap();
}

#[tokio::test]
async fn a_server_that_an_administrator_chose_serves_modellers_too() {
    let (world, modeller) = world().await.unwrap();
    let key = Some(modeller.as_str());
    let server = json!({"host": "imap.example.com", "ca_pem": CA});
    let first = world.post(PATH, with(&oauth("first"), &server)).await;
    let other = json!({"key": "other", "profile": "google", "client_id": "id"});
    let other = world.post("/v1/client-configurations", other).await;
    assert_eq!((first.unwrap().status, other.unwrap().status), (201, 201));

    let same = with(&oauth("second"), &server);
    let second = world.call_as(key, Method::POST, PATH, &same).await.unwrap();
    let renamed = json!({"name": "Second", "host": "IMAP.example.com"});
    let renamed = world.call_as(key, Method::PATCH, "/v1/accounts/second", &renamed);
    let renamed = renamed.await.unwrap();
    let home = json!({"host": null, "ca_pem": null});
    let home = world.call_as(key, Method::PATCH, "/v1/accounts/second", &home);
    let home = home.await.unwrap();
    let elsewhere = json!({"client_configuration": "other"});
    let elsewhere = world.call_as(key, Method::PATCH, "/v1/accounts/first", &elsewhere);

    assert_eq!(second.status, 201, "{}", second.text);
    assert_eq!(renamed.success().unwrap()["name"], "Second");
    assert_eq!(home.success().unwrap()["host"], "imap.gmail.com");
    assert_refused(&elsewhere.await.unwrap(), "host");
    world.finish().await.unwrap();
}

#[tokio::test]
async fn a_server_of_another_authorisation_is_not_chosen_for_tokens() {
    let (world, modeller) = world().await.unwrap();
    let key = Some(modeller.as_str());
    let made = world.call_as(key, Method::POST, PATH, &password("a")).await;
    assert_eq!(made.unwrap().status, 201);

    let turned = json!({"authorisation": "oauth2", "client_configuration": "google"});
    let turned = world.call_as(key, Method::PATCH, "/v1/accounts/a", &turned);

    assert_refused(&turned.await.unwrap(), "host");
    world.finish().await.unwrap();
}

#[tokio::test]
async fn a_kept_password_goes_to_no_other_server() {
    let (world, _) = world().await.unwrap();
    let made = world.post(PATH, password("a")).await.unwrap();
    let before = made.success().unwrap();
    let path = "/v1/accounts/a";

    for change in [
        json!({"host": "evil.example"}),
        json!({"port": 994}),
        json!({"ca_pem": CA}),
        json!({"host": "localhost", "encryption": "none"}),
    ] {
        let answer = world.patch(path, change.clone()).await.unwrap();
        assert_eq!(answer.status, 400, "{change}: {}", answer.text);
        assert_eq!(answer.fields(), ["password"], "{change}");
    }
    assert_eq!(world.get(path).await.unwrap(), before);
    let named = json!({"host": "imap.example.com", "password": "secret"});
    let named = world.patch(path, named).await.unwrap();
    let cased = json!({"host": "IMAP.example.com", "login": "a@example.com"});
    let cased = world.patch(path, cased).await.unwrap();

    assert_eq!(named.success().unwrap()["host"], "imap.example.com");
    assert_eq!(cased.success().unwrap()["login"], "a@example.com");
    world.finish().await.unwrap();
}

#[tokio::test]
async fn a_client_secret_goes_to_no_url_that_it_was_not_given_for() {
    let world = World::new().await.unwrap();
    let urls = json!({
        "key": "own", "profile": "custom", "client_id": "id", "client_secret": "a secret",
        "issuer": "https://id.example.com/a", "authorize_url": "https://id.example.com/authorize",
        "token_url": "https://id.example.com/token", "userinfo_url": "https://id.example.com/me",
        "jwks_url": "https://id.example.com/jwks",
    });
    world
        .post("/v1/client-configurations", urls)
        .await
        .unwrap()
        .success()
        .unwrap();
    let path = "/v1/client-configurations/own";
    for (field, value) in [
        ("issuer", json!("https://evil.example/a")),
        ("base_url", json!("https://evil.example/a")),
        ("authorize_url", json!("https://evil.example/authorize")),
        ("token_url", json!("https://evil.example/token")),
        ("token_url", json!("https://id.example.com:8443/token")),
        ("userinfo_url", json!("https://evil.example/me")),
        ("jwks_url", json!("https://evil.example/jwks")),
        ("jwks_url", Value::Null),
        ("ca_pem", json!(CA)),
        ("profile", json!("microsoft")),
    ] {
        let refused = world
            .patch(path, json!({field: value.clone()}))
            .await
            .unwrap();
        assert_eq!(refused.status, 400, "{field}: {}", refused.text);
        assert_eq!(
            refused.fields(),
            ["client_secret"],
            "{field}: {}",
            refused.text
        );
        assert!(refused.text.contains("given again"), "{}", refused.text);
    }
    for change in [
        json!({"issuer": "https://id.example.com/a/"}),
        json!({"name": "Another name", "scopes": ["openid"]}),
        json!({"token_url": "https://evil.example/token", "client_secret": "another"}),
        json!({"token_url": "https://id.example.com/token", "client_secret": null, "token_endpoint_auth": "none"}),
        json!({"token_url": "https://evil.example/token"}),
    ] {
        let changed = world.patch(path, change.clone()).await.unwrap();
        assert_eq!(changed.status, 200, "{change}: {}", changed.text);
    }
    world.finish().await.unwrap();
}

/// None of them is of the public Internet.
const INTERNAL: [&str; 20] = [
    "localhost",
    "a.localhost",
    "127.0.0.1",
    "127.8.9.1",
    "10.0.0.1",
    "192.168.0.1",
    "172.16.0.1",
    "169.254.169.254",
    "100.64.0.1",
    "168.63.129.16",
    "0.0.0.0",
    "224.0.0.1",
    "::1",
    "[::1]",
    "::",
    "fd00::1",
    "fe80::1",
    "::ffff:10.0.0.1",
    "64:ff9b::a00:1",
    "2002:a00:1::",
];

#[tokio::test]
async fn a_modeller_names_hosts_of_the_public_internet_alone() {
    let (world, modeller) = world().await.unwrap();
    let key = Some(modeller.as_str());
    for host in INTERNAL {
        let account = with(&password("m"), &json!({"host": host}));
        let refused = world
            .call_as(key, Method::POST, PATH, &account)
            .await
            .unwrap();
        assert_refused(&refused, "host");
    }
    for host in [
        "127.1",
        "2130706433",
        "0x7f.1",
        "a_b.example",
        "-a.example",
        "a..b",
        "a b",
        "mail.example.com:25",
    ] {
        let account = with(&password("m"), &json!({"host": host}));
        for key in [key, None] {
            let refused = match key {
                Some(_) => world
                    .call_as(key, Method::POST, PATH, &account)
                    .await
                    .unwrap(),
                None => world.post(PATH, account.clone()).await.unwrap(),
            };
            assert_eq!(refused.fields(), ["host"], "{host}: {}", refused.text);
        }
    }

    // What an administrator has named is open to all.
    let local = with(&password("local"), &json!({"host": "10.0.0.1"}));
    world
        .post(PATH, local.clone())
        .await
        .unwrap()
        .success()
        .unwrap();
    let same = with(&local, &json!({"key": "same"}));
    let made = world.call_as(key, Method::POST, PATH, &same).await.unwrap();
    assert_eq!(made.status, 201, "{}", made.text);
    let port = with(&local, &json!({"key": "port", "port": 6379}));
    let refused = world.call_as(key, Method::POST, PATH, &port).await.unwrap();
    assert_refused(&refused, "host");
    world.finish().await.unwrap();
}

#[tokio::test]
async fn what_answers_at_a_modellers_host_is_told_to_administrators_alone() {
    let (world, modeller) = world().await.unwrap();
    let key = Some(modeller.as_str());
    let account = password("m");
    world
        .call_as(key, Method::POST, PATH, &account)
        .await
        .unwrap()
        .success()
        .unwrap();
    let problem = Problem::new("220 redis says hello", FailureCause::Unknown)
        .with_code(Some("220".to_owned()));
    let mut tx = world.base.begin().await.unwrap();
    let name = Key::try_new("m").unwrap();
    let account = account::find_by_key(&mut tx, &name).await.unwrap().unwrap();
    tx.commit().await.unwrap();
    let failing = AccountState::Failing;
    let recorded = world
        .base
        .set_account_state(&account, failing, Some(&problem));
    recorded.await.unwrap();

    let waiting = json!({
        "key": "out", "protocol": "smtp", "host": "mail.example.com", "login": "ceo@example.com",
        "authorisation": "password", "password": "secret",
    });
    world
        .call_as(key, Method::POST, PATH, &waiting)
        .await
        .unwrap()
        .success()
        .unwrap();
    let mail = queued(&world, "one").await.unwrap();
    let stored = serde_json::to_string(&problem).unwrap().replace('\'', "''");
    let statement =
        format!("UPDATE outbound_mails SET problem = '{stored}' WHERE mail_id = '{mail}'");
    world.base.execute(&statement).await.unwrap();
    let mail = format!("/v1/outbox/{mail}");

    let shown = world.get("/v1/accounts/m").await.unwrap();
    let shown_mail = world.get(&mail).await.unwrap();
    let viewer = world.key_of("viewer").await.unwrap();
    for key in [modeller, viewer] {
        for path in ["/v1/accounts", "/v1/accounts/m", "/v1/outbox", &mail] {
            let hidden = world
                .call_as(Some(&key), Method::GET, path, &Value::Null)
                .await
                .unwrap();
            assert_eq!(hidden.status, 200);
            assert!(
                !hidden.text.contains("220") && !hidden.text.contains("redis"),
                "{}",
                hidden.text
            );
        }
    }
    assert_eq!(shown["problem"]["what"], "220 redis says hello");
    assert_eq!(shown_mail["problem"]["what"], "220 redis says hello");
    world.finish().await.unwrap();
}
