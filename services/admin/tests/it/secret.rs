use mailmesh_testkit::check_no_secrets;
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::World;

#[tokio::test]
async fn no_secret_comes_out_again() {
    let world = World::new().await.unwrap();
    let planted = "planted-Zr5-secret";
    let client = json!({
        "key": "c", "profile": "custom", "issuer": "https://a.example", "client_id": "id",
        "client_secret": planted,
    });
    let account = json!({
        "key": "a", "protocol": "imap", "host": "mail.example.com", "authorisation": "password",
        "login": "a@example.com", "password": planted,
    });
    let mut answers = Vec::new();

    for (method, path, body) in [
        (Method::POST, "/v1/client-configurations", client.clone()),
        (Method::POST, "/v1/client-configurations", client),
        (Method::POST, "/v1/accounts", account.clone()),
        (Method::POST, "/v1/accounts", account),
        (
            Method::PATCH,
            "/v1/accounts/a",
            json!({"password": planted, "port": 0}),
        ),
        (
            Method::PATCH,
            "/v1/accounts/a",
            json!({"password": {"x": planted}}),
        ),
        (
            Method::PATCH,
            "/v1/client-configurations/c",
            json!({"client_secret": [planted]}),
        ),
        (Method::GET, "/v1/client-configurations", Value::Null),
        (Method::GET, "/v1/client-configurations/c", Value::Null),
        (Method::GET, "/v1/accounts", Value::Null),
        (Method::GET, "/v1/accounts/a", Value::Null),
        (Method::GET, "/v1/api-keys", Value::Null),
        (Method::GET, "/v1/system", Value::Null),
        (Method::GET, "/", Value::Null),
    ] {
        answers.push(world.call(method, path, &body).await.unwrap());
    }

    let secrets = [("the planted secret".to_owned(), planted.to_owned())];
    for answer in answers {
        check_no_secrets(&secrets, [("an answer", &answer.text)]).unwrap();
        assert!(
            !answer.text.contains("mm_") || answer.headers["content-type"] != "application/json"
        );
    }
    world.finish().await.unwrap();
}
