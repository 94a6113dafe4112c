use mailmesh_domain::VerdictKind;
use mailmesh_mail::pop3::{Pop3Error, Pop3Limits, Pop3Source};
use mailmesh_mail::source::FetchReport;
use mailmesh_mail::{MailEvidence, MailSource as _, SourceError};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;

use super::peer::{answer, fetch, hasty, list, list_inbox};
use crate::imap::peer::{Peer, TestResult, play};

/// A mail with everything that may deceive a reader, and how it travels.
const MAIL: &[u8] = b"A: b\r\n\r\n.dot\r\n..\r\nlf\n.\r\nx\r.\r\n.\ny\r\n+OK\r\n";
const SENT: &str =
    "+OK 9999999 octets\r\nA: b\r\n\r\n..dot\r\n...\r\nlf\n.\r\nx\r.\r\n..\ny\r\n+OK\r\n.\r\n";

async fn with_mails<T>(
    uidls: &[&str],
    script: impl AsyncFnOnce(&mut Peer) -> std::io::Result<()>,
    client: impl AsyncFnOnce(Box<Pop3Source>) -> TestResult<T>,
) -> TestResult<T> {
    play(
        async |mut peer: Peer| {
            list(&mut peer, uidls).await?;
            script(&mut peer).await
        },
        async |server| client(list_inbox(&server, hasty()).await?).await,
    )
    .await
}

#[tokio::test]
async fn a_mail_is_read_the_same_wherever_its_stream_is_cut() -> TestResult {
    let cuts = SENT.len();
    let numbers: Vec<String> = (1..=cuts).map(|number| number.to_string()).collect();
    let uidls: Vec<&str> = numbers.iter().map(String::as_str).collect();
    with_mails(
        &uidls,
        async |peer| {
            for cut in 1..=cuts {
                let (head, tail) = SENT.split_at(cut);
                answer(peer, &format!("RETR {cut}"), head).await?;
                tokio::task::yield_now().await;
                peer.say(tail).await?;
            }
            Ok(())
        },
        async |mut source| {
            let ordinals: Vec<u64> = (1..).take(cuts).collect();
            let (report, mails) = fetch(&mut source, &ordinals).await;

            assert_eq!(report?, FetchReport::default());
            assert_eq!(mails.len(), cuts);
            for mail in mails {
                assert!(mail.is_complete, "{}", mail.ordinal);
                assert_eq!(mail.body, MAIL, "{}", mail.ordinal);
                assert_eq!(mail.bytes, Some(1), "what LIST claims");
            }
            Ok(())
        },
    )
    .await
}

#[tokio::test]
async fn a_mail_that_is_cut_off_is_never_whole() -> TestResult {
    for cut in 0..SENT.len() {
        with_mails(
            &["a"],
            async |peer| {
                answer(peer, "RETR 1", SENT.split_at(cut).0).await?;
                peer.stream.shutdown().await
            },
            async |mut source| {
                let (report, mails) = fetch(&mut source, &[1]).await;

                let Err(error) = report else {
                    return Err(format!("whole after {cut} bytes").into());
                };
                assert!(mails.is_empty(), "{mails:?}");
                assert_eq!(error.verdict().kind, VerdictKind::Transient);
                assert_eq!(error.evidence_against_mail(), MailEvidence::Weak);
                assert!(!source.is_usable());
                Ok(())
            },
        )
        .await?;
    }
    Ok(())
}

fn long_mail() -> String {
    let lines: Vec<String> = (0..100).map(|line| format!("line {line}\r\n")).collect();
    lines.concat()
}

#[tokio::test]
async fn a_large_mail_comes_in_slices_of_one_retrieval() -> TestResult {
    let mail = long_mail();
    with_mails(
        &["a", "b"],
        async |peer| {
            answer(peer, "RETR 1", &format!("+OK\r\n{mail}.\r\n")).await?;
            answer(peer, "RETR 2", "+OK\r\nnext\r\n.\r\n").await
        },
        async |mut source| {
            let (report, mails) = fetch(&mut source, &[1, 2]).await;
            assert_eq!(report?, FetchReport::default());
            let [first] = mails.as_slice() else {
                return Err(format!("{mails:?}").into());
            };
            assert!(!first.is_complete && source.is_usable());

            let mut read = first.body.to_vec();
            loop {
                let offset = u64::try_from(read.len())?;
                let slice = source.fetch_slice(1, offset, 300).await?;
                read.extend_from_slice(&slice);
                if slice.len() < 300 {
                    break;
                }
            }
            assert_eq!(read, mail.as_bytes());
            let end = u64::try_from(read.len())?;
            assert_eq!(source.fetch_slice(1, end, 10).await?, "");
            let (_, mails) = fetch(&mut source, &[2]).await;
            assert_eq!(mails.len(), 1);
            Ok(())
        },
    )
    .await
}

