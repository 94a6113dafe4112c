//! What servers tell of a folder's numbering, and where they contradict themselves.

use std::collections::BTreeSet;
use std::time::Duration;

use mailmesh_mail::Credentials;
use mailmesh_mail::imap::{ImapError, ImapLimits, SelectMode, SelectedFolder, Session};
use time::macros::datetime;

use super::peer::{Peer, TestResult, open_inbox, play};

const STATUS: &str = "STATUS \"INBOX\" (UIDVALIDITY UIDNEXT)";

/// Opens INBOX for reading at a server that answers each command with these data.
async fn examine(answers: &[(&str, &str)]) -> TestResult<Result<SelectedFolder, ImapError>> {
    play(
        async |mut peer: Peer| {
            peer.greet("").await?;
            for (command, data) in answers {
                peer.answer(command, data).await?;
            }
            peer.wait_for_end().await
        },
        async |server| {
            let mut session =
                Session::connect(&server, &Credentials::None, ImapLimits::default()).await?;
            Ok(session.select("INBOX", SelectMode::ReadOnly).await)
        },
    )
    .await
}

#[tokio::test]
async fn any_number_is_a_uidvalidity() -> TestResult {
    for (told, expected) in [
        ("1713632002544", 1_713_632_002_544),
        ("18446744073709551615", u64::MAX),
        ("0", 0),
        ("007", 7),
    ] {
        let data = format!("* 1 EXISTS\r\n* OK [UIDVALIDITY {told}] v\r\n");

        let opened = examine(&[("EXAMINE \"INBOX\"", &data)]).await??;

        assert_eq!(opened.uid_validity, expected, "{told}");
    }
    Ok(())
}

#[tokio::test]
async fn status_and_then_select_are_asked_for_what_examine_does_not_tell() -> TestResult {
    let bare = "* 1 EXISTS\r\n* OK [UIDNEXT 5] n\r\n";
    let by_status = examine(&[
        ("EXAMINE \"INBOX\"", "* 1 EXISTS\r\n"),
        (STATUS, "* STATUS INBOX (UIDNEXT 9 UIDVALIDITY 77)\r\n"),
    ])
    .await??;
    let by_select = examine(&[
        ("EXAMINE \"INBOX\"", bare),
        (STATUS, "* STATUS INBOX ()\r\n"),
        (
            "SELECT \"INBOX\"",
            "* 2 EXISTS\r\n* OK [UIDVALIDITY 78] v\r\n",
        ),
    ])
    .await??;

    assert_eq!((by_status.uid_validity, by_status.uid_next), (77, Some(9)));
    assert_eq!((by_select.uid_validity, by_select.exists), (78, 2));
    assert!(by_select.is_read_only);
    Ok(())
}

#[tokio::test]
async fn any_text_is_a_uidvalidity_of_its_own() -> TestResult {
    let mut found = BTreeSet::new();
    let texts = ["-5", "1180591620717411303424", "abc", "17.0", "0x1f"];
    for told in texts {
        for _ in 0..2 {
            let data = format!("* 1 EXISTS\r\n* OK [UIDVALIDITY {told}] v\r\n");
            let opened = examine(&[("EXAMINE \"INBOX\"", &data)]).await??;
            assert!(opened.uid_validity > u64::from(u32::MAX), "{told}");
            assert!(opened.uid_validity < 1 << 53, "{told}");
            found.insert(opened.uid_validity);
        }
    }
    assert_eq!(found.len(), texts.len());
    Ok(())
}

