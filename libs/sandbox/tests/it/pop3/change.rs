//! DELE, RSET, QUIT and the lock.

use mailmesh_sandbox::{Fault, FaultRule, Personality, Sandbox};

use super::mail;
use crate::peer::{
    ALICE, BOB, PASSWORD, TestResult, eventually, open_inbox, open_maildrop, open_pop3, start,
};

fn uids(sandbox: &Sandbox) -> TestResult<Vec<u32>> {
    let mails = sandbox.mail().list(ALICE, "INBOX")?;
    Ok(mails.iter().map(|mail| mail.uid).collect())
}

#[tokio::test]
async fn deletions_are_carried_out_by_quit_alone() -> TestResult {
    let sandbox = start(Personality::Standard).await?;
    for number in 1..=3 {
        sandbox.mail().deliver(ALICE, mail(number))?;
    }

    let mut peer = open_maildrop(&sandbox, ALICE).await?;
    assert_eq!(peer.ask("DELE 1").await?, "+OK Message deleted");
    assert_eq!(peer.ask("RETR 1").await?, "-ERR No such message");
    assert_eq!(peer.ask("DELE 1").await?, "-ERR No such message");
    let size = mail(2).len();
    assert_eq!(peer.ask("STAT").await?, format!("+OK 2 {}", 2 * size));
    assert_eq!(
        peer.ask_lines("LIST").await?,
        [format!("2 {size}"), format!("3 {size}")]
    );
    drop(peer);
    eventually(|| sandbox.mail().counters().pop3_connections == 0).await?;
    assert_eq!(uids(&sandbox)?, [1, 2, 3], "the session broke off");

    let mut peer = open_maildrop(&sandbox, ALICE).await?;
    peer.ask("DELE 1").await?;
    peer.ask("RSET").await?;
    peer.ask("DELE 2").await?;
    assert_eq!(peer.ask("QUIT").await?, "+OK Goodbye");
    assert_eq!(peer.find_line().await?, None);
    assert_eq!(uids(&sandbox)?, [1, 3]);
    Ok(())
}

#[tokio::test]
async fn a_deletion_reaches_sessions_of_imap() -> TestResult {
    let sandbox = start(Personality::Standard).await?;
    sandbox.mail().deliver(ALICE, mail(1))?;
    let mut watcher = open_inbox(&sandbox, ALICE).await?;
    watcher.send("a IDLE\r\n").await?;
    watcher.line().await?;

    let mut peer = open_maildrop(&sandbox, ALICE).await?;
    peer.send("DELE 1\r\nQUIT\r\n").await?;

    assert_eq!(watcher.line().await?, "* 1 EXPUNGE");
    Ok(())
}

#[tokio::test]
async fn nothing_is_deleted_when_the_folder_was_numbered_anew() -> TestResult {
    let sandbox = start(Personality::Standard).await?;
    sandbox.mail().deliver(ALICE, mail(1))?;
    let mut peer = open_maildrop(&sandbox, ALICE).await?;

    sandbox.mail().reset_uid_validity(ALICE, "INBOX")?;
    peer.ask("DELE 1").await?;
    peer.ask("QUIT").await?;

    assert_eq!(uids(&sandbox)?, [1]);
    Ok(())
}

#[tokio::test]
async fn quit_may_fail_before_and_after_it_deletes() -> TestResult {
    let sandbox = start(Personality::Standard).await?;
    for number in 1..=2 {
        sandbox.mail().deliver(ALICE, mail(number))?;
    }
    let text = "-ERR Some deleted messages not removed".to_owned();
    let refusal = Fault::Reply { text: text.clone() };
    sandbox
        .faults()
        .add(FaultRule::once("pop3.quit", refusal))?;
    let mut peer = open_maildrop(&sandbox, ALICE).await?;
    peer.ask("DELE 1").await?;
    assert_eq!(peer.ask("QUIT").await?, text);
    assert_eq!(peer.find_line().await?, None);
    assert_eq!(uids(&sandbox)?, [1, 2]);

    for address in [BOB, ALICE] {
        sandbox.faults().add(FaultRule {
            address: Some(address.to_owned()),
            ..FaultRule::once("pop3.after_quit", Fault::Cut)
        })?;
    }
    let mut peer = open_maildrop(&sandbox, ALICE).await?;
    peer.ask("DELE 1").await?;
    peer.send("QUIT\r\n").await?;
    assert_eq!(peer.find_line().await?, None);
    assert_eq!(uids(&sandbox)?, [2]);
    Ok(())
}

#[tokio::test]
async fn a_maildrop_has_one_session_at_a_time() -> TestResult {
    let sandbox = start(Personality::Standard).await?;
    let mut first = open_maildrop(&sandbox, ALICE).await?;

    let mut second = open_pop3(&sandbox).await?;
    second.ask(&format!("USER {ALICE}")).await?;
    let locked = second.ask(&format!("PASS {PASSWORD}")).await?;
    open_maildrop(&sandbox, BOB).await?;
    first.ask("QUIT").await?;
    second.ask(&format!("USER {ALICE}")).await?;
    let opened = second.ask(&format!("PASS {PASSWORD}")).await?;
    drop(second);
    eventually(|| sandbox.mail().counters().pop3_connections == 0).await?;

    assert!(locked.starts_with("-ERR [IN-USE]"), "{locked}");
    assert_eq!(opened, "+OK Signed in");
    open_maildrop(&sandbox, ALICE).await?;
    Ok(())
}

#[tokio::test]
async fn a_session_cut_by_a_fault_holds_no_lock() -> TestResult {
    let sandbox = start(Personality::Standard).await?;
    for fault in [Fault::Cut, Fault::Reset] {
        sandbox.faults().add(FaultRule::once("pop3.stat", fault))?;
        let mut peer = open_maildrop(&sandbox, ALICE).await?;
        peer.send("STAT\r\n").await?;
        assert_eq!(peer.rest().await?, "");
    }
    open_maildrop(&sandbox, ALICE).await?;
    Ok(())
}

#[tokio::test]
async fn live_sessions_end_when_told_that_their_token_expired() -> TestResult {
    let sandbox = start(Personality::Google).await?;
    let mut peer = open_maildrop(&sandbox, ALICE).await?;

    sandbox.mail().expire_sessions(ALICE)?;
    peer.send("STAT\r\n").await?;

    let last_words = peer.rest().await?;
    assert!(last_words.starts_with("-ERR [SYS/TEMP]"), "{last_words}");
    open_maildrop(&sandbox, ALICE).await?;
    Ok(())
}
