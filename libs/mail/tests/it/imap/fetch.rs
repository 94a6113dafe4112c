use mailmesh_mail::imap::{GuardError, ImapError, ImapFetchReport, ImapLimits};
use mailmesh_mail::source::FetchedMail;
use time::macros::datetime;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;

use super::peer::{Peer, TestResult, hasty, open_inbox, play};

const FETCH_1_3: &str = "UID FETCH 1:3 (UID RFC822.SIZE INTERNALDATE FLAGS BODY.PEEK[]<0.100>)";

fn mail(sequence: u32, uid: u32, body: &str) -> String {
    format!(
        "* {sequence} FETCH (UID {uid} RFC822.SIZE {0} INTERNALDATE \"07-Feb-2026 09:08:07 +0000\" \
         FLAGS (\\Seen) BODY[]<0> {{{0}}}\r\n{body})\r\n",
        body.len()
    )
}

const NONE: &str = "* SEARCH\r\n";

/// Fetches UIDs 1 to 3 in slices of 100 bytes.
async fn fetch(
    script: impl AsyncFnOnce(Peer, String) -> std::io::Result<()>,
    limits: ImapLimits,
) -> TestResult<(Result<ImapFetchReport, ImapError>, Vec<FetchedMail>)> {
    play(
        async |mut peer: Peer| {
            peer.open("", 3).await?;
            let tag = peer.expect(FETCH_1_3).await?;
            script(peer, tag).await
        },
        async |server| {
            let mut session = open_inbox(server, limits).await?;
            let (sender, mut receiver) = mpsc::channel(10);
            let report = session.fetch(&[3, 1, 2], 100, &sender).await;
            drop(sender);
            let mut mails = Vec::new();
            while let Some(mail) = receiver.recv().await {
                mails.push(mail);
            }
            Ok((report, mails))
        },
    )
    .await
}

#[tokio::test]
async fn mails_arrive_whole_whatever_comes_between() -> TestResult {
    let (report, mails) = fetch(
        async |mut peer, tag| {
            let long = "x".repeat(100);
            peer.say(&format!(
                "* 9 EXISTS\r\n{}* 2 FETCH (FLAGS (\\Seen))\r\n{}{}{}* OK soon\r\n{tag} OK done\r\n",
                mail(1, 1, "From: a\r\n\r\n* 2 FETCH {9}\r\n)"),
                mail(9, 9, "not asked for"),
                mail(3, 3, &long),
                mail(3, 3, "twice"),
            ))
            .await?;
            peer.answer("UID SEARCH UID 2", NONE).await
        },
        ImapLimits::default(),
    )
    .await?;

    assert_eq!(
        report?,
        ImapFetchReport {
            missing: vec![2],
            unreadable: vec![]
        }
    );
    let [first, second] = mails.as_slice() else {
        return Err(format!("{mails:?}").into());
    };
    assert_eq!(first.body, "From: a\r\n\r\n* 2 FETCH {9}\r\n)");
    assert_eq!(
        (first.ordinal, first.bytes, first.is_complete),
        (1, Some(27), true)
    );
    assert_eq!(first.received_at, Some(datetime!(2026-02-07 09:08:07 UTC)));
    assert_eq!(first.flags, ["\\Seen"]);
    assert_eq!((second.ordinal, second.is_complete), (3, false));
    Ok(())
}

