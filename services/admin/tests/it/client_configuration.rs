use serde_json::{Value, json};

use crate::world::World;

const PATH: &str = "/v1/client-configurations";

#[tokio::test]
async fn a_profile_fills_in_what_is_left_out() {
    let world = World::new().await.unwrap();

    let made = world.google().await.unwrap();
    let microsoft = json!({
        "key": "ms", "profile": "microsoft", "client_id": "id",
        "base_url": "https://login.microsoftonline.com/contoso.com/",
    });
    let microsoft = world
        .post(PATH, microsoft)
        .await
        .unwrap()
        .success()
        .unwrap();

    assert_eq!(
        made["scopes"],
        json!(["openid", "email", "https://mail.google.com/"])
    );
    assert_eq!(
        made["redirect_uri"],
        "https://mail.example.com/mesh/oauth/callback"
    );
    assert_eq!(made["has_client_secret"], true);
    assert!(made.get("client_secret").is_none());
    assert_eq!(
        (&made["inbound"], &made["outbound"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(
        microsoft["base_url"],
        "https://login.microsoftonline.com/contoso.com/"
    );
    let scopes = microsoft["scopes"].to_string();
    assert!(
        scopes.contains("IMAP.AccessAsUser.All") && scopes.contains("SMTP.Send"),
        "{scopes}"
    );
    assert_eq!(world.get(&format!("{PATH}/google")).await.unwrap(), made);
    let listed = world.get(PATH).await.unwrap();
    assert_eq!(listed["client_configurations"].as_array().unwrap().len(), 2);
    world.finish().await.unwrap();
}

#[tokio::test]
async fn a_placeholder_of_the_documentation_is_no_value() {
    let world = World::new().await.unwrap();
    let good = json!({"key": "c", "profile": "microsoft", "client_id": "id"});
    for (field, value) in [
        ("client_id", "…"),
        ("client_id", "<client id>"),
        ("client_secret", "…"),
        ("base_url", "https://login.microsoftonline.com/<tenant>/"),
        ("base_url", "https://login.microsoftonline.com/{tenant}/"),
        ("token_url", "https://idp.example.com/…/token"),
    ] {
        let mut body = good.clone();
        body[field] = json!(value);
        if field == "token_url" {
            body["authorize_url"] = json!("https://idp.example.com/authorize");
        }

        let refused = world.post(PATH, body).await.unwrap();

        let path = if field == "base_url" { "issuer" } else { field };
        assert_eq!(refused.fields(), [path], "{value}: {}", refused.text);
        assert!(refused.text.contains("placeholder"), "{}", refused.text);
    }
    world.finish().await.unwrap();
}

#[tokio::test]
async fn each_fault_is_named_by_its_path() {
    let world = World::new().await.unwrap();
    let good =
        json!({"key": "c", "profile": "custom", "client_id": "id", "issuer": "https://a.example"});
    let cases: [(Value, &[&str]); 20] = [
        (json!({"key": "No Key"}), &["key"]),
        (json!({"key": null}), &["key"]),
        (json!({"profile": "gmail"}), &["profile"]),
        (json!({"profile": null}), &["profile"]),
        (json!({"client_id": ""}), &["client_id"]),
        (json!({"client_id": 7}), &["client_id"]),
        (json!({"client_secret": ["x"]}), &["client_secret"]),
        (json!({"issuer": "http://a.example"}), &["issuer"]),
        (json!({"issuer": null}), &["issuer"]),
        (
            json!({"issuer": null, "token_url": "https://a.example/t"}),
            &["authorize_url"],
        ),
        (
            json!({"userinfo_url": "ftp://a.example"}),
            &["userinfo_url"],
        ),
        (json!({"scopes": vec!["a b"; 100_000]}), &["scopes"]),
        (
            json!({"extra_authorize_parameters": parameters(51)}),
            &["extra_authorize_parameters"],
        ),
        (json!({"scopes": ["a b"]}), &["scopes[0]"]),
        (json!({"scopes": ["a", 1]}), &["scopes[1]"]),
        (
            json!({"token_endpoint_auth": "client_secret_post"}),
            &["client_secret"],
        ),
        (
            json!({"extra_authorize_parameters": {"state": "x"}}),
            &["extra_authorize_parameters.state"],
        ),
        (json!({"ca_pem": "not PEM"}), &["ca_pem"]),
        (json!({"inbound": false, "outbound": false}), &["inbound"]),
        (json!({"clientid": "x"}), &["clientid"]),
    ];

    for (change, paths) in cases {
        let mut body = good.clone();
        body.as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        let answer = world.post(PATH, body).await.unwrap();
        assert_eq!(answer.status, 400, "{change}: {}", answer.text);
        assert_eq!(answer.fields(), paths, "{change}: {}", answer.text);
    }
    let several = world.post(PATH, json!({})).await.unwrap();
    assert_eq!(several.fields(), ["key", "profile", "client_id", "issuer"]);
    assert!(world.post(PATH, good).await.unwrap().success().is_ok());
    world.finish().await.unwrap();
}

#[tokio::test]
async fn a_patch_changes_what_it_names_and_null_clears() {
    let world = World::new().await.unwrap();
    let before = world.google().await.unwrap();
    let path = format!("{PATH}/google");

    let named = world
        .patch(&path, json!({"name": "Sales", "identity_claim": "upn"}))
        .await;
    let named = named.unwrap().success().unwrap();
    let cleared = json!({"client_secret": null, "identity_claim": null, "name": null});
    let cleared = world
        .patch(&path, cleared)
        .await
        .unwrap()
        .success()
        .unwrap();
    let key = world.patch(&path, json!({"key": "other"})).await.unwrap();
    let missing = world
        .patch(&format!("{PATH}/none"), json!({}))
        .await
        .unwrap();

    assert_eq!(
        (&named["name"], &named["identity_claim"]),
        (&json!("Sales"), &json!("upn"))
    );
    assert_eq!(named["has_client_secret"], true);
    assert_eq!(named["scopes"], before["scopes"]);
    assert_eq!(cleared["has_client_secret"], false);
    assert_eq!(
        (&cleared["name"], &cleared["identity_claim"]),
        (&json!("google"), &Value::Null)
    );
    assert_eq!(key.fields(), ["key"]);
    assert_eq!(missing.status, 404);
    world.finish().await.unwrap();
}

#[tokio::test]
async fn what_accounts_use_is_neither_deleted_nor_turned_off() {
    let world = World::new().await.unwrap();
    world.google().await.unwrap();
    world.account("support", "imap").await.unwrap();
    let path = format!("{PATH}/google");

    let twice = world.google().await.unwrap_err().to_string();
    let off = world.patch(&path, json!({"inbound": false})).await.unwrap();
    let used = world.delete(&path).await.unwrap();
    let shown = world.get(&path).await.unwrap();
    world
        .delete("/v1/accounts/support")
        .await
        .unwrap()
        .success()
        .unwrap();
    let deleted = world.delete(&path).await.unwrap();

    assert!(twice.starts_with("409"), "{twice}");
    assert_eq!(off.status, 409);
    assert_eq!(used.status, 409);
    assert!(used.text.contains("support"), "{}", used.text);
    assert_eq!(shown["accounts"], 1);
    assert_eq!(
        (deleted.status, world.delete(&path).await.unwrap().status),
        (204, 404)
    );
    world.finish().await.unwrap();
}

#[tokio::test]
async fn one_client_configuration_alone_has_the_redirect_uri_without_a_key() {
    let world = World::new().await.unwrap();
    let client = |key: &str, own: Value| {
        json!({
            "key": key, "profile": "google", "client_id": "id", "client_secret": "s", "own_redirect_uri": own,
        })
    };
    let path = "/v1/client-configurations";
    let make = async |key: &str, own: Value| {
        let made = world.post(path, client(key, own)).await.unwrap();
        made.success().unwrap()["redirect_uri"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let base = "https://mail.example.com/mesh/oauth/callback";

    assert_eq!(make("named", json!(true)).await, format!("{base}/named"));
    assert_eq!(make("first", Value::Null).await, base);
    assert_eq!(make("second", Value::Null).await, format!("{base}/second"));
    let taken = world
        .post(path, client("third", json!(false)))
        .await
        .unwrap();
    assert_eq!(taken.fields(), ["own_redirect_uri"], "{}", taken.text);
    let moved = world
        .patch(&format!("{path}/first"), json!({"own_redirect_uri": true}))
        .await
        .unwrap();
    assert_eq!(
        moved.success().unwrap()["redirect_uri"],
        format!("{base}/first")
    );
    let freed = world
        .patch(
            &format!("{path}/second"),
            json!({"own_redirect_uri": false}),
        )
        .await
        .unwrap();
    assert_eq!(freed.success().unwrap()["redirect_uri"], base);
    world.finish().await.unwrap();
}

fn parameters(count: usize) -> Value {
    let each = (0..count).map(|number| (format!("p{number}"), json!("x")));
    Value::Object(each.collect())
}
