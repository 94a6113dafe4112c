use std::net::TcpListener;

use mailmesh_secrets::ExposeSecret;
use mailmesh_testkit::{TestServers, fresh_prefix};

use crate::command::{Ended, Folder, run};

/// Settings under which a service would start.
async fn good(folder: &Folder, migrated: bool) -> Vec<(&'static str, String)> {
    let servers = TestServers::shared().await.unwrap();
    let database = if migrated {
        servers.fresh_database().await
    } else {
        servers.empty_database().await
    };
    let keys = folder.path().join("keys");
    let made = run(&["keys", "--out", keys.to_str().unwrap()], &[]).await;
    assert_eq!(made.code, Some(0), "{}", made.output);
    let key = |name: &str| keys.join(name).to_str().unwrap().to_owned();
    let small = (1024 * 1024).to_string();
    vec![
        ("MAILMESH_NATS__URL", servers.nats_url().to_owned()),
        ("MAILMESH_NATS__PREFIX", fresh_prefix()),
        // The server sets their room aside at once, and all tests share it.
        ("MAILMESH_NATS__STREAMS__EVENTS_MAX_BYTES", small.clone()),
        ("MAILMESH_NATS__STREAMS__MAIL_SEND_MAX_BYTES", small.clone()),
        ("MAILMESH_NATS__STREAMS__RAW_MAX_BYTES", small.clone()),
        ("MAILMESH_NATS__STREAMS__DEAD_LETTERS_MAX_BYTES", small),
        (
            "MAILMESH_POSTGRES__URL",
            database.unwrap().expose_secret().to_owned(),
        ),
        ("MAILMESH_KEYS__OPENING_KEY_FILE", key("opening.key")),
        ("MAILMESH_KEYS__SEALING_KEY_FILE", key("sealing.key")),
        ("MAILMESH_PUBLIC__URL", "http://localhost:1".to_owned()),
        ("MAILMESH_OPS__LISTEN", "127.0.0.1:0".to_owned()),
        ("MAILMESH_ADMIN__LISTEN", "127.0.0.1:0".to_owned()),
        ("MAILMESH_AUTH_CALLBACK__LISTEN", "127.0.0.1:0".to_owned()),
    ]
}

async fn run_with(
    service: &str,
    mut variables: Vec<(&'static str, String)>,
    change: (&'static str, String),
) -> Ended {
    variables.retain(|(name, _)| *name != change.0);
    variables.push(change);
    let variables: Vec<(&str, &str)> = variables
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    run(&[service], &variables).await
}

#[tokio::test]
async fn a_port_in_use_is_named_with_the_setting_that_changes_it() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (service, setting, name) in [
        ("admin", "MAILMESH_ADMIN__LISTEN", "admin.listen"),
        (
            "auth-callback",
            "MAILMESH_AUTH_CALLBACK__LISTEN",
            "auth_callback.listen",
        ),
        ("token-refresh", "MAILMESH_OPS__LISTEN", "ops.listen"),
    ] {
        let folder = Folder::new("start");
        let settings = good(&folder, true).await;

        let ended = run_with(service, settings, (setting, address.clone())).await;

        assert_eq!(ended.code, Some(69), "{}", ended.output);
        assert!(ended.output.contains(name), "{}", ended.output);
        assert!(ended.output.contains(&address), "{}", ended.output);
    }
}

#[tokio::test]
async fn a_database_that_lacks_migrations_is_refused_with_the_command_to_run() {
    let folder = Folder::new("start");
    let settings = good(&folder, false).await;
    let listen = ("MAILMESH_OPS__LISTEN", "127.0.0.1:0".to_owned());

    let refused = run_with("inbound-fetcher", settings.clone(), listen.clone()).await;
    let migrated = run_with("migrate", settings.clone(), listen.clone()).await;
    let again = run_with("migrate", settings, listen).await;

    assert_eq!(refused.code, Some(69), "{}", refused.output);
    assert!(
        refused.output.contains("mailmesh migrate"),
        "{}",
        refused.output
    );
    assert_eq!(migrated.code, Some(0), "{}", migrated.output);
    assert_eq!(again.code, Some(0), "{}", again.output);
}

#[tokio::test]
async fn servers_that_do_not_answer_are_named() {
    let folder = Folder::new("start");
    let settings = good(&folder, true).await;
    let mut impatient = settings.clone();
    impatient.push(("MAILMESH_NATS__CONNECT_WAIT_SECONDS", "1".to_owned()));
    let nats = ("MAILMESH_NATS__URL", "nats://127.0.0.1:1".to_owned());
    let password = "planted-database-password";
    let url = format!("postgres://u:{password}@127.0.0.1:1/d");
    let postgres = ("MAILMESH_POSTGRES__URL", url);

    let without_nats = run_with("token-refresh", impatient, nats).await;
    let without_postgres = run_with("token-refresh", settings, postgres).await;

    assert_eq!(without_nats.code, Some(69), "{}", without_nats.output);
    assert!(
        without_nats.output.contains("NATS"),
        "{}",
        without_nats.output
    );
    assert_eq!(
        without_postgres.code,
        Some(69),
        "{}",
        without_postgres.output
    );
    assert!(
        without_postgres.output.contains("Postgres"),
        "{}",
        without_postgres.output
    );
    assert!(!without_postgres.output.contains(password));
}

#[tokio::test]
async fn a_service_without_its_key_says_how_to_make_one() {
    let folder = Folder::new("start");
    let settings = good(&folder, true).await;
    let missing = ("MAILMESH_KEYS__OPENING_KEY_FILE", "/nowhere/key".to_owned());

    let ended = run_with("outbound-sender", settings, missing).await;

    assert_eq!(ended.code, Some(64), "{}", ended.output);
    assert!(
        ended.output.contains("keys.opening_key_file"),
        "{}",
        ended.output
    );
    assert!(ended.output.contains("/nowhere/key"), "{}", ended.output);
}
