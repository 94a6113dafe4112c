//! IMAP through [`mailmesh_mail::MailSource`], as services use it.

use std::future::{pending, ready};
use std::time::Duration;

use mailmesh_domain::{Direction, Encryption, Epoch, Position, Protocol};
use mailmesh_mail::imap::{ImapSource, Session};
use mailmesh_mail::source::{Farewell, FolderAccess, PostAction, WaitLimits};
use mailmesh_mail::{Credentials, Endpoint, MailSource, Server, SourceError, connect_source};
use tokio::sync::mpsc;

use super::peer::{Peer, TestResult, hasty, play, server};

const LONG: WaitLimits = WaitLimits {
    push: Duration::from_secs(15),
    poll: Duration::from_secs(15),
};
const SHORT: WaitLimits = WaitLimits {
    push: Duration::from_secs(15),
    poll: Duration::from_millis(20),
};

async fn connect(server: Server) -> TestResult<Box<dyn MailSource>> {
    let endpoint = Endpoint {
        protocol: Protocol::Imap,
        direction: Direction::Inbound,
        server,
    };
    Ok(connect_source(&endpoint, &Credentials::None).await?)
}

async fn open_inbox(server: Server) -> TestResult<Box<dyn MailSource>> {
    let mut source = connect(server).await?;
    source.open("INBOX", FolderAccess::Change).await?;
    Ok(source)
}

#[tokio::test]
async fn mails_are_listed_fetched_and_marked_by_their_uids() -> TestResult {
    play(
        async |mut peer: Peer| {
            peer.open("", 2).await?;
            peer.answer("UID SEARCH UID 6:*", "* SEARCH 20 10\r\n")
                .await?;
            peer.answer(
                "UID FETCH 10,20 (UID RFC822.SIZE)",
                "* 1 FETCH (UID 10 RFC822.SIZE 5)\r\n",
            )
            .await?;
            peer.answer(
                "UID FETCH 10,20 (UID RFC822.SIZE INTERNALDATE FLAGS BODY.PEEK[]<0.100>)",
                "* 1 FETCH (UID 10 RFC822.SIZE 5 BODY[]<0> {5}\r\nhello)\r\n",
            )
            .await?;
            peer.answer("UID SEARCH UID 20", "* SEARCH\r\n").await?;
            peer.answer("UID STORE 10 +FLAGS.SILENT (\\Seen)", "")
                .await?;
            peer.answer("LOGOUT", "* BYE\r\n").await
        },
        async |server| {
            let mut source = connect(server).await?;
            let opened = source.open("INBOX", FolderAccess::Change).await?;
            assert_eq!(opened.epoch, Epoch::of_uid_validity(7));
            assert_eq!(opened.last_ordinal, Some(20));

            let listed = source.list_after(5).await?;
            let ordinals: Vec<u64> = listed.iter().map(|mail| mail.ordinal).collect();
            assert_eq!(ordinals, [10, 20]);
            assert_eq!(source.locate(&listed[0].position), Some(10));
            let sizes = source.sizes(&ordinals).await?;
            assert_eq!(sizes.into_iter().collect::<Vec<_>>(), [(10, 5)]);

            let (sender, mut mails) = mpsc::channel(2);
            let report = source.fetch(&ordinals, 100, &sender).await?;
            assert_eq!(report.missing, [20]);
            let mail = mails.try_recv()?;
            assert_eq!((mail.ordinal, &mail.body[..]), (10, &b"hello"[..]));

            source.apply(&[10], &PostAction::MarkSeen).await?;
            source.close(Farewell::Confirm).await;
            Ok(())
        },
    )
    .await
}

#[tokio::test]
async fn position_of_another_numbering_names_no_mail() -> TestResult {
    play(
        async |mut peer: Peer| {
            peer.open("", 2).await?;
            let tag = peer.expect("SELECT \"gone\"").await?;
            peer.say(&format!("{tag} NO [NONEXISTENT] gone\r\n")).await
        },
        async |server| {
            let mut source = open_inbox(server).await?;
            let at = |uid_validity| Position::imap(uid_validity, 3);
            assert_eq!(source.locate(&at(7)), Some(3));
            assert_eq!(source.locate(&at(8)), None);
            assert_eq!(source.locate(&Position::Pop3 { uidl: None }), None);

            source.open("gone", FolderAccess::Change).await.unwrap_err();
            assert_eq!(source.locate(&at(7)), None);
            assert!(source.list_after(0).await.is_err() && source.is_usable());
            Ok(())
        },
    )
    .await
}

