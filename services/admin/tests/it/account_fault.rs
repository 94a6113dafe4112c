//! Bad accounts are refused with the path of the field.

use serde_json::{Value, json};

use crate::world::World;

const PATH: &str = "/v1/accounts";

fn imap() -> Value {
    json!({
        "key": "a",
        "protocol": "imap",
        "login": "a@example.com",
        "client_configuration": "google",
    })
}

fn smtp() -> Value {
    let mut account = imap();
    if let Some(protocol) = account.get_mut("protocol") {
        *protocol = json!("smtp");
    }
    account
}

async fn world() -> anyhow::Result<World> {
    let world = World::new().await?;
    world.google().await?;
    let one_way = json!({
        "key": "one-way", "profile": "google", "client_id": "id", "outbound": false,
    });
    let made = world.post("/v1/client-configurations", one_way).await?;
    made.success()?;
    Ok(world)
}

/// Lays each change over a good account and compares the paths at fault.
async fn refuse(good: Value, cases: &[(Value, &[&str])]) -> anyhow::Result<()> {
    let world = world().await?;
    for (change, paths) in cases {
        let mut body = good.clone();
        if let (Some(body), Some(change)) = (body.as_object_mut(), change.as_object()) {
            body.extend(change.clone());
        }
        let answer = world.post(PATH, body).await?;
        assert_eq!(answer.status, 400, "{change}: {}", answer.text);
        assert_eq!(answer.fields(), *paths, "{change}: {}", answer.text);
    }
    let stored = world.get(PATH).await?;
    assert_eq!(stored.get("accounts"), Some(&json!([])));
    let made = world.post(PATH, good.clone()).await?;
    assert_eq!(made.status, 201, "{}", made.text);
    assert_eq!(world.post(PATH, good).await?.status, 409);
    world.finish().await
}

#[tokio::test]
async fn a_server_that_cannot_be_is_refused() {
    let cases: [(Value, &[&str]); 14] = [
        (json!({"key": "A"}), &["key"]),
        (json!({"protocol": null}), &["protocol"]),
        (json!({"protocol": "jmap"}), &["protocol"]),
        (json!({"protocol": 5}), &["protocol"]),
        (json!({"protocol": ["pop3"]}), &["protocol"]),
        (json!({"protocol": false}), &["protocol"]),
        (json!({"encryption": 1}), &["encryption"]),
        (json!({"host": "https://imap.example.com"}), &["host"]),
        (json!({"port": 0}), &["port"]),
        (json!({"port": 65536}), &["port"]),
        (json!({"port": "993"}), &["port"]),
        (json!({"encryption": "ssl"}), &["encryption"]),
        (json!({"encryption": "none"}), &["encryption"]),
        (
            json!({"ca_pem": "-----BEGIN CERTIFICATE-----"}),
            &["ca_pem"],
        ),
    ];

    refuse(imap(), &cases).await.unwrap();
}

#[tokio::test]
async fn credentials_that_cannot_sign_in_are_refused() {
    let cases: [(Value, &[&str]); 7] = [
        (
            json!({
                "client_configuration": null, "host": "mail.example.com", "encryption": "none",
                "authorisation": "password", "password": "x",
            }),
            &["encryption"],
        ),
        (json!({"login": null}), &["login"]),
        (json!({"authorisation": "basic"}), &["authorisation"]),
        (json!({"password": "x"}), &["password"]),
        (
            json!({"authorisation": "password"}),
            &["client_configuration", "password"],
        ),
        (
            json!({"client_configuration": null}),
            &["host", "client_configuration"],
        ),
        (
            json!({"client_configuration": "none"}),
            &["client_configuration"],
        ),
    ];

    refuse(imap(), &cases).await.unwrap();
}

