use mailmesh_domain::VerdictKind;
use mailmesh_mail::Credentials;
use mailmesh_mail::imap::{ImapError, ImapLimits, SelectMode, SelectedFolder, Session, SpecialUse};

use super::peer::{Peer, TestResult, hasty, open_inbox, play};

#[tokio::test]
async fn a_folder_is_opened_under_its_wire_name() -> TestResult {
    let state = play(
        async |mut peer: Peer| {
            peer.greet("").await?;
            let tag = peer.expect("EXAMINE \"Entw&APw-rfe \\\"x\\\"\"").await?;
            peer.say(
                "* FLAGS (\\Seen \\*)\r\n* 3 EXISTS\r\n* 1 RECENT\r\n* OK [UNSEEN 2] x\r\n\
                 * OK [UIDVALIDITY 77] v\r\n* OK [UIDNEXT 12] n\r\n* OK [HIGHESTMODSEQ 9] m\r\n",
            )
            .await?;
            peer.say(&format!("{tag} OK [READ-ONLY] done\r\n")).await
        },
        async |server| {
            let mut session =
                Session::connect(&server, &Credentials::None, ImapLimits::default()).await?;
            Ok(session
                .select("Entwürfe \"x\"", SelectMode::ReadOnly)
                .await?)
        },
    )
    .await?;

    assert_eq!(
        state,
        SelectedFolder {
            uid_validity: 77,
            uid_next: Some(12),
            exists: 3,
            highest_modseq: Some(9),
            is_read_only: true
        }
    );
    Ok(())
}

#[tokio::test]
async fn a_refused_folder_leaves_the_session_usable_and_no_folder_open() -> TestResult {
    play(
        async |mut peer: Peer| {
            peer.open("", 1).await?;
            let tag = peer.expect("SELECT \"gone\"").await?;
            peer.say(&format!("{tag} NO [NONEXISTENT] Unknown Mailbox\r\n")).await?;
            peer.answer("SELECT \"bare\"", "* 1 EXISTS\r\n").await?;
            let tag = peer.expect("STATUS \"bare\" (UIDVALIDITY UIDNEXT)").await?;
            peer.say(&format!("{tag} BAD not of the open folder\r\n")).await?;
            peer.answer("NOOP", "").await
        },
        async |server| {
            let mut session = open_inbox(server, ImapLimits::default()).await?;

            let gone = session.select("gone", SelectMode::ReadWrite).await;
            assert!(
                matches!(&gone, Err(error) if error.verdict().kind == VerdictKind::NeedsAdministrator
                    && error.is_session_healthy())
            );
            assert!(matches!(session.uids_after(0).await, Err(ImapError::NoFolder)));

            let bare = session.select("bare", SelectMode::ReadWrite).await;
            assert!(matches!(bare, Err(ImapError::NoUidValidity)));
            session.noop().await?;
            Ok(())
        },
    )
    .await
}

