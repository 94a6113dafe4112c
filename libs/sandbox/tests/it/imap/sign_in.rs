//! Who gets in, and how the others are told.

use mailmesh_sandbox::Personality;

use super::last;
use crate::peer::{
    ALICE, BOB, PASSWORD, Peer, TestResult, encode, expect_ok, issue_token, open_imap, start,
    xoauth2,
};

#[tokio::test]
async fn a_live_token_and_the_password_open_the_mailbox() -> TestResult {
    let sandbox = start(Personality::Google).await?;
    let response = xoauth2(ALICE, &issue_token(&sandbox, ALICE));

    let mut inline = open_imap(&sandbox).await?;
    let lines = inline
        .command(&format!("AUTHENTICATE XOAUTH2 {response}"))
        .await?;
    assert!(last(&lines).starts_with("a OK [CAPABILITY "), "{lines:?}");
    assert!(last(&lines).contains(" MOVE"), "{lines:?}");

    let mut two_step = open_imap(&sandbox).await?;
    two_step.send("a AUTHENTICATE XOAUTH2\r\n").await?;
    assert_eq!(two_step.line().await?, "+ ");
    two_step.send(format!("{response}\r\n")).await?;
    expect_ok(&two_step.tagged().await?)?;

    let bearer = encode(&format!(
        "n,a={ALICE},\x01auth=Bearer {}\x01\x01",
        issue_token(&sandbox, ALICE)
    ));
    let mut peer = open_imap(&sandbox).await?;
    expect_ok(
        &peer
            .command(&format!("AUTHENTICATE OAUTHBEARER {bearer}"))
            .await?,
    )?;

    let mut peer = open_imap(&sandbox).await?;
    expect_ok(
        &peer
            .command(&format!(
                "LOGIN {ALICE} {{{}+}}\r\n{PASSWORD}",
                PASSWORD.len()
            ))
            .await?,
    )?;
    let plain = encode(&format!("\0{ALICE}\0{PASSWORD}"));
    let mut peer = open_imap(&sandbox).await?;
    expect_ok(&peer.command(&format!("AUTHENTICATE PLAIN {plain}")).await?)?;

    assert_eq!(sandbox.mail().counters().imap_sign_ins, 5);
    assert_eq!(sandbox.mail().sign_ins(ALICE)?, 5);
    Ok(())
}

#[tokio::test]
async fn an_expired_token_is_challenged_and_then_refused() -> TestResult {
    let sandbox = start(Personality::Google).await?;
    let response = xoauth2(ALICE, &issue_token(&sandbox, ALICE));
    sandbox.tokens().expire_access(ALICE);

    let mut peer = open_imap(&sandbox).await?;
    peer.send(format!("a AUTHENTICATE XOAUTH2 {response}\r\n"))
        .await?;
    let challenge = peer.line().await?;
    peer.send("\r\n").await?;
    let lines = peer.tagged().await?;

    let expected =
        encode(r#"{"schemes":"bearer mac","scope":"https://mail.google.com/","status":"401"}"#);
    assert_eq!(challenge, format!("+ {expected}"));
    assert_eq!(
        lines,
        ["a NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)"]
    );
    expect_ok(
        &peer
            .command(&format!("LOGIN {ALICE} \"{PASSWORD}\""))
            .await?,
    )?;
    assert_eq!(sandbox.mail().counters().imap_refused, 1);
    Ok(())
}

#[tokio::test]
async fn three_failed_sign_ins_end_the_session() -> TestResult {
    let sandbox = start(Personality::Standard).await?;
    let mut peer = open_imap(&sandbox).await?;

    for _ in 0..2 {
        let lines = peer.command(&format!("LOGIN {ALICE} wrong")).await?;
        assert!(
            last(&lines).starts_with("a NO [AUTHENTICATIONFAILED]"),
            "{lines:?}"
        );
    }
    peer.send(format!("a LOGIN {ALICE} wrong\r\n")).await?;

    assert_eq!(peer.rest().await?, "* BYE Too many failed sign-ins\r\n");
    Ok(())
}

#[tokio::test]
async fn exchange_takes_a_token_for_another_mailbox_and_then_refuses_commands() -> TestResult {
    let sandbox = start(Personality::Microsoft).await?;
    let response = xoauth2(BOB, &issue_token(&sandbox, ALICE));

    let mut peer = open_imap(&sandbox).await?;
    let lines = peer
        .command(&format!("AUTHENTICATE XOAUTH2 {response}"))
        .await?;
    peer.send("a SELECT INBOX\r\n").await?;

    assert_eq!(lines, ["a OK AUTHENTICATE completed."]);
    assert_eq!(
        peer.rest().await?,
        "a BAD User is authenticated but not connected.\r\n* BYE Connection closed. 14\r\n"
    );
    Ok(())
}

#[tokio::test]
async fn exchange_refuses_a_dead_token_without_a_challenge() -> TestResult {
    let sandbox = start(Personality::Microsoft).await?;
    let mut peer = open_imap(&sandbox).await?;

    let lines = peer
        .command(&format!("AUTHENTICATE XOAUTH2 {}", xoauth2(ALICE, "x")))
        .await?;

    assert_eq!(lines, ["a NO AUTHENTICATE failed."]);
    Ok(())
}

#[tokio::test]
async fn sign_in_waits_for_starttls_and_clear_text_before_it_is_dropped() -> TestResult {
    let sandbox = start(Personality::Standard).await?;
    let mut peer = Peer::plain(sandbox.addresses().mail.imap).await?;
    let greeting = peer.line().await?;
    let refused = peer
        .command(&format!("LOGIN {ALICE} \"{PASSWORD}\""))
        .await?;

    peer.send("a STARTTLS\r\nb NOOP\r\n").await?;
    let begin = peer.line().await?;
    let mut peer = peer.start_tls(sandbox.ca_pem()).await?;
    let lines = peer.command("CAPABILITY").await?;

    assert!(greeting.contains("STARTTLS LOGINDISABLED"), "{greeting}");
    assert!(
        last(&refused).starts_with("a NO [PRIVACYREQUIRED]"),
        "{refused:?}"
    );
    assert_eq!(begin, "a OK Begin TLS");
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(
        lines.iter().any(|line| line.contains("AUTH=OAUTHBEARER")),
        "{lines:?}"
    );
    expect_ok(
        &peer
            .command(&format!("LOGIN {ALICE} \"{PASSWORD}\""))
            .await?,
    )
}
