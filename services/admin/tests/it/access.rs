use reqwest::Method;
use serde_json::{Value, json};

use crate::world::World;

/// Every route, and the least role that it takes.
const ROUTES: [(&str, &str, &str); 21] = [
    ("GET", "/v1/client-configurations", "viewer"),
    ("POST", "/v1/client-configurations", "administrator"),
    ("GET", "/v1/client-configurations/none", "viewer"),
    ("PATCH", "/v1/client-configurations/none", "administrator"),
    ("DELETE", "/v1/client-configurations/none", "administrator"),
    ("GET", "/v1/accounts", "viewer"),
    ("POST", "/v1/accounts", "modeller"),
    ("GET", "/v1/accounts/none", "viewer"),
    ("PATCH", "/v1/accounts/none", "modeller"),
    ("DELETE", "/v1/accounts/none", "modeller"),
    ("POST", "/v1/accounts/none/sign-in", "modeller"),
    (
        "GET",
        "/v1/mails/0193a2c0-0000-7000-8000-000000000000/raw",
        "viewer",
    ),
    (
        "GET",
        "/v1/mails/0193a2c0-0000-7000-8000-000000000000/attachments/1",
        "viewer",
    ),
    ("GET", "/v1/outbox", "viewer"),
    (
        "GET",
        "/v1/outbox/0193a2c0-0000-7000-8000-000000000000",
        "viewer",
    ),
    (
        "POST",
        "/v1/outbox/0193a2c0-0000-7000-8000-000000000000/decision",
        "modeller",
    ),
    (
        "POST",
        "/v1/outbox/0193a2c0-0000-7000-8000-000000000000/cancel",
        "modeller",
    ),
    ("GET", "/v1/api-keys", "administrator"),
    ("POST", "/v1/api-keys", "administrator"),
    (
        "DELETE",
        "/v1/api-keys/0193a2c0-0000-7000-8000-000000000000",
        "administrator",
    ),
    ("GET", "/v1/system", "viewer"),
];

fn rank(role: &str) -> usize {
    ["viewer", "modeller", "administrator"]
        .iter()
        .position(|one| *one == role)
        .unwrap_or(9)
}

#[tokio::test]
async fn each_route_takes_the_roles_that_suffice_and_no_other() {
    let world = World::new().await.unwrap();
    let mut keys = Vec::new();
    for role in ["viewer", "modeller", "administrator"] {
        keys.push((role, world.key_of(role).await.unwrap()));
    }

    for (method, path, needed) in ROUTES {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        for key in [None, Some("mm_wrong"), Some("")] {
            let answer = world.call_as(key, method.clone(), path, &Value::Null).await;
            let answer = answer.unwrap();
            assert_eq!(answer.status, 401, "{method} {path} {key:?}");
            assert_eq!(answer.code(), "unauthorized");
            assert!(
                answer.headers["www-authenticate"]
                    .to_str()
                    .unwrap()
                    .starts_with("Bearer")
            );
            assert!(
                answer.json()["error"]["action"]
                    .as_str()
                    .unwrap()
                    .contains("mm_")
            );
        }
        for (role, key) in &keys {
            let answer = world
                .call_as(Some(key), method.clone(), path, &json!({}))
                .await;
            let answer = answer.unwrap();
            if rank(role) < rank(needed) {
                assert_eq!(answer.status, 403, "{method} {path} {role}");
                assert!(
                    answer.json()["error"]["action"]
                        .as_str()
                        .unwrap()
                        .contains(needed)
                );
            } else {
                assert!(
                    ![401, 403, 405].contains(&answer.status),
                    "{method} {path} {role}"
                );
            }
        }
    }
    world.finish().await.unwrap();
}

#[tokio::test]
async fn a_revoked_key_is_refused_and_the_last_administrator_stays() {
    let world = World::new().await.unwrap();
    let viewer = world.key_of("viewer").await.unwrap();
    let before = world
        .call_as(Some(&viewer), Method::GET, "/v1/system", &Value::Null)
        .await
        .unwrap();
    let keys = world.get("/v1/api-keys").await.unwrap();
    let id_of = |role: &str| {
        let keys = keys["api_keys"].as_array().unwrap();
        let key = keys.iter().find(|key| key["role"] == role).unwrap();
        key["id"].as_str().unwrap().to_owned()
    };

    let last = world
        .delete(&format!("/v1/api-keys/{}", id_of("administrator")))
        .await
        .unwrap();
    let revoked = world
        .delete(&format!("/v1/api-keys/{}", id_of("viewer")))
        .await
        .unwrap();
    let again = world
        .delete(&format!("/v1/api-keys/{}", id_of("viewer")))
        .await
        .unwrap();
    let after = world
        .call_as(Some(&viewer), Method::GET, "/v1/system", &Value::Null)
        .await
        .unwrap();

    assert_eq!(before.status, 200);
    assert_eq!((last.status, last.code()), (409, "conflict".to_owned()));
    assert_eq!(
        (revoked.status, again.status, after.status),
        (204, 404, 401)
    );
    let listed = world.get("/v1/api-keys").await.unwrap().to_string();
    assert!(!listed.contains("mm_"), "{listed}");
    world.finish().await.unwrap();
}

#[tokio::test]
async fn what_is_no_route_or_no_json_is_told_in_json() {
    let world = World::new().await.unwrap();
    let post = || world.api.request(Method::POST, "/v1/accounts");
    let json_type = ("content-type", "application/json");

    let unknown = world
        .call(Method::GET, "/v1/nothing", &Value::Null)
        .await
        .unwrap();
    let method = world
        .call(Method::PUT, "/v1/accounts", &Value::Null)
        .await
        .unwrap();
    let no_type = world.api.send(post().body("{}")).await.unwrap();
    let broken = post().header(json_type.0, json_type.1).body("{\"key\":");
    let broken = world.api.send(broken).await.unwrap();
    let list = post().header(json_type.0, json_type.1).body("[]");
    let list = world.api.send(list).await.unwrap();
    let large = "x".repeat(1024 * 1024 + 1);
    let large = post().header(json_type.0, json_type.1).body(large);
    let large = world.api.send(large).await.unwrap();
    let no_slug = world.get("/v1/accounts/NOT.A.KEY").await;

    assert_eq!(
        (unknown.status, unknown.code()),
        (404, "not_found".to_owned())
    );
    assert_eq!(
        (method.status, method.code()),
        (405, "method_not_allowed".to_owned())
    );
    assert!(method.headers["allow"].to_str().unwrap().contains("POST"));
    assert_eq!(
        (no_type.status, no_type.code()),
        (415, "unsupported_media_type".to_owned())
    );
    assert_eq!((broken.status, broken.code()), (400, "not_json".to_owned()));
    assert_eq!(
        (list.status, list.code()),
        (400, "invalid_request".to_owned())
    );
    assert_eq!((large.status, large.code()), (413, "too_large".to_owned()));
    assert!(no_slug.unwrap_err().to_string().starts_with("404"));
    world.finish().await.unwrap();
}

#[tokio::test]
async fn the_system_tells_its_replicas_and_the_redirect_uri() {
    let world = World::new().await.unwrap();

    let system = world.get("/v1/system").await.unwrap();

    assert_eq!(
        system["redirect_uri"],
        "https://mail.example.com/mesh/oauth/callback"
    );
    assert_eq!(system["replicas"]["admin"], 1);
    assert!(system["clock_ahead_seconds"].as_f64().unwrap().abs() < 5.0);
    world.finish().await.unwrap();
}