#[tokio::test]
async fn watching_that_cannot_work_is_refused() {
    let cases: [(Value, &[&str]); 14] = [
        (json!({"folders": []}), &["folders"]),
        (json!({"folders": ["INBOX", "INBOX"]}), &["folders[1]"]),
        (json!({"folders": ["a\r\nb"]}), &["folders[0]"]),
        (
            json!({"poll_interval_seconds": 4}),
            &["poll_interval_seconds"],
        ),
        (json!({"after_receive": "move"}), &["move_to"]),
        (json!({"move_to": "Done"}), &["move_to"]),
        (
            json!({"after_receive": "move", "move_to": "INBOX"}),
            &["move_to"],
        ),
        (
            json!({"from_addresses": ["a@example.com"]}),
            &["from_addresses"],
        ),
        (json!({"direction": "outbound"}), &["direction"]),
        (json!({"delete_after_days": 7}), &["delete_after_days"]),
        (
            json!({"after_receive": "delete", "delete_after_days": 0}),
            &["delete_after_days"],
        ),
        (
            json!({"protocol": "pop3", "host": "pop.example.com", "folders": ["Reports"], "after_receive": "mark_seen"}),
            &["folders", "after_receive"],
        ),
        (json!({"enabled": "yes"}), &["enabled"]),
        (json!({"bcc": 1}), &["bcc"]),
    ];

    refuse(imap(), &cases).await.unwrap();
}

#[tokio::test]
async fn sending_that_cannot_work_is_refused() {
    let cases: [(Value, &[&str]); 8] = [
        (
            json!({"from_addresses": ["a@example.com", "nobody"]}),
            &["from_addresses[1]"],
        ),
        (
            json!({"from_addresses": ["a@example.com, b@example.com"]}),
            &["from_addresses[0]"],
        ),
        (
            json!({"from_addresses": vec!["nobody"; 100_000]}),
            &["from_addresses"],
        ),
        (json!({"from_addresses": []}), &["from_addresses"]),
        (json!({"login": "user"}), &["from_addresses"]),
        (json!({"max_connections": 51}), &["max_connections"]),
        (json!({"folders": ["INBOX"]}), &["folders"]),
        (
            json!({"client_configuration": "one-way"}),
            &["client_configuration"],
        ),
    ];

    refuse(smtp(), &cases).await.unwrap();
}

#[tokio::test]
async fn fields_of_another_type_are_told_in_words_with_all_others() {
    let world = World::new().await.unwrap();
    let account = json!({
        "key": 7, "protocol": 5, "port": "993", "enabled": "yes", "folders": "INBOX", "login": ["a"],
        "authorisation": "none", "host": "no host", "poll_interval_seconds": 1, "colour": "red",
    });

    let refused = world.post("/v1/accounts", account).await.unwrap();

    assert_eq!(
        (refused.status, refused.code()),
        (400, "invalid_request".to_owned())
    );
    let mut fields = refused.fields();
    fields.sort_unstable();
    assert_eq!(
        fields,
        [
            "colour",
            "enabled",
            "folders",
            "host",
            "key",
            "login",
            "poll_interval_seconds",
            "port",
            "protocol"
        ],
        "{}",
        refused.text
    );
    for word in ["invalid type", "integer", "sequence", "i64", " map"] {
        assert!(!refused.text.contains(word), "{word}: {}", refused.text);
    }
    assert!(
        refused.text.contains("must be imap, pop3 or smtp"),
        "{}",
        refused.text
    );
    world.finish().await.unwrap();
}

#[tokio::test]
async fn a_word_that_is_none_of_those_allowed_is_told_with_them() {
    let world = World::new().await.unwrap();
    for (path, body, words) in [
        (
            "/v1/accounts",
            json!({"key": "a", "protocol": "imap", "login": "a@example.com", "authorisation": "password", "password": "p", "encryption": "ssl"}),
            "must be tls, starttls or none, not \\\"ssl\\\"",
        ),
        (
            "/v1/accounts",
            json!({"key": "a", "protocol": "imap", "login": "a@example.com", "authorisation": "password", "password": "p"}),
            "is required: the name of the mail server",
        ),
        (
            "/v1/client-configurations",
            json!({"key": "a", "profile": "gmail", "client_id": "id"}),
            "must be google, google_service_account, microsoft, microsoft_app_only or custom",
        ),
        (
            "/v1/api-keys",
            json!({"name": "a", "role": "root"}),
            "must be administrator, modeller or viewer",
        ),
    ] {
        let refused = world.post(path, body).await.unwrap();

        assert_eq!(refused.status, 400, "{}", refused.text);
        assert!(refused.text.contains(words), "{words}: {}", refused.text);
        for word in ["variant", "expected", "profile knows"] {
            assert!(!refused.text.contains(word), "{word}: {}", refused.text);
        }
    }
    world.finish().await.unwrap();
}
