use std::error::Error;
use std::io;
use std::sync::Arc;

use mailmesh_domain::{Encryption, VerdictKind};
use mailmesh_mail::imap::{Capability, ImapError, ImapLimits, RefusalStatus, Session, Stage};
use mailmesh_mail::{ConnectError, Server, client_config, connection::CertificateProblem};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::peer::{Peer, TestResult, bearer, play};

/// A server's TLS for one host name, and the authority that clients must trust.
pub(crate) fn tls(host: &str) -> Result<(TlsAcceptor, String), Box<dyn Error>> {
    let made = rcgen::generate_simple_self_signed([host.to_owned()])?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)?;
    Ok((TlsAcceptor::from(Arc::new(config)), made.cert.pem()))
}

pub(crate) fn with_tls(
    mut server: Server,
    encryption: Encryption,
    authority: Option<&str>,
) -> TestResult<Server> {
    server.encryption = encryption;
    server.tls = client_config(authority)?;
    Ok(server)
}

pub(crate) async fn accept_tls(
    peer: Peer,
    acceptor: &TlsAcceptor,
) -> io::Result<Peer<TlsStream<TcpStream>>> {
    Ok(Peer::new(acceptor.accept(peer.stream).await?))
}

#[tokio::test]
async fn what_was_said_before_tls_is_forgotten() -> TestResult {
    let (acceptor, authority) = tls("127.0.0.1")?;

    let capabilities = play(
        async |mut peer: Peer| {
            peer.say("* OK [CAPABILITY IMAP4rev1 STARTTLS AUTH=OAUTHBEARER MOVE] hi\r\n")
                .await?;
            peer.answer("STARTTLS", "").await?;
            let mut peer = accept_tls(peer, &acceptor).await?;
            peer.answer("CAPABILITY", "* CAPABILITY IMAP4rev1 AUTH=XOAUTH2\r\n")
                .await?;
            let tag = peer.expect("AUTHENTICATE XOAUTH2").await?;
            peer.say("+ \r\n").await?;
            peer.hear().await?;
            peer.say(&format!("{tag} OK [CAPABILITY IMAP4rev1 UIDPLUS] in\r\n"))
                .await?;
            peer.wait_for_end().await.or(Ok(()))
        },
        async |server| {
            let server = with_tls(server, Encryption::StartTls, Some(&authority))?;
            let session =
                Session::connect(&server, &bearer("a@b.c", "t"), ImapLimits::default()).await?;
            Ok(session.capabilities())
        },
    )
    .await?;

    assert!(capabilities.has(Capability::UidPlus) && !capabilities.has(Capability::Move));
    Ok(())
}

async fn connect_fails(
    script: impl AsyncFnOnce(Peer) -> io::Result<()>,
    encryption: Encryption,
    authority: Option<&str>,
) -> TestResult<ImapError> {
    play(script, async |server| {
        let server = with_tls(server, encryption, authority)?;
        match Session::connect(&server, &bearer("a@b.c", "t"), ImapLimits::default()).await {
            Ok(_) => Err("connected".into()),
            Err(error) => Ok(error),
        }
    })
    .await
}

#[tokio::test]
async fn bytes_slipped_in_before_the_handshake_are_noticed() -> TestResult {
    let error = connect_fails(
        async |mut peer: Peer| {
            peer.say("* OK hi\r\n").await?;
            let tag = peer.expect("STARTTLS").await?;
            peer.say(&format!(
                "{tag} OK go\r\n* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n"
            ))
            .await?;
            assert_eq!(peer.hear().await?, "", "no token, no handshake");
            Ok(())
        },
        Encryption::StartTls,
        None,
    )
    .await?;

    assert!(matches!(error, ImapError::StartTlsTampered));
    assert_eq!(error.verdict().kind, VerdictKind::NeedsAdministrator);
    Ok(())
}

#[tokio::test]
async fn without_tls_there_is_no_sign_in() -> TestResult {
    let error = connect_fails(
        async |mut peer: Peer| {
            peer.say("* OK hi\r\n").await?;
            let tag = peer.expect("STARTTLS").await?;
            peer.say(&format!("{tag} NO not today\r\n")).await?;
            assert_eq!(peer.hear().await?, "");
            Ok(())
        },
        Encryption::StartTls,
        None,
    )
    .await?;
    assert!(matches!(
        error,
        ImapError::Refused {
            stage: Stage::StartTls,
            refusal: RefusalStatus::No,
            ..
        }
    ));

    let error = connect_fails(
        async |mut peer: Peer| peer.say("* PREAUTH hi\r\n").await,
        Encryption::StartTls,
        None,
    )
    .await?;
    assert!(matches!(error, ImapError::PreAuthBeforeTls));
    Ok(())
}

#[tokio::test]
async fn refused_certificates_are_named() -> TestResult {
    let (acceptor, authority) = tls("mail.elsewhere.test")?;
    for (trusted, expected) in [
        (Some(authority.as_str()), CertificateProblem::WrongHost),
        (None, CertificateProblem::UnknownAuthority),
    ] {
        let error = connect_fails(
            async |peer: Peer| {
                // The client hangs up in the middle of the handshake.
                accept_tls(peer, &acceptor).await.map(drop).or(Ok(()))
            },
            Encryption::Tls,
            trusted,
        )
        .await?;

        assert_eq!(error.verdict().kind, VerdictKind::NeedsAdministrator);
        let ImapError::Connect(ConnectError::Certificate { problem, .. }) = error else {
            return Err(error.into());
        };
        assert_eq!(problem, expected);
    }
    Ok(())
}

#[tokio::test]
async fn a_port_without_tls_is_named() -> TestResult {
    let error = connect_fails(
        async |mut peer: Peer| {
            peer.say("* OK IMAP4rev1 in the clear\r\n").await?;
            peer.wait_for_end().await.or(Ok(()))
        },
        Encryption::Tls,
        None,
    )
    .await?;

    assert!(matches!(
        error,
        ImapError::Connect(ConnectError::NotTls { .. })
    ));
    Ok(())
}
