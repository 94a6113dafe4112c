//! Clients that need no person, and what they prove themselves with.

use anyhow::Result;
use mailmesh_domain::{Clock as _, GrantId, Key, SystemClock};
use mailmesh_store::client_configuration;
use mailmesh_testkit::ApiResponse;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, date_time_ymd};
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::World;

const PATH: &str = "/v1/client-configurations";

fn rsa() -> KeyPair {
    KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap()
}

fn certificate(key: &KeyPair, year: i32) -> String {
    let mut params = CertificateParams::new(vec!["mesh.test".to_owned()]).unwrap();
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(year, 1, 1);
    params.self_signed(key).unwrap().pem()
}

fn key_file(key: &KeyPair) -> String {
    json!({
        "type": "service_account", "client_email": "robot@project.test", "client_id": "1045",
        "private_key_id": "k1", "private_key": key.serialize_pem(),
    })
    .to_string()
}

fn service_account(key: &KeyPair) -> Value {
    json!({"key": "robot", "profile": "google_service_account", "private_key": key_file(key)})
}

fn app_only() -> Value {
    json!({
        "key": "app", "profile": "microsoft_app_only", "client_id": "id", "client_secret": "s",
        "base_url": "https://login.microsoftonline.com/contoso.test/",
    })
}

fn with(body: &Value, change: &Value) -> Value {
    let mut body = body.clone();
    for (name, value) in change.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

#[tokio::test]
async fn a_service_account_is_set_up_by_its_key_alone() {
    let world = World::new().await.unwrap();
    let key = rsa();

    let made = world.post(PATH, service_account(&key)).await.unwrap();
    let made = made.success().unwrap();

    assert_eq!(
        (&made["flow"], &made["client_id"]),
        (&json!("jwt_bearer"), &json!("1045"))
    );
    assert_eq!(made["scopes"], json!(["https://mail.google.com/"]));
    assert_eq!(
        (&made["has_private_key"], &made["has_client_secret"]),
        (&json!(true), &json!(false))
    );
    assert!(made.get("redirect_uri").is_none() && made.get("private_key").is_none());
    assert!(!made.to_string().contains("PRIVATE KEY"));
    let mut tx = world.base.begin().await.unwrap();
    let found = client_configuration::find_by_key(&mut tx, &Key::try_new("robot").unwrap()).await;
    let id = found.unwrap().unwrap().id;
    let stored = client_configuration::find(&mut tx, id).await;
    let stored = stored.unwrap().unwrap();
    let context = client_configuration::ClientConfiguration::private_key_context(stored.id);
    let opened = world
        .base
        .keys
        .open(stored.private_key.sealed().unwrap(), &context)
        .unwrap();
    assert_eq!(
        mailmesh_secrets::ExposeSecret::expose_secret(&opened),
        key_file(&key)
    );
    drop(tx);
    // The redirect URI without a key is left to a client with which people sign in.
    let google = world.google().await.unwrap();
    assert_eq!(google["own_redirect_uri"], false);
    world.finish().await.unwrap();
}

#[tokio::test]
async fn an_application_proves_itself_by_secret_or_by_certificate() {
    let world = World::new().await.unwrap();
    let key = rsa();

    let made = world
        .post(PATH, app_only())
        .await
        .unwrap()
        .success()
        .unwrap();
    assert_eq!(made["flow"], "client_credentials");
    assert_eq!(
        made["scopes"],
        json!(["https://outlook.office365.com/.default"])
    );
    let turned = json!({
        "client_secret": null, "private_key": key.serialize_pem(),
        "certificate_pem": certificate(&key, 2099),
    });
    let turned = world
        .patch("/v1/client-configurations/app", turned)
        .await
        .unwrap();
    let turned = turned.success().unwrap();

    assert_eq!(
        (&turned["has_private_key"], &turned["has_client_secret"]),
        (&json!(true), &json!(false))
    );
    assert!(
        turned["certificate_pem"]
            .as_str()
            .unwrap()
            .contains("BEGIN CERTIFICATE")
    );
    world.finish().await.unwrap();
}

/// A request, the field that is at fault, and words of the remedy.
type Case = (Value, &'static str, &'static str);

fn cases_of(base: &Value, cases: Vec<Case>) -> Vec<Case> {
    let changed = |(change, path, words): Case| (with(base, &change), path, words);
    cases.into_iter().map(changed).collect()
}

fn service_account_cases(key: &KeyPair) -> Vec<Case> {
    let oauth_client = json!({"web": {"client_id": "x"}}).to_string();
    let pem = key.serialize_pem();
    cases_of(
        &service_account(key),
        vec![
            (json!({"private_key": null}), "private_key", "JSON key"),
            (
                json!({"private_key": "{}"}),
                "private_key",
                "service_account",
            ),
            (
                json!({"private_key": oauth_client}),
                "private_key",
                "OAuth client",
            ),
            (json!({"private_key": pem}), "private_key", "JSON file"),
            (json!({"client_id": "other"}), "client_id", "1045"),
            (
                json!({"client_secret": "s"}),
                "client_secret",
                "private_key",
            ),
            (json!({"flow": "user"}), "flow", "jwt_bearer"),
        ],
    )
}

fn application_cases() -> Vec<Case> {
    let shared = "https://login.microsoftonline.com/common";
    let delegated = json!(["https://outlook.office.com/IMAP.AccessAsUser.All"]);
    let no_flow = json!({
        "profile": "custom", "issuer": "https://a.example", "base_url": null, "flow": "jwt_bearer",
        "scopes": ["mail"],
    });
    cases_of(
        &app_only(),
        vec![
            (json!({"base_url": shared}), "base_url", "tenant"),
            (json!({"base_url": null}), "base_url", "tenant"),
            (
                json!({"client_secret": null}),
                "client_secret",
                "private_key",
            ),
            (
                json!({"token_endpoint_auth": "none"}),
                "token_endpoint_auth",
                "prove",
            ),
            (
                json!({"token_endpoint_auth": "private_key_jwt"}),
                "private_key",
                "required",
            ),
            (json!({"scopes": delegated}), "scopes", ".default"),
            (no_flow, "flow", "client_credentials"),
        ],
    )
}

fn certificate_cases(key: &KeyPair) -> Vec<Case> {
    let ec = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let signing = json!({
        "client_secret": null, "private_key": key.serialize_pem(),
        "certificate_pem": certificate(key, 2099),
    });
    let by_curve = json!({
        "private_key": ec.serialize_pem(), "certificate_pem": certificate(&ec, 2099),
    });
    let others = certificate(&rsa(), 2099);
    let old = certificate(key, 2021);
    let post = "client_secret_post";
    cases_of(
        &with(&app_only(), &signing),
        vec![
            (
                json!({"certificate_pem": null}),
                "certificate_pem",
                "registered",
            ),
            (
                json!({"certificate_pem": "none"}),
                "certificate_pem",
                "X.509",
            ),
            (
                json!({"certificate_pem": others}),
                "certificate_pem",
                "another private key",
            ),
            (
                json!({"certificate_pem": old}),
                "certificate_pem",
                "2021-01-01",
            ),
            (by_curve, "private_key", "RSA"),
            (
                json!({"private_key": "none"}),
                "private_key",
                "BEGIN PRIVATE KEY",
            ),
            (
                json!({"token_endpoint_auth": post}),
                "token_endpoint_auth",
                "private_key_jwt",
            ),
        ],
    )
}

#[tokio::test]
async fn what_cannot_work_is_refused_with_its_remedy() {
    let world = World::new().await.unwrap();
    let key = rsa();
    let service_accounts = service_account_cases(&key).into_iter();
    let applications = application_cases().into_iter();

    for (body, path, words) in service_accounts
        .chain(applications)
        .chain(certificate_cases(&key))
    {
        let refused = world.post(PATH, body).await.unwrap();

        assert_eq!(refused.status, 400, "{path} {words}: {}", refused.text);
        assert_eq!(refused.fields(), [path], "{}", refused.text);
        assert!(refused.text.contains(words), "{words}: {}", refused.text);
        assert!(!refused.text.contains("MII"), "{}", refused.text);
    }
    world.finish().await.unwrap();
}

#[tokio::test]
async fn flow_and_key_cannot_be_turned_to_another_use() {
    let world = World::new().await.unwrap();
    let key = rsa();
    world
        .post(PATH, service_account(&key))
        .await
        .unwrap()
        .success()
        .unwrap();
    world.google().await.unwrap();

    for (client, change, path) in [
        ("google", json!({"flow": "jwt_bearer"}), "flow"),
        (
            "google",
            json!({"profile": "google_service_account", "client_secret": "s"}),
            "profile",
        ),
        (
            "robot",
            json!({"token_url": "https://evil.example/token"}),
            "private_key",
        ),
        ("robot", json!({"private_key": null}), "private_key"),
    ] {
        let refused = world
            .patch(&format!("{PATH}/{client}"), change)
            .await
            .unwrap();

        assert_eq!(refused.status, 400, "{}", refused.text);
        assert!(
            refused.fields().contains(&path.to_owned()),
            "{}",
            refused.text
        );
    }
    let kept = json!({"name": "Robot", "client_id": "1045"});
    world
        .patch("/v1/client-configurations/robot", kept)
        .await
        .unwrap()
        .success()
        .unwrap();
    world.finish().await.unwrap();
}

fn account(key: &str, login: &str) -> Value {
    json!({"key": key, "protocol": "imap", "login": login, "client_configuration": "robot"})
}

fn assert_for_administrators(answer: &ApiResponse) {
    assert_eq!(answer.status, 403, "{}", answer.text);
    assert_eq!(answer.fields(), ["login"], "{}", answer.text);
}

#[tokio::test]
async fn nobody_but_an_administrator_opens_mailboxes_without_their_owners() -> Result<()> {
    let world = World::new().await?;
    world.post(PATH, service_account(&rsa())).await?.success()?;
    let modeller = world.key_of("modeller").await?;
    let key = Some(modeller.as_str());
    world.google().await?;
    world.account("own", "imap").await?;

    let made = world
        .call_as(
            key,
            Method::POST,
            "/v1/accounts",
            &account("ceo", "ceo@corp.test"),
        )
        .await?;
    assert_for_administrators(&made);
    let turned = json!({"client_configuration": "robot"});
    let turned = world
        .call_as(key, Method::PATCH, "/v1/accounts/own", &turned)
        .await?;
    assert_for_administrators(&turned);
    let made = world
        .post("/v1/accounts", account("support", "support@corp.test"))
        .await?;
    assert_eq!(
        made.success()?["state"],
        "unknown",
        "nobody is asked to sign in"
    );
    let moved = json!({"login": "ceo@corp.test"});
    let moved = world
        .call_as(key, Method::PATCH, "/v1/accounts/support", &moved)
        .await?;
    assert_for_administrators(&moved);
    let renamed = json!({"name": "Support", "poll_interval_seconds": 120});
    let renamed = world
        .call_as(key, Method::PATCH, "/v1/accounts/support", &renamed)
        .await?;
    assert_eq!(renamed.status, 200, "{}", renamed.text);
    world.finish().await
}

#[tokio::test]
async fn a_sign_in_link_is_refused_where_nobody_signs_in() -> Result<()> {
    let world = World::new().await?;
    world.post(PATH, service_account(&rsa())).await?.success()?;
    world
        .post("/v1/accounts", account("support", "support@corp.test"))
        .await?
        .success()?;

    let refused = world
        .post("/v1/accounts/support/sign-in", json!({}))
        .await?;

    assert_eq!(refused.status, 409, "{}", refused.text);
    assert!(
        refused.text.contains("jwt_bearer") && refused.text.contains("by themselves"),
        "{}",
        refused.text
    );
    world.finish().await
}

#[tokio::test]
async fn other_scopes_of_an_application_are_asked_for_at_once() -> Result<()> {
    let world = World::new().await?;
    let client = json!({
        "key": "app", "profile": "custom", "flow": "client_credentials", "client_id": "id",
        "client_secret": "s", "token_url": "https://id.example/token", "scopes": ["mail"],
    });
    world.post(PATH, client).await?.success()?;
    let mut tx = world.base.begin().await?;
    let found = client_configuration::find_by_key(&mut tx, &Key::try_new("app")?).await?;
    drop(tx);
    let id = GrantId::generate(&SystemClock);
    let client = found
        .map(|client| client.id)
        .ok_or_else(|| anyhow::anyhow!("no client"))?;
    let grant = world.base.grant_row(id, client, "jo@corp.test", "token")?;
    world.base.save_grant(&grant).await?;

    let changed = json!({"scopes": ["mail", "more"]});
    world
        .patch("/v1/client-configurations/app", changed)
        .await?
        .success()?;

    let due_at = world.base.grant(id).await?.refresh_due_at;
    assert!(due_at <= SystemClock.now(), "{due_at}");
    world.finish().await
}
