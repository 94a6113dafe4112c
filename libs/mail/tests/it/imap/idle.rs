use std::future::{pending, ready};
use std::time::{Duration, Instant};

use mailmesh_mail::imap::{IdleEnd, IdleReport, ImapError, ImapLimits};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::peer::{Peer, TestResult, hasty, open_inbox, play};

const LONG: Duration = Duration::from_secs(15);

const fn changed(exists: u32) -> IdleReport {
    IdleReport {
        end: IdleEnd::Changed,
        exists: Some(exists),
    }
}

/// Hears IDLE, consents, and returns the tag.
async fn consent_to_idle(peer: &mut Peer) -> std::io::Result<String> {
    let tag = peer.expect("IDLE").await?;
    peer.say("+ idling\r\n").await?;
    Ok(tag)
}

async fn end(peer: &mut Peer, tag: &str, data: &str) -> std::io::Result<()> {
    assert_eq!(peer.hear().await?, "DONE");
    peer.say(&format!("{data}{tag} OK done\r\n")).await
}

#[tokio::test]
async fn a_push_ends_the_wait() -> TestResult {
    play(
        async |mut peer: Peer| {
            peer.open("IDLE", 3).await?;
            let tag = consent_to_idle(&mut peer).await?;
            peer.say("* OK Still here\r\n* 1 FETCH (FLAGS (\\Seen))\r\n")
                .await?;
            peer.say("* 4 EXISTS\r\n").await?;
            end(&mut peer, &tag, "").await
        },
        async |server| {
            let mut session = open_inbox(server, ImapLimits::default()).await?;
            assert_eq!(session.idle(LONG, pending()).await?, changed(4));
            Ok(())
        },
    )
    .await
}

#[tokio::test]
async fn what_is_pushed_while_idle_begins_or_ends_is_not_lost() -> TestResult {
    play(
        async |mut peer: Peer| {
            peer.open("IDLE", 3).await?;
            let tag = peer.expect("IDLE").await?;
            peer.say("* 4 EXISTS\r\n+ idling\r\n").await?;
            end(&mut peer, &tag, "").await?;
            let tag = consent_to_idle(&mut peer).await?;
            end(&mut peer, &tag, "* 5 EXISTS\r\n").await?;
            // A push between commands ends the next wait before it begins.
            peer.answer("UID SEARCH UID 4:*", "* SEARCH 4 5\r\n* 6 EXISTS\r\n")
                .await?;
            peer.answer("NOOP", "* 7 EXISTS\r\n").await?;
            let tag = consent_to_idle(&mut peer).await?;
            end(&mut peer, &tag, "").await
        },
        async |server| {
            let mut session = open_inbox(server, ImapLimits::default()).await?;
            assert_eq!(session.idle(LONG, pending()).await?, changed(4));
            assert_eq!(session.idle(LONG, ready(())).await?, changed(5));
            session.uids_after(3).await?;
            assert_eq!(session.idle(LONG, pending()).await?, changed(6));
            assert_eq!(session.noop().await?, Some(7));
            let woken = session.idle(LONG, ready(())).await?;
            assert_eq!((woken.end, woken.exists), (IdleEnd::Woken, None));
            Ok(())
        },
    )
    .await
}

#[tokio::test]
async fn time_is_up_after_a_while_whatever_the_server_says() -> TestResult {
    play(
        async |mut peer: Peer| {
            peer.open("IDLE", 3).await?;
            let tag = consent_to_idle(&mut peer).await?;
            peer.say("* OK Still here\r\n").await?;
            end(&mut peer, &tag, "").await
        },
        async |server| {
            let mut session = open_inbox(server, ImapLimits::default()).await?;
            let report = session.idle(Duration::from_millis(50), pending()).await?;
            assert_eq!((report.end, report.exists), (IdleEnd::TimeUp, None));
            Ok(())
        },
    )
    .await
}

