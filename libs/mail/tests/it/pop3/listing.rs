use std::collections::BTreeMap;

use mailmesh_domain::{Position, VerdictKind};
use mailmesh_mail::pop3::{Pop3Error, Pop3Limits};
use mailmesh_mail::source::{FolderAccess, ListedMail, ListingKind};
use mailmesh_mail::{Concern, MailSource as _, SourceError};

use super::peer::{answer, greet, hasty, open_inbox};
use crate::imap::peer::{Peer, TestResult, play};

fn uidl(id: &str) -> Position {
    Position::Pop3 {
        uidl: Some(id.to_owned()),
    }
}

/// Lists from `after` + 1 on, given these answers to STAT, UIDL and LIST; an empty one is not waited for.
async fn list(
    after: u64,
    [stat, ids, sizes]: [&str; 3],
) -> TestResult<Result<Vec<ListedMail>, SourceError>> {
    play(
        async |mut peer: Peer| {
            peer.say("+OK ready\r\n").await?;
            answer(&mut peer, "CAPA", "-ERR\r\n").await?;
            answer(&mut peer, "STAT", stat).await?;
            answer(&mut peer, "UIDL", ids).await?;
            if !sizes.is_empty() {
                answer(&mut peer, "LIST", sizes).await?;
            }
            peer.wait_for_end().await.or(Ok(()))
        },
        async |server| {
            let mut source = open_inbox(&server, hasty()).await?;
            Ok(source.list_after(after).await)
        },
    )
    .await
}

#[tokio::test]
async fn mails_are_numbered_after_what_is_known_in_the_maildrops_order() -> TestResult {
    let listed = list(
        40,
        [
            "+OK 3 320\r\n",
            "+OK\r\n2 same\r\n1 a/b\r\n3 same\r\n.\r\n",
            // The fourth arrived after UIDL was answered.
            "+OK 4 messages\r\n1 100\r\n2 -1\r\n4 9\r\n.\r\n",
        ],
    )
    .await??;

    let mail = |ordinal, id, bytes| ListedMail {
        ordinal,
        position: uidl(id),
        bytes,
    };
    assert_eq!(
        listed,
        [
            mail(41, "a/b", Some(100)),
            mail(42, "same", None),
            mail(43, "same", None)
        ]
    );
    Ok(())
}

#[tokio::test]
async fn without_unique_ids_mails_have_numbers_alone() -> TestResult {
    let listed = list(
        0,
        [
            "+OK 2 -7\r\n",
            "-ERR unknown command\r\n",
            "+OK\r\n1 10\r\n2 20\r\n.\r\n",
        ],
    )
    .await??;

    let bytes: Vec<_> = listed.iter().map(|mail| mail.bytes).collect();
    assert_eq!(bytes, [Some(10), Some(20)]);
    assert!(
        listed
            .iter()
            .all(|mail| mail.position == Position::Pop3 { uidl: None })
    );
    Ok(())
}

#[tokio::test]
async fn ids_that_are_announced_and_refused_are_asked_for_twice() -> TestResult {
    let refusal = "-ERR no";
    let ids = "+OK\r\n1 a\r\n2 b\r\n.";
    for (second, expected) in [(refusal, None), (ids, Some("a"))] {
        let listed = play(
            async |mut peer: Peer| {
                greet(&mut peer).await?;
                answer(&mut peer, "STAT", "+OK 2 30\r\n").await?;
                answer(&mut peer, "UIDL", &format!("{refusal}\r\n")).await?;
                answer(&mut peer, "UIDL", &format!("{second}\r\n")).await?;
                answer(&mut peer, "LIST", "+OK\r\n1 10\r\n2 20\r\n.\r\n").await
            },
            async |server| {
                let mut source = open_inbox(&server, hasty()).await?;
                Ok(source.list_after(0).await?)
            },
        )
        .await?;

        assert_eq!(listed.len(), 2);
        let uidl = expected.map(str::to_owned);
        assert_eq!(listed[0].position, Position::Pop3 { uidl });
    }
    Ok(())
}

#[tokio::test]
async fn a_refusal_that_passes_is_not_taken_for_a_lack_of_ids() -> TestResult {
    for (reply, kind, concern) in [
        ("[SYS/TEMP] later", VerdictKind::Transient, Concern::Session),
        ("maildrop is busy", VerdictKind::Transient, Concern::Session),
        (
            "[SYS/PERM] denied",
            VerdictKind::NeedsAdministrator,
            Concern::Account,
        ),
    ] {
        let listed = list(0, ["+OK 2 2\r\n", &format!("-ERR {reply}\r\n"), ""]).await?;

        let Err(error) = listed else {
            return Err("listed".into());
        };
        assert_eq!((error.verdict().kind, error.concern()), (kind, concern));
        assert!(error.is_session_usable());
    }
    Ok(())
}

