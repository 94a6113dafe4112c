use mailmesh_mail::imap::{ImapError, ImapLimits};

use super::peer::{Peer, TestResult, open_inbox, play};

#[tokio::test]
async fn sizes_are_told_of_those_asked_for_as_far_as_the_server_knows() -> TestResult {
    play(
        async |mut peer: Peer| {
            peer.open("", 4).await?;
            let data = "* 1 FETCH (UID 1 RFC822.SIZE 900000)\r\n* 2 FETCH (UID 2)\r\n* 3 FETCH (RFC822.SIZE 10 UID 3)\r\n* 4 FETCH (UID 4 RFC822.SIZE 5)\r\n";
            peer.answer("UID FETCH 1:3 (UID RFC822.SIZE)", data).await?;
            // Exchange ends so when some were removed meanwhile.
            let tag = peer.expect("UID FETCH 1:2 (UID RFC822.SIZE)").await?;
            peer.say(&format!("* 1 FETCH (UID 1 RFC822.SIZE 9)\r\n{tag} NO Some of the requested messages no longer exist.\r\n"))
                .await?;
            let tag = peer.expect("UID FETCH 1 (UID RFC822.SIZE)").await?;
            peer.say(&format!("{tag} NO failed\r\n")).await?;
            peer.answer("NOOP", "").await
        },
        async |server| {
            let mut session = open_inbox(server, ImapLimits::default()).await?;

            let sizes = session.sizes(&[1, 2, 3]).await?;
            let partial = session.sizes(&[1, 2]).await?;
            let refused = session.sizes(&[1]).await;

            assert_eq!(sizes.into_iter().collect::<Vec<_>>(), [(1, 900_000), (3, 10)]);
            assert_eq!(partial.into_iter().collect::<Vec<_>>(), [(1, 9)]);
            assert!(matches!(refused, Err(ImapError::Refused { .. })));
            session.noop().await?;
            Ok(())
        },
    )
    .await
}
