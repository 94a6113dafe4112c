use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mailmesh_domain::{Encryption, VerdictKind};
use mailmesh_mail::imap::{Capability, ImapError, ImapLimits, Mechanism, Session, Stage};
use mailmesh_mail::{ConnectError, Credentials};
use mailmesh_secrets::SecretString;

use super::peer::{Peer, TestResult, bearer, hasty, play, server};

const BEFORE: &str = "* OK [CAPABILITY IMAP4rev1";

fn xoauth2() -> String {
    STANDARD.encode("user=a@b.c\x01auth=Bearer tok\x01\x01")
}

async fn refused(
    script: impl AsyncFnOnce(Peer) -> std::io::Result<()>,
    credentials: Credentials,
) -> TestResult<ImapError> {
    play(script, async |server| {
        match Session::connect(&server, &credentials, hasty()).await {
            Ok(_) => Err("signed in".into()),
            Err(error) => Ok(error),
        }
    })
    .await
}

#[tokio::test]
async fn the_token_goes_with_the_command_where_the_server_takes_it() -> TestResult {
    let capabilities = play(
        async |mut peer: Peer| {
            peer.say(&format!("{BEFORE} SASL-IR AUTH=XOAUTH2] hi\r\n"))
                .await?;
            let tag = peer
                .expect(&format!("AUTHENTICATE XOAUTH2 {}", xoauth2()))
                .await?;
            peer.say(&format!("{tag} OK [CAPABILITY IMAP4rev1 MOVE IDLE] in\r\n"))
                .await?;
            peer.wait_for_end().await
        },
        async |server| {
            let session =
                Session::connect(&server, &bearer("a@b.c", "tok"), ImapLimits::default()).await?;
            Ok(session.capabilities())
        },
    )
    .await?;

    assert!(capabilities.has(Capability::Move));
    assert!(
        !capabilities.has(Capability::SaslIr),
        "of before the sign-in"
    );
    Ok(())
}

