use std::sync::Arc;

use mailmesh_domain::VerdictKind;
use mailmesh_oauth::{HttpClient, HttpSettings, HttpSetupError, OAuthError, refresh};
use mailmesh_secrets::ExposeSecret;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use url::Url;

use crate::fake::{Fake, client, http, secret};

struct TlsFake {
    token: Url,
    ca_pem: String,
    _tasks: JoinSet<()>,
}

async fn start(name: &str) -> TlsFake {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_key = KeyPair::generate().unwrap();
    let ca = params.self_signed(&ca_key).unwrap();
    let issuer = Issuer::new(params, ca_key);
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &issuer).unwrap();

    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut request = [0; 4096];
            if stream.read(&mut request).await.is_ok() {
                let body = r#"{"access_token":"at"}"#;
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
                let answer = format!("{head}{body}");
                stream.write_all(answer.as_bytes()).await.unwrap();
                stream.shutdown().await.unwrap();
            }
        }
    });
    TlsFake {
        token: Url::parse(&format!("https://localhost:{port}/token")).unwrap(),
        ca_pem: ca.pem(),
        _tasks: tasks,
    }
}

fn trusting(pem: &str) -> HttpClient {
    let settings = HttpSettings {
        extra_ca_pem: Some(pem.to_owned()),
        ..HttpSettings::default()
    };
    HttpClient::try_new(&settings).unwrap()
}

#[tokio::test]
async fn a_private_authority_is_trusted_only_when_given() {
    let tls = start("localhost").await;
    let mut endpoints = Fake::start().await.endpoints();
    endpoints.token = tls.token.clone();

    let trusted = refresh(
        &trusting(&tls.ca_pem),
        &endpoints,
        &client(),
        &secret("rt"),
        &[],
    )
    .await;
    let refused = refresh(&http(), &endpoints, &client(), &secret("rt"), &[]).await;

    assert_eq!(trusted.unwrap().access_token.expose_secret(), "at");
    let error = refused.unwrap_err();
    assert!(matches!(error, OAuthError::Untrusted { .. }), "{error:?}");
    assert_eq!(error.verdict().kind, VerdictKind::Unknown);
    assert!(error.action().contains("private authority"));
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let tls = start("other.test").await;
    let mut endpoints = Fake::start().await.endpoints();
    endpoints.token = tls.token.clone();

    let refused = refresh(
        &trusting(&tls.ca_pem),
        &endpoints,
        &client(),
        &secret("rt"),
        &[],
    )
    .await;

    assert!(matches!(refused.unwrap_err(), OAuthError::Untrusted { .. }));
}

#[test]
fn a_file_without_certificates_is_refused_at_start() {
    let settings = |pem: &str| HttpSettings {
        extra_ca_pem: Some(pem.to_owned()),
        ..HttpSettings::default()
    };

    let empty = HttpClient::try_new(&settings("# nothing")).unwrap_err();
    let torn = "-----BEGIN CERTIFICATE-----\n????\n-----END CERTIFICATE-----\n";

    assert!(matches!(empty, HttpSetupError::NoCertificate));
    assert!(HttpClient::try_new(&settings(torn)).is_err());
}