#[tokio::test]
async fn a_server_that_cannot_idle_can_still_be_polled() -> TestResult {
    play(
        async |mut peer: Peer| {
            peer.open("IDLE", 3).await?;
            let tag = peer.expect("IDLE").await?;
            peer.say(&format!("{tag} NO not here\r\n")).await?;
            peer.answer("NOOP", "").await
        },
        async |server| {
            let mut session = open_inbox(server, ImapLimits::default()).await?;
            let refused = session.idle(LONG, pending()).await;
            assert!(matches!(refused, Err(error) if error.is_idle_unsupported()));
            assert_eq!(session.noop().await?, None);
            Ok(())
        },
    )
    .await?;
    play(
        async |mut peer: Peer| {
            peer.open("", 3).await?;
            peer.answer("NOOP", "").await
        },
        async |server| {
            let mut session = open_inbox(server, ImapLimits::default()).await?;
            let refused = session.idle(LONG, pending()).await;
            assert!(matches!(refused, Err(error) if error.is_idle_unsupported()));
            session.noop().await?;
            Ok(())
        },
    )
    .await
}

#[tokio::test]
async fn a_throttled_wait_is_no_sign_that_push_is_missing() -> TestResult {
    for is_consenting in [true, false] {
        play(
            async |mut peer: Peer| {
                peer.open("IDLE", 3).await?;
                let tag = peer.expect("IDLE").await?;
                let consent = if is_consenting { "+ idling\r\n" } else { "" };
                let throttle = "Request is throttled. Suggested Backoff Time: 5000 milliseconds";
                peer.say(&format!("{consent}{tag} BAD {throttle}\r\n"))
                    .await?;
                let tag = consent_to_idle(&mut peer).await?;
                end(&mut peer, &tag, "* 4 EXISTS\r\n").await
            },
            async |server| {
                let mut session = open_inbox(server, ImapLimits::default()).await?;
                let Err(throttled) = session.idle(LONG, pending()).await else {
                    return Err("the throttle was not heard".into());
                };
                assert!(!throttled.is_idle_unsupported());
                let delay = throttled.verdict().retry_after;
                assert_eq!(delay, Some(Duration::from_secs(5)));
                assert_eq!(session.idle(LONG, ready(())).await?, changed(4));
                Ok(())
            },
        )
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_server_that_ends_the_wait_itself_is_not_asked_again_at_once() -> TestResult {
    play(
        async |mut peer: Peer| {
            peer.open("IDLE", 3).await?;
            for _ in 0..2 {
                let tag = consent_to_idle(&mut peer).await?;
                peer.say(&format!("{tag} OK long enough\r\n")).await?;
            }
            peer.answer("NOOP", "").await
        },
        async |server| {
            let mut session = open_inbox(server, ImapLimits::default()).await?;
            let at_most = Duration::from_millis(300);
            let started = Instant::now();
            let report = session.idle(at_most, pending()).await?;
            assert_eq!((report.end, report.exists), (IdleEnd::TimeUp, None));
            assert!(started.elapsed() >= at_most);

            let wake = tokio::time::sleep(at_most);
            let report = session.idle(LONG, wake).await?;
            assert_eq!(report.end, IdleEnd::Woken);
            assert_eq!(session.noop().await?, None);
            Ok(())
        },
    )
    .await
}

#[tokio::test]
async fn silence_when_idle_begins_or_ends_closes_the_session() -> TestResult {
    for is_consenting in [true, false] {
        play(
            async |mut peer: Peer| {
                peer.open("IDLE", 3).await?;
                peer.expect("IDLE").await?;
                if is_consenting {
                    peer.say("+ idling\r\n").await?;
                }
                peer.wait_for_end().await
            },
            async |server| {
                let mut session = open_inbox(server, hasty()).await?;
                let silent = session.idle(Duration::from_millis(20), pending()).await;
                assert!(matches!(silent, Err(ImapError::TimedOut { .. })));
                assert!(!session.is_healthy());
                Ok(())
            },
        )
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_session_that_ends_while_idle_says_why() -> TestResult {
    play(
        async |mut peer: Peer| {
            peer.open("IDLE", 3).await?;
            consent_to_idle(&mut peer).await?;
            peer.say("* BYE Session invalidated - AccessTokenExpired\r\n")
                .await
        },
        async |server| {
            let mut session = open_inbox(server, ImapLimits::default()).await?;
            let ended = session.idle(LONG, pending()).await;
            assert!(matches!(ended, Err(error) if error.is_token_stale()));
            Ok(())
        },
    )
    .await?;
    play(
        async |mut peer: Peer| {
            peer.open("IDLE", 3).await?;
            consent_to_idle(&mut peer).await.map(drop)
        },
        async |server| {
            let mut session = open_inbox(server, ImapLimits::default()).await?;
            let ended = session.idle(LONG, pending()).await;
            assert!(matches!(ended, Err(ImapError::ConnectionLost { .. })));
            Ok(())
        },
    )
    .await
}

/// Consents to IDLE and then talks without end, until the client has gone or says DONE.
async fn talk_without_end(peer: &mut Peer, line: &str) -> std::io::Result<()> {
    let talk = line.repeat(1_000);
    let (mut reader, mut writer) = peer.stream.split();
    let mut heard = [0; 64];
    loop {
        tokio::select! {
            written = writer.write_all(talk.as_bytes()) => if written.is_err() { return Ok(()) },
            read = reader.read(&mut heard) => if read.unwrap_or(0) < 6 { return Ok(()) } else { break },
        }
    }
    Ok(())
}

#[tokio::test]
async fn flood_in_idle_keeps_neither_the_time_nor_the_wake_up_from_ending_it() -> TestResult {
    for wakes in [false, true] {
        play(
            async |mut peer: Peer| {
                peer.open("IDLE", 3).await?;
                let tag = consent_to_idle(&mut peer).await?;
                talk_without_end(&mut peer, "* OK nothing new here\r\n").await?;
                peer.say(&format!("\r\n* 4 EXISTS\r\n{tag} OK done\r\n"))
                    .await
                    .or(Ok(()))
            },
            async |server| {
                let mut session = open_inbox(server, hasty()).await?;
                let begun = Instant::now();
                let wake = async {
                    if !wakes {
                        pending::<()>().await;
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                };
                let limit = if wakes {
                    LONG
                } else {
                    Duration::from_millis(20)
                };
                // What the flood left in between is another matter.
                drop(session.idle(limit, wake).await);
                assert!(
                    begun.elapsed() < Duration::from_secs(10),
                    "{:?}",
                    begun.elapsed()
                );
                Ok(())
            },
        )
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn replies_without_effect_end_the_session_at_their_bound() -> TestResult {
    for line in [
        "* OK nothing new here\r\n",
        "* 1 FETCH (FLAGS ())\r\n",
        "* X\r\n",
    ] {
        play(
            async |mut peer: Peer| {
                peer.open("IDLE", 3).await?;
                consent_to_idle(&mut peer).await?;
                talk_without_end(&mut peer, line).await
            },
            async |server| {
                let mut session = open_inbox(server, ImapLimits::default()).await?;
                let ended = session.idle(LONG, pending()).await;
                assert!(
                    matches!(ended, Err(ImapError::TalksOnly { .. })),
                    "{ended:?}"
                );
                assert!(!session.is_healthy());
                Ok(())
            },
        )
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn flood_has_the_time_limit_of_the_command_that_it_answers() -> TestResult {
    play(
        async |mut peer: Peer| {
            peer.open("", 3).await?;
            peer.expect("NOOP").await?;
            talk_without_end(&mut peer, "* 3 EXISTS\r\n").await
        },
        async |server| {
            let mut session = open_inbox(server, hasty()).await?;
            let ended = session.noop().await;
            assert!(
                matches!(ended, Err(ImapError::TimedOut { .. })),
                "{ended:?}"
            );
            Ok(())
        },
    )
    .await
}