#[tokio::test]
async fn the_token_waits_for_the_continuation_elsewhere() -> TestResult {
    play(
        async |mut peer: Peer| {
            // Nothing is offered: XOAUTH2 is tried once.
            peer.say("* OK hi\r\n").await?;
            peer.answer("CAPABILITY", "* CAPABILITY IMAP4rev1\r\n")
                .await?;
            let tag = peer.expect("AUTHENTICATE XOAUTH2").await?;
            peer.say("+ \r\n").await?;
            assert_eq!(peer.hear().await?, xoauth2());
            peer.say(&format!("* CAPABILITY IMAP4rev1 ID\r\n{tag} OK in\r\n"))
                .await?;
            let tag = peer
                .expect(r#"ID ("name" "mailmesh" "version" "0.1.0")"#)
                .await?;
            peer.say(&format!("{tag} BAD what\r\n")).await?;
            peer.wait_for_end().await
        },
        async |server| {
            let session =
                Session::connect(&server, &bearer("a@b.c", "tok"), ImapLimits::default()).await?;
            assert!(session.is_healthy());
            Ok(())
        },
    )
    .await
}

#[tokio::test]
async fn a_server_that_ignores_the_inline_token_is_given_it_again() -> TestResult {
    play(
        async |mut peer: Peer| {
            peer.say(&format!("{BEFORE} SASL-IR AUTH=XOAUTH2] hi\r\n"))
                .await?;
            let tag = peer
                .expect(&format!("AUTHENTICATE XOAUTH2 {}", xoauth2()))
                .await?;
            peer.say("+\r\n").await?;
            assert_eq!(peer.hear().await?, xoauth2());
            peer.say(&format!("{tag} OK [CAPABILITY IMAP4rev1] in\r\n"))
                .await
        },
        async |server| {
            Session::connect(&server, &bearer("a@b.c", "tok"), ImapLimits::default()).await?;
            Ok(())
        },
    )
    .await
}

#[tokio::test]
async fn a_refused_token_is_acknowledged_and_told_apart() -> TestResult {
    let error = refused(
        async |mut peer: Peer| {
            peer.say(&format!("{BEFORE} SASL-IR AUTH=XOAUTH2] hi\r\n"))
                .await?;
            let tag = peer
                .expect(&format!("AUTHENTICATE XOAUTH2 {}", xoauth2()))
                .await?;
            let json =
                r#"{"status":"401","schemes":"bearer mac","scope":"https://mail.google.com/"}"#;
            peer.say(&format!("+ {}\r\n", STANDARD.encode(json)))
                .await?;
            assert_eq!(peer.hear().await?, "");
            peer.say(&format!(
                "{tag} NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)\r\n"
            ))
            .await
        },
        bearer("a@b.c", "tok"),
    )
    .await?;

    assert!(error.is_token_refused());
    assert_eq!(error.verdict().kind, VerdictKind::NeedsSignIn);
    assert_eq!(error.code(), Some("AUTHENTICATIONFAILED"));
    assert!(matches!(
        error,
        ImapError::SignInRefused { challenge_status: Some(status), mechanism: Mechanism::XOAuth2, .. }
            if status == "401"
    ));
    Ok(())
}

#[tokio::test]
async fn oauthbearer_is_preferred_and_its_challenge_gets_its_own_answer() -> TestResult {
    let error = refused(
        async |mut peer: Peer| {
            peer.say(&format!("{BEFORE} AUTH=XOAUTH2 AUTH=OAUTHBEARER] hi\r\n"))
                .await?;
            let tag = peer.expect("AUTHENTICATE OAUTHBEARER").await?;
            peer.say("+ \r\n").await?;
            let blob = STANDARD.decode(peer.hear().await?).unwrap_or_default();
            let port = peer.stream.local_addr()?.port();
            assert_eq!(
                String::from_utf8_lossy(&blob),
                format!(
                    "n,a=a=3Db@b.c,\x01host=127.0.0.1\x01port={port}\x01auth=Bearer tok\x01\x01"
                )
            );
            peer.say(&format!(
                "+ {}\r\n",
                STANDARD.encode(r#"{"status":"invalid_token"}"#)
            ))
            .await?;
            assert_eq!(peer.hear().await?, "AQ==");
            peer.say(&format!("{tag} NO denied\r\n")).await
        },
        bearer("a=b@b.c", "tok"),
    )
    .await?;

    assert!(error.is_token_refused());
    assert_eq!(
        error.to_string(),
        "the server refused the sign-in by OAUTHBEARER: NO denied"
    );
    Ok(())
}

#[tokio::test]
async fn endless_challenges_and_silence_end() -> TestResult {
    for is_silent in [true, false] {
        let error = refused(
            async |mut peer: Peer| {
                peer.say(&format!("{BEFORE} AUTH=XOAUTH2] hi\r\n")).await?;
                peer.expect("AUTHENTICATE XOAUTH2").await?;
                while !is_silent && peer.say("+ e30=\r\n").await.is_ok() {
                    peer.hear().await?;
                }
                Ok(())
            },
            bearer("a@b.c", "tok"),
        )
        .await;

        // The script may see its last write fail; what counts is that both sides ended.
        if let Ok(error) = error {
            assert_eq!(error.verdict().kind, VerdictKind::Transient);
        }
    }
    Ok(())
}

#[tokio::test]
async fn no_secret_is_sent_in_the_clear_to_another_machine() -> TestResult {
    let mut elsewhere = server(1, Encryption::None)?;
    elsewhere.host = "192.0.2.1".to_owned();
    let password = Credentials::Password {
        login: "a@b.c".to_owned(),
        password: SecretString::from("secret"),
    };

    let token = Session::connect(&elsewhere, &bearer("a@b.c", "tok"), hasty()).await;
    let password = Session::connect(&elsewhere, &password, hasty()).await;

    assert!(matches!(
        token,
        Err(ImapError::Connect(ConnectError::TokenInClear))
    ));
    assert!(matches!(
        password,
        Err(ImapError::Connect(ConnectError::PasswordInClear))
    ));
    Ok(())
}

#[tokio::test]
async fn a_greeting_that_says_bye_is_judged() -> TestResult {
    let error = refused(
        async |mut peer: Peer| peer.say("* BYE [UNAVAILABLE] Try later\r\n").await,
        Credentials::None,
    )
    .await?;

    assert_eq!(error.verdict().kind, VerdictKind::Transient);
    assert!(matches!(
        error,
        ImapError::Bye {
            stage: Stage::Greeting,
            ..
        }
    ));
    Ok(())
}

#[tokio::test]
async fn passwords_take_plain_then_login_and_never_a_server_that_forbids_both() -> TestResult {
    let password = || Credentials::Password {
        login: "a\"b".to_owned(),
        password: SecretString::from("p\\w"),
    };
    play(
        async |mut peer: Peer| {
            peer.say(&format!("{BEFORE}] hi\r\n")).await?;
            peer.answer(r#"LOGIN "a\"b" "p\\w""#, "* CAPABILITY IMAP4rev1\r\n")
                .await
        },
        async |server| {
            Session::connect(&server, &password(), ImapLimits::default()).await?;
            Ok(())
        },
    )
    .await?;

    let error = refused(
        async |mut peer: Peer| peer.say(&format!("{BEFORE} LOGINDISABLED] hi\r\n")).await,
        password(),
    )
    .await?;
    assert!(matches!(error, ImapError::NoMechanism));

    let error = refused(
        async |mut peer: Peer| {
            peer.say(&format!(
                "{BEFORE} SASL-IR AUTH=PLAIN LOGINDISABLED] hi\r\n"
            ))
            .await?;
            let blob = STANDARD.encode("\0a\"b\0p\\w");
            let tag = peer.expect(&format!("AUTHENTICATE PLAIN {blob}")).await?;
            peer.say(&format!("{tag} NO [AUTHENTICATIONFAILED] no\r\n"))
                .await
        },
        password(),
    )
    .await?;
    assert!(!error.is_token_refused());
    assert_eq!(error.verdict().kind, VerdictKind::NeedsAdministrator);
    Ok(())
}

fn password() -> Credentials {
    Credentials::Password {
        login: "a@b.c".to_owned(),
        password: SecretString::from("pw"),
    }
}

#[tokio::test]
async fn mechanism_that_is_offered_and_not_understood_leads_to_the_next() -> TestResult {
    for (offered, credentials, first, reply, second) in [
        (
            "AUTH=PLAIN",
            password(),
            "AUTHENTICATE PLAIN",
            "BAD AUTHENTICATE not supported",
            r#"LOGIN "a@b.c" "pw""#.to_owned(),
        ),
        (
            "AUTH=PLAIN",
            password(),
            "AUTHENTICATE PLAIN",
            "NO Unsupported authentication mechanism.",
            r#"LOGIN "a@b.c" "pw""#.to_owned(),
        ),
        (
            "SASL-IR AUTH=OAUTHBEARER AUTH=XOAUTH2",
            bearer("a@b.c", "tok"),
            "AUTHENTICATE OAUTHBEARER",
            "BAD unknown command",
            format!("AUTHENTICATE XOAUTH2 {}", xoauth2()),
        ),
    ] {
        play(
            async |mut peer: Peer| {
                peer.say(&format!("{BEFORE} {offered}] hi\r\n")).await?;
                let line = peer.hear().await?;
                let (tag, command) = line.split_once(' ').unwrap_or_default();
                assert!(command.starts_with(first), "{command}");
                peer.say(&format!("{tag} {reply}\r\n")).await?;
                peer.answer(&second, "* CAPABILITY IMAP4rev1\r\n").await
            },
            async |server| {
                Session::connect(&server, &credentials, hasty()).await?;
                Ok(())
            },
        )
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn login_that_is_not_understood_leads_to_plain_once() -> TestResult {
    play(
        async |mut peer: Peer| {
            peer.say(&format!("{BEFORE}] hi\r\n")).await?;
            let tag = peer.expect(r#"LOGIN "a@b.c" "pw""#).await?;
            peer.say(&format!("{tag} BAD no such command\r\n")).await?;
            let tag = peer.expect("AUTHENTICATE PLAIN").await?;
            peer.say("+ \r\n").await?;
            peer.hear().await?;
            peer.say(&format!("* CAPABILITY IMAP4rev1\r\n{tag} OK in\r\n"))
                .await
        },
        async |server| {
            Session::connect(&server, &password(), hasty()).await?;
            Ok(())
        },
    )
    .await
}

#[tokio::test]
async fn refused_credentials_are_not_tried_by_another_mechanism() -> TestResult {
    for (offered, reply, credentials) in [
        ("AUTH=PLAIN", "NO [AUTHENTICATIONFAILED] wrong", password()),
        ("AUTH=PLAIN", "NO wrong", password()),
        ("AUTH=PLAIN LOGINDISABLED", "BAD not supported", password()),
        (
            "AUTH=OAUTHBEARER",
            "BAD User is authenticated but not connected.",
            bearer("a@b.c", "tok"),
        ),
    ] {
        let error = refused(
            async |mut peer: Peer| {
                peer.say(&format!("{BEFORE} SASL-IR {offered}] hi\r\n"))
                    .await?;
                let line = peer.hear().await?;
                let tag = line.split(' ').next().unwrap_or_default();
                peer.say(&format!("{tag} {reply}\r\n")).await?;
                assert_eq!(peer.hear().await?, "");
                Ok(())
            },
            credentials,
        )
        .await?;

        assert!(matches!(error, ImapError::SignInRefused { .. }), "{error}");
    }
    Ok(())
}
