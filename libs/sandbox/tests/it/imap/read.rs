//! FETCH and SEARCH.

use bytes::Bytes;
use mailmesh_sandbox::Personality;

use super::{MAIL, last, mail};
use crate::peer::{ALICE, TestResult, expect_ok, open_inbox, start};

#[tokio::test]
async fn fetch_gives_whole_mails_parts_and_slices_and_marks_only_what_is_read() -> TestResult {
    let sandbox = start(Personality::Standard).await?;
    sandbox.mail().deliver(ALICE, Bytes::from_static(MAIL))?;
    let mut peer = open_inbox(&sandbox, ALICE).await?;
    let size = MAIL.len();

    let whole = peer
        .command("UID FETCH 1:* (FLAGS RFC822.SIZE BODY.PEEK[])")
        .await?
        .join("\r\n");
    let slice = peer.command("FETCH 1 BODY.PEEK[]<6.9>").await?;
    let fields = peer
        .command("FETCH 1 (BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
        .await?
        .join("|");
    let envelope = peer.command("FETCH 1 ENVELOPE").await?;
    let unseen = peer.command("SEARCH UNSEEN").await?;
    let text = peer.command("UID FETCH 1 BODY[TEXT]").await?.join("|");
    let seen = peer
        .command("UID SEARCH SEEN HEADER Subject hel SINCE 1-Jan-2020")
        .await?;
    let gone = peer.command("UID FETCH 7 FLAGS").await?;

    let body = String::from_utf8_lossy(MAIL);
    let expected =
        format!("* 1 FETCH (UID 1 FLAGS () RFC822.SIZE {size} BODY[] {{{size}}}\r\n{body})");
    assert!(whole.starts_with(&expected), "{whole}");
    assert_eq!(
        slice.first().map(String::as_str),
        Some("* 1 FETCH (BODY[]<6> {9}")
    );
    assert_eq!(slice.get(1).map(String::as_str), Some("Bob <bob@)"));
    assert!(
        fields.starts_with("* 1 FETCH (BODY[HEADER.FIELDS (SUBJECT)] {18}|Subject: Hello||)"),
        "{fields}"
    );
    assert!(last(&envelope).starts_with("a OK"), "{envelope:?}");
    assert_eq!(unseen.first().map(String::as_str), Some("* SEARCH 1"));
    assert!(
        text.starts_with("* 1 FETCH (UID 1 BODY[TEXT] {10}|One|Two| FLAGS (\\Seen))"),
        "{text}"
    );
    assert_eq!(seen.first().map(String::as_str), Some("* SEARCH 1"));
    assert_eq!(gone, ["a OK FETCH completed"]);
    Ok(())
}

#[tokio::test]
async fn a_fetch_beyond_the_end_returns_the_last_mail() -> TestResult {
    let sandbox = start(Personality::Standard).await?;
    sandbox.mail().preload(ALICE, 3, 500)?;
    let mut peer = open_inbox(&sandbox, ALICE).await?;

    let lines = peer.command("UID FETCH 100:* (UID)").await?;

    assert_eq!(lines, ["* 3 FETCH (UID 3)", "a OK FETCH completed"]);
    Ok(())
}

#[tokio::test]
async fn searches_nest_to_a_bound_and_follow_every_key() -> TestResult {
    let sandbox = start(Personality::Standard).await?;
    sandbox.mail().deliver(ALICE, Bytes::from_static(MAIL))?;
    sandbox.mail().deliver(ALICE, mail(2))?;
    let mut peer = open_inbox(&sandbox, ALICE).await?;
    peer.command("STORE 2 +FLAGS (\\Flagged Work)").await?;

    for (key, found) in [
        ("ALL", " 1 2"),
        ("2:*", " 2"),
        ("UID 1", " 1"),
        ("OR FROM bob KEYWORD work", " 1 2"),
        ("NOT (FLAGGED UNSEEN)", " 1"),
        ("CHARSET UTF-8 HEADER Message-ID <1@sandbox.test>", " 1"),
        ("HEADER Message-ID \"\"", " 1"),
        ("BODY \"body 2\" SUBJECT 2", " 2"),
        ("TEXT subject LARGER 40", " 1"),
        ("BEFORE 1-Jan-2020", ""),
        ("UNKEYWORD Work SMALLER 9999", " 1"),
        ("NEW", ""),
    ] {
        let lines = peer.command(&format!("SEARCH {key}")).await?;
        assert_eq!(lines.first(), Some(&format!("* SEARCH{found}")), "{key}");
    }
    let deep = peer
        .command(&format!("SEARCH {}ALL", "NOT ".repeat(15)))
        .await?;
    let too_deep = peer
        .command(&format!("SEARCH {}ALL", "NOT ".repeat(16)))
        .await?;
    let charset = peer.command("SEARCH CHARSET EBCDIC ALL").await?;
    expect_ok(&deep)?;
    assert!(last(&too_deep).starts_with("a BAD"), "{too_deep:?}");
    assert!(
        last(&charset).starts_with("a NO [BADCHARSET"),
        "{charset:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_mail_larger_than_any_buffer_arrives_whole() -> TestResult {
    let sandbox = start(Personality::Standard).await?;
    let raw = Bytes::from(format!(
        "Subject: big\r\n\r\n{}\r\n",
        "0123456789".repeat(300_000)
    ));
    sandbox.mail().deliver(ALICE, raw.clone())?;
    let mut peer = open_inbox(&sandbox, ALICE).await?;

    peer.send("a UID FETCH 1 BODY.PEEK[]\r\n").await?;
    let head = peer.line().await?;
    let body = peer.bytes(raw.len()).await?;

    assert_eq!(head, format!("* 1 FETCH (UID 1 BODY[] {{{}}}", raw.len()));
    assert!(body.as_bytes() == raw, "the body differs");
    assert_eq!(peer.tagged().await?, [")", "a OK FETCH completed"]);
    Ok(())
}

#[tokio::test]
async fn pipelined_commands_are_answered_in_order() -> TestResult {
    let sandbox = start(Personality::Standard).await?;
    sandbox.mail().preload(ALICE, 50, 10_000)?;
    let mut peer = open_inbox(&sandbox, ALICE).await?;

    peer.send("b NOOP\r\nc UID FETCH 1:50 BODY.PEEK[]\r\na NOOP\r\n")
        .await?;
    let lines = peer.tagged().await?;

    let tagged: Vec<_> = lines.iter().filter(|line| line.contains(" OK ")).collect();
    assert_eq!(
        tagged,
        [
            "b OK NOOP completed",
            "c OK FETCH completed",
            "a OK NOOP completed"
        ]
    );
    assert_eq!(sandbox.mail().counters().imap_bodies, 50);
    Ok(())
}

#[tokio::test]
async fn an_examined_folder_is_never_changed() -> TestResult {
    let sandbox = start(Personality::Standard).await?;
    sandbox.mail().deliver(ALICE, mail(1))?;
    let mut peer = open_inbox(&sandbox, ALICE).await?;

    let examined = peer.command("EXAMINE INBOX").await?;
    peer.command("FETCH 1 BODY[]").await?;
    let stored = peer.command("STORE 1 +FLAGS (\\Deleted)").await?;
    let expunged = peer.command("EXPUNGE").await?;
    peer.command("CLOSE").await?;

    assert_eq!(last(&examined), "a OK [READ-ONLY] EXAMINE completed");
    assert!(last(&stored).starts_with("a NO [READ-ONLY]"), "{stored:?}");
    assert!(
        last(&expunged).starts_with("a NO [READ-ONLY]"),
        "{expunged:?}"
    );
    let mails = sandbox.mail().list(ALICE, "INBOX")?;
    assert!(mails.iter().map(|mail| mail.flags.is_seen()).eq([false]));
    Ok(())
}
