use mailmesh_domain::{Encryption, VerdictKind};
use mailmesh_mail::smtp::{Connection, Extension, SmtpError, SmtpSettings};
use mailmesh_mail::transport::Scope;
use mailmesh_mail::{ConnectError, Credentials, Server, client_config};
use mailmesh_secrets::SecretString;

use super::peer::{Peer, TestResult, connect, impatient, play, token};

async fn start_tls(
    script: impl AsyncFnOnce(Peer) -> TestResult,
) -> TestResult<Result<bool, SmtpError>> {
    play(Encryption::StartTls, script, async |server| {
        let connection = connect(&server, &token(20)).await?;
        Ok(connection.capabilities().has(Extension::Pipelining))
    })
    .await
}

#[tokio::test]
async fn starttls_protects_and_forgets_what_was_said_before() {
    let result = start_tls(async |mut peer| {
        peer.greet("\n250-STARTTLS\n250-PIPELINING\n250-AUTH PLAIN")
            .await?;
        peer.answer("STARTTLS", "220 go").await?;
        let mut peer = peer.secure().await?;
        peer.answer("EHLO client.test", "250-mx.test\n250 AUTH XOAUTH2")
            .await?;
        peer.answer("AUTH XOAUTH2 ", "235 ok").await
    });

    assert!(
        !result.await.unwrap().unwrap(),
        "PIPELINING was offered before TLS alone"
    );
}

#[tokio::test]
async fn missing_or_refused_starttls_fails_closed() {
    let missing = start_tls(async |mut peer| {
        peer.greet("\n250-AUTH XOAUTH2").await?;
        assert!(peer.is_closed().await?);
        Ok(())
    });
    assert!(matches!(
        missing.await.unwrap(),
        Err(SmtpError::StartTlsMissing)
    ));

    let refused = start_tls(async |mut peer| {
        peer.greet("\n250-STARTTLS\n250-AUTH XOAUTH2").await?;
        peer.answer("STARTTLS", "454 TLS not available").await?;
        assert!(peer.is_closed().await?);
        Ok(())
    });
    assert_eq!(
        refused.await.unwrap().unwrap_err().verdict().kind,
        VerdictKind::Transient
    );
}

#[tokio::test]
async fn bytes_injected_before_the_handshake_are_refused() {
    let result = start_tls(async |mut peer| {
        peer.greet("\n250-STARTTLS").await?;
        peer.answer("STARTTLS", "220 go\n250-mx.test\n250 AUTH XOAUTH2")
            .await?;
        assert!(peer.is_closed().await?);
        Ok(())
    });

    let error = result.await.unwrap().unwrap_err();
    assert!(matches!(error, SmtpError::StartTlsInjected));
    assert_eq!(error.verdict().kind, VerdictKind::NeedsAdministrator);
}

#[tokio::test]
async fn implicit_tls_signs_in() {
    let result = play(
        Encryption::Tls,
        async |mut peer| {
            peer.greet("\n250-AUTH XOAUTH2").await?;
            peer.answer("AUTH XOAUTH2 ", "235 ok").await?;
            peer.answer("QUIT", "221 bye").await
        },
        async |server| {
            connect(&server, &token(20)).await?.quit().await;
            Ok::<_, SmtpError>(())
        },
    );

    assert!(result.await.unwrap().is_ok());
}

#[tokio::test]
async fn certificate_of_another_name_is_for_the_administrator() {
    let result = play(
        Encryption::None,
        async |peer| {
            assert!(peer.secure().await.is_err());
            Ok(())
        },
        async |server| {
            let server = Server {
                addresses: mailmesh_domain::AddressRule::Any,
                host: "127.0.0.1".to_owned(),
                encryption: Encryption::Tls,
                ..server
            };
            connect(&server, &token(20)).await.map(drop)
        },
    );

    let error = result.await.unwrap().unwrap_err();
    assert!(matches!(
        error,
        SmtpError::Connect {
            source: ConnectError::Certificate { .. }
        }
    ));
    assert_eq!(error.verdict().kind, VerdictKind::NeedsAdministrator);
}

