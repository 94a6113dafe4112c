use mailmesh_domain::{AccountId, ClientConfigurationId, Epoch, GrantId, Key, SystemClock};
use mailmesh_events::account::AccountChanged;
use mailmesh_store::grant::{self, Grant};
use mailmesh_store::mailbox::{self, Cursor};
use mailmesh_store::{account, client_configuration};
use reqwest::Method;
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use crate::world::World;

const PATH: &str = "/v1/accounts";

#[tokio::test]
async fn profile_and_protocol_fill_in_what_is_left_out() {
    let world = World::new().await.unwrap();
    world.google().await.unwrap();

    let inbound = world.account("in", "imap").await.unwrap();
    let outbound = world.account("out", "smtp").await.unwrap();

    let id = inbound["id"].as_str().unwrap();
    id.parse::<AccountId>().unwrap();
    assert_eq!(inbound["host"], "imap.gmail.com");
    assert_eq!(
        (&inbound["port"], &inbound["encryption"]),
        (&json!(993), &json!("tls"))
    );
    assert_eq!(inbound["folders"], json!(["INBOX"]));
    assert_eq!(inbound["poll_interval_seconds"], 60);
    assert_eq!(inbound["after_receive"], "keep");
    assert_eq!(
        (&inbound["state"], &inbound["sign_in_needed"]),
        (&json!("sign_in_needed"), &json!(true))
    );
    assert_eq!(
        (&inbound["grant"], &inbound["problem"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(outbound["from_addresses"], json!(["support@example.com"]));
    assert_eq!(
        (&outbound["port"], &outbound["max_connections"]),
        (&json!(465), &json!(4))
    );
    assert_eq!(world.get("/v1/accounts/in").await.unwrap(), inbound);
    assert_eq!(
        world.get(PATH).await.unwrap()["accounts"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    world.finish().await.unwrap();
}

#[tokio::test]
async fn direction_and_days_on_the_server_are_taken_as_given() {
    let world = World::new().await.unwrap();
    let account = json!({
        "key": "in", "protocol": "pop3", "direction": "inbound", "host": "pop.example.com",
        "authorisation": "password", "login": "a@example.com", "password": "x",
        "after_receive": "delete", "delete_after_days": 7,
    });

    let made = world.post(PATH, account).await.unwrap().success().unwrap();
    let kept = json!({"direction": "inbound", "poll_interval_seconds": 30});
    let patched = world.patch("/v1/accounts/in", kept).await.unwrap();
    let outbound = json!({"direction": "outbound"});
    let refused = world.patch("/v1/accounts/in", outbound).await.unwrap();
    let keep = json!({"after_receive": "keep"});
    let kept = world.patch("/v1/accounts/in", keep).await.unwrap();

    assert_eq!(
        (&made["direction"], &made["folders"], &made["port"]),
        (&json!("inbound"), &json!(["INBOX"]), &json!(995))
    );
    assert_eq!(patched.success().unwrap()["delete_after_days"], 7);
    assert_eq!(refused.fields(), ["direction"]);
    assert_eq!(kept.success().unwrap()["delete_after_days"], Value::Null);
    world.finish().await.unwrap();
}

#[tokio::test]
async fn a_port_is_taken_at_its_usual_meaning() {
    let world = World::new().await.unwrap();
    world.base.beat_services().await.unwrap();
    for (index, (protocol, port, encryption)) in [
        ("imap", 143, "starttls"),
        ("imap", 10_993, "tls"),
        ("smtp", 587, "starttls"),
        ("smtp", 2465, "tls"),
    ]
    .into_iter()
    .enumerate()
    {
        let account = json!({
            "key": format!("a{index}"), "protocol": protocol, "host": "mail.example.com", "port": port,
            "authorisation": "password", "login": "a@example.com", "password": "x",
        });
        let made = world.post(PATH, account).await.unwrap().success().unwrap();
        assert_eq!(made["encryption"], encryption, "{protocol} {port}");
        assert_eq!(
            (&made["state"], &made["has_password"]),
            (&json!("unproved"), &json!(true))
        );
    }
    world.finish().await.unwrap();
}

#[tokio::test]
async fn each_change_is_told_on_the_bus() {
    let world = World::new().await.unwrap();
    let mut hints = world
        .base
        .bus
        .subscribe("account.changed", None)
        .await
        .unwrap();
    world.google().await.unwrap();

    world.account("in", "imap").await.unwrap();
    let patch = world
        .patch("/v1/accounts/in", json!({"enabled": false}))
        .await
        .unwrap();
    let deleted = world.delete("/v1/accounts/in").await.unwrap();

    assert_eq!(patch.success().unwrap()["enabled"], false);
    assert_eq!(deleted.status, 204);
    for is_deleted in [false, false, true] {
        let limit = std::time::Duration::from_secs(20);
        let hint = tokio::time::timeout(limit, hints.next())
            .await
            .unwrap()
            .unwrap();
        let event: AccountChanged = serde_json::from_slice(&hint.payload).unwrap();
        assert_eq!(
            (event.account.as_str(), event.is_deleted),
            ("in", is_deleted)
        );
    }
    assert_eq!(world.delete("/v1/accounts/in").await.unwrap().status, 404);
    world.finish().await.unwrap();
}

/// Gives the account a grant, as a sign-in would.
pub(crate) async fn sign_in(
    world: &World,
    account_key: &str,
) -> anyhow::Result<(AccountId, GrantId)> {
    let now = OffsetDateTime::UNIX_EPOCH + Duration::days(20_000);
    let mut tx = world.base.begin().await?;
    let row = account::find_by_key(&mut tx, &Key::try_new(account_key)?).await?;
    let row = row.ok_or_else(|| anyhow::anyhow!("no account"))?;
    let client = row
        .client_configuration_id
        .unwrap_or(ClientConfigurationId::generate(&SystemClock));
    let id = GrantId::generate(&SystemClock);
    let grant = Grant {
        access_expires_at: now,
        refresh_due_at: now,
        ..world
            .base
            .grant_row(id, client, &row.login, "planted-access-token")?
    };
    grant::save_sign_in(&mut tx, &grant, now).await?;
    account::attach_grant(&mut tx, row.id, id, now).await?;
    tx.commit().await?;
    Ok((row.id, id))
}

#[tokio::test]
async fn a_second_account_of_a_mailbox_needs_no_second_sign_in() {
    let world = World::new().await.unwrap();
    world.google().await.unwrap();
    world.account("in", "imap").await.unwrap();
    let (_, grant) = sign_in(&world, "in").await.unwrap();
    world.base.beat_services().await.unwrap();

    let out = world.account("out", "smtp").await.unwrap();
    let renamed = world
        .patch("/v1/accounts/out", json!({"name": "Out"}))
        .await
        .unwrap();
    let other = world
        .patch("/v1/accounts/out", json!({"login": "other@example.com"}))
        .await
        .unwrap();

    assert_eq!(out["grant"]["id"], grant.to_string());
    assert_eq!(
        (&out["state"], &out["sign_in_needed"]),
        (&json!("unproved"), &json!(false))
    );
    assert_eq!(renamed.success().unwrap()["grant"]["id"], grant.to_string());
    let other = other.success().unwrap();
    assert_eq!(
        (&other["grant"], &other["sign_in_needed"]),
        (&Value::Null, &json!(true))
    );
    assert_eq!(other["from_addresses"], json!(["other@example.com"]));
    world.finish().await.unwrap();
}

#[tokio::test]
async fn the_last_account_of_a_grant_takes_it_along() {
    let world = World::new().await.unwrap();
    world.google().await.unwrap();
    world.account("in", "imap").await.unwrap();
    let (_, id) = sign_in(&world, "in").await.unwrap();
    world.account("out", "smtp").await.unwrap();
    let count = async || {
        let mut tx = world.base.begin().await.unwrap();
        grant::list_by_ids(&mut tx, &[id]).await.unwrap().len()
    };

    world
        .delete("/v1/accounts/in")
        .await
        .unwrap()
        .success()
        .unwrap();
    let while_used = count().await;
    world
        .delete("/v1/accounts/out")
        .await
        .unwrap()
        .success()
        .unwrap();

    assert_eq!((while_used, count().await), (1, 0));
    world.finish().await.unwrap();
}

#[tokio::test]
async fn what_may_be_another_mailbox_is_read_from_its_beginning() {
    let world = World::new().await.unwrap();
    world.google().await.unwrap();
    world.account("in", "imap").await.unwrap();
    let mut tx = world.base.begin().await.unwrap();
    let key = Key::try_new("in").unwrap();
    let id = account::find_by_key(&mut tx, &key)
        .await
        .unwrap()
        .unwrap()
        .id;
    let now = OffsetDateTime::UNIX_EPOCH;
    let cursor = Cursor {
        account_id: id,
        folder: "INBOX".to_owned(),
        epoch: Epoch::of_uid_validity(7),
        ordinal: 42,
        activated_at: now,
        rescan_until: None,
        newest: None,
    };
    mailbox::activate(&mut tx, &cursor).await.unwrap();
    tx.commit().await.unwrap();
    let is_void = async || {
        let mut tx = world.base.begin().await.unwrap();
        let cursors = mailbox::list_cursors(&mut tx, &[id]).await.unwrap();
        assert_eq!((cursors.len(), cursors[0].activated_at), (1, now));
        cursors[0].epoch.is_void()
    };
    let change = async |change| {
        let answer = world.patch("/v1/accounts/in", change).await.unwrap();
        answer.success().unwrap();
    };

    change(json!({"poll_interval_seconds": 30})).await;
    let same_mailbox = is_void().await;
    change(json!({"login": "SUPPORT@example.com"})).await;
    let same_login = is_void().await;
    change(json!({"host": "imap.googlemail.com"})).await;

    assert!(!same_mailbox && !same_login && is_void().await);
    world.finish().await.unwrap();
}

#[tokio::test]
async fn a_patch_keeps_the_password_until_it_is_named() {
    let world = World::new().await.unwrap();
    let account = json!({
        "key": "a", "protocol": "imap", "host": "localhost", "encryption": "none",
        "authorisation": "password", "login": "a", "password": "first",
    });
    world.post(PATH, account).await.unwrap().success().unwrap();
    let stored = async || {
        let mut tx = world.base.begin().await.unwrap();
        let key = Key::try_new("a").unwrap();
        let rows = account::list(&mut tx).await.unwrap();
        let row = rows.iter().find(|row| row.key == key).unwrap();
        let context = account::Account::password_context(row.id);
        let sealed = row.password.sealed().unwrap();
        let plain = world.base.keys.open(sealed, &context).unwrap();
        mailmesh_secrets::ExposeSecret::expose_secret(&plain).to_owned()
    };

    let path = "/v1/accounts/a";
    let kept = world
        .patch(path, json!({"name": "A"}))
        .await
        .unwrap()
        .success()
        .unwrap();
    let first = stored().await;
    world
        .patch(path, json!({"password": "second"}))
        .await
        .unwrap()
        .success()
        .unwrap();
    let second = stored().await;
    let cleared = world.patch(path, json!({"password": null})).await.unwrap();
    let without = world
        .patch(path, json!({"authorisation": "none"}))
        .await
        .unwrap();
    let fixed = world
        .patch(path, json!({"protocol": "smtp"}))
        .await
        .unwrap();

    assert_eq!(
        (kept["has_password"].clone(), first),
        (json!(true), "first".to_owned())
    );
    assert_eq!(second, "second");
    assert_eq!(cleared.fields(), ["password"]);
    assert_eq!(without.success().unwrap()["has_password"], false);
    assert_eq!(fixed.fields()[0], "protocol");
    world.finish().await.unwrap();
}

#[tokio::test]
async fn a_refused_grant_is_told_with_what_to_do() {
    let world = World::new().await.unwrap();
    world.google().await.unwrap();
    world.account("in", "imap").await.unwrap();
    let mut tx = world.base.begin().await.unwrap();
    let key = Key::try_new("google").unwrap();
    let client = client_configuration::find_by_key(&mut tx, &key)
        .await
        .unwrap()
        .unwrap();
    let problem =
        mailmesh_events::Problem::new("no such client", mailmesh_domain::FailureCause::Unknown);
    client_configuration::set_refusal(&mut tx, client.id, Some(&problem))
        .await
        .unwrap();
    tx.commit().await.unwrap();

    let shown = world.get("/v1/client-configurations/google").await.unwrap();

    assert_eq!(shown["refusal"]["what"], "no such client");
    assert!(shown["refusal"]["action"].is_string());
    world.finish().await.unwrap();
}

#[tokio::test]
async fn accounts_come_in_pages() {
    let world = World::new().await.unwrap();
    world.google().await.unwrap();
    for key in ["c", "a", "e", "b", "d"] {
        world.account(key, "imap").await.unwrap();
    }

    let mut pages: Vec<Vec<String>> = Vec::new();
    let mut after = String::new();
    loop {
        let page = world.get(&format!("{PATH}?limit=2&after={after}")).await;
        let page = page.unwrap();
        let keys = page["accounts"].as_array().unwrap().iter();
        pages.push(
            keys.map(|one| one["key"].as_str().unwrap().to_owned())
                .collect(),
        );
        let Some(next) = page["next_after"].as_str() else {
            break;
        };
        after = next.to_owned();
    }
    let whole = world.get(PATH).await.unwrap();
    let wrong = format!("{PATH}?limit=0&before=a");
    let wrong = world.call(Method::GET, &wrong, &Value::Null).await.unwrap();

    assert_eq!(pages, [vec!["a", "b"], vec!["c", "d"], vec!["e"]]);
    assert_eq!(whole["accounts"].as_array().map(Vec::len), Some(5));
    assert_eq!(whole["next_after"], Value::Null);
    assert_eq!(
        (wrong.status, wrong.fields()),
        (400, vec!["limit".to_owned(), "before".to_owned()])
    );
    world.finish().await.unwrap();
}
