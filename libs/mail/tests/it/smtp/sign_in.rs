use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mailmesh_domain::{Encryption, MustAct, VerdictKind};
use mailmesh_mail::Credentials;
use mailmesh_mail::smtp::{SmtpError, WireError};
use mailmesh_mail::transport::Scope;
use mailmesh_secrets::SecretString;

use super::peer::{Peer, TestResult, connect, play, token};

const CHALLENGE: &str = "334 eyJzdGF0dXMiOiI0MDEifQ==";

fn password() -> Credentials {
    Credentials::Password {
        login: "jane".to_owned(),
        password: SecretString::from("hunter2!"),
    }
}

/// Runs a sign-in against a script that starts after the greeting.
async fn sign_in(
    credentials: Credentials,
    mechanisms: &str,
    script: impl AsyncFnOnce(&mut Peer) -> TestResult,
) -> TestResult<Result<(), SmtpError>> {
    let capabilities = format!("\n250-AUTH {mechanisms}");
    play(
        Encryption::None,
        async |mut peer| {
            peer.greet(&capabilities).await?;
            script(&mut peer).await
        },
        async |server| connect(&server, &credentials).await.map(drop),
    )
    .await
}

fn decoded(blob: &str) -> TestResult<String> {
    Ok(String::from_utf8(STANDARD.decode(blob)?)?)
}

#[tokio::test]
async fn challenge_is_answered_and_the_refusal_is_the_tokens() {
    let result = sign_in(token(20), "XOAUTH2", async |peer| {
        let blob = peer.expect("AUTH XOAUTH2 ").await?;
        assert_eq!(
            decoded(&blob)?,
            format!(
                "user=jane@example.com\x01auth=Bearer {}\x01\x01",
                "t".repeat(20)
            )
        );
        peer.say(CHALLENGE).await?;
        assert_eq!(peer.expect("").await?, "");
        peer.say("535-5.7.8 Username and Password not accepted.\n535 5.7.8 go away")
            .await
    })
    .await
    .unwrap();

    let error = result.unwrap_err();
    assert!(error.is_token_refused());
    assert_eq!(
        (error.verdict().kind, error.scope()),
        (VerdictKind::NeedsSignIn, Scope::Account)
    );
    assert_eq!(
        error.to_string(),
        "the server refused the access token with 535 5.7.8"
    );
}

#[tokio::test]
async fn oauthbearer_is_preferred_and_ended_with_its_own_answer() {
    let result = sign_in(token(20), "XOAUTH2 OAUTHBEARER", async |peer| {
        let blob = peer.expect("AUTH OAUTHBEARER ").await?;
        assert!(decoded(&blob)?.starts_with("n,a=jane@example.com,\x01host=localhost\x01port="));
        peer.say(CHALLENGE).await?;
        peer.answer("AQ==", "535 5.7.8 no").await
    })
    .await
    .unwrap();

    assert!(result.unwrap_err().is_token_refused());
}

#[tokio::test]
async fn unknown_oauthbearer_gives_way_to_xoauth2() {
    let result = sign_in(token(20), "XOAUTH2 OAUTHBEARER", async |peer| {
        peer.answer("AUTH OAUTHBEARER ", "504 what").await?;
        peer.answer("AUTH XOAUTH2 ", "235 welcome").await
    })
    .await
    .unwrap();

    assert!(result.is_ok());
}

#[tokio::test]
async fn long_token_goes_in_two_steps() {
    let result = sign_in(token(1500), "XOAUTH2", async |peer| {
        assert_eq!(peer.expect("AUTH XOAUTH2").await?, "");
        peer.say("334 ").await?;
        assert!(decoded(&peer.expect("").await?)?.contains(&"t".repeat(1500)));
        peer.say("235 2.7.0 Accepted").await
    })
    .await
    .unwrap();

    assert!(result.is_ok());
}

#[tokio::test]
async fn two_steps_that_are_not_understood_become_one() {
    for refusal in [
        "500 5.5.2 what",
        "501 syntax",
        "504 initial response required",
    ] {
        let result = sign_in(token(1500), "XOAUTH2", async |peer| {
            peer.answer("AUTH XOAUTH2", refusal).await?;
            assert!(peer.expect("AUTH XOAUTH2 ").await?.len() > 1500);
            peer.say("235 ok").await
        })
        .await
        .unwrap();

        assert!(result.is_ok());
    }
}

#[tokio::test]
async fn line_of_512_octets_is_inline_and_a_longer_one_is_not() {
    // `AUTH XOAUTH2 `, the line end, and the Base64 of the blob around the token.
    let blob = |length: usize| {
        ("user=jane@example.com\x01auth=Bearer \x01\x01".len() + length).div_ceil(3) * 4
    };
    let fitting = (1..600)
        .rev()
        .find(|length| blob(*length) + 13 + 2 <= 512)
        .unwrap();

    for (length, is_inline) in [(fitting, true), (fitting + 1, false)] {
        let result = sign_in(token(length), "XOAUTH2", async |peer| {
            let rest = peer.expect("AUTH XOAUTH2").await?;
            assert_eq!(!rest.is_empty(), is_inline);
            if !is_inline {
                peer.say("334 ").await?;
                peer.expect("").await?;
            }
            peer.say("235 ok").await
        })
        .await
        .unwrap();

        assert!(result.is_ok());
    }
}

