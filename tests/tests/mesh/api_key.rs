use mailmesh_secrets::SecretString;
use mailmesh_tests::{Leftovers, Service, World, WorldSettings};
use reqwest::Method;
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_api_refuses_a_wrong_a_missing_and_a_weak_key() {
    let mut world = World::start(WorldSettings {
        services: vec![Service::Admin],
        ..WorldSettings::default()
    })
    .await
    .unwrap();
    let viewer = world
        .api
        .post("/v1/api-keys", &json!({"name": "reader", "role": "viewer"}))
        .await
        .unwrap();
    let viewer = viewer["key"].as_str().unwrap().to_owned();
    world.plant("viewer's key", &viewer);
    let viewer = SecretString::from(viewer);
    let account = json!({
        "key": "support", "protocol": "imap", "host": "localhost", "login": "a@sandbox.test",
        "authorisation": "password", "password": "x",
    });

    let missing = world.api.with_key(None);
    let missing = missing.call(Method::GET, "/v1/accounts", None).await;
    let wrong = world.api.with_key(Some(
        "mm_0000000000000000000000000000000000000000000".into(),
    ));
    let wrong = wrong.call(Method::GET, "/v1/accounts", None).await;
    let weak = world.api.with_key(Some(viewer));
    let reads = weak.call(Method::GET, "/v1/accounts", None).await;
    let writes = weak
        .call(Method::POST, "/v1/accounts", Some(&account))
        .await;

    assert_eq!(missing.unwrap().status, 401);
    assert_eq!(wrong.unwrap().status, 401);
    assert_eq!(reads.unwrap().status, 200);
    let writes = writes.unwrap();
    assert_eq!(writes.status, 403, "{}", writes.text);
    assert!(
        writes.json()["error"]["action"].is_string(),
        "{}",
        writes.text
    );
    let accounts = world.api.get("/v1/accounts").await.unwrap();
    assert!(!accounts.to_string().contains("a@sandbox.test"));
    world.finish(Leftovers::default()).await.unwrap();
}
