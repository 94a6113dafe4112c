//! STORE, EXPUNGE, COPY, MOVE, APPEND and folders.

use mailmesh_sandbox::Personality;

use super::{last, mail};
use crate::peer::{ALICE, TestResult, expect_ok, open_inbox, start};

#[tokio::test]
async fn copies_and_moves_tell_the_new_uids() -> TestResult {
    let sandbox = start(Personality::Standard).await?;
    for number in 1..=4 {
        sandbox.mail().deliver(ALICE, mail(number))?;
    }
    let mut peer = open_inbox(&sandbox, ALICE).await?;
    let archive = sandbox
        .mail()
        .folders(ALICE)?
        .into_iter()
        .find(|folder| folder.name == "Archive");
    let validity = archive
        .map(|folder| folder.uid_validity)
        .unwrap_or_default();

    let copied = peer.command("UID COPY 1 Archive").await?;
    let moved = peer.command("UID MOVE 2:3 Archive").await?;
    let missing = peer.command("UID COPY 1 Nowhere").await?;
    let nothing = peer.command("UID MOVE 99:100 Archive").await?;

    assert_eq!(
        copied,
        [format!("a OK [COPYUID {validity} 1 1] COPY completed")]
    );
    assert_eq!(
        moved,
        [
            format!("* OK [COPYUID {validity} 2:3 2:3] Moved"),
            "* 3 EXPUNGE".to_owned(),
            "* 2 EXPUNGE".to_owned(),
            "a OK MOVE completed".to_owned(),
        ]
    );
    assert_eq!(missing, ["a NO [TRYCREATE] Unknown mailbox"]);
    assert!(last(&nothing).starts_with("a OK"), "{nothing:?}");
    let archived = sandbox.mail().list(ALICE, "Archive")?;
    assert_eq!(archived.len(), 3);
    assert_eq!(archived.last().map(|mail| mail.raw.clone()), Some(mail(3)));
    Ok(())
}

#[tokio::test]
async fn append_takes_literals_of_both_kinds_and_tells_the_uid() -> TestResult {
    let sandbox = start(Personality::Standard).await?;
    let mut peer = open_inbox(&sandbox, ALICE).await?;

    peer.send("a APPEND Sent (\\Seen) \" 1-Feb-2026 08:09:10 +0100\" {12}\r\n")
        .await?;
    let go_ahead = peer.line().await?;
    peer.send("A: 1\r\n\r\nxy\r\n\r\n").await?;
    let first = peer.tagged().await?;
    let second = peer.command("APPEND Sent {8+}\r\nB: 2\r\n\r\n").await?;
    let missing = peer.command("APPEND Nowhere {2+}\r\nx\n").await?;

    assert_eq!(go_ahead, "+ Ready");
    assert!(last(&first).starts_with("a OK [APPENDUID "), "{first:?}");
    assert!(last(&second).contains(" 2] APPEND completed"), "{second:?}");
    assert!(
        last(&missing).starts_with("a NO [TRYCREATE]"),
        "{missing:?}"
    );
    let sent = sandbox.mail().list(ALICE, "Sent")?;
    let raw: Vec<_> = sent.iter().map(|mail| mail.raw.to_vec()).collect();
    assert_eq!(
        raw,
        [b"A: 1\r\n\r\nxy\r\n".to_vec(), b"B: 2\r\n\r\n".to_vec()]
    );
    assert!(
        sent.iter()
            .map(|mail| mail.flags.is_seen())
            .eq([true, false])
    );
    assert_eq!(
        sent.first().map(|mail| mail.received_at.unix_timestamp()),
        Some(1_769_929_750)
    );
    Ok(())
}

#[tokio::test]
async fn folders_are_listed_created_and_counted() -> TestResult {
    let sandbox = start(Personality::Google).await?;
    sandbox.mail().deliver(ALICE, mail(1))?;
    let mut peer = open_inbox(&sandbox, ALICE).await?;

    let created = peer.command("CREATE \"Archive/2026\"").await?;
    let listed = peer.command("LIST \"\" \"*\"").await?;
    let top = peer.command("LIST \"\" %").await?;
    let status = peer
        .command("STATUS INBOX (MESSAGES UIDNEXT UNSEEN)")
        .await?;
    let closed = peer.command("UNSELECT").await?;
    let unselected = peer.command("FETCH 1 UID").await?;

    expect_ok(&created)?;
    assert!(
        listed.contains(&"* LIST (\\HasNoChildren \\Sent) \"/\" \"Sent\"".to_owned()),
        "{listed:?}"
    );
    assert!(listed.contains(&"* LIST (\\HasNoChildren) \"/\" \"Archive/2026\"".to_owned()));
    assert_eq!(top.len(), 5, "{top:?}");
    assert_eq!(
        status.first().map(String::as_str),
        Some("* STATUS \"INBOX\" (MESSAGES 1 UIDNEXT 2 UNSEEN 1)")
    );
    expect_ok(&closed)?;
    assert_eq!(unselected, ["a BAD No mailbox selected"]);
    Ok(())
}

#[tokio::test]
async fn two_sessions_see_each_others_changes_but_no_expunge_inside_a_fetch() -> TestResult {
    let sandbox = start(Personality::Standard).await?;
    for number in 1..=3 {
        sandbox.mail().deliver(ALICE, mail(number))?;
    }
    let mut one = open_inbox(&sandbox, ALICE).await?;
    let mut two = open_inbox(&sandbox, ALICE).await?;

    let stored = one
        .command("UID STORE 2 +FLAGS.SILENT (\\Deleted $Label)")
        .await?;
    let told = two.command("NOOP").await?;
    let expunged = one.command("UID EXPUNGE 2").await?;
    let withheld = two.command("FETCH 1:3 UID").await?;
    let reported = two.command("NOOP").await?;
    let renumbered = two.command("FETCH 2 (UID)").await?;

    assert_eq!(stored, ["a OK STORE completed"]);
    assert_eq!(
        told,
        [
            "* 2 FETCH (UID 2 FLAGS (\\Deleted $Label))",
            "a OK NOOP completed"
        ]
    );
    assert_eq!(expunged, ["* 2 EXPUNGE", "a OK EXPUNGE completed"]);
    assert_eq!(
        withheld,
        [
            "* 1 FETCH (UID 1)",
            "* 3 FETCH (UID 3)",
            "a OK FETCH completed"
        ]
    );
    assert_eq!(reported, ["* 2 EXPUNGE", "a OK NOOP completed"]);
    assert_eq!(renumbered, ["* 2 FETCH (UID 3)", "a OK FETCH completed"]);
    Ok(())
}
