use std::time::{Duration, Instant};

use mailmesh_domain::VerdictKind;
use mailmesh_oauth::{HttpClient, HttpSettings, OAuthError, refresh};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

use crate::fake::{Answer, Fake, client, http, impatient, json, secret, status};

#[tokio::test]
async fn a_silent_provider_is_given_up() {
    for stall in [Answer::Stall, Answer::StallInBody] {
        let fake = Fake::start().await;
        fake.on("/token", [stall]);

        let started = Instant::now();
        let error = refresh(
            &impatient(),
            &fake.endpoints(),
            &client(),
            &secret("rt"),
            &[],
        )
        .await
        .unwrap_err();

        assert!(matches!(error, OAuthError::TimedOut { .. }), "{error:?}");
        assert_eq!(error.verdict().kind, VerdictKind::Transient);
        assert!(started.elapsed() < Duration::from_secs(5));
        assert_eq!(fake.count("/token"), 1, "a refresh is never sent twice");
    }
}

#[tokio::test]
async fn a_body_without_end_is_cut() {
    let fake = Fake::start().await;
    fake.on("/token", [Answer::Endless]);

    let error = refresh(&http(), &fake.endpoints(), &client(), &secret("rt"), &[])
        .await
        .unwrap_err();

    assert!(matches!(error, OAuthError::TooLarge { .. }), "{error:?}");
    assert_eq!(error.verdict().kind, VerdictKind::Unknown);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let fake = Fake::start().await;
    let elsewhere = fake.url("/elsewhere");
    fake.on("/elsewhere", [json(r#"{"access_token":"stolen"}"#)]);
    for code in [301, 302, 303, 307, 308] {
        fake.on(
            "/token",
            [status(code, "").header("location", elsewhere.as_str())],
        );

        let error = refresh(&http(), &fake.endpoints(), &client(), &secret("rt"), &[])
            .await
            .unwrap_err();

        assert!(matches!(error, OAuthError::Redirected { status, .. } if status == code));
    }
    assert_eq!(fake.count("/elsewhere"), 0);
}

#[tokio::test]
async fn no_connection_is_transient() {
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let fake = Fake::start().await;
    let mut endpoints = fake.endpoints();
    endpoints.token = Url::parse(&format!("http://{closed}/token")).unwrap();

    let error = refresh(&http(), &endpoints, &client(), &secret("rt"), &[])
        .await
        .unwrap_err();

    assert!(matches!(error, OAuthError::Unreachable { .. }), "{error:?}");
    assert_eq!(error.verdict().kind, VerdictKind::Transient);
}

#[tokio::test]
async fn a_broken_answer_is_transient() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut endpoints = Fake::start().await.endpoints();
    let address = listener.local_addr().unwrap();
    endpoints.token = Url::parse(&format!("http://{address}/token")).unwrap();
    let (client, token) = (client(), secret("rt"));
    let http = http();

    let (refused, connections) =
        tokio::join!(refresh(&http, &endpoints, &client, &token, &[]), async {
            drop(listener.accept().await.unwrap());
            let again = tokio::time::timeout(Duration::from_millis(300), listener.accept()).await;
            1 + usize::from(again.is_ok())
        },);

    assert!(matches!(
        refused.unwrap_err(),
        OAuthError::Unreachable { .. }
    ));
    assert_eq!(connections, 1, "a refresh is never sent twice");
}

#[tokio::test]
async fn a_kept_connection_that_breaks_is_not_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut endpoints = Fake::start().await.endpoints();
    let address = listener.local_addr().unwrap();
    endpoints.token = Url::parse(&format!("http://{address}/token")).unwrap();
    let (http, client, token) = (http(), client(), secret("rt"));

    let (answers, requests) = tokio::join!(
        async {
            let first = refresh(&http, &endpoints, &client, &token, &[]).await;
            (
                first,
                refresh(&http, &endpoints, &client, &token, &[]).await,
            )
        },
        async {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_request(&mut stream).await;
            let body = r#"{"access_token":"at"}"#;
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            stream
                .write_all(format!("{head}{body}").as_bytes())
                .await
                .unwrap();
            read_request(&mut stream).await;
            drop(stream);
            let again = tokio::time::timeout(Duration::from_millis(300), listener.accept()).await;
            2 + usize::from(again.is_ok())
        },
    );

    assert!(answers.0.is_ok());
    assert!(matches!(
        answers.1.unwrap_err(),
        OAuthError::Unreachable { .. }
    ));
    assert_eq!(
        requests, 2,
        "the provider may have rotated the token already"
    );
}

async fn read_request(stream: &mut TcpStream) {
    let mut request = Vec::new();
    while !request.ends_with(b"refresh_token=rt&client_id=mesh&client_secret=client-PLANTED") {
        assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn a_proxy_is_used_for_all_but_this_machine() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = format!("http://{}", listener.local_addr().unwrap());
    let settings = HttpSettings {
        proxy: Some(proxy.parse().unwrap()),
        ..HttpSettings::default()
    };
    let http = HttpClient::try_new(&settings).unwrap();
    let fake = Fake::start().await;
    fake.on("/token", [json(r#"{"access_token":"at"}"#)]);
    let (client, token, mut endpoints) = (client(), secret("rt"), fake.endpoints());

    let local = refresh(&http, &endpoints, &client, &token, &[]).await;
    endpoints.token = Url::parse("https://provider.test/token").unwrap();
    let (remote, seen) = tokio::join!(refresh(&http, &endpoints, &client, &token, &[]), async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut seen = vec![0; 64];
        let count = stream.read(&mut seen).await.unwrap();
        seen.truncate(count);
        seen
    });

    assert!(local.is_ok());
    assert_eq!(remote.unwrap_err().verdict().kind, VerdictKind::Transient);
    assert!(seen.starts_with(b"CONNECT provider.test:443 "), "{seen:?}");
}

#[test]
fn a_proxy_of_the_environment_is_not_taken() {
    // The environment of a process cannot be changed safely, so another one reads metadata here.
    let mut other = std::process::Command::new(std::env::current_exe().unwrap());
    other.args(["--exact", "discovery::openid_metadata_is_read"]);
    for name in ["ALL_PROXY", "HTTP_PROXY", "http_proxy"] {
        other.env(name, "http://127.0.0.1:1");
    }

    let output = other.output().unwrap();

    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{told}");
    assert!(told.contains("1 passed"), "{told}");
}

#[tokio::test]
async fn secrets_never_travel_in_clear() {
    for url in [
        "http://provider.test/token",
        "http://192.0.2.1/token",
        "ftp://127.0.0.1/token",
    ] {
        let mut endpoints = Fake::start().await.endpoints();
        endpoints.token = Url::parse(url).unwrap();

        let error = refresh(&http(), &endpoints, &client(), &secret("rt"), &[])
            .await
            .unwrap_err();

        assert!(
            matches!(error, OAuthError::Unprotected { .. }),
            "{url}: {error:?}"
        );
        assert_eq!(error.verdict().kind, VerdictKind::NeedsAdministrator);
    }
}
