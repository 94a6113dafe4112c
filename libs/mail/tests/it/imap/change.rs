use mailmesh_mail::imap::{ImapError, ImapLimits, Stage};

use super::peer::{Peer, TestResult, open_inbox, play};

#[tokio::test]
async fn mails_are_marked_and_moved_in_one_step_where_possible() -> TestResult {
    play(
        async |mut peer: Peer| {
            peer.open("MOVE UIDPLUS", 4).await?;
            peer.answer(r"UID STORE 1:2,4 +FLAGS.SILENT (\Seen)", "")
                .await?;
            // Exchange: a double space in COPYUID must not fail what has been done.
            let tag = peer.expect("UID MOVE 1:2,4 \"Erledigt&AOQ-\"").await?;
            peer.say(&format!(
                "* OK [COPYUID 1  1:2,4 7:9] m\r\n* 1 EXPUNGE\r\n{tag} OK done\r\n"
            ))
            .await
        },
        async |server| {
            let mut session = open_inbox(server, ImapLimits::default()).await?;
            session.mark_seen(&[4, 2, 1]).await?;
            session.move_to(&[1, 2, 4], "Erledigtä").await?;
            Ok(())
        },
    )
    .await
}

#[tokio::test]
async fn without_move_mails_are_copied_and_only_they_are_removed() -> TestResult {
    play(
        async |mut peer: Peer| {
            peer.open("UIDPLUS", 4).await?;
            peer.answer("UID COPY 3 \"Done\"", "").await?;
            peer.answer(r"UID STORE 3 +FLAGS.SILENT (\Deleted)", "")
                .await?;
            peer.answer("UID EXPUNGE 3", "* 3 EXPUNGE\r\n").await?;
            let tag = peer.expect("UID COPY 4 \"Done\"").await?;
            peer.say(&format!("{tag} NO [TRYCREATE] none such\r\n"))
                .await?;
            assert_eq!(
                peer.hear().await?,
                "",
                "nothing is removed after a failed copy"
            );
            Ok(())
        },
        async |server| {
            let mut session = open_inbox(server, ImapLimits::default()).await?;
            session.move_to(&[3], "Done").await?;
            let failed = session.move_to(&[4], "Done").await;
            assert!(matches!(
                failed,
                Err(ImapError::Refused {
                    stage: Stage::Copy,
                    ..
                })
            ));
            Ok(())
        },
    )
    .await
}

#[tokio::test]
async fn without_uidplus_nothing_is_touched() -> TestResult {
    play(
        async |mut peer: Peer| {
            peer.open("", 4).await?;
            assert_eq!(peer.hear().await?, "");
            Ok(())
        },
        async |server| {
            let mut session = open_inbox(server, ImapLimits::default()).await?;
            for refused in [session.delete(&[3]).await, session.move_to(&[3], "x").await] {
                assert!(matches!(
                    refused,
                    Err(ImapError::Unsupported {
                        capability: "UIDPLUS"
                    })
                ));
            }
            Ok(())
        },
    )
    .await
}