#[tokio::test]
async fn a_mail_is_read_anew_where_its_slices_do_not_follow() -> TestResult {
    let mail = long_mail();
    let reply = format!("+OK\r\n{mail}.\r\n");
    with_mails(
        &["a"],
        async |peer| {
            answer(peer, "RETR 1", &reply).await?;
            answer(peer, "RETR 1", &reply).await
        },
        async |mut source| {
            let late = source.fetch_slice(1, 500, 10).await?;
            let early = source.fetch_slice(1, 10, 10).await?;

            assert_eq!(late, mail.as_bytes().get(500..510).unwrap_or_default());
            assert_eq!(early, mail.as_bytes().get(10..20).unwrap_or_default());
            Ok(())
        },
    )
    .await
}

#[tokio::test]
async fn a_mail_that_was_given_up_is_passed_over_within_bounds() -> TestResult {
    let mail = long_mail();
    for (drain_bytes, goes_on) in [(1_000_000, true), (100, false)] {
        play(
            async |mut peer: Peer| {
                list(&mut peer, &["a", "b"]).await?;
                answer(&mut peer, "RETR 1", &format!("+OK\r\n{mail}.\r\n")).await?;
                if goes_on {
                    answer(&mut peer, "RETR 2", "+OK\r\nb\r\n.\r\n").await?;
                }
                peer.wait_for_end().await.or(Ok(()))
            },
            async |server| {
                let limits = Pop3Limits {
                    drain_bytes,
                    ..hasty()
                };
                let mut source = list_inbox(&server, limits).await?;
                fetch(&mut source, &[1]).await.0?;
                let (report, mails) = fetch(&mut source, &[2]).await;

                assert_eq!(mails.len(), usize::from(goes_on));
                assert_eq!(report.is_ok(), goes_on);
                assert_eq!(source.is_usable(), goes_on);
                Ok(())
            },
        )
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_mail_that_is_refused_stands_in_no_others_way() -> TestResult {
    with_mails(
        &["a", "b", "c"],
        async |peer| {
            answer(peer, "RETR 1", "-ERR cannot open it\r\n").await?;
            answer(peer, "LIST 1", "+OK 1 100\r\n").await?;
            answer(peer, "RETR 2", "-ERR no such message\r\n").await?;
            answer(peer, "LIST 2", "-ERR no such message\r\n").await?;
            answer(peer, "RETR 3", "+OK\r\nc\r\n.\r\n").await?;
            answer(peer, "RETR 1", "-ERR cannot open it\r\n").await?;
            answer(peer, "LIST 1", "+OK 1 100\r\n").await?;
            answer(peer, "RETR 2", "-ERR no such message\r\n").await?;
            answer(peer, "LIST 2", "-ERR no such message\r\n").await
        },
        async |mut source| {
            let (report, mails) = fetch(&mut source, &[1, 2, 3, 9]).await;
            assert_eq!(
                report?,
                FetchReport {
                    missing: vec![2, 9],
                    unreadable: vec![1]
                }
            );
            assert_eq!(mails.len(), 1);

            let unreadable = source.fetch_slice(1, 0, 10).await;
            assert!(matches!(
                unreadable,
                Err(SourceError::Pop3(Pop3Error::MailUnreadable))
            ));
            let gone = source.fetch_slice(2, 0, 10).await;
            assert!(gone.is_err_and(|error| error.is_mail_gone()));
            assert!(source.is_usable());
            Ok(())
        },
    )
    .await
}

#[tokio::test]
async fn a_refusal_over_the_server_is_no_mails_fault() -> TestResult {
    for (reply, evidence) in [
        ("[SYS/TEMP] disk is slow", MailEvidence::Weak),
        ("Session expired, please login again.", MailEvidence::None),
    ] {
        with_mails(
            &["a"],
            async |peer| answer(peer, "RETR 1", &format!("-ERR {reply}\r\n")).await,
            async |mut source| {
                let (report, _) = fetch(&mut source, &[1]).await;

                let Err(error) = report else {
                    return Err("fetched".into());
                };
                assert_eq!(error.evidence_against_mail(), evidence);
                assert!(error.is_session_usable());
                Ok(())
            },
        )
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_caller_that_stops_taking_mails_ends_the_session() -> TestResult {
    with_mails(
        &["a"],
        async |peer| answer(peer, "RETR 1", "+OK\r\na\r\n.\r\n").await,
        async |mut source| {
            let (sender, receiver) = mpsc::channel(1);
            drop(receiver);
            let fetched = source.fetch(&[1], 100, &sender).await;

            assert!(matches!(
                fetched,
                Err(SourceError::Pop3(Pop3Error::NotTaken))
            ));
            assert!(!source.is_usable());
            Ok(())
        },
    )
    .await
}

#[tokio::test]
async fn a_call_that_was_dropped_half_way_leaves_the_session_closed() -> TestResult {
    with_mails(
        &["a"],
        async |peer| {
            answer(peer, "RETR 1", "+OK\r\nhalf").await?;
            peer.wait_for_end().await.or(Ok(()))
        },
        async |mut source| {
            let (sender, _receiver) = mpsc::channel(1);
            let wait = hasty().timeouts.silence / 10;
            let fetched = tokio::time::timeout(wait, source.fetch(&[1], 100, &sender)).await;
            assert!(fetched.is_err());

            assert!(!source.is_usable());
            let again = source.fetch_slice(1, 0, 10).await;
            assert!(matches!(again, Err(SourceError::Pop3(Pop3Error::Closed))));
            Ok(())
        },
    )
    .await
}
