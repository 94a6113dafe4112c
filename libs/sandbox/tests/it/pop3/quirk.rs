//! Servers that deviate, as many do.

use mailmesh_sandbox::{Personality, Pop3Quirks, Sandbox, UidlKind};

use super::{mail, second_words};
use crate::peer::{
    ALICE, Peer, TestResult, eventually, issue_token, open_maildrop, open_pop3, start, xoauth2,
};

async fn start_with(mails: usize, quirks: Pop3Quirks) -> TestResult<Sandbox> {
    let sandbox = start(Personality::Standard).await?;
    for number in 1..=mails {
        sandbox.mail().deliver(ALICE, mail(number))?;
    }
    sandbox.mail().set_pop3_quirks(ALICE, quirks)?;
    Ok(sandbox)
}

/// Returns the UIDLs of one session that ends with QUIT.
async fn uidls(sandbox: &Sandbox) -> TestResult<Vec<String>> {
    let mut peer = open_maildrop(sandbox, ALICE).await?;
    let lines = peer.ask_lines("UIDL").await?;
    peer.ask("QUIT").await?;
    Ok(second_words(&lines)
        .into_iter()
        .map(str::to_owned)
        .collect())
}

#[tokio::test]
async fn a_server_may_know_no_uidl() -> TestResult {
    let quirks = Pop3Quirks {
        uidl: UidlKind::Missing,
        ..Pop3Quirks::default()
    };
    let sandbox = start_with(1, quirks).await?;
    let mut peer = open_maildrop(&sandbox, ALICE).await?;

    assert_eq!(peer.ask("UIDL").await?, "-ERR Unknown command");
    assert!(!peer.ask_lines("CAPA").await?.contains(&"UIDL".to_owned()));
    Ok(())
}

#[tokio::test]
async fn a_broken_mail_ends_each_session_that_retrieves_it() -> TestResult {
    let quirks = Pop3Quirks {
        broken: [2].into(),
        ..Pop3Quirks::default()
    };
    let sandbox = start_with(2, quirks).await?;
    for _ in 0..2 {
        let mut peer = open_maildrop(&sandbox, ALICE).await?;
        peer.ask_lines("RETR 1").await?;

        peer.send("RETR 2\r\n").await?;

        assert!(!peer.rest().await?.ends_with(".\r\n"));
    }
    Ok(())
}

#[tokio::test]
async fn copies_of_a_mail_share_a_uidl_made_of_content() -> TestResult {
    let quirks = Pop3Quirks {
        uidl: UidlKind::Content,
        ..Pop3Quirks::default()
    };
    let sandbox = start_with(2, quirks).await?;
    sandbox.mail().deliver(ALICE, mail(1))?;

    let uidls = uidls(&sandbox).await?;

    assert_eq!(uidls.first(), uidls.get(2));
    assert_ne!(uidls.first(), uidls.get(1));
    Ok(())
}

#[tokio::test]
async fn a_uidl_made_of_the_number_is_used_again_for_another_mail() -> TestResult {
    let quirks = Pop3Quirks {
        uidl: UidlKind::Number,
        ..Pop3Quirks::default()
    };
    let sandbox = start_with(2, quirks).await?;
    let before = uidls(&sandbox).await?;

    sandbox.mail().remove(ALICE, "INBOX", 1)?;
    sandbox.mail().deliver(ALICE, mail(3))?;

    assert_eq!(before, ["1", "2"]);
    assert_eq!(uidls(&sandbox).await?, before);
    Ok(())
}

#[tokio::test]
async fn uidls_may_be_chosen_one_by_one() -> TestResult {
    let quirks = Pop3Quirks {
        uidls: [(1, "same".to_owned()), (3, "same".to_owned())].into(),
        ..Pop3Quirks::default()
    };
    let sandbox = start_with(3, quirks).await?;

    let uidls = uidls(&sandbox).await?;

    assert_eq!(uidls.first().map(String::as_str), Some("same"));
    assert_eq!(uidls.get(2).map(String::as_str), Some("same"));
    assert_ne!(uidls.get(1).map(String::as_str), Some("same"));
    Ok(())
}

#[tokio::test]
async fn all_uidls_are_new_when_the_folder_is_numbered_anew() -> TestResult {
    let sandbox = start_with(3, Pop3Quirks::default()).await?;
    let before = uidls(&sandbox).await?;

    sandbox.mail().reset_uid_validity(ALICE, "INBOX")?;
    let after = uidls(&sandbox).await?;

    assert_eq!(after.len(), 3);
    assert!(!after.iter().any(|uidl| before.contains(uidl)), "{after:?}");
    Ok(())
}

#[tokio::test]
async fn listings_may_be_partial() -> TestResult {
    let quirks = Pop3Quirks {
        hidden: [2].into(),
        listed_at_most: Some(3),
        uidl_at_most: Some(1),
        ..Pop3Quirks::default()
    };
    let sandbox = start_with(5, quirks).await?;
    let mut peer = open_maildrop(&sandbox, ALICE).await?;

    assert_eq!(peer.ask_lines("LIST").await?.len(), 3);
    assert_eq!(peer.ask_lines("UIDL").await?.len(), 1);
    assert!(peer.ask("UIDL 3").await?.starts_with("+OK 3 "));
    let second = peer.ask_lines("RETR 2").await?;
    assert_eq!(second.first().map(String::as_str), Some("Subject: 3"));
    Ok(())
}

