use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use mailmesh_embedded::{EmbeddedError, Nats, NatsOptions, Silent, find_nats};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::scratch::{Scratch, locator};

async fn start(scratch: &Scratch) -> anyhow::Result<Nats> {
    let binary = find_nats(&locator(), &Silent).await?;
    Ok(Nats::start(binary, NatsOptions::new(scratch.path())).await?)
}

/// Sends one request and returns the reply's payload.
async fn request(nats: &Nats, subject: &str, payload: &str) -> anyhow::Result<String> {
    request_as(nats, "", subject, payload).await
}

/// As [`request`], with more in what the client says of itself.
async fn request_as(
    nats: &Nats,
    login: &str,
    subject: &str,
    payload: &str,
) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", nats.port())).await?;
    let length = payload.len();
    let text = format!(
        "CONNECT {{\"verbose\":false{login}}}\r\nSUB inbox 1\r\nPUB {subject} inbox {length}\r\n{payload}\r\n"
    );
    stream.write_all(text.as_bytes()).await?;
    let mut lines = BufReader::new(stream).lines();
    let reply = async {
        while let Some(line) = lines.next_line().await? {
            if line.starts_with("MSG inbox ") {
                return Ok(lines.next_line().await?.unwrap_or_default());
            }
        }
        anyhow::bail!("the connection was closed")
    };
    tokio::time::timeout(Duration::from_secs(10), reply).await?
}

async fn create_stream_with_one_message(nats: &Nats) -> anyhow::Result<()> {
    let config = r#"{"name":"KEPT","subjects":["kept.>"],"storage":"file"}"#;
    let created = request(nats, "$JS.API.STREAM.CREATE.KEPT", config).await?;
    anyhow::ensure!(created.contains("\"did_create\":true"), "{created}");
    let stored = request(nats, "kept.one", "hello").await?;
    anyhow::ensure!(stored.contains("\"seq\":1"), "{stored}");
    Ok(())
}

async fn has_the_message(nats: &Nats) -> anyhow::Result<bool> {
    let info = request(nats, "$JS.API.STREAM.INFO.KEPT", "").await?;
    Ok(info.contains("\"messages\":1"))
}

#[tokio::test]
async fn acknowledged_messages_and_the_url_survive_a_kill() {
    let scratch = Scratch::new().unwrap();
    let mut nats = start(&scratch).await.unwrap();
    create_stream_with_one_message(&nats).await.unwrap();
    let (url, pid) = (nats.url(), nats.pid());

    nats.kill().await;
    nats.restart().await.unwrap();

    assert_eq!(nats.url(), url);
    assert_ne!(nats.pid(), pid);
    assert!(has_the_message(&nats).await.unwrap());
}

#[tokio::test]
async fn a_stopped_server_comes_back_on_its_port_with_its_data() {
    let scratch = Scratch::new().unwrap();
    let mut nats = start(&scratch).await.unwrap();
    create_stream_with_one_message(&nats).await.unwrap();
    let url = nats.url();
    nats.stop().await;
    drop(nats);

    let again = start(&scratch).await.unwrap();

    assert_eq!(again.url(), url);
    assert!(has_the_message(&again).await.unwrap());
}

#[tokio::test]
async fn streams_of_a_folder_without_accounts_move_to_the_account_once() {
    let scratch = Scratch::new().unwrap();
    let mut nats = start(&scratch).await.unwrap();
    create_stream_with_one_message(&nats).await.unwrap();
    nats.stop().await;
    drop(nats);
    let mut options = NatsOptions::new(scratch.path());
    options.account = Some("KEEPER".to_owned());
    options.extra_config =
        "accounts { KEEPER: { jetstream: enabled, users: [{ user: a, password: b }] } }\n"
            .to_owned();
    let binary = find_nats(&locator(), &Silent).await.unwrap();

    let mut nats = Nats::start(binary, options).await.unwrap();
    let login = ",\"user\":\"a\",\"pass\":\"b\"";
    let info = async |nats: &Nats| request_as(nats, login, "$JS.API.STREAM.INFO.KEPT", "").await;
    assert!(info(&nats).await.unwrap().contains("\"messages\":1"));
    let stored = request_as(&nats, login, "kept.two", "hello").await;
    assert!(stored.unwrap().contains("\"seq\":2"));

    nats.restart().await.unwrap();
    assert!(info(&nats).await.unwrap().contains("\"messages\":2"));
}

#[tokio::test]
async fn a_folder_in_use_is_refused() {
    let scratch = Scratch::new().unwrap();
    let _first = start(&scratch).await.unwrap();

    let error = start(&scratch).await.unwrap_err();

    let error: EmbeddedError = error.downcast().unwrap();
    assert!(
        matches!(error, EmbeddedError::FolderInUse { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_taken_port_is_refused_when_it_was_asked_for() {
    let scratch = Scratch::new().unwrap();
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let binary = find_nats(&locator(), &Silent).await.unwrap();
    let options = NatsOptions {
        port,
        ..NatsOptions::new(scratch.path())
    };

    let error = Nats::start(binary, options).await.unwrap_err();

    assert!(matches!(error, EmbeddedError::PortTaken { .. }), "{error}");
}

#[tokio::test]
async fn a_broken_configuration_is_reported_with_the_log() {
    let scratch = Scratch::new().unwrap();
    let binary = find_nats(&locator(), &Silent).await.unwrap();
    let options = NatsOptions {
        extra_config: "no_such_setting: }".to_owned(),
        ..NatsOptions::new(scratch.path())
    };

    let error = Nats::start(binary, options).await.unwrap_err();

    assert!(
        matches!(&error, EmbeddedError::Exited { log, .. } if log.contains("nats.conf")),
        "{error}"
    );
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_an_error_with_its_path() {
    let scratch = Scratch::new().unwrap();
    let file = scratch.path().join("file");
    std::fs::write(&file, "").unwrap();
    let binary = find_nats(&locator(), &Silent).await.unwrap();

    let error = Nats::start(binary, NatsOptions::new(file.join("below")))
        .await
        .unwrap_err();

    assert!(matches!(error, EmbeddedError::File { .. }), "{error}");
    assert!(error.hint().contains("below"), "{}", error.hint());
}

#[tokio::test]
async fn the_configuration_with_its_passwords_is_its_owners_alone() {
    let scratch = Scratch::new().unwrap();
    let file = scratch.path().join("nats.conf");
    // As earlier releases left it.
    std::fs::write(&file, "").unwrap();

    let _nats = start(&scratch).await.unwrap();

    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}
