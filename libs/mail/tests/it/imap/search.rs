use std::fmt::Write as _;

use mailmesh_domain::FailureCause;
use mailmesh_mail::imap::{ImapError, ImapLimits};

use super::peer::{Peer, TestResult, open_inbox, play};

#[tokio::test]
async fn only_uids_above_the_last_are_returned_in_order() -> TestResult {
    play(
        async |mut peer: Peer| {
            peer.open("", 4).await?;
            peer.answer("UID SEARCH UID 10:*", "* SEARCH 12 10\r\n* SEARCH 11\r\n")
                .await?;
            // `n:*` names the highest mail even if it is below n.
            peer.answer("UID SEARCH UID 13:*", "* SEARCH 12\r\n")
                .await?;
            let tag = peer.expect("UID SEARCH UID 13:*").await?;
            peer.say(&format!("{tag} NO [UNAVAILABLE] later\r\n")).await
        },
        async |server| {
            let mut session = open_inbox(server, ImapLimits::default()).await?;
            assert_eq!(session.uids_after(9).await?, [10, 11, 12]);
            assert_eq!(session.uids_after(12).await?, [0; 0]);
            assert!(matches!(
                session.uids_after(12).await,
                Err(ImapError::Refused { .. })
            ));
            assert_eq!(session.uids_after(u32::MAX).await?, [0; 0]);
            Ok(())
        },
    )
    .await
}

#[tokio::test]
async fn answer_that_cannot_be_read_is_named_and_finds_nothing() -> TestResult {
    for (line, found) in [
        ("* ESEARCH (TAG \"A2\") UID ALL 10:12", Some([10, 11, 12])),
        ("* SEARCH 10,11,12", Some([10, 11, 12])),
        ("* SEARCH -1 10 11 12", None),
        ("* SEARCH (10 11 12)", None),
        ("* ESEARCH (TAG \"A2\") COUNT 3", None),
    ] {
        play(
            async |mut peer: Peer| {
                peer.open("", 4).await?;
                peer.answer("UID SEARCH UID 10:*", &format!("{line}\r\n"))
                    .await
            },
            async |server| {
                let mut session = open_inbox(server, ImapLimits::default()).await?;
                match (session.uids_after(9).await, found) {
                    (Ok(uids), Some(found)) => assert_eq!(uids, found, "{line}"),
                    (Err(error), None) => {
                        let text =
                            format!("the server sent what is not IMAP while searching: {line}");
                        assert_eq!(error.to_string(), text);
                        assert!(!session.is_healthy());
                        assert_eq!(error.diagnosis().cause, FailureCause::ServerFault);
                    }
                    other => return Err(format!("{line}: {other:?}").into()),
                }
                Ok(())
            },
        )
        .await?;
    }
    Ok(())
}

/// Plays a folder of mails whose UIDs are ten times their position.
async fn serve_positions(peer: &mut Peer, mut disturb: usize) -> std::io::Result<()> {
    loop {
        let line = peer.hear().await?;
        let Some((tag, rest)) = line.split_once(" FETCH ") else {
            return Ok(());
        };
        let range = rest.trim_end_matches(" (UID)");
        let (from, to) = range.split_once(':').unwrap_or((range, range));
        let (from, to): (u32, u32) = (from.parse().unwrap_or(0), to.parse().unwrap_or(0));
        let mut reply = String::new();
        if disturb > 0 && to > from {
            disturb -= 1;
            reply.push_str("* 1 EXPUNGE\r\n* 20000 EXISTS\r\n");
        }
        for position in from..=to {
            writeln!(reply, "* {position} FETCH (UID {})\r", position * 10)
                .map_err(std::io::Error::other)?;
        }
        peer.say(&format!("{reply}{tag} OK done\r\n")).await?;
    }
}

#[tokio::test]
async fn a_large_folder_is_walked_from_the_lowest_in_bounded_steps() -> TestResult {
    play(
        async |mut peer: Peer| {
            peer.open("", 20_000).await?;
            serve_positions(&mut peer, 1).await
        },
        async |server| {
            let mut session = open_inbox(server, ImapLimits::default()).await?;

            let first = session.uids_after(55).await?;

            assert_eq!(
                (first.len(), first.first(), first.last()),
                (10_000, Some(&60), Some(&100_050))
            );
            let rest = session.uids_after(100_050).await?;
            assert_eq!((rest.len(), rest.last()), (9_995, Some(&200_000)));
            Ok(())
        },
    )
    .await
}

#[tokio::test]
async fn a_folder_that_keeps_shrinking_is_left_for_later() -> TestResult {
    play(
        async |mut peer: Peer| {
            peer.open("", 20_000).await?;
            serve_positions(&mut peer, usize::MAX).await
        },
        async |server| {
            let mut session = open_inbox(server, ImapLimits::default()).await?;
            assert!(matches!(
                session.uids_after(0).await,
                Err(ImapError::KeepsChanging)
            ));
            assert!(session.is_healthy());
            Ok(())
        },
    )
    .await
}

#[tokio::test]
async fn a_sent_mail_is_found_by_the_id_that_exchange_keeps() -> TestResult {
    play(
        async |mut peer: Peer| {
            peer.open("", 4).await?;
            peer.answer(
                "UID SEARCH HEADER \"Message-ID\" \"<a\\\"b@c>\"",
                "* SEARCH\r\n",
            )
            .await?;
            peer.answer(
                "UID SEARCH HEADER \"X-Microsoft-Original-Message-ID\" \"<a\\\"b@c>\"",
                "* SEARCH 5\r\n",
            )
            .await
        },
        async |server| {
            let mut session = open_inbox(server, ImapLimits::default()).await?;
            assert_eq!(session.search_message_id("<a\"b@c>").await?, [5]);
            assert!(matches!(
                session.search_message_id("a\r\nA1 LOGOUT").await,
                Err(ImapError::InvalidSearchTerm)
            ));
            Ok(())
        },
    )
    .await
}

#[tokio::test]
async fn more_finds_than_memory_is_meant_for_end_the_session() -> TestResult {
    let limits = ImapLimits {
        line_bytes: 128,
        ..ImapLimits::default()
    };
    play(
        async |mut peer: Peer| {
            peer.open("", 3).await?;
            let line = format!("* SEARCH{}\r\n", " 1".repeat(50));
            peer.answer("UID SEARCH UID 1:*", &line.repeat(3)).await
        },
        async |server| {
            let mut session = open_inbox(server, limits).await?;
            assert!(matches!(
                session.uids_after(0).await,
                Err(ImapError::Unreadable { .. })
            ));
            assert!(!session.is_healthy());
            Ok(())
        },
    )
    .await
}