#[tokio::test]
async fn sizes_may_be_wrong_and_even_negative() -> TestResult {
    let quirks = Pop3Quirks {
        size_error: -1_000,
        ..Pop3Quirks::default()
    };
    let sandbox = start_with(1, quirks).await?;
    let mut peer = open_maildrop(&sandbox, ALICE).await?;
    let size = i64::try_from(mail(1).len())? - 1_000;

    assert_eq!(peer.ask("STAT").await?, format!("+OK 1 {size}"));
    assert_eq!(peer.ask_lines("LIST").await?, [format!("1 {size}")]);
    assert_eq!(peer.ask("RETR 1").await?, format!("+OK {size} octets"));
    Ok(())
}

#[tokio::test]
async fn a_second_sign_in_within_the_announced_delay_is_refused() -> TestResult {
    let quirks = Pop3Quirks {
        login_delay_seconds: Some(3_600),
        ..Pop3Quirks::default()
    };
    let sandbox = start_with(1, quirks).await?;

    let mut peer = open_maildrop(&sandbox, ALICE).await?;
    let announced = peer.ask_lines("CAPA").await?;
    peer.ask("QUIT").await?;
    let refused = open_maildrop(&sandbox, ALICE).await.err();

    assert!(announced.contains(&"LOGIN-DELAY 3600".to_owned()));
    let refused = refused.map(|error| error.to_string()).unwrap_or_default();
    assert!(refused.starts_with("-ERR [LOGIN-DELAY]"), "{refused}");
    Ok(())
}

#[tokio::test]
async fn the_lock_of_a_session_that_broke_off_may_outlive_it() -> TestResult {
    let quirks = Pop3Quirks {
        stale_lock_seconds: 3_600,
        ..Pop3Quirks::default()
    };
    let sandbox = start_with(1, quirks).await?;
    uidls(&sandbox).await?;
    uidls(&sandbox).await?;

    drop(open_maildrop(&sandbox, ALICE).await?);
    eventually(|| sandbox.mail().counters().pop3_connections == 0).await?;
    let refused = open_maildrop(&sandbox, ALICE).await.err();

    let refused = refused.map(|error| error.to_string()).unwrap_or_default();
    assert!(refused.starts_with("-ERR [IN-USE]"), "{refused}");
    Ok(())
}

async fn subjects(peer: &mut Peer) -> TestResult<Vec<String>> {
    let mut subjects = Vec::new();
    for number in 1..=peer.ask_lines("LIST").await?.len() {
        let mail = peer.ask_lines(&format!("RETR {number}")).await?;
        subjects.extend(mail.into_iter().next());
    }
    Ok(subjects)
}

#[tokio::test]
async fn gmail_shows_no_mail_again_that_was_retrieved_before_quit() -> TestResult {
    let sandbox = start(Personality::Google).await?;
    for number in 1..=3 {
        sandbox.mail().deliver(ALICE, mail(number))?;
    }
    let quirks = Pop3Quirks {
        listed_at_most: Some(2),
        ..Pop3Quirks::default()
    };
    sandbox.mail().set_pop3_quirks(ALICE, quirks)?;

    let mut broken = open_maildrop(&sandbox, ALICE).await?;
    assert_eq!(subjects(&mut broken).await?, ["Subject: 1", "Subject: 2"]);
    drop(broken);
    eventually(|| sandbox.mail().counters().pop3_connections == 0).await?;

    let mut first = open_maildrop(&sandbox, ALICE).await?;
    first.ask_lines("TOP 2 0").await?;
    first.ask_lines("RETR 1").await?;
    first.ask("QUIT").await?;
    let mut second = open_maildrop(&sandbox, ALICE).await?;
    assert_eq!(subjects(&mut second).await?, ["Subject: 2", "Subject: 3"]);
    second.ask("QUIT").await?;
    let mut third = open_maildrop(&sandbox, ALICE).await?;
    assert_eq!(third.ask("STAT").await?, "+OK 0 0");
    third.ask("QUIT").await?;

    let popped = sandbox.mail().list(ALICE, "INBOX")?;
    assert!(popped.iter().all(|mail| mail.is_popped));
    Ok(())
}

#[tokio::test]
async fn gmail_shows_recent_mail_again_to_a_login_that_asks_for_it() -> TestResult {
    let sandbox = start(Personality::Google).await?;
    sandbox.mail().deliver(ALICE, mail(1))?;
    let mut peer = open_maildrop(&sandbox, ALICE).await?;
    peer.ask_lines("RETR 1").await?;
    peer.ask("QUIT").await?;

    let blob = xoauth2(&format!("recent:{ALICE}"), &issue_token(&sandbox, ALICE));
    let mut recent = open_pop3(&sandbox).await?;
    recent.ask("AUTH XOAUTH2").await?;

    assert_eq!(recent.ask(&blob).await?, "+OK Welcome.");
    assert_eq!(subjects(&mut recent).await?, ["Subject: 1"]);
    Ok(())
}