#[tokio::test]
async fn passwords_use_plain_or_login() {
    let plain = sign_in(password(), "LOGIN PLAIN", async |peer| {
        let blob = peer.expect("AUTH PLAIN ").await?;
        assert_eq!(decoded(&blob)?, "\0jane\0hunter2!");
        peer.say("235 ok").await
    });
    assert!(plain.await.unwrap().is_ok());

    let login = sign_in(password(), "LOGIN", async |peer| {
        peer.answer("AUTH LOGIN", "334 VXNlcm5hbWU6").await?;
        peer.answer("amFuZQ==", "334 UGFzc3dvcmQ6").await?;
        peer.answer("aHVudGVyMiE=", "535 no").await
    });
    let error = login.await.unwrap().unwrap_err();
    assert!(!error.is_token_refused());
    assert_eq!(error.verdict().kind, VerdictKind::NeedsAdministrator);
}

#[tokio::test]
async fn switched_off_smtp_auth_is_for_the_tenants_administrator() {
    let result = sign_in(token(20), "XOAUTH2", async |peer| {
        peer.answer(
            "AUTH",
            "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled",
        )
        .await
    });

    let error = result.await.unwrap().unwrap_err();
    assert!(!error.is_token_refused());
    assert_eq!(error.verdict().who, MustAct::TenantAdministrator);
}

#[tokio::test]
async fn no_error_shows_a_secret_that_the_server_echoes() {
    let result = sign_in(password(), "PLAIN", async |peer| {
        let blob = peer.expect("AUTH PLAIN ").await?;
        peer.say(&format!("535 wrong hunter2! in {blob}")).await
    });

    let error = result.await.unwrap().unwrap_err();
    let shown = format!("{error} {error:?} {:?}", error.reply());
    assert!(
        !shown.contains("hunter2") && !shown.contains("AGphbmUA"),
        "{shown}"
    );

    let result = sign_in(password(), "LOGIN", async |peer| {
        peer.answer("AUTH LOGIN", "334 VXNlcm5hbWU6").await?;
        peer.answer("", "334 UGFzc3dvcmQ6").await?;
        let line = peer.expect("").await?;
        peer.say(&format!("535 wrong: {line}")).await
    });

    let error = result.await.unwrap().unwrap_err();
    let shown = format!("{error} {error:?} {:?}", error.reply());
    assert!(
        shown.contains("[hidden]") && !shown.contains("aHVudGVyMiE"),
        "{shown}"
    );
}

#[tokio::test]
async fn no_common_mechanism_is_told_before_anything_is_sent() {
    for (credentials, offered) in [
        (token(20), "PLAIN LOGIN"),
        (password(), "XOAUTH2"),
        (token(20), ""),
    ] {
        let result = sign_in(credentials, offered, async |peer| {
            assert!(peer.is_closed().await?);
            Ok(())
        });

        assert!(matches!(
            result.await.unwrap(),
            Err(SmtpError::NoMechanism { .. })
        ));
    }
}

#[tokio::test]
async fn endless_challenges_end() {
    let result = sign_in(token(20), "XOAUTH2", async |peer| {
        peer.answer("AUTH XOAUTH2 ", CHALLENGE).await?;
        peer.answer("", CHALLENGE).await
    });

    assert!(matches!(
        result.await.unwrap(),
        Err(SmtpError::Wire {
            source: WireError::Unsolicited,
            ..
        })
    ));
}

#[tokio::test]
async fn plain_that_is_not_understood_leads_to_login() {
    for refusal in [
        "500 what",
        "502 5.5.1 no",
        "503 no",
        "504 5.7.4 Unrecognized",
    ] {
        let result = sign_in(password(), "PLAIN LOGIN", async |peer| {
            peer.expect("AUTH PLAIN ").await?;
            peer.say(refusal).await?;
            peer.answer("AUTH LOGIN", "334 VXNlcm5hbWU6").await?;
            peer.answer("amFuZQ==", "334 UGFzc3dvcmQ6").await?;
            peer.answer("aHVudGVyMiE=", "235 in").await
        })
        .await
        .unwrap();

        result.unwrap();
    }
}

#[tokio::test]
async fn refused_password_is_the_administrators_to_correct() {
    for (reply, who) in [
        (
            "535 5.7.8 Username and Password not accepted",
            MustAct::Administrator,
        ),
        ("535 Authentication failed", MustAct::Administrator),
        (
            "432 4.7.12 A password transition is needed",
            MustAct::Administrator,
        ),
        (
            "534 5.7.9 Application-specific password required",
            MustAct::MailboxOwner,
        ),
        (
            "535 5.7.139 SmtpClientAuthentication is disabled",
            MustAct::TenantAdministrator,
        ),
    ] {
        let result = sign_in(password(), "PLAIN", async |peer| {
            peer.expect("AUTH PLAIN ").await?;
            peer.say(reply).await
        })
        .await
        .unwrap();

        let error = result.unwrap_err();
        let verdict = error.verdict();
        assert_eq!(verdict.kind, VerdictKind::NeedsAdministrator, "{reply}");
        assert_eq!(
            (verdict.who, error.scope()),
            (who, Scope::Account),
            "{reply}"
        );
    }
}
