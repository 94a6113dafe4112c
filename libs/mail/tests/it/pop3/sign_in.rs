use std::io;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mailmesh_domain::{Encryption, History, MustAct, VerdictKind};
use mailmesh_mail::pop3::{Mechanism, Pop3Error, Pop3Limits, Pop3Source, Stage};
use mailmesh_mail::{Concern, ConnectError, Credentials, SourceError};
use mailmesh_secrets::SecretString;

use super::peer::{answer, refused};
use crate::imap::peer::{Peer, TestResult, bearer, play, server};

const EXCHANGE: &str = "+OK The Microsoft Exchange POP3 service is ready. [QQBN]\r\n";

fn capabilities(mechanisms: &str) -> String {
    format!("+OK\r\nUIDL\r\nLOGIN-DELAY 300\r\nSASL {mechanisms}\r\n.\r\n")
}

fn password(secret: &str) -> Credentials {
    Credentials::Password {
        login: "a@b.c".to_owned(),
        password: SecretString::from(secret),
    }
}

fn xoauth2(token: &str) -> String {
    STANDARD.encode(format!("user=a@b.c\x01auth=Bearer {token}\x01\x01"))
}

async fn signs_in(
    script: impl AsyncFnOnce(&mut Peer) -> io::Result<()>,
    credentials: Credentials,
) -> TestResult {
    play(
        async |mut peer: Peer| {
            script(&mut peer).await?;
            answer(&mut peer, "CAPA", &capabilities("PLAIN")).await?;
            peer.wait_for_end().await.or(Ok(()))
        },
        async |server| {
            let limits = Pop3Limits::default();
            let source = Pop3Source::connect(&server, &credentials, limits).await?;
            let delay = source.capabilities().login_delay();
            assert_eq!(delay, Some(Duration::from_mins(5)), "asked for again");
            Ok(())
        },
    )
    .await
}

#[tokio::test]
async fn a_password_goes_by_user_and_pass_where_nothing_better_is_known() -> TestResult {
    signs_in(
        async |peer| {
            peer.say("+OK ready\r\n").await?;
            answer(peer, "CAPA", "-ERR unknown command\r\n").await?;
            answer(peer, "USER a@b.c", "+OK\r\n").await?;
            answer(peer, "PASS two words", "+OK\r\n").await
        },
        password("two words"),
    )
    .await
}

#[tokio::test]
async fn a_secret_goes_with_its_command_where_that_stays_short() -> TestResult {
    let short = STANDARD.encode("\0a@b.c\0hush");
    signs_in(
        async |peer| {
            peer.say("+OK ready\r\n").await?;
            answer(peer, "CAPA", &capabilities("PLAIN")).await?;
            answer(peer, &format!("AUTH PLAIN {short}"), "+OK\r\n").await
        },
        password("hush"),
    )
    .await?;

    let secret = "x".repeat(200);
    signs_in(
        async |peer| {
            peer.say("+OK ready\r\n").await?;
            answer(peer, "CAPA", &capabilities("PLAIN")).await?;
            answer(peer, "AUTH PLAIN", "+ \r\n").await?;
            let blob = STANDARD.encode(format!("\0a@b.c\0{secret}"));
            answer(peer, &blob, "+OK\r\n").await
        },
        password(&secret),
    )
    .await
}

