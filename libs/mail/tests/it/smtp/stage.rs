use mailmesh_domain::VerdictKind as K;
use mailmesh_mail::smtp::{
    Connection, Phase, PreparedDelivery, SmtpError, SmtpPreparation, WireError,
};
use mailmesh_mail::transport::Scope as S;

use super::delivery::{RAW, envelope, send};
use super::peer::{Peer, TestResult, play_plain};

/// Runs one mail against a script that starts after EHLO.
pub(super) async fn deliver<T>(
    capabilities: &str,
    script: impl AsyncFnOnce(&mut Peer) -> TestResult,
    client: impl AsyncFnOnce(Connection) -> TestResult<T>,
) -> TestResult<T> {
    play_plain(
        async |mut peer| {
            peer.greet(capabilities).await?;
            script(&mut peer).await
        },
        client,
    )
    .await
}

/// Goes up to the content without pipelining.
pub(super) async fn take_content(peer: &mut Peer) -> TestResult {
    peer.answer("MAIL", "250 ok").await?;
    peer.answer("RCPT", "250 ok").await?;
    peer.answer("DATA", "354 go").await
}

pub(super) async fn prepare(connection: &mut Connection) -> TestResult<PreparedDelivery<'_>> {
    match connection.prepare(&envelope(&["a@b.c"])?, RAW).await? {
        SmtpPreparation::Ready(prepared) => Ok(prepared),
        SmtpPreparation::Refused(recipients) => Err(format!("refused: {recipients:?}").into()),
    }
}

async fn prepare_error(connection: &mut Connection) -> TestResult<SmtpError> {
    match connection.prepare(&envelope(&["a@b.c"])?, RAW).await {
        Ok(_) => Err("it was accepted".into()),
        Err(error) => Ok(error),
    }
}

/// Refuses one mail at MAIL or DATA, then takes one.
async fn refuse_once(peer: &mut Peer, mail: &str, data: &str, is_pipelined: bool) -> TestResult {
    peer.answer("MAIL", mail).await?;
    if !data.is_empty() {
        peer.answer("RCPT", "250 ok").await?;
        peer.answer("DATA", data).await?;
    } else if is_pipelined {
        peer.answer("RCPT", "503 MAIL first").await?;
        peer.answer("DATA", "503 MAIL first").await?;
    }
    peer.answer("RSET", "250 ok").await?;
    take_content(peer).await?;
    peer.content().await?;
    peer.say("250 ok").await
}

#[tokio::test]
async fn refusals_at_each_stage_name_it_and_leave_the_connection_usable() {
    for (mail, data, phase, kind, scope) in [
        ("451 4.3.0 later", "", Phase::Mail, K::Transient, S::Host),
        (
            "550 5.7.60 not as this",
            "",
            Phase::Mail,
            K::Permanent,
            S::Sender,
        ),
        (
            "550 5.4.5 daily limit",
            "",
            Phase::Mail,
            K::Throttled,
            S::Account,
        ),
        (
            "250 ok",
            "451 4.7.0 later",
            Phase::Data,
            K::Transient,
            S::Message,
        ),
        (
            "250 ok",
            "554 5.7.1 no",
            Phase::Data,
            K::Permanent,
            S::Message,
        ),
    ] {
        for capabilities in ["", "\n250-PIPELINING"] {
            let script = async |peer: &mut Peer| {
                refuse_once(peer, mail, data, !capabilities.is_empty()).await
            };
            let error = deliver(capabilities, script, async |mut connection| {
                let error = prepare_error(&mut connection).await?;
                assert!(connection.is_reusable());
                send(&mut connection, &envelope(&["a@b.c"])?, RAW).await?;
                Ok(error)
            })
            .await
            .unwrap();

            let is_at = |error: &SmtpError| matches!(error, SmtpError::Refused { phase: at, .. } if *at == phase);
            assert!(is_at(&error), "{error}");
            assert_eq!((error.verdict().kind, error.scope()), (kind, scope));
        }
    }
}

#[tokio::test]
async fn server_that_wants_content_for_nobody_gets_none() {
    let (recipients, is_reusable) = deliver(
        "\n250-PIPELINING",
        async |peer| {
            peer.answer("MAIL", "250 ok").await?;
            peer.answer("RCPT", "550 no").await?;
            peer.answer("DATA", "354 go").await?;
            assert_eq!(peer.content().await?, None);
            Ok(())
        },
        async |mut connection| {
            let recipients = send(&mut connection, &envelope(&["a@b.c"])?, RAW).await?;
            Ok((recipients, connection.is_reusable()))
        },
    )
    .await
    .unwrap();

    assert!(!recipients[0].is_accepted() && !is_reusable);
}

#[tokio::test]
async fn goodbye_in_the_middle_ends_the_connection() {
    for (at, phase) in [
        ("MAIL", Phase::Mail),
        ("RCPT", Phase::Recipient),
        ("DATA", Phase::Data),
    ] {
        let script = async |peer: &mut Peer| {
            while let Some(line) = peer.hear().await? {
                if line.starts_with(at) {
                    return peer.say("421 4.3.2 shutting down").await;
                }
                peer.say("250 ok").await?;
            }
            Ok(())
        };
        let (error, is_reusable) = deliver("", script, async |mut connection| {
            Ok((
                prepare_error(&mut connection).await?,
                connection.is_reusable(),
            ))
        })
        .await
        .unwrap();

        assert!(matches!(error, SmtpError::Refused { phase: met, .. } if met == phase));
        assert!(!is_reusable);
        assert_eq!(error.verdict().kind, K::Transient);
    }
}