#[tokio::test]
async fn uidvalidity_that_changes_while_the_folder_is_open_ends_the_session() -> TestResult {
    for told in ["7", "8", "seven"] {
        play(
            async |mut peer: Peer| {
                peer.open("IDLE", 2).await?;
                let tag = peer.expect("IDLE").await?;
                peer.say(&format!(
                    "+ idling\r\n* OK [UIDVALIDITY {told}] v\r\n* 3 EXISTS\r\n"
                ))
                .await?;
                if told == "7" {
                    peer.hear().await?;
                    peer.say(&format!("{tag} OK done\r\n")).await?;
                }
                peer.wait_for_end().await.or(Ok(()))
            },
            async |server| {
                let mut session = open_inbox(server, ImapLimits::default()).await?;
                let waited = session
                    .idle(Duration::from_mins(1), std::future::pending())
                    .await;
                let is_renumbered = matches!(waited, Err(ImapError::Renumbered));
                assert_eq!(is_renumbered, told != "7", "{waited:?}");
                assert_eq!(session.is_healthy(), told == "7");
                Ok(())
            },
        )
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn folder_that_is_called_empty_is_searched_where_uidnext_contradicts() -> TestResult {
    play(
        async |mut peer: Peer| {
            peer.greet("").await?;
            let data = "* 0 EXISTS\r\n* OK [UIDVALIDITY 7] v\r\n* OK [UIDNEXT 6] n\r\n";
            peer.answer("SELECT \"INBOX\"", data).await?;
            peer.answer("UID SEARCH UID 3:*", "* SEARCH 3 5\r\n")
                .await?;
            let tag = peer.expect("UID SEARCH UID 1:*").await?;
            peer.say(&format!("{tag} NO no such message\r\n")).await?;
            let search = "UID SEARCH HEADER \"Message-ID\" \"<a@b>\"";
            peer.answer(search, "* SEARCH 4\r\n").await
        },
        async |server| {
            let mut session = open_inbox(server, ImapLimits::default()).await?;
            assert_eq!(session.uids_after(2).await?, [3, 5]);
            assert_eq!(session.uids_after(0).await?, [0; 0]);
            // Nothing contradicts, and nothing is asked.
            assert_eq!(session.uids_after(5).await?, [0; 0]);
            assert_eq!(session.search_message_id("<a@b>").await?, [4]);
            Ok(())
        },
    )
    .await
}

#[tokio::test]
async fn empty_folder_is_not_searched_and_a_refused_search_is_made_by_sequence_numbers()
-> TestResult {
    play(
        async |mut peer: Peer| {
            peer.open("", 0).await?;
            peer.answer("NOOP", "* 2 EXISTS\r\n").await?;
            let tag = peer.expect("UID SEARCH UID 1:*").await?;
            peer.say(&format!("{tag} NO no such message\r\n")).await?;
            for uid in ["7", "3"] {
                let sequence = if uid == "7" { 2 } else { 1 };
                peer.answer(
                    &format!("FETCH {sequence}:{sequence} (UID)"),
                    &format!("* {sequence} FETCH (UID {uid})\r\n"),
                )
                .await?;
            }
            peer.answer(
                "FETCH 1:2 (UID)",
                "* 1 FETCH (UID 3)\r\n* 2 FETCH (UID 7)\r\n",
            )
            .await
        },
        async |server| {
            let mut session = open_inbox(server, ImapLimits::default()).await?;
            assert!(session.uids_after(0).await?.is_empty());
            assert!(session.search_message_id("<a@b>").await?.is_empty());
            assert_eq!(session.highest_up_to(9).await?, None);
            session.noop().await?;
            assert_eq!(session.uids_after(0).await?, [3, 7]);
            Ok(())
        },
    )
    .await
}

#[tokio::test]
async fn mail_that_came_and_is_not_listed_is_noticed() -> TestResult {
    play(
        async |mut peer: Peer| {
            peer.open("", 3).await?;
            peer.answer("UID SEARCH UID 31:*", "* SEARCH 30\r\n")
                .await?;
            peer.answer("NOOP", "* 4 EXISTS\r\n").await?;
            peer.answer("UID SEARCH UID 31:*", "* SEARCH 11\r\n")
                .await?;
            peer.answer(
                "FETCH 4 (UID INTERNALDATE)",
                "* 4 FETCH (UID 11 INTERNALDATE \"07-Feb-2026 09:08:07 +0000\")\r\n",
            )
            .await?;
            // One goes and one comes.
            peer.answer("NOOP", "* 1 EXPUNGE\r\n* 4 EXISTS\r\n").await?;
            peer.answer("UID SEARCH UID 31:*", "* SEARCH 31\r\n").await
        },
        async |server| {
            let mut session = open_inbox(server, ImapLimits::default()).await?;
            assert!(session.uids_after(30).await?.is_empty());
            assert!(!session.has_unlisted());

            session.noop().await?;
            assert!(session.uids_after(30).await?.is_empty());
            assert!(session.has_unlisted());
            let highest = session.highest_up_to(30).await?.ok_or("no mail")?;
            assert_eq!(highest.uid, 11);
            assert_eq!(
                highest.internal_date,
                Some(datetime!(2026-02-07 09:08:07 UTC))
            );

            session.noop().await?;
            assert_eq!(session.uids_after(30).await?, [31]);
            assert!(!session.has_unlisted());
            Ok(())
        },
    )
    .await
}

#[tokio::test]
async fn highest_mail_up_to_a_uid_is_found_among_newer_ones() -> TestResult {
    play(
        async |mut peer: Peer| {
            peer.open("", 3).await?;
            let place = |sequence: u32, uid: u32| format!("* {sequence} FETCH (UID {uid})\r\n");
            peer.answer("FETCH 3 (UID INTERNALDATE)", &place(3, 30))
                .await?;
            peer.answer("UID FETCH 25 (UID INTERNALDATE)", "").await?;
            peer.answer("FETCH 2:2 (UID)", &place(2, 20)).await?;
            peer.answer("FETCH 3:3 (UID)", &place(3, 30)).await?;
            peer.answer("FETCH 2 (UID INTERNALDATE)", &place(2, 20))
                .await
        },
        async |server| {
            let mut session = open_inbox(server, ImapLimits::default()).await?;
            let found = session.highest_up_to(25).await?;
            assert_eq!(found.map(|mail| mail.uid), Some(20));
            Ok(())
        },
    )
    .await
}
