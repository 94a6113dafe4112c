use std::io;

use mailmesh_domain::{Encryption, VerdictKind};
use mailmesh_mail::pop3::{Pop3Error, Pop3Limits, Pop3Source, Stage};

use super::peer::answer;
use crate::imap::peer::{Peer, TestResult, bearer, play};
use crate::imap::start_tls::{accept_tls, tls, with_tls};

#[tokio::test]
async fn capabilities_are_asked_for_under_tls_alone() -> TestResult {
    let (acceptor, authority) = tls("127.0.0.1")?;
    play(
        async |mut peer: Peer| {
            peer.say("+OK hi\r\n").await?;
            answer(&mut peer, "STLS", "+OK begin\r\n").await?;
            let mut peer = accept_tls(peer, &acceptor).await?;
            answer(&mut peer, "CAPA", "+OK\r\nSASL XOAUTH2\r\n.\r\n").await?;
            assert!(peer.hear().await?.starts_with("AUTH XOAUTH2 "));
            peer.say("+OK\r\n").await?;
            answer(&mut peer, "CAPA", "+OK\r\nUIDL\r\n.\r\n").await?;
            peer.wait_for_end().await.or(Ok(()))
        },
        async |server| {
            let server = with_tls(server, Encryption::StartTls, Some(&authority))?;
            let limits = Pop3Limits::default();
            let source = Pop3Source::connect(&server, &bearer("a@b.c", "t"), limits).await?;
            assert!(source.capabilities().has_uidl());
            Ok(())
        },
    )
    .await
}

async fn connect_fails(script: impl AsyncFnOnce(Peer) -> io::Result<()>) -> TestResult<Pop3Error> {
    play(script, async |server| {
        let server = with_tls(server, Encryption::StartTls, None)?;
        let limits = Pop3Limits::default();
        match Pop3Source::connect(&server, &bearer("a@b.c", "t"), limits).await {
            Ok(_) => Err("connected".into()),
            Err(error) => Ok(error),
        }
    })
    .await
}

#[tokio::test]
async fn bytes_slipped_in_before_the_handshake_are_noticed() -> TestResult {
    let error = connect_fails(async |mut peer: Peer| {
        peer.say("+OK hi\r\n").await?;
        answer(&mut peer, "STLS", "+OK\r\n+OK\r\nSASL PLAIN\r\n.\r\n").await?;
        assert_eq!(peer.hear().await?, "", "no token, no handshake");
        Ok(())
    })
    .await?;

    assert!(matches!(error, Pop3Error::StartTlsTampered));
    assert_eq!(error.verdict().kind, VerdictKind::NeedsAdministrator);
    Ok(())
}

#[tokio::test]
async fn without_tls_there_is_no_sign_in() -> TestResult {
    let error = connect_fails(async |mut peer: Peer| {
        peer.say("+OK hi\r\n").await?;
        answer(&mut peer, "STLS", "-ERR Command not permitted\r\n").await?;
        assert_eq!(peer.hear().await?, "");
        Ok(())
    })
    .await?;

    assert!(matches!(
        error,
        Pop3Error::Refused {
            stage: Stage::StartTls,
            ..
        }
    ));
    assert_eq!(error.verdict().kind, VerdictKind::NeedsAdministrator);
    Ok(())
}