#[tokio::test]
async fn silence_and_rubbish_before_the_dot_are_certain_failures() {
    for (answer, expected) in [("", "TimedOut"), ("HTTP/1.1 400 Bad Request", "NotAReply")] {
        let script = async |peer: &mut Peer| {
            peer.expect("MAIL").await?;
            if !answer.is_empty() {
                peer.say(answer).await?;
            }
            assert!(peer.is_closed().await?);
            Ok(())
        };
        let error = deliver("", script, async |mut connection| {
            let error = prepare_error(&mut connection).await?;
            assert!(matches!(connection.noop().await, Err(SmtpError::Unusable)));
            Ok(error)
        })
        .await
        .unwrap();

        assert!(
            matches!(error, SmtpError::Wire { phase: Phase::Mail, source } if format!("{source:?}") == expected)
        );
    }
}

#[tokio::test]
async fn recipients_over_the_number_are_told_from_bad_ones() {
    let recipients = deliver(
        "",
        async |peer| {
            peer.answer("MAIL", "250 ok").await?;
            peer.answer("RCPT", "250 ok").await?;
            peer.answer("RCPT", "452 4.5.3 too many recipients").await?;
            peer.answer("RCPT", "452 4.2.2 full").await?;
            peer.answer("DATA", "354 go").await?;
            peer.content().await?;
            peer.say("250 ok").await
        },
        async |mut connection| {
            send(
                &mut connection,
                &envelope(&["a@b.c", "d@b.c", "e@b.c"])?,
                RAW,
            )
            .await
        },
    )
    .await
    .unwrap();

    let refusals: Vec<_> = recipients.iter().map(|one| one.refusal.as_ref()).collect();
    let over = refusals
        .iter()
        .map(|refusal| refusal.is_some_and(|refusal| refusal.is_over_the_number));
    assert_eq!(over.collect::<Vec<_>>(), [false, true, false]);
    assert_eq!(
        refusals[1].and_then(|refusal| refusal.diagnosis.retry_after),
        Some(std::time::Duration::ZERO)
    );
}

#[tokio::test]
async fn connection_closed_while_idle_is_told_from_a_failure() {
    for last_words in ["", "421 4.4.2 idle for too long"] {
        let (tell, told) = tokio::sync::oneshot::channel();
        let error = deliver(
            "",
            async |peer| {
                if !last_words.is_empty() {
                    peer.say(last_words).await?;
                }
                peer.finish().await?;
                tell.send(()).ok();
                Ok(())
            },
            async |mut connection| {
                told.await?;
                prepare_error(&mut connection).await
            },
        )
        .await
        .unwrap();

        assert!(matches!(error, SmtpError::ClosedWhileIdle), "{error}");
        assert_eq!(error.verdict().retry_after, Some(std::time::Duration::ZERO));
    }
}

#[tokio::test]
async fn replies_that_nothing_asked_for_are_never_taken_for_ours() {
    let error = deliver(
        "",
        async |peer| {
            peer.answer("MAIL", "250 ok\n250 ok\n354 go\n250 queued")
                .await?;
            assert!(peer.is_closed().await?);
            Ok(())
        },
        async |mut connection| prepare_error(&mut connection).await,
    )
    .await
    .unwrap();

    assert!(matches!(
        error,
        SmtpError::Wire {
            source: WireError::Unsolicited,
            ..
        }
    ));
}

#[tokio::test]
async fn dripping_replies_do_not_stretch_a_mail_without_end() {
    let many: Vec<String> = (0..100).map(|n| format!("user{n}@b.c")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let drip = async |peer: &mut Peer| {
        let mut between = tokio::time::interval(std::time::Duration::from_millis(200));
        while peer.hear().await?.is_some() {
            between.tick().await;
            peer.say("250 ok").await.ok();
        }
        Ok(())
    };

    let error = deliver("", drip, async |mut connection| {
        match connection.prepare(&envelope(&many)?, RAW).await {
            Ok(_) => Err("it was accepted".into()),
            Err(error) => Ok(error),
        }
    })
    .await
    .unwrap();

    assert!(matches!(
        error,
        SmtpError::Wire {
            phase: Phase::Recipient | Phase::Mail,
            source: WireError::TimedOut
        }
    ));
}

#[tokio::test]
async fn server_that_stops_reading_content_is_left() {
    let (tell, told) = tokio::sync::oneshot::channel::<()>();
    let big = b"x".repeat(20_000_000);
    let stop = async |peer: &mut Peer| {
        take_content(peer).await?;
        told.await.ok();
        Ok(())
    };

    let error = deliver("", stop, async |mut connection| {
        let result = connection
            .prepare(&envelope(&["a@b.c"])?, &big)
            .await
            .map(drop);
        drop(tell);
        Ok(result)
    })
    .await
    .unwrap()
    .unwrap_err();

    assert!(matches!(
        error,
        SmtpError::Wire {
            phase: Phase::Content,
            source: WireError::TimedOut
        }
    ));
}