#[tokio::test]
async fn exchange_is_given_every_token_on_a_line_of_its_own() -> TestResult {
    for going_on in ["+\r\n", "+ \r\n", "+ go on then\r\n", "+OK\r\n"] {
        signs_in(
            async |peer| {
                peer.say(EXCHANGE).await?;
                answer(peer, "CAPA", &capabilities("XOAUTH2")).await?;
                answer(peer, "AUTH XOAUTH2", going_on).await?;
                answer(
                    peer,
                    &xoauth2("tok"),
                    "+OK User successfully logged on.\r\n",
                )
                .await
            },
            bearer("a@b.c", "tok"),
        )
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn tokens_of_any_length_are_sent_elsewhere() -> TestResult {
    let long = "t".repeat(16_000);
    signs_in(
        async |peer| {
            peer.say("+OK ready\r\n").await?;
            answer(peer, "CAPA", &capabilities("XOAUTH2")).await?;
            answer(peer, "AUTH XOAUTH2", "+ \r\n").await?;
            answer(peer, &xoauth2(&long), "+OK\r\n").await
        },
        bearer("a@b.c", &long),
    )
    .await?;
    signs_in(
        async |peer| {
            peer.say("+OK ready\r\n").await?;
            answer(peer, "CAPA", &capabilities("XOAUTH2")).await?;
            let line = format!("AUTH XOAUTH2 {}", xoauth2("tok"));
            // One that overlooks what comes with the command asks for it.
            answer(peer, &line, "+ \r\n").await?;
            answer(peer, &xoauth2("tok"), "+OK\r\n").await
        },
        bearer("a@b.c", "tok"),
    )
    .await
}

#[tokio::test]
async fn the_form_that_a_server_does_not_know_is_not_insisted_on() -> TestResult {
    let long = "t".repeat(2_000);
    signs_in(
        async |peer| {
            peer.say("+OK ready\r\n").await?;
            answer(peer, "CAPA", &capabilities("XOAUTH2")).await?;
            answer(
                peer,
                "AUTH XOAUTH2",
                "-ERR Syntax: AUTH mechanism response\r\n",
            )
            .await?;
            answer(peer, &format!("AUTH XOAUTH2 {}", xoauth2(&long)), "+OK\r\n").await
        },
        bearer("a@b.c", &long),
    )
    .await?;
    signs_in(
        async |peer| {
            peer.say("+OK ready\r\n").await?;
            answer(peer, "CAPA", &capabilities("XOAUTH2")).await?;
            let line = format!("AUTH XOAUTH2 {}", xoauth2("tok"));
            answer(peer, &line, "-ERR too many arguments\r\n").await?;
            answer(peer, "AUTH XOAUTH2", "+\r\n").await?;
            answer(peer, &xoauth2("tok"), "+OK\r\n").await
        },
        bearer("a@b.c", "tok"),
    )
    .await
}

#[tokio::test]
async fn a_mechanism_that_is_offered_and_not_known_is_replaced_by_another() -> TestResult {
    const UNKNOWN: &str = "-ERR Unknown AUTH mechanism\r\n";
    signs_in(
        async |peer| {
            peer.say("+OK ready\r\n").await?;
            answer(peer, "CAPA", &capabilities("PLAIN")).await?;
            assert!(peer.hear().await?.starts_with("AUTH PLAIN "));
            peer.say(UNKNOWN).await?;
            answer(peer, "AUTH PLAIN", UNKNOWN).await?;
            answer(peer, "USER a@b.c", "+OK\r\n").await?;
            answer(peer, "PASS hush", "+OK\r\n").await
        },
        password("hush"),
    )
    .await?;
    let long = "t".repeat(300);
    signs_in(
        async |peer| {
            peer.say("+OK ready\r\n").await?;
            let offered = capabilities("OAUTHBEARER XOAUTH2");
            answer(peer, "CAPA", &offered).await?;
            answer(peer, "AUTH OAUTHBEARER", UNKNOWN).await?;
            assert!(peer.hear().await?.starts_with("AUTH OAUTHBEARER "));
            peer.say(UNKNOWN).await?;
            answer(peer, "AUTH XOAUTH2", "+\r\n").await?;
            answer(peer, &xoauth2(&long), "+OK\r\n").await
        },
        bearer("a@b.c", &long),
    )
    .await
}

#[tokio::test]
async fn oauthbearer_is_preferred_and_its_challenge_gets_its_own_answer() -> TestResult {
    let long = "t".repeat(300);
    let error = refused(
        async |mut peer| {
            peer.say("+OK ready\r\n").await?;
            let offered = capabilities("PLAIN XOAUTH2 OAUTHBEARER");
            answer(&mut peer, "CAPA", &offered).await?;
            answer(&mut peer, "AUTH OAUTHBEARER", "+ \r\n").await?;
            let blob = STANDARD.decode(peer.hear().await?).unwrap_or_default();
            assert!(blob.starts_with(b"n,a=a@b.c,\x01host=127.0.0.1\x01port="));
            let json = STANDARD.encode(r#"{"status":"invalid_token"}"#);
            peer.say(&format!("+ {json}\r\n")).await?;
            answer(&mut peer, "AQ==", "-ERR [AUTH] no\r\n").await
        },
        bearer("a@b.c", &long),
    )
    .await?;

    assert!(error.is_token_refused());
    assert!(matches!(
        error,
        Pop3Error::SignInRefused { mechanism: Mechanism::OAuthBearer, challenge_status: Some(status), .. }
            if status == "invalid_token"
    ));
    Ok(())
}

#[tokio::test]
async fn a_refused_token_is_acknowledged_once_and_told_apart() -> TestResult {
    let error = refused(
        async |mut peer| {
            peer.say("+OK Gpop ready\r\n").await?;
            answer(&mut peer, "CAPA", &capabilities("XOAUTH2")).await?;
            let line = format!("AUTH XOAUTH2 {}", xoauth2("tok"));
            let json = STANDARD.encode(r#"{"status":"400","schemes":"Bearer"}"#);
            answer(&mut peer, &line, &format!("+ {json}\r\n")).await?;
            let no = "-ERR [AUTH] Username and password not accepted.\r\n";
            answer(&mut peer, "", no).await?;
            assert_eq!(peer.hear().await?, "", "not tried again");
            Ok(())
        },
        bearer("a@b.c", "tok"),
    )
    .await?;

    assert!(error.is_token_refused() && !error.is_token_stale());
    assert_eq!(error.verdict().kind, VerdictKind::NeedsSignIn);
    assert_eq!(error.code(), Some("AUTH"));
    assert!(matches!(
        &error,
        Pop3Error::SignInRefused { challenge_status: Some(status), .. } if status == "400"
    ));
    assert_eq!(SourceError::from(error).concern(), Concern::Account);
    Ok(())
}

#[tokio::test]
async fn a_token_that_exchange_would_leave_unanswered_is_not_sent() -> TestResult {
    let error = refused(
        async |mut peer| {
            peer.say(EXCHANGE).await?;
            answer(&mut peer, "CAPA", &capabilities("XOAUTH2")).await?;
            assert_eq!(peer.hear().await?, "");
            Ok(())
        },
        bearer("a@b.c", &"t".repeat(4_097)),
    )
    .await?;

    assert_eq!(error.verdict().who, MustAct::Administrator);
    assert!(error.to_string().contains("4097 bytes"));
    assert!(
        error
            .diagnosis()
            .responsibility(History::NEW)
            .action
            .contains("IMAP")
    );
    Ok(())
}

#[tokio::test]
async fn a_mechanism_that_is_not_known_says_nothing_of_the_token() -> TestResult {
    let error = refused(
        async |mut peer| {
            peer.say("+OK ready\r\n").await?;
            answer(&mut peer, "CAPA", &capabilities("PLAIN")).await?;
            let no = "-ERR Unrecognized authentication type\r\n";
            let line = format!("AUTH XOAUTH2 {}", xoauth2("tok"));
            answer(&mut peer, &line, no).await?;
            answer(&mut peer, "AUTH XOAUTH2", no).await
        },
        bearer("a@b.c", "tok"),
    )
    .await?;

    assert!(matches!(error, Pop3Error::MechanismRefused { .. }));
    assert!(!error.is_token_refused());
    assert_eq!(error.verdict().kind, VerdictKind::NeedsAdministrator);
    Ok(())
}

#[tokio::test]
async fn what_passes_by_itself_is_not_blamed_on_the_credentials() -> TestResult {
    for (reply, kind, seconds) in [
        ("[LOGIN-DELAY] too soon", VerdictKind::Throttled, Some(300)),
        ("[IN-USE] locked", VerdictKind::Transient, Some(60)),
        ("maildrop already locked", VerdictKind::Transient, Some(60)),
        ("[SYS/TEMP] later", VerdictKind::Transient, None),
    ] {
        let error = refused(
            async |mut peer| {
                peer.say("+OK ready\r\n").await?;
                answer(&mut peer, "CAPA", &capabilities("X")).await?;
                answer(&mut peer, "USER a@b.c", "+OK\r\n").await?;
                answer(&mut peer, "PASS hush", &format!("-ERR {reply}\r\n")).await
            },
            password("hush"),
        )
        .await?;

        let verdict = error.verdict();
        let delay = seconds.map(Duration::from_secs);
        assert_eq!(
            (verdict.kind, verdict.retry_after),
            (kind, delay),
            "{reply}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn secrets_that_a_server_echoes_are_not_shown() -> TestResult {
    let token = "SECRET".repeat(50);
    let error = refused(
        async |mut peer| {
            peer.say("+OK ready\r\n").await?;
            answer(&mut peer, "CAPA", &capabilities("XOAUTH2")).await?;
            answer(&mut peer, "AUTH XOAUTH2", "+\r\n").await?;
            let blob = peer.hear().await?;
            peer.say(&format!("-ERR what is {blob} {token}?\r\n")).await
        },
        bearer("a@b.c", &token),
    )
    .await?;

    let shown = format!("{error} {error:?}");
    assert!(!shown.contains("SECRET") && !shown.contains(&xoauth2(&token)));

    let error = refused(
        async |mut peer| {
            peer.say("+OK ready\r\n").await?;
            answer(&mut peer, "CAPA", "-ERR\r\n").await?;
            answer(&mut peer, "USER a@b.c", "+OK\r\n").await?;
            let echo = "-ERR PASS short secret: bad command\r\n";
            answer(&mut peer, "PASS short secret", echo).await
        },
        password("short secret"),
    )
    .await?;

    let shown = format!("{error} {error:?}");
    assert!(!shown.contains("secret") && shown.contains("PASS [hidden]"));
    Ok(())
}

#[tokio::test]
async fn a_server_that_challenges_for_ever_is_left() -> TestResult {
    let error = refused(
        async |mut peer| {
            peer.say("+OK ready\r\n").await?;
            answer(&mut peer, "CAPA", &capabilities("XOAUTH2")).await?;
            while peer.say("+ e30=\r\n").await.is_ok() && !peer.hear().await?.is_empty() {}
            while peer.say("+ e30=\r\n").await.is_ok() {
                tokio::task::yield_now().await;
            }
            Ok(())
        },
        bearer("a@b.c", "tok"),
    )
    .await?;

    assert!(matches!(
        error,
        Pop3Error::Unreadable { .. } | Pop3Error::Unsolicited { .. }
    ));
    Ok(())
}

#[tokio::test]
async fn another_protocol_on_the_port_is_named() -> TestResult {
    for (greeting, spoken) in [
        (
            "* OK The Microsoft Exchange IMAP4 service is ready.",
            "IMAP",
        ),
        ("220 smtp.example ESMTP", "SMTP"),
        ("HTTP/1.1 400 Bad Request", "HTTP"),
    ] {
        let error = refused(
            async |mut peer| peer.say(&format!("{greeting}\r\n")).await,
            password("hush"),
        )
        .await?;

        assert!(error.to_string().contains(spoken), "{error}");
        assert!(
            error
                .diagnosis()
                .responsibility(History::NEW)
                .action
                .contains("995")
        );
        assert_eq!(error.verdict().who, MustAct::Administrator);
        assert_eq!(SourceError::from(error).concern(), Concern::Host);
    }
    Ok(())
}

#[tokio::test]
async fn a_silent_server_and_a_busy_one_are_tried_again() -> TestResult {
    let error = refused(
        async |mut peer| peer.wait_for_end().await.or(Ok(())),
        password("hush"),
    )
    .await?;
    assert!(matches!(
        error,
        Pop3Error::TimedOut {
            stage: Stage::Greeting
        }
    ));
    assert!(
        error
            .diagnosis()
            .responsibility(History::NEW)
            .action
            .contains("995")
    );

    let error = refused(
        async |mut peer| peer.say("-ERR [SYS/TEMP] busy\r\n").await,
        password("hush"),
    )
    .await?;
    assert_eq!(error.verdict().kind, VerdictKind::Transient);
    assert_eq!(SourceError::from(error).concern(), Concern::Host);
    Ok(())
}

#[tokio::test]
async fn secrets_never_leave_this_machine_in_clear() -> TestResult {
    let mut server = server(1, Encryption::None)?;
    server.host = "mail.example".to_owned();
    for credentials in [password("hush"), bearer("a@b.c", "tok")] {
        let result = Pop3Source::connect(&server, &credentials, Pop3Limits::default()).await;

        assert!(matches!(
            result,
            Err(Pop3Error::Connect(
                ConnectError::PasswordInClear | ConnectError::TokenInClear
            ))
        ));
    }
    Ok(())
}
