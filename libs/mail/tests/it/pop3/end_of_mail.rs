//! Mails that end before their listed size.

use mailmesh_mail::pop3::{Pop3Error, Pop3Source};
use mailmesh_mail::{MailEvidence, MailSource as _, SourceError};

use super::peer::{answer, fetch, greet, hasty, list_inbox};
use crate::imap::peer::{Peer, TestResult, play};

async fn list(peer: &mut Peer, bytes: usize) -> std::io::Result<()> {
    greet(peer).await?;
    answer(peer, "STAT", "+OK 2 100\r\n").await?;
    answer(peer, "UIDL", "+OK\r\n1 a\r\n2 b\r\n.\r\n").await?;
    let sizes = format!("+OK\r\n1 {bytes}\r\n2 {bytes}\r\n.\r\n");
    answer(peer, "LIST", &sizes).await
}

fn content(bytes: usize) -> String {
    "0123456\r\n".chars().cycle().take(bytes).collect()
}

async fn read(source: &mut Pop3Source, ordinal: u64) -> TestResult<Result<Vec<u8>, SourceError>> {
    let (report, mails) = fetch(source, &[ordinal]).await;
    report?;
    let mail = mails.first().ok_or("no mail")?;
    let (mut read, mut is_complete) = (mail.body.to_vec(), mail.is_complete);
    while !is_complete {
        match source
            .fetch_slice(ordinal, read.len().try_into()?, 100)
            .await
        {
            Ok(slice) => {
                is_complete = slice.is_empty();
                read.extend_from_slice(&slice);
            }
            Err(error) => return Ok(Err(error)),
        }
    }
    Ok(Ok(read))
}

/// Reads a mail listed with so many bytes that is retrieved with these, one after the other.
async fn retrieve(bytes: usize, retrievals: [usize; 2]) -> TestResult<Result<usize, SourceError>> {
    play(
        async |mut peer: Peer| {
            list(&mut peer, bytes).await?;
            let [first, second] =
                retrievals.map(|bytes| format!("+OK\r\n{}\r\n.\r\n", content(bytes - 2)));
            answer(&mut peer, "RETR 1", &first).await?;
            answer(&mut peer, "LIST 1", &format!("+OK 1 {bytes}\r\n")).await?;
            answer(&mut peer, "RETR 1", &second).await?;
            answer(&mut peer, "RETR 2", "+OK\r\nnext\r\n.\r\n").await?;
            peer.wait_for_end().await.or(Ok(()))
        },
        async |server| {
            let mut source = list_inbox(&server, hasty()).await?;
            let read = read(&mut source, 1).await?;
            let (report, _) = fetch(&mut source, &[2]).await;
            report?;
            Ok(read.map(|mail| mail.len()))
        },
    )
    .await
}

#[tokio::test]
async fn mail_that_is_cut_once_is_whole() -> TestResult {
    for (bytes, first) in [(300, 150), (300, 299), (300, 2), (90, 45), (90, 89)] {
        assert_eq!(retrieve(bytes, [first, bytes]).await??, bytes, "{first}");
    }
    Ok(())
}

#[tokio::test]
async fn mail_that_is_cut_each_time_is_unreadable() -> TestResult {
    for (bytes, came) in [(300, 150), (300, 2), (300, 240), (90, 45)] {
        let Err(error) = retrieve(bytes, [came, came]).await? else {
            return Err("taken for whole".into());
        };
        assert!(
            matches!(error, SourceError::Pop3(Pop3Error::MailCutShort { .. })),
            "{error}"
        );
        assert_eq!(error.evidence_against_mail(), MailEvidence::Strong);
        assert!(error.is_session_usable());
    }
    Ok(())
}

#[tokio::test]
async fn estimated_size_costs_a_second_retrieval_once_a_session() -> TestResult {
    play(
        async |mut peer: Peer| {
            list(&mut peer, 95).await?;
            let mail = format!("+OK\r\n{}\r\n.\r\n", content(88));
            answer(&mut peer, "RETR 1", &mail).await?;
            answer(&mut peer, "LIST 1", "+OK 1 95\r\n").await?;
            answer(&mut peer, "RETR 1", &mail).await?;
            answer(&mut peer, "RETR 2", &mail).await?;
            peer.wait_for_end().await.or(Ok(()))
        },
        async |server| {
            let mut source = list_inbox(&server, hasty()).await?;
            assert_eq!(read(&mut source, 1).await??.len(), 90);
            assert_eq!(read(&mut source, 2).await??.len(), 90);
            Ok(())
        },
    )
    .await
}
