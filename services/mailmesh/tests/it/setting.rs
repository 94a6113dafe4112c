//! Settings that are well-formed and cannot work.

use std::io::ErrorKind;
use std::net::TcpListener;

use crate::command::{Folder, run};

/// Runs a service whose servers would be found here, and makes sure that it did not look for them.
async fn refused(service: &str, changes: &[(&str, &str)]) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let folder = Folder::new("setting");
    let keys = folder.path().join("keys");
    let made = run(&["keys", "--out", keys.to_str().unwrap()], &[]).await;
    assert_eq!(made.code, Some(0), "{}", made.output);
    let key = |name: &str| keys.join(name).to_str().unwrap().to_owned();
    let good = [
        ("MAILMESH_NATS__URL", format!("nats://127.0.0.1:{port}")),
        (
            "MAILMESH_POSTGRES__URL",
            format!("postgres://u:p@127.0.0.1:{port}/d"),
        ),
        ("MAILMESH_KEYS__OPENING_KEY_FILE", key("opening.key")),
        ("MAILMESH_KEYS__SEALING_KEY_FILE", key("sealing.key")),
        ("MAILMESH_PUBLIC__URL", "http://localhost:8026".to_owned()),
        ("MAILMESH_OPS__LISTEN", format!("127.0.0.1:{port}")),
    ];
    let mut variables: Vec<(&str, &str)> = good
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .filter(|(name, _)| !changes.contains(&(name, "")))
        .collect();
    variables.extend(changes.iter().filter(|(_, value)| !value.is_empty()));

    let ended = run(&[service], &variables).await;

    assert_eq!(ended.code, Some(64), "{changes:?}: {}", ended.output);
    let nobody = listener.accept().unwrap_err();
    assert_eq!(nobody.kind(), ErrorKind::WouldBlock, "{changes:?}");
    ended.output
}

#[tokio::test]
async fn a_value_out_of_its_range_is_named_before_any_socket_opens() {
    for (service, variable, value, key) in [
        (
            "token-refresh",
            "MAILMESH_TOKEN_REFRESH__POLL_SECONDS",
            "60",
            "token_refresh.poll_seconds",
        ),
        (
            "inbound-fetcher",
            "MAILMESH_INBOUND_FETCHER__CHUNK_MAILS",
            "0",
            "inbound_fetcher.chunk_mails",
        ),
        (
            "outbound-sender",
            "MAILMESH_OUTBOUND_SENDER__MAX_RECIPIENTS",
            "0",
            "outbound_sender.max_recipients",
        ),
        ("admin", "MAILMESH_NATS__PREFIX", "A.B", "nats.prefix"),
        (
            "up",
            "MAILMESH_TOKEN_REFRESH__POLL_SECONDS",
            "60",
            "token_refresh.poll_seconds",
        ),
    ] {
        let output = refused(service, &[(variable, value)]).await;
        assert!(output.contains(key), "{output}");
    }
}

#[tokio::test]
async fn what_is_not_set_is_named_before_any_socket_opens() {
    for (service, variable, key) in [
        ("outbound-sender", "MAILMESH_POSTGRES__URL", "postgres.url"),
        ("admin", "MAILMESH_PUBLIC__URL", "public.url"),
        ("token-refresh", "MAILMESH_PUBLIC__URL", "public.url"),
        (
            "admin",
            "MAILMESH_KEYS__SEALING_KEY_FILE",
            "keys.sealing_key_file",
        ),
        (
            "inbound-fetcher",
            "MAILMESH_KEYS__OPENING_KEY_FILE",
            "keys.opening_key_file",
        ),
    ] {
        let output = refused(service, &[(variable, "")]).await;
        assert!(output.contains(key), "{output}");
        assert!(output.contains(variable), "{output}");
    }
}

#[tokio::test]
async fn another_services_section_stops_no_service() {
    let other = [
        ("MAILMESH_TOKEN_REFRESH__POLL_SECONDS", "60"),
        ("MAILMESH_INBOUND_FETCHER__CHUNK_MAILS", "0"),
    ];

    let output = refused("inbound-fetcher", &other).await;

    assert!(!output.contains("token_refresh"), "{output}");
}