#[tokio::test]
async fn a_fetch_is_read_the_same_byte_by_byte() -> TestResult {
    let (report, mails) = fetch(
        async |mut peer, tag| {
            let reply = format!(
                "{}{}{tag} OK done\r\n",
                mail(1, 1, "a{3}\r\nb"),
                mail(2, 2, "")
            );
            for byte in reply.bytes() {
                peer.stream.write_all(&[byte]).await?;
                tokio::task::yield_now().await;
            }
            peer.answer("UID SEARCH UID 3", NONE).await
        },
        ImapLimits::default(),
    )
    .await?;

    assert_eq!(report?.missing, [3]);
    let bodies: Vec<_> = mails.iter().map(|mail| mail.body.as_ref()).collect();
    assert_eq!(bodies, [&b"a{3}\r\nb"[..], b""]);
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_read_is_not_called_missing() -> TestResult {
    let whole = mail(2, 2, "late");
    for (reply, search, missing, unreadable) in [
        ("* 2 FETCH (UID 2 BODY[]<0> NIL)\r\n", "3", vec![3], vec![2]),
        (
            "* 2 FETCH (UID 2 ENVELOPE ((( BODY[]<0> x)\r\n",
            "3",
            vec![3],
            vec![2],
        ),
        ("* 2 FETCH (oops\r\n", "", vec![], vec![2, 3]),
        (
            "* 2 FETCH (UID 2 INTERNALDATE NIL)\r\n",
            "3",
            vec![3],
            vec![2],
        ),
        (
            &format!("* 2 FETCH (UID 2 FLAGS (\\Seen))\r\n{whole}"),
            "3",
            vec![3],
            vec![],
        ),
        (
            &format!("{whole}* 2 FETCH (UID 2 FLAGS (\\Seen))\r\n"),
            "3",
            vec![3],
            vec![],
        ),
    ] {
        let (report, mails) = fetch(
            async |mut peer, tag| {
                peer.say(&format!("{reply}{}{tag} OK done\r\n", mail(1, 1, "good")))
                    .await?;
                if search.is_empty() {
                    return Ok(());
                }
                peer.answer(&format!("UID SEARCH UID {search}"), NONE).await
            },
            ImapLimits::default(),
        )
        .await?;

        let is_whole = unreadable.is_empty();
        assert_eq!(
            report?,
            ImapFetchReport {
                missing,
                unreadable
            },
            "{reply}"
        );
        assert_eq!(mails.len(), if is_whole { 2 } else { 1 }, "{reply}");
    }
    Ok(())
}

#[tokio::test]
async fn what_did_not_come_and_is_still_listed_is_not_called_missing() -> TestResult {
    for ending in [
        "OK done",
        "NO Some of the requested messages no longer exist.",
    ] {
        let (report, mails) = fetch(
            async |mut peer, tag| {
                peer.say(&format!("{}{tag} {ending}\r\n", mail(1, 1, "good")))
                    .await?;
                peer.answer("UID SEARCH UID 2:3", "* SEARCH 9 3 1\r\n")
                    .await
            },
            ImapLimits::default(),
        )
        .await?;

        assert_eq!(
            report?,
            ImapFetchReport {
                missing: vec![2],
                unreadable: vec![3]
            }
        );
        assert_eq!(mails.len(), 1);
    }
    Ok(())
}

#[tokio::test]
async fn a_fetch_that_breaks_off_is_an_error_after_the_mails_that_came() -> TestResult {
    for ending in [
        "",
        "* 2 FETCH (UID 2 BODY[]<0> {50}\r\nhalf",
        "* BYE gone\r\n",
    ] {
        let (report, mails) = fetch(
            async |mut peer, _| peer.say(&format!("{}{ending}", mail(1, 1, "good"))).await,
            ImapLimits::default(),
        )
        .await?;

        assert_eq!(mails.len(), 1);
        assert!(
            matches!(
                report,
                Err(ImapError::ConnectionLost { .. } | ImapError::Bye { .. })
            ),
            "{ending:?}"
        );
    }
    for status in ["NO [UNAVAILABLE] later", "BAD Command Error. 12"] {
        let (report, _) = fetch(
            async |mut peer, tag| peer.say(&format!("{tag} {status}\r\n")).await,
            ImapLimits::default(),
        )
        .await?;
        assert!(matches!(report, Err(ImapError::Refused { .. })), "{status}");
    }
    Ok(())
}

#[tokio::test]
async fn exchange_saying_that_some_are_gone_is_a_success() -> TestResult {
    let (report, mails) = fetch(
        async |mut peer, tag| {
            peer.say(&format!(
                "{}{tag} NO Some of the requested messages no longer exist.\r\n",
                mail(1, 1, "good")
            ))
            .await?;
            peer.answer("UID SEARCH UID 2:3", NONE).await
        },
        ImapLimits::default(),
    )
    .await?;

    assert_eq!((report?.missing, mails.len()), (vec![2, 3], 1));
    Ok(())
}

#[tokio::test]
async fn a_trickle_and_a_stall_end() -> TestResult {
    for is_trickle in [true, false] {
        let (report, _) = fetch(
            async |mut peer, _| {
                peer.say("* 1 FETCH (UID 1 BODY[]<0> {90}\r\n").await?;
                while is_trickle && peer.stream.write_all(b"x").await.is_ok() {
                    let mut pause = tokio::time::interval(hasty().timeouts.silence / 5);
                    pause.tick().await;
                    pause.tick().await;
                }
                peer.wait_for_end().await.or(Ok(()))
            },
            hasty(),
        )
        .await?;

        assert!(matches!(report, Err(ImapError::TimedOut { .. })));
    }
    Ok(())
}

#[tokio::test]
async fn a_huge_literal_is_refused_before_it_comes() -> TestResult {
    let (report, _) = fetch(
        async |mut peer, _| {
            peer.say("* 1 FETCH (UID 1 BODY[]<0> {500000000}\r\nabc")
                .await?;
            peer.wait_for_end().await.or(Ok(()))
        },
        ImapLimits::default(),
    )
    .await?;

    assert!(matches!(
        report,
        Err(ImapError::Excess {
            source: GuardError::LiteralTooLarge {
                announced: 500_000_000,
                ..
            },
            ..
        })
    ));
    Ok(())
}

#[tokio::test]
async fn a_caller_that_stops_taking_mails_ends_the_session() -> TestResult {
    play(
        async |mut peer: Peer| {
            peer.open("", 3).await?;
            let tag = peer.expect(FETCH_1_3).await?;
            peer.say(&format!("{}{tag} OK done\r\n", mail(1, 1, "good")))
                .await
        },
        async |server| {
            let mut session = open_inbox(server, ImapLimits::default()).await?;
            let (sender, receiver) = mpsc::channel::<FetchedMail>(1);
            drop(receiver);
            let fetched = session.fetch(&[1, 2, 3], 100, &sender).await;
            assert!(matches!(fetched, Err(ImapError::NotTaken)));
            assert!(!session.is_healthy());
            Ok(())
        },
    )
    .await
}

#[tokio::test]
async fn large_mails_come_in_slices() -> TestResult {
    play(
        async |mut peer: Peer| {
            peer.open("", 3).await?;
            peer.answer(
                "UID FETCH 2 (UID BODY.PEEK[]<100.100>)",
                "* 2 FETCH (UID 2 BODY[]<100> {3}\r\nend)\r\n",
            )
            .await?;
            peer.answer(
                "UID FETCH 2 (UID BODY.PEEK[]<103.100>)",
                "* 2 FETCH (UID 2 BODY[]<103> \"\")\r\n",
            )
            .await?;
            // The end agrees with the size.
            peer.answer(
                "UID FETCH 2 (UID RFC822.SIZE)",
                "* 2 FETCH (UID 2 RFC822.SIZE 103)\r\n",
            )
            .await?;
            peer.answer(
                "UID FETCH 2 (UID BODY.PEEK[]<100.100>)",
                "* 2 FETCH (UID 2 BODY[]<100> NIL)\r\n",
            )
            .await
        },
        async |server| {
            let mut session = open_inbox(server, ImapLimits::default()).await?;
            assert_eq!(session.fetch_slice(2, 100, 100).await?, "end");
            assert_eq!(session.fetch_slice(2, 103, 100).await?, "");
            assert!(matches!(
                session.fetch_slice(2, 100, 100).await,
                Err(ImapError::MailUnreadable)
            ));
            assert!(session.is_healthy());
            Ok(())
        },
    )
    .await
}

#[tokio::test]
async fn a_slice_that_did_not_come_is_asked_after() -> TestResult {
    const FETCH_9: &str = "UID FETCH 9 (UID BODY.PEEK[]<100.100>)";
    play(
        async |mut peer: Peer| {
            peer.open("", 3).await?;
            peer.answer(FETCH_9, "").await?;
            peer.answer("UID SEARCH UID 9", NONE).await?;
            peer.answer(FETCH_9, "").await?;
            peer.answer("UID SEARCH UID 9", "* SEARCH 9\r\n").await?;
            peer.answer(FETCH_9, "* 9 FETCH (UID 9 FLAGS ())\r\n").await
        },
        async |server| {
            let mut session = open_inbox(server, ImapLimits::default()).await?;
            let gone = session.fetch_slice(9, 100, 100).await;
            assert!(matches!(gone, Err(ImapError::MailGone)));
            for _ in 0..2 {
                let unreadable = session.fetch_slice(9, 100, 100).await;
                assert!(matches!(unreadable, Err(ImapError::MailUnreadable)));
            }
            Ok(())
        },
    )
    .await
}
