//! STAT, LIST, UIDL, RETR and TOP.

use std::time::{Duration, Instant};

use bytes::Bytes;
use mailmesh_sandbox::Personality;

use super::{mail, second_words};
use crate::peer::{ALICE, TestResult, open_inbox, open_maildrop, start};

#[tokio::test]
async fn a_maildrop_is_listed_with_numbers_sizes_and_uidls() -> TestResult {
    let sandbox = start(Personality::Standard).await?;
    for number in 1..=3 {
        sandbox.mail().deliver(ALICE, mail(number))?;
    }
    let mut peer = open_maildrop(&sandbox, ALICE).await?;
    let size = mail(1).len();

    assert_eq!(peer.ask("STAT").await?, format!("+OK 3 {}", 3 * size));
    let listed = peer.ask_lines("LIST").await?;
    let uidls = peer.ask_lines("UIDL").await?;
    assert_eq!(listed, [1, 2, 3].map(|number| format!("{number} {size}")));
    assert_eq!(peer.ask("LIST 2").await?, format!("+OK 2 {size}"));
    assert_eq!(
        peer.ask("UIDL 2").await?,
        format!("+OK {}", uidls.get(1).map_or("", |line| line))
    );
    for command in ["LIST 4", "UIDL 0", "RETR 4", "RETR x", "TOP 9 1", "DELE 4"] {
        assert_eq!(
            peer.ask(command).await?,
            "-ERR No such message",
            "{command}"
        );
    }

    drop(peer);
    let mut peer = open_again(&sandbox).await?;
    assert_eq!(peer.ask_lines("UIDL").await?, uidls, "stable over sessions");
    let mut unique = second_words(&uidls);
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), 3);
    Ok(())
}

/// Opens the maildrop once the server has noticed that the session before is gone.
async fn open_again(sandbox: &mailmesh_sandbox::Sandbox) -> TestResult<crate::peer::Peer> {
    crate::peer::eventually(|| sandbox.mail().counters().pop3_connections == 0).await?;
    open_maildrop(sandbox, ALICE).await
}

#[tokio::test]
async fn mails_come_byte_for_byte_with_dots_doubled_at_the_start_of_a_line_only() -> TestResult {
    let sandbox = start(Personality::Standard).await?;
    let cases: [(&'static [u8], &str); 5] = [
        (
            b"A: 1\r\n\r\n.x\r\n..\r\n.\r\n",
            "A: 1\r\n\r\n..x\r\n...\r\n..\r\n.\r\n",
        ),
        (
            b"A: 1\r\n\r\na\n.\nb\r.\rc",
            "A: 1\r\n\r\na\n.\nb\r.\rc\r\n.\r\n",
        ),
        (
            b"A: 1\r\n\r\nends with LF\n",
            "A: 1\r\n\r\nends with LF\n\r\n.\r\n",
        ),
        (
            b"A: 1\r\n\r\nends with CR\r",
            "A: 1\r\n\r\nends with CR\r\r\n.\r\n",
        ),
        (b"", ".\r\n"),
    ];
    for (raw, _) in cases {
        sandbox.mail().deliver(ALICE, Bytes::from_static(raw))?;
    }
    let mut peer = open_maildrop(&sandbox, ALICE).await?;

    for (place, (raw, expected)) in cases.iter().enumerate() {
        let first = peer.ask(&format!("RETR {}", place + 1)).await?;
        assert_eq!(first, format!("+OK {} octets", raw.len()));
        assert_eq!(peer.bytes(expected.len()).await?, *expected);
    }
    assert_eq!(peer.ask("NOOP").await?, "+OK", "nothing is left over");
    assert_eq!(sandbox.mail().counters().pop3_retrieved, 5);
    Ok(())
}

#[tokio::test]
async fn top_gives_the_header_and_some_lines() -> TestResult {
    let sandbox = start(Personality::Standard).await?;
    let raw = Bytes::from_static(b"Subject: x\r\n\r\n.one\r\ntwo\r\n");
    sandbox.mail().deliver(ALICE, raw)?;
    let mut peer = open_maildrop(&sandbox, ALICE).await?;

    assert_eq!(peer.ask_lines("TOP 1 0").await?, ["Subject: x", ""]);
    assert_eq!(
        peer.ask_lines("TOP 1 1").await?,
        ["Subject: x", "", "..one"]
    );
    assert_eq!(peer.ask_lines("TOP 1 99").await?.len(), 4);
    assert!(peer.ask("TOP 1").await?.starts_with("-ERR"));
    Ok(())
}

#[tokio::test]
async fn large_mails_and_pipelined_commands_come_whole() -> TestResult {
    let sandbox = start(Personality::Standard).await?;
    let body = ".dots and text\r\n".repeat(40_000);
    let raw = format!("Subject: large\r\n\r\n{body}");
    sandbox.mail().deliver(ALICE, Bytes::from(raw.clone()))?;
    sandbox.mail().deliver(ALICE, mail(2))?;
    let mut peer = open_maildrop(&sandbox, ALICE).await?;

    peer.send("STAT\r\nRETR 1\r\nRETR 2\r\nQUIT\r\n").await?;
    let all = peer.rest().await?;

    let stuffed = raw.replace("\r\n.", "\r\n..");
    let expected = format!(
        "+OK 2 {}\r\n+OK {} octets\r\n{stuffed}.\r\n+OK {} octets\r\n{}.\r\n+OK Goodbye\r\n",
        raw.len() + mail(2).len(),
        raw.len(),
        mail(2).len(),
        String::from_utf8_lossy(&mail(2)),
    );
    assert!(
        all == expected,
        "{} bytes, not {}",
        all.len(),
        expected.len()
    );
    Ok(())
}

#[tokio::test]
async fn fifty_thousand_mails_are_listed_fast() -> TestResult {
    let sandbox = start(Personality::Standard).await?;
    sandbox.mail().preload(ALICE, 50_000, 256)?;
    let started = Instant::now();

    let mut peer = open_maildrop(&sandbox, ALICE).await?;
    let uidls = peer.ask_lines("UIDL").await?;
    let listed = peer.ask_lines("LIST").await?;

    assert_eq!((uidls.len(), listed.len()), (50_000, 50_000));
    assert!(started.elapsed() < Duration::from_secs(20));
    Ok(())
}

#[tokio::test]
async fn a_session_shows_what_was_there_when_it_began() -> TestResult {
    let sandbox = start(Personality::Standard).await?;
    sandbox.mail().deliver(ALICE, mail(1))?;
    let mut peer = open_maildrop(&sandbox, ALICE).await?;

    sandbox.mail().deliver(ALICE, mail(2))?;
    let mut other = open_inbox(&sandbox, ALICE).await?;
    other.command("UID STORE 1 +FLAGS (\\Deleted)").await?;
    other.command("EXPUNGE").await?;

    assert!(peer.ask("STAT").await?.starts_with("+OK 1 "));
    assert_eq!(peer.ask_lines("RETR 1").await?.len(), 3);
    Ok(())
}
