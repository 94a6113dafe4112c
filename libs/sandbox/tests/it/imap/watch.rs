//! IDLE, and sessions that the server ends.

use mailmesh_sandbox::{Fault, FaultRule, Personality};

use super::mail;
use crate::peer::{ALICE, BOB, TestResult, eventually, open_inbox, open_smtp, start};

#[tokio::test]
async fn idle_tells_of_mail_that_comes_over_smtp() -> TestResult {
    let sandbox = start(Personality::Standard).await?;
    let mut watcher = open_inbox(&sandbox, BOB).await?;
    watcher.send("a IDLE\r\n").await?;
    assert_eq!(watcher.line().await?, "+ idling");

    let mut sender = open_smtp(&sandbox, ALICE).await?;
    sender
        .send(format!(
            "MAIL FROM:<{ALICE}>\r\nRCPT TO:<{BOB}>\r\nDATA\r\n"
        ))
        .await?;
    for _ in 0..3 {
        sender.reply().await?;
    }
    let reply = sender.smtp("Subject: news\r\n\r\nHi\r\n.").await?;

    assert!(reply.starts_with("250 2.0.0"), "{reply}");
    assert_eq!(watcher.line().await?, "* 1 EXISTS");
    sandbox.mail().remove(BOB, "INBOX", 1)?;
    assert_eq!(watcher.line().await?, "* 1 EXPUNGE");
    assert_eq!(sandbox.mail().counters().imap_idling, 1);
    watcher.send("DONE\r\n").await?;
    assert_eq!(watcher.line().await?, "a OK IDLE completed");
    Ok(())
}

#[tokio::test]
async fn idle_ends_only_with_done() -> TestResult {
    let sandbox = start(Personality::Standard).await?;
    let mut peer = open_inbox(&sandbox, ALICE).await?;

    peer.send("a IDLE\r\n").await?;
    peer.line().await?;
    let wrong = peer.command("NOOP").await?;
    peer.send("a IDLE\r\n").await?;
    peer.line().await?;
    peer.send("x".repeat(2_000)).await?;

    assert_eq!(wrong, ["a BAD Expected DONE"]);
    assert_eq!(peer.rest().await?, "");
    Ok(())
}

#[tokio::test]
async fn a_stalled_idle_tells_nothing_until_faults_are_cleared() -> TestResult {
    let sandbox = start(Personality::Standard).await?;
    let mut peer = open_inbox(&sandbox, ALICE).await?;
    let rule = FaultRule::once("imap.idle", Fault::Stall { seconds: None });
    sandbox.faults().add(rule)?;

    peer.send("a IDLE\r\n").await?;
    eventually(|| sandbox.mail().counters().faults == 1).await?;
    sandbox.mail().deliver(ALICE, mail(1))?;
    sandbox.faults().clear();

    assert_eq!(peer.line().await?, "+ idling");
    assert_eq!(peer.line().await?, "* 1 EXISTS");
    Ok(())
}

#[tokio::test]
async fn a_session_ends_when_its_folder_is_renumbered() -> TestResult {
    let sandbox = start(Personality::Standard).await?;
    sandbox.mail().preload(ALICE, 3, 300)?;
    sandbox.mail().remove(ALICE, "INBOX", 1)?;
    let mut peer = open_inbox(&sandbox, ALICE).await?;
    peer.send("a IDLE\r\n").await?;
    peer.line().await?;

    let validity = sandbox.mail().reset_uid_validity(ALICE, "INBOX")?;
    let last_words = peer.rest().await?;
    let mut peer = open_inbox(&sandbox, ALICE).await?;
    let uids = peer.command("UID SEARCH ALL").await?;
    let selected = peer.command("EXAMINE INBOX").await?;

    assert_eq!(last_words, "* BYE UIDVALIDITY changed\r\n");
    assert_eq!(uids.first().map(String::as_str), Some("* SEARCH 1 2"));
    assert!(selected.contains(&format!("* OK [UIDVALIDITY {validity}] UIDs valid")));
    Ok(())
}

#[tokio::test]
async fn a_session_ends_when_its_folder_is_renamed_or_deleted() -> TestResult {
    let sandbox = start(Personality::Standard).await?;
    let mut renamed = open_inbox(&sandbox, ALICE).await?;
    renamed.command("SELECT Archive").await?;
    renamed.send("a IDLE\r\n").await?;
    renamed.line().await?;
    let mut deleted = open_inbox(&sandbox, ALICE).await?;
    deleted.command("SELECT Trash").await?;

    sandbox.mail().rename_folder(ALICE, "Archive", "Old")?;
    sandbox.mail().delete_folder(ALICE, "Trash")?;
    deleted.send("a NOOP\r\n").await?;

    assert!(renamed.rest().await?.starts_with("* BYE"));
    assert!(deleted.rest().await?.starts_with("* BYE"));
    Ok(())
}

#[tokio::test]
async fn live_sessions_end_when_told_that_their_token_expired() -> TestResult {
    let sandbox = start(Personality::Microsoft).await?;
    let mut idling = open_inbox(&sandbox, ALICE).await?;
    idling.send("a IDLE\r\n").await?;
    idling.line().await?;
    let mut waiting = open_inbox(&sandbox, ALICE).await?;

    sandbox.mail().expire_sessions(ALICE)?;
    waiting.send("a NOOP\r\n").await?;

    let expected = "* BYE Session invalidated - AccessTokenExpired\r\n";
    assert_eq!(idling.rest().await?, expected);
    assert_eq!(waiting.rest().await?, expected);
    open_inbox(&sandbox, ALICE).await?;
    Ok(())
}

#[tokio::test]
async fn two_hundred_connections_idle_and_all_hear_of_one_mail() -> TestResult {
    let sandbox = start(Personality::Standard).await?;
    let mut peers = Vec::new();
    for _ in 0..200 {
        let mut peer = open_inbox(&sandbox, ALICE).await?;
        peer.send("a IDLE\r\n").await?;
        peer.line().await?;
        peers.push(peer);
    }
    let counters = sandbox.mail().counters();

    sandbox.mail().deliver(ALICE, mail(1))?;

    assert_eq!(
        (counters.imap_connections, counters.imap_idling),
        (200, 200)
    );
    for peer in &mut peers {
        assert_eq!(peer.line().await?, "* 1 EXISTS");
    }
    sandbox.stop().await;
    for peer in &mut peers {
        assert_eq!(peer.find_line().await?, None);
    }
    Ok(())
}
