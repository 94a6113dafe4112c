use mailmesh_domain::{Clock, SystemClock};
use mailmesh_secrets::sha256;
use mailmesh_store::sign_in;
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::World;

#[tokio::test]
async fn a_link_is_made_and_only_its_hash_is_stored() {
    let world = World::new().await.unwrap();
    world.google().await.unwrap();
    world.account("in", "imap").await.unwrap();

    let with_body = world
        .post("/v1/accounts/in/sign-in", json!({}))
        .await
        .unwrap();
    let without = world
        .call(Method::POST, "/v1/accounts/in/sign-in", &Value::Null)
        .await
        .unwrap();

    assert_eq!((with_body.status, without.status), (201, 201));
    let answer = without.json();
    let url = answer["url"].as_str().unwrap();
    let link = url
        .strip_prefix("https://mail.example.com/mesh/connect/")
        .unwrap();
    assert_eq!(link.len(), 43);
    assert_ne!(with_body.json()["url"], answer["url"]);
    let mut tx = world.base.begin().await.unwrap();
    let found = sign_in::find_link(&mut tx, &sha256(link.as_bytes()), SystemClock.now()).await;
    assert!(found.unwrap().is_some());
    world.finish().await.unwrap();
}

#[tokio::test]
async fn only_oauth2_accounts_sign_in() {
    let world = World::new().await.unwrap();
    let account = json!({
        "key": "a", "protocol": "imap", "host": "localhost", "encryption": "none",
        "authorisation": "password", "login": "a", "password": "x",
    });
    world
        .post("/v1/accounts", account)
        .await
        .unwrap()
        .success()
        .unwrap();

    let refused = world
        .post("/v1/accounts/a/sign-in", json!({}))
        .await
        .unwrap();
    let missing = world
        .post("/v1/accounts/none/sign-in", json!({}))
        .await
        .unwrap();

    assert_eq!((refused.status, missing.status), (409, 404));
    world.finish().await.unwrap();
}
