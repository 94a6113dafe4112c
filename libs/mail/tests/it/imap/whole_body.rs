//! Servers that send more of a mail than was asked for, or less.

use mailmesh_mail::imap::{ImapError, ImapLimits};
use mailmesh_mail::source::FetchedMail;
use tokio::sync::mpsc;

use super::peer::{Peer, TestResult, open_inbox, play};

const FETCH: &str = "UID FETCH 1:3 (UID RFC822.SIZE INTERNALDATE FLAGS BODY.PEEK[]<0.100>)";

/// Literals of more than a slice are larger than what was asked for.
fn narrow() -> ImapLimits {
    ImapLimits {
        literal_bytes: 50,
        ..ImapLimits::default()
    }
}

fn mail(uid: u32, label: &str, size: usize, body: &str) -> String {
    format!(
        "* {uid} FETCH (UID {uid} RFC822.SIZE {size} FLAGS () {label} {{{}}}\r\n{body})\r\n",
        body.len()
    )
}

/// A thousand different bytes.
fn long() -> String {
    let lines: Vec<String> = (0..100)
        .map(|number| format!("line {number:04}\n"))
        .collect();
    lines.concat()
}

#[tokio::test]
async fn mail_of_a_server_that_ignores_ranges_is_read_piece_by_piece() -> TestResult {
    for label in ["BODY[]", "BODY[]<0>"] {
        let whole = long();
        play(
            async |mut peer: Peer| {
                peer.open("", 3).await?;
                let (small, last) = (mail(1, label, 5, "small"), mail(3, label, 4, "last"));
                let large = mail(2, label, 1_000, &whole);
                peer.answer(FETCH, &format!("{small}{large}{last}{large}"))
                    .await?;
                peer.answer("NOOP", "").await?;
                // It is not asked for a part again.
                let slice = format!("* 2 FETCH (UID 2 {label} {{1000}}\r\n{whole})\r\n");
                let size = "* 2 FETCH (UID 2 RFC822.SIZE 1000)\r\n";
                peer.answer("UID FETCH 2 (UID RFC822.SIZE)", size).await?;
                peer.answer("UID FETCH 2 (UID RFC822.SIZE BODY.PEEK[])", &slice)
                    .await?;
                peer.answer("NOOP", "").await
            },
            async |server| {
                let mut session = open_inbox(server, narrow()).await?;
                let (sender, mut mails) = mpsc::channel(10);
                let report = session.fetch(&[1, 2, 3], 100, &sender).await?;
                assert!(report.missing.is_empty() && session.is_healthy());
                let small = mails.try_recv()?;
                let large = mails.try_recv()?;
                assert_eq!(
                    (small.body.as_ref(), small.is_complete),
                    (&b"small"[..], true)
                );
                assert_eq!((large.ordinal, large.is_complete), (2, false));

                let mut read = large.body.to_vec();
                for _ in 0..4 {
                    let offset = u64::try_from(read.len())?;
                    read.extend(session.fetch_slice(2, offset, 300).await?);
                }
                assert_eq!(String::from_utf8(read)?, whole);
                assert!(session.fetch_slice(2, 1_000, 300).await?.is_empty());
                // The rest of the answer is behind it.
                session.noop().await?;
                let end = session.fetch_slice(2, 900, 200).await?;
                assert_eq!(end, whole.as_bytes()[900..]);
                session.noop().await?;
                Ok(())
            },
        )
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn body_that_was_given_up_is_passed_over_before_the_next_command() -> TestResult {
    let whole = long();
    play(
        async |mut peer: Peer| {
            peer.open("", 3).await?;
            peer.answer(
                "UID FETCH 2 (UID BODY.PEEK[]<0.60>)",
                &format!("* 2 FETCH (BODY[] {{1000}}\r\n{whole} UID 2)\r\n"),
            )
            .await?;
            peer.answer("NOOP", "* 4 EXISTS\r\n").await
        },
        async |server| {
            let mut session = open_inbox(server, narrow()).await?;
            let first = session.fetch_slice(2, 0, 60).await?;
            assert_eq!(first, whole.as_bytes()[..60]);
            assert_eq!(session.noop().await?, Some(4));
            Ok(())
        },
    )
    .await
}

#[tokio::test]
async fn answer_that_is_not_the_part_asked_for_is_read_from_the_whole() -> TestResult {
    for (label, body) in [
        ("BODY[]", "abcdefgh"),
        ("BODY[]<0>", "abcdefgh"),
        // The right bytes under another place: nothing tells.
        ("BODY[]", "cde"),
        ("BODY[]<0>", "cde"),
        ("BODY[]<1>", "bcd"),
    ] {
        play(
            async |mut peer: Peer| {
                peer.open("", 3).await?;
                let part = format!("* 2 FETCH (UID 2 {label} {{{}}}\r\n{body})\r\n", body.len());
                peer.answer("UID FETCH 2 (UID BODY.PEEK[]<2.3>)", &part)
                    .await?;
                peer.answer(
                    "UID FETCH 2 (UID RFC822.SIZE)",
                    "* 2 FETCH (UID 2 RFC822.SIZE 8)\r\n",
                )
                .await?;
                peer.answer(
                    "UID FETCH 2 (UID RFC822.SIZE BODY.PEEK[])",
                    "* 2 FETCH (UID 2 RFC822.SIZE 8 BODY[] {8}\r\nabcdefgh)\r\n",
                )
                .await
            },
            async |server| {
                let mut session = open_inbox(server, ImapLimits::default()).await?;
                assert_eq!(session.fetch_slice(2, 2, 3).await?, "cde", "{label} {body}");
                assert_eq!(session.fetch_slice(2, 5, 9).await?, "fgh");
                assert_eq!(session.fetch_slice(2, 8, 9).await?, "");
                Ok(())
            },
        )
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn answer_shorter_than_asked_is_the_whole_only_if_the_size_agrees() -> TestResult {
    let body = "x".repeat(80);
    let mut complete = Vec::new();
    for (size, is_complete) in [
        ("80", true),
        // An estimate that is too small ends nothing early.
        ("79", true),
        // More may be there, however near.
        ("81", false),
        ("90", false),
        ("400", false),
        ("5000", false),
        // A number that nobody understands.
        ("-1", false),
    ] {
        let data = format!("* 1 FETCH (UID 1 RFC822.SIZE {size} BODY[]<0> {{80}}\r\n{body})\r\n");
        let mail: FetchedMail = play(
            async |mut peer: Peer| {
                peer.open("", 1).await?;
                let command = "UID FETCH 1 (UID RFC822.SIZE INTERNALDATE FLAGS BODY.PEEK[]<0.100>)";
                peer.answer(command, &data).await
            },
            async |server| {
                let mut session = open_inbox(server, ImapLimits::default()).await?;
                let (sender, mut mails) = mpsc::channel(1);
                session.fetch(&[1], 100, &sender).await?;
                Ok(mails.try_recv()?)
            },
        )
        .await?;
        complete.push((size, mail.is_complete, is_complete));
    }

    assert!(
        complete
            .iter()
            .all(|(_, found, expected)| found == expected),
        "{complete:?}"
    );
    Ok(())
}

#[tokio::test]
async fn literal_beyond_any_mail_is_refused_as_it_is_announced() -> TestResult {
    play(
        async |mut peer: Peer| {
            peer.open("", 3).await?;
            peer.expect("UID FETCH 2 (UID BODY.PEEK[]<0.60>)").await?;
            peer.say("* 2 FETCH (UID 2 BODY[] {1099511627776}\r\n")
                .await?;
            peer.wait_for_end().await
        },
        async |server| {
            let mut session = open_inbox(server, narrow()).await?;
            let refused = session.fetch_slice(2, 0, 60).await;
            assert!(
                matches!(refused, Err(ImapError::Excess { .. })),
                "{refused:?}"
            );
            assert!(!session.is_healthy());
            Ok(())
        },
    )
    .await
}

#[tokio::test]
async fn server_that_ends_lines_with_lf_alone_is_read() -> TestResult {
    play(
        async |mut peer: Peer| {
            peer.say("* PREAUTH [CAPABILITY IMAP4rev1] hello\n").await?;
            let tag = peer.expect("SELECT \"INBOX\"").await?;
            peer.say(&format!(
                "* 1 EXISTS\n* OK [UIDVALIDITY 7] v\n{tag} OK done\n"
            ))
            .await?;
            let tag = peer
                .expect("UID FETCH 1 (UID RFC822.SIZE INTERNALDATE FLAGS BODY.PEEK[]<0.100>)")
                .await?;
            peer.say(&format!(
                "* 1 FETCH (UID 1 RFC822.SIZE 9 BODY[]<0> {{9}}\na\nb {{3}}\nc)\n{tag} OK done\n"
            ))
            .await
        },
        async |server| {
            let mut session = open_inbox(server, ImapLimits::default()).await?;
            let (sender, mut mails) = mpsc::channel(1);
            session.fetch(&[1], 100, &sender).await?;
            assert_eq!(mails.try_recv()?.body, "a\nb {3}\nc");
            Ok(())
        },
    )
    .await
}