#[tokio::test]
async fn every_way_to_break_off_is_an_error_and_closes_the_session() -> TestResult {
    use VerdictKind::{Throttled, Transient, Unknown};
    let table = [
        (
            "",
            Transient,
            "the connection was lost while asking for changes",
        ),
        (
            "* 1 EXI",
            Transient,
            "the connection was lost while asking for changes",
        ),
        (
            "* BYE [OVERQUOTA] enough\r\n",
            Throttled,
            "the server ended the session while asking for changes: BYE [OVERQUOTA] enough",
        ),
        (
            "A99 OK done\r\n",
            Unknown,
            "the server sent what is not IMAP while asking for changes: done",
        ),
        (
            "Server Unavailable. 15\r\n",
            Transient,
            "the server sent what is not IMAP while asking for changes: Server Unavailable. 15",
        ),
        (
            "* LIST () \"/\" {500000000}\r\nabc",
            Unknown,
            "the server sent too much while asking for changes",
        ),
    ];
    for (reply, kind, text) in table {
        play(
            async |mut peer: Peer| {
                peer.open("", 1).await?;
                peer.expect("NOOP").await?;
                peer.say(reply).await
            },
            async |server| {
                let mut session = open_inbox(server, ImapLimits::default()).await?;
                let Err(error) = session.noop().await else {
                    return Err(format!("{reply:?} was accepted").into());
                };
                assert_eq!(
                    (error.verdict().kind, error.to_string().as_str()),
                    (kind, text)
                );
                assert!(!error.is_session_healthy() && !session.is_healthy());
                assert!(matches!(session.noop().await, Err(ImapError::Closed)));
                Ok(())
            },
        )
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn silence_and_dropped_commands_close_the_session() -> TestResult {
    play(
        async |mut peer: Peer| {
            peer.open("", 1).await?;
            peer.wait_for_end().await
        },
        async |server| {
            let mut session = open_inbox(server, hasty()).await?;
            let silence = session.noop().await;
            assert!(matches!(silence, Err(ImapError::TimedOut { .. })));
            assert!(matches!(session.noop().await, Err(ImapError::Closed)));
            Ok(())
        },
    )
    .await?;
    play(
        async |mut peer: Peer| {
            peer.open("", 1).await?;
            peer.wait_for_end().await
        },
        async |server| {
            let mut session = open_inbox(server, ImapLimits::default()).await?;
            tokio::select! {
                biased;
                _ = session.noop() => return Err("nobody answered".into()),
                () = tokio::task::yield_now() => {}
            }
            assert!(matches!(session.noop().await, Err(ImapError::Closed)));
            Ok(())
        },
    )
    .await
}

#[tokio::test]
async fn folders_are_listed_with_their_use() -> TestResult {
    let folders = play(
        async |mut peer: Peer| {
            peer.greet("SPECIAL-USE LIST-EXTENDED").await?;
            let tag = peer.expect("LIST \"\" \"*\" RETURN (SPECIAL-USE)").await?;
            peer.say(&format!("{tag} BAD no\r\n")).await?;
            peer.answer(
                "LIST \"\" \"*\"",
                "* LIST (\\HasNoChildren) \"/\" INBOX\r\n* LIST (oops \"/\" broken\r\n\
                 * LIST (\\Sent) \"/\" {4}\r\nSent\r\n",
            )
            .await
        },
        async |server| {
            let mut session =
                Session::connect(&server, &Credentials::None, ImapLimits::default()).await?;
            Ok(session.list_folders().await?)
        },
    )
    .await?;

    let found: Vec<_> = folders
        .iter()
        .map(|folder| (folder.name.as_str(), folder.special_use))
        .collect();
    assert_eq!(found, [("INBOX", None), ("Sent", Some(SpecialUse::Sent))]);
    Ok(())
}

#[tokio::test]
async fn the_farewell_waits_for_its_answer() -> TestResult {
    play(
        async |mut peer: Peer| {
            peer.open("", 1).await?;
            let tag = peer.expect("LOGOUT").await?;
            peer.say(&format!("* BYE so long\r\n{tag} OK done\r\n"))
                .await?;
            assert_eq!(peer.hear().await?, "");
            Ok(())
        },
        async |server| {
            open_inbox(server, ImapLimits::default())
                .await?
                .logout()
                .await;
            Ok(())
        },
    )
    .await
}

#[tokio::test]
async fn no_more_folders_are_kept_than_allowed() -> TestResult {
    let limits = ImapLimits {
        folders: 2,
        ..ImapLimits::default()
    };
    play(
        async |mut peer: Peer| {
            peer.greet("").await?;
            peer.answer("LIST \"\" \"*\"", &"* LIST () \"/\" a\r\n".repeat(3))
                .await
        },
        async |server| {
            let mut session = Session::connect(&server, &Credentials::None, limits).await?;
            assert_eq!(session.list_folders().await?.len(), 2);
            Ok(())
        },
    )
    .await
}