#[tokio::test]
async fn an_empty_listing_is_believed_only_if_the_server_counts_none() -> TestResult {
    let none = "+OK\r\n.\r\n";
    assert_eq!(list(0, ["+OK 0 0\r\n", none, ""]).await??, []);

    for replies in [
        ["+OK 3 320\r\n", none, ""],
        ["+OK\r\n", none, ""],
        ["+OK 3 320\r\n", "-ERR unknown command\r\n", none],
    ] {
        let Err(error) = list(0, replies).await? else {
            return Err("taken for empty".into());
        };
        assert!(matches!(error, SourceError::Pop3(Pop3Error::ListingEmpty)));
        assert_eq!(error.concern(), Concern::Folder);
        assert_eq!(error.verdict().kind, VerdictKind::Unknown);
    }
    Ok(())
}

#[tokio::test]
async fn a_large_maildrop_is_listed_page_by_page() -> TestResult {
    const MAILS: u64 = 50_000;
    play(
        async |mut peer: Peer| {
            greet(&mut peer).await?;
            answer(&mut peer, "STAT", &format!("+OK {MAILS} 1\r\n")).await?;
            for (command, prefix) in [("UIDL", "id-"), ("LIST", "1")] {
                let lines: Vec<String> = (1..=MAILS)
                    .map(|number| format!("{number} {prefix}{number}\r\n"))
                    .collect();
                let lines = format!("+OK\r\n{}.\r\n", lines.concat());
                answer(&mut peer, command, &lines).await?;
            }
            peer.wait_for_end().await.or(Ok(()))
        },
        async |server| {
            let mut source = open_inbox(&server, Pop3Limits::default()).await?;
            assert_eq!(source.listing(), ListingKind::Whole);
            let base = 1_000_000;
            let (mut last, mut count) = (base, 0);
            loop {
                let page = source.list_after(last).await?;
                let Some(mail) = page.last() else { break };
                assert_eq!(page.first().map(|mail| mail.ordinal), Some(last + 1));
                (last, count) = (mail.ordinal, count + page.len());
            }
            assert_eq!((last, count), (base + MAILS, 50_000));
            assert_eq!(source.locate(&uidl("id-49999")), Some(base + 49_999));
            assert_eq!(source.locate(&uidl("id-50001")), None);
            let sizes = source.sizes(&[base + 7, base, last + 1]).await?;
            assert_eq!(sizes, BTreeMap::from([(base + 7, 17)]));
            Ok(())
        },
    )
    .await
}

#[tokio::test]
async fn positions_of_no_one_mail_are_not_located() -> TestResult {
    play(
        async |mut peer: Peer| super::peer::list(&mut peer, &["a", "b", "a"]).await,
        async |server| {
            let mut source = open_inbox(&server, hasty()).await?;
            assert_eq!(source.locate(&uidl("b")), None, "not listed yet");
            source.list_after(5).await?;

            assert_eq!(source.locate(&uidl("b")), Some(7));
            assert_eq!(source.locate(&uidl("a")), None, "either could be meant");
            assert_eq!(source.locate(&Position::Pop3 { uidl: None }), None);
            let imap = Position::imap(1, 2);
            assert_eq!(source.locate(&imap), None);
            Ok(())
        },
    )
    .await
}

#[tokio::test]
async fn there_is_no_folder_but_the_inbox() -> TestResult {
    play(
        async |mut peer: Peer| {
            greet(&mut peer).await?;
            answer(&mut peer, "STAT", "+OK 0 0\r\n").await?;
            peer.wait_for_end().await.or(Ok(()))
        },
        async |server| {
            let mut source = open_inbox(&server, hasty()).await?;
            let opened = source.open("Archive", FolderAccess::Read).await;

            let Err(error) = opened else {
                return Err("opened".into());
            };
            assert_eq!(error.concern(), Concern::Folder);
            assert_eq!(error.verdict().kind, VerdictKind::NeedsAdministrator);
            assert!(!source.open_sent().await?);
            assert!(!source.stays_open() && source.is_usable());
            Ok(())
        },
    )
    .await
}
