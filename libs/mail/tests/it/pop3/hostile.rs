//! Servers that send without end.

use mailmesh_domain::FailureCause;
use mailmesh_mail::pop3::{Pop3Error, Pop3Limits};
use mailmesh_mail::{MailSource as _, SourceError};
use tokio::io::AsyncWriteExt as _;

use super::peer::{answer, fetch, greet, hasty, list, list_inbox, open_inbox, refused};
use crate::imap::peer::{Peer, TestResult, bearer, play};

/// Says the same until the client has gone.
async fn flood(peer: &mut Peer, block: &[u8]) {
    while peer.stream.write_all(block).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_endless_line_is_refused() -> TestResult {
    let block = vec![b'x'; 100_000];
    let greeting = refused(
        async |mut peer| {
            flood(&mut peer, &block).await;
            Ok(())
        },
        bearer("a@b.c", "tok"),
    )
    .await?;
    assert!(matches!(greeting, Pop3Error::Excess { .. }), "{greeting}");

    let capabilities = refused(
        async |mut peer| {
            peer.say("+OK\r\n").await?;
            answer(&mut peer, "CAPA", "+OK\r\n").await?;
            flood(&mut peer, b"X-MANY\r\n").await;
            Ok(())
        },
        bearer("a@b.c", "tok"),
    )
    .await?;
    assert!(matches!(capabilities, Pop3Error::Excess { .. }));
    Ok(())
}

#[tokio::test]
async fn an_endless_listing_is_refused() -> TestResult {
    let rubbish = b"rubbish\r\n".repeat(1000);
    let same = b"1 a\r\n".repeat(1000);
    let long = [b"1 ".as_slice(), &[b'u'; 200], b"\r\n"].concat();
    let line = vec![b'x'; 100_000];
    for block in [rubbish, same, long, line] {
        play(
            async |mut peer: Peer| {
                greet(&mut peer).await?;
                answer(&mut peer, "STAT", "+OK 1 1\r\n").await?;
                answer(&mut peer, "UIDL", "+OK\r\n").await?;
                flood(&mut peer, &block).await;
                Ok(())
            },
            async |server| {
                let limits = Pop3Limits {
                    mails: 10_000,
                    uidl_bytes: 100_000,
                    ..Pop3Limits::default()
                };
                let mut source = open_inbox(&server, limits).await?;
                let listed = source.list_after(0).await;

                assert!(matches!(
                    listed,
                    Err(SourceError::Pop3(Pop3Error::Excess { .. }))
                ));
                assert!(!source.is_usable());
                Ok(())
            },
        )
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn exactly_as_many_mails_as_allowed_are_listed() -> TestResult {
    for (mails, fits) in [(3, true), (2, false)] {
        let played = play(
            async |mut peer: Peer| list(&mut peer, &["a", "b", "c"]).await.or(Ok(())),
            async |server| {
                let limits = Pop3Limits { mails, ..hasty() };
                let mut source = open_inbox(&server, limits).await?;
                Ok(source.list_after(0).await.is_ok())
            },
        )
        .await?;

        assert_eq!(played, fits);
    }
    Ok(())
}

#[tokio::test]
async fn a_line_of_ten_megabytes_is_a_mail_like_any_other() -> TestResult {
    const BYTES: usize = 10_000_000;
    play(
        async |mut peer: Peer| {
            list(&mut peer, &["a", "b"]).await?;
            answer(&mut peer, "RETR 1", "+OK\r\n").await?;
            peer.stream.write_all(&vec![b'x'; BYTES]).await?;
            peer.say("\r\n.\r\n").await?;
            answer(&mut peer, "RETR 2", "+OK\r\nb\r\n.\r\n").await
        },
        async |server| {
            let mut source = list_inbox(&server, Pop3Limits::default()).await?;
            let (_, mails) = fetch(&mut source, &[1]).await;
            let mut read = mails.iter().map(|mail| mail.body.len()).sum::<usize>();
            loop {
                let slice = source
                    .fetch_slice(1, u64::try_from(read)?, 1_000_000)
                    .await?;
                read += slice.len();
                if slice.len() < 1_000_000 {
                    break;
                }
            }
            assert_eq!(read, BYTES + 2);
            let (_, mails) = fetch(&mut source, &[2]).await;
            assert_eq!(mails.len(), 1);
            Ok(())
        },
    )
    .await
}

#[tokio::test]
async fn an_endless_mail_gives_slices_and_then_ends_the_session() -> TestResult {
    let block = b"all work and no play\r\n".repeat(1000);
    play(
        async |mut peer: Peer| {
            list(&mut peer, &["a", "b"]).await?;
            answer(&mut peer, "RETR 1", "+OK\r\n").await?;
            flood(&mut peer, &block).await;
            Ok(())
        },
        async |server| {
            let limits = Pop3Limits {
                drain_bytes: 1_000_000,
                ..Pop3Limits::default()
            };
            let mut source = list_inbox(&server, limits).await?;
            let (_, mails) = fetch(&mut source, &[1]).await;
            assert_eq!(mails.iter().map(|mail| mail.body.len()).sum::<usize>(), 100);
            assert_eq!(source.fetch_slice(1, 100, 50_000).await?.len(), 50_000);

            let (report, _) = fetch(&mut source, &[2]).await;

            assert!(matches!(
                report,
                Err(SourceError::Pop3(Pop3Error::UnfinishedMail))
            ));
            assert!(!source.is_usable());
            Ok(())
        },
    )
    .await
}

#[tokio::test]
async fn a_trickle_and_a_stall_end() -> TestResult {
    for is_trickle in [true, false] {
        play(
            async |mut peer: Peer| {
                list(&mut peer, &["a"]).await?;
                answer(&mut peer, "RETR 1", "+OK\r\n").await?;
                while is_trickle && peer.stream.write_all(b"x").await.is_ok() {
                    let mut pause = tokio::time::interval(hasty().timeouts.silence / 5);
                    pause.tick().await;
                    pause.tick().await;
                }
                peer.wait_for_end().await.or(Ok(()))
            },
            async |server| {
                let mut source = list_inbox(&server, hasty()).await?;
                let (report, _) = fetch(&mut source, &[1]).await;

                assert!(matches!(
                    report,
                    Err(SourceError::Pop3(Pop3Error::TimedOut { .. }))
                ));
                Ok(())
            },
        )
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_reply_that_nothing_asked_for_ends_the_session() -> TestResult {
    play(
        async |mut peer: Peer| {
            list(&mut peer, &["a", "b"]).await?;
            answer(
                &mut peer,
                "RETR 1",
                "+OK\r\na\r\n.\r\n+OK\r\nforged\r\n.\r\n",
            )
            .await?;
            peer.wait_for_end().await.or(Ok(()))
        },
        async |server| {
            let mut source = list_inbox(&server, hasty()).await?;
            let (report, mails) = fetch(&mut source, &[1, 2]).await;

            assert!(matches!(
                report,
                Err(SourceError::Pop3(Pop3Error::Unsolicited { .. }))
            ));
            assert_eq!(mails.len(), 1);
            Ok(())
        },
    )
    .await
}

#[tokio::test]
async fn mail_whose_lines_end_in_lf_alone_is_named_as_such() -> TestResult {
    for (text, is_bare) in [
        ("A: b\n\nx\n.\r\n", true),
        ("A: b\n\nx\n.\n", true),
        ("A: b\n\nx\n", false),
        ("A: b\r\n\r\nx.\n", false),
    ] {
        play(
            async |mut peer: Peer| {
                list(&mut peer, &["a"]).await?;
                answer(&mut peer, "RETR 1", &format!("+OK\r\n{text}")).await?;
                peer.wait_for_end().await.or(Ok(()))
            },
            async |server| {
                let mut source = list_inbox(&server, hasty()).await?;
                let (report, mails) = fetch(&mut source, &[1]).await;
                let Err(error) = report else {
                    return Err("read".into());
                };
                let found = matches!(error, SourceError::Pop3(Pop3Error::BareLineFeeds));
                assert_eq!(found, is_bare, "{error}");
                let is_told = error.diagnosis().cause == FailureCause::BareLineFeeds;
                assert_eq!(is_told, is_bare);
                assert!(mails.is_empty() && !source.is_usable());
                Ok(())
            },
        )
        .await?;
    }
    Ok(())
}