#[tokio::test]
async fn helo_is_enough_where_nothing_is_required() {
    let result = play(
        Encryption::None,
        async |mut peer| {
            peer.say("220 old").await?;
            peer.answer("EHLO", "502 what").await?;
            peer.answer("HELO client.test", "250 hello").await
        },
        async |server| connect(&server, &Credentials::None).await.map(drop),
    );

    assert!(result.await.unwrap().is_ok());
}

async fn greeted_with(greeting: &[u8], then_closes: bool) -> TestResult<SmtpError> {
    let result = play(
        Encryption::None,
        async |mut peer| {
            // A client that has seen enough may close before it has read everything.
            if peer.send(greeting).await.is_ok() && !then_closes {
                peer.hear().await.ok();
            }
            Ok(())
        },
        async |server| connect(&server, &Credentials::None).await,
    );
    match result.await? {
        Ok(_) => Err("the greeting was accepted".into()),
        Err(error) => Ok(error),
    }
}

#[tokio::test]
async fn bad_greetings_are_told_apart() {
    let error = greeted_with(b"554 5.7.1 blocked\r\n", false).await.unwrap();
    assert_eq!(
        (error.verdict().kind, error.scope()),
        (VerdictKind::NeedsAdministrator, Scope::Host)
    );

    let error = greeted_with(b"421 4.3.2 down for maintenance\r\n", false)
        .await
        .unwrap();
    assert_eq!(
        (error.verdict().kind, error.scope()),
        (VerdictKind::Transient, Scope::Host)
    );

    for (greeting, then_closes, expected) in [
        (&b""[..], true, "Closed"),
        (b"220-half", true, "Closed"),
        (b"", false, "TimedOut"),
        (b"220-", false, "TimedOut"),
        (
            b"* OK IMAP4rev1\r\n",
            false,
            "OtherProtocol { spoken: \"IMAP\" }",
        ),
        (b"what is this\r\n", false, "NotAReply"),
        (&b"2".repeat(100_000), false, "LineTooLong"),
        (&b"220-x\r\n".repeat(1000), false, "ReplyTooLong"),
    ] {
        match greeted_with(greeting, then_closes).await.unwrap() {
            SmtpError::Wire { source, .. } => assert_eq!(format!("{source:?}"), expected),
            // A peer that closes with bytes of ours unread resets the connection.
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn multi_line_greeting_and_replies_are_read() {
    let result = play(
        Encryption::None,
        async |mut peer| {
            peer.send(b"220-mx.test\r\n220-").await?;
            peer.send(b"no spam\r\n22").await?;
            peer.send(b"0 ready\n").await?;
            peer.answer("EHLO", "250-mx.test\n250-SIZE 1000\n250 PIPELINING")
                .await
        },
        async |server| connect(&server, &Credentials::None).await,
    );

    let connection = result.await.unwrap().unwrap();
    assert_eq!(connection.capabilities().size(), Some(1000));
}

#[tokio::test]
async fn bad_settings_are_refused_before_a_connection_is_opened() {
    let nowhere = Server {
        addresses: mailmesh_domain::AddressRule::Any,
        host: "mail.example".to_owned(),
        port: 1,
        encryption: Encryption::None,
        tls: client_config(None).unwrap(),
    };

    let error = connect(&nowhere, &token(20)).await.unwrap_err();
    assert!(matches!(
        error,
        SmtpError::Connect {
            source: ConnectError::TokenInClear
        }
    ));

    let password = Credentials::Password {
        login: "a@mail.example".to_owned(),
        password: SecretString::from("secret"),
    };
    let error = connect(&nowhere, &password).await.unwrap_err();
    assert!(matches!(
        error,
        SmtpError::Connect {
            source: ConnectError::PasswordInClear
        }
    ));

    let settings = SmtpSettings {
        ehlo_name: "a\r\nMAIL".to_owned(),
        ..impatient()
    };
    let error = Connection::connect(&nowhere, &Credentials::None, &settings)
        .await
        .unwrap_err();
    assert!(matches!(error, SmtpError::InvalidEhloName));
}
