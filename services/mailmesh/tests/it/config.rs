use std::io::ErrorKind;
use std::net::TcpListener;

use crate::command::{Folder, run};

/// Whoever would be connected to, and can say that nobody came.
fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

#[tokio::test]
async fn a_typo_in_the_file_is_named_before_any_socket_opens() {
    let (listener, port) = listener();
    let folder = Folder::new("config");
    for (text, key) in [
        ("[natss]\nurl = \"x\"", "natss"),
        ("[nats]\nurll = \"x\"", "nats.urll"),
        ("[ops]\nlisten = 7", "ops.listen"),
        ("[admin]\nlisten_on = \"x\"", "admin.listen_on"),
        (
            "[inbound_fetcher]\nchunk_mails = \"many\"",
            "inbound_fetcher.chunk_mails",
        ),
        (
            "[outbound_sender]\nretry_delays = [1]",
            "outbound_sender.retry_delays",
        ),
        ("[telemetry]\nlevel = \"lou=d=er\"", "telemetry.level"),
        ("[postgres]\nurl = ", "TOML"),
    ] {
        let file = folder.write("mailmesh.toml", text);
        let nats = format!("nats://127.0.0.1:{port}");
        let postgres = format!("postgres://u:p@127.0.0.1:{port}/d");
        let variables = [
            ("MAILMESH_NATS__URL", nats.as_str()),
            ("MAILMESH_POSTGRES__URL", postgres.as_str()),
        ];
        for service in ["inbound-fetcher", "admin"] {
            let ended = run(&[service, "--config", &file], &variables).await;
            assert_eq!(ended.code, Some(64), "{text}: {}", ended.output);
            assert!(ended.output.contains(key), "{text}: {}", ended.output);
        }
    }
    let nobody = listener.accept().unwrap_err();
    assert_eq!(nobody.kind(), ErrorKind::WouldBlock);
}

#[tokio::test]
async fn a_typo_in_a_variable_or_a_file_that_is_not_there_is_named() {
    let variables = [("MAILMESH_NATS__ULR", "nats://127.0.0.1:1")];
    let typo = run(&["outbound-sender"], &variables).await;
    let missing = run(&["outbound-sender", "--config", "/nowhere/m.toml"], &[]).await;

    assert_eq!(typo.code, Some(64), "{}", typo.output);
    assert!(
        typo.output.contains("MAILMESH_NATS__ULR"),
        "{}",
        typo.output
    );
    assert_eq!(missing.code, Some(64), "{}", missing.output);
    assert!(
        missing.output.contains("/nowhere/m.toml"),
        "{}",
        missing.output
    );
}

#[tokio::test]
async fn a_secret_in_the_wrong_place_is_not_repeated() {
    let folder = Folder::new("config");
    let text = "[postgres]\nurl = 5\npassword = \"hunter2-planted\"";
    let file = folder.write("mailmesh.toml", text);

    let ended = run(&["migrate", "--config", &file], &[]).await;

    assert_eq!(ended.code, Some(64), "{}", ended.output);
    assert!(!ended.output.contains("hunter2"), "{}", ended.output);
}
