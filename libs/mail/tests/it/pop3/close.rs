use mailmesh_domain::{History, MustAct, VerdictKind};
use mailmesh_mail::MailSource as _;
use mailmesh_mail::pop3::Pop3Source;
use mailmesh_mail::source::{Farewell, FolderAccess, PostAction, PostActionEffect};

use super::peer::{answer, fetch, hasty, list, list_inbox};
use crate::imap::peer::{Peer, TestResult, play};

async fn with_two(
    script: impl AsyncFnOnce(&mut Peer) -> std::io::Result<()>,
    client: impl AsyncFnOnce(Box<Pop3Source>) -> TestResult,
) -> TestResult {
    play(
        async |mut peer: Peer| {
            list(&mut peer, &["a", "b"]).await?;
            script(&mut peer).await
        },
        async |server| client(list_inbox(&server, hasty()).await?).await,
    )
    .await
}

#[tokio::test]
async fn mails_are_marked_and_deleted_with_the_farewell() -> TestResult {
    for farewell in [
        "+OK bye\r\n",
        "-ERR some deleted messages not removed\r\n",
        "",
    ] {
        with_two(
            async |peer| {
                answer(peer, "DELE 1", "+OK\r\n").await?;
                answer(peer, "DELE 2", "-ERR already deleted\r\n").await?;
                answer(peer, "LIST 2", "-ERR no such message\r\n").await?;
                answer(peer, "QUIT", farewell).await?;
                peer.wait_for_end().await.or(Ok(()))
            },
            async |mut source| {
                let applied = source.apply(&[1, 2, 9], &PostAction::Delete).await?;
                assert_eq!(applied, PostActionEffect::AtClose);
                source.close(Farewell::Confirm).await;
                Ok(())
            },
        )
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_abandoned_session_ends_without_quit() -> TestResult {
    with_two(
        async |peer| {
            answer(peer, "RETR 1", "+OK\r\na\r\n.\r\n").await?;
            answer(peer, "DELE 1", "+OK\r\n").await?;
            assert_eq!(peer.hear().await?, "", "neither QUIT nor RSET");
            Ok(())
        },
        async |mut source| {
            fetch(&mut source, &[1]).await.0?;
            source.apply(&[1], &PostAction::Delete).await?;
            source.close(Farewell::Abandon).await;
            Ok(())
        },
    )
    .await
}

#[tokio::test]
async fn a_broken_session_is_not_confirmed() -> TestResult {
    with_two(
        async |peer| {
            answer(peer, "RETR 1", "rubbish\r\n").await?;
            assert_eq!(peer.hear().await?, "", "no QUIT");
            Ok(())
        },
        async |mut source| {
            assert!(fetch(&mut source, &[1]).await.0.is_err());
            source.close(Farewell::Confirm).await;
            Ok(())
        },
    )
    .await
}

#[tokio::test]
async fn a_mail_in_the_middle_is_read_past_before_the_farewell() -> TestResult {
    with_two(
        async |peer| {
            let mail = "line\r\n".repeat(1000);
            answer(peer, "RETR 1", &format!("+OK\r\n{mail}.\r\n")).await?;
            answer(peer, "QUIT", "+OK\r\n").await
        },
        async |mut source| {
            fetch(&mut source, &[1]).await.0?;
            source.close(Farewell::Confirm).await;
            Ok(())
        },
    )
    .await
}

#[tokio::test]
async fn a_refused_deletion_of_a_mail_that_is_there_is_an_error() -> TestResult {
    with_two(
        async |peer| {
            answer(peer, "DELE 1", "-ERR read-only\r\n").await?;
            answer(peer, "LIST 1", "+OK 1 100\r\n").await
        },
        async |mut source| {
            assert!(source.apply(&[1], &PostAction::Delete).await.is_err());
            assert!(source.is_usable());
            Ok(())
        },
    )
    .await
}

#[tokio::test]
async fn what_pop3_cannot_do_is_the_administrators_to_change() -> TestResult {
    with_two(
        async |peer| {
            answer(peer, "STAT", "+OK 2 200\r\n").await?;
            peer.wait_for_end().await.or(Ok(()))
        },
        async |mut source| {
            for action in [PostAction::MarkSeen, PostAction::MoveTo("Done".to_owned())] {
                let Err(error) = source.apply(&[1], &action).await else {
                    return Err("applied".into());
                };
                assert_eq!(error.verdict().kind, VerdictKind::NeedsAdministrator);
                assert_eq!(error.verdict().who, MustAct::Administrator);
                assert!(
                    error
                        .diagnosis()
                        .responsibility(History::NEW)
                        .action
                        .contains("POP3")
                );
            }
            assert!(source.contains_message_id("<a@b>").await.is_err());
            source.open("inbox", FolderAccess::Read).await?;
            assert!(source.apply(&[1], &PostAction::Delete).await.is_err());
            assert!(source.is_usable());
            Ok(())
        },
    )
    .await
}