#[tokio::test]
async fn server_that_refuses_to_push_is_polled_for_the_rest_of_the_session() -> TestResult {
    play(
        async |mut peer: Peer| {
            peer.open("IDLE", 2).await?;
            let tag = peer.expect("IDLE").await?;
            peer.say(&format!("{tag} NO not here\r\n")).await?;
            peer.answer("NOOP", "* 3 EXISTS\r\n").await?;
            peer.answer("UID SEARCH UID 3:*", "* SEARCH 30\r\n* 4 EXISTS\r\n")
                .await?;
            peer.answer("NOOP", "").await
        },
        async |server| {
            let mut source = open_inbox(server).await?;
            source.wait(LONG, Box::pin(pending())).await?;
            source.wait(SHORT, Box::pin(pending())).await?;
            // A change that came with an answer is looked at before anything is waited for.
            source.list_after(2).await?;
            source.wait(LONG, Box::pin(pending())).await?;
            source.wait(LONG, Box::pin(ready(()))).await?;
            source.wait(SHORT, Box::pin(pending())).await?;
            Ok(())
        },
    )
    .await
}

#[tokio::test]
async fn silent_push_is_followed_by_a_question_that_proves_the_session() -> TestResult {
    play(
        async |mut peer: Peer| {
            peer.open("IDLE", 2).await?;
            let tag = peer.expect("IDLE").await?;
            peer.say("+ idling\r\n").await?;
            peer.hear().await?;
            peer.say(&format!("{tag} OK done\r\n")).await?;
            peer.expect("NOOP").await?;
            peer.say("* BYE gone\r\n").await
        },
        async |server| {
            let mut source = open_inbox(server).await?;
            let limits = WaitLimits {
                push: Duration::from_millis(20),
                ..LONG
            };
            source.wait(limits, Box::pin(pending())).await.unwrap_err();
            assert!(!source.is_usable());
            source.close(Farewell::Abandon).await;
            Ok(())
        },
    )
    .await
}

#[tokio::test]
async fn sent_mail_is_looked_for_in_the_folder_for_it() -> TestResult {
    play(
        async |mut peer: Peer| {
            peer.greet("").await?;
            peer.answer("LIST \"\" \"*\"", "* LIST () \"/\" \"INBOX\"\r\n")
                .await?;
            peer.answer(
                "LIST \"\" \"*\"",
                "* LIST () \"/\" \"Sent\"\r\n* LIST (\\Sent) \"/\" \"Gesendet\"\r\n",
            )
            .await?;
            peer.answer(
                "EXAMINE \"Gesendet\"",
                "* 1 EXISTS\r\n* OK [UIDVALIDITY 9] v\r\n",
            )
            .await?;
            peer.answer(
                "UID SEARCH HEADER \"Message-ID\" \"<a@b>\"",
                "* SEARCH 4\r\n",
            )
            .await
        },
        async |server| {
            let mut source = connect(server).await?;
            assert!(!source.open_sent().await?);
            assert!(source.contains_message_id("<a@b>").await.is_err());
            assert!(source.open_sent().await?);
            assert!(source.contains_message_id("<a@b>").await?);
            Ok(())
        },
    )
    .await
}

#[tokio::test]
async fn farewell_to_a_silent_server_takes_a_bounded_time() -> TestResult {
    play(
        async |mut peer: Peer| {
            peer.open("", 1).await?;
            peer.wait_for_end().await
        },
        async |server| {
            let session = Session::connect(&server, &Credentials::None, hasty()).await?;
            let mut source: Box<dyn MailSource> = Box::new(ImapSource::new(session));
            source.open("INBOX", FolderAccess::Change).await?;
            source.close(Farewell::Confirm).await;
            Ok(())
        },
    )
    .await
}

#[tokio::test]
async fn protocol_that_only_sends_cannot_be_read() -> TestResult {
    let endpoint = Endpoint {
        protocol: Protocol::Smtp,
        direction: Direction::Inbound,
        server: server(1, Encryption::None)?,
    };

    let refused = connect_source(&endpoint, &Credentials::None).await;

    assert!(matches!(refused, Err(SourceError::CannotRead { .. })));
    Ok(())
}
