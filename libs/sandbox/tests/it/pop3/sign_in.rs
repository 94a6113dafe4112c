//! Who gets in, and how the others are told.

use mailmesh_sandbox::{Fault, FaultRule, Personality, Sandbox};

use crate::peer::{
    ALICE, BOB, PASSWORD, Peer, TestResult, encode, issue_token, open_maildrop, open_pop3, start,
    xoauth2,
};

async fn sign_in_by_token(sandbox: &Sandbox, command: &str, blob: &str) -> TestResult<String> {
    let mut peer = open_pop3(sandbox).await?;
    let continuation = peer.ask(command).await?;
    if continuation != "+ " {
        return Ok(continuation);
    }
    peer.ask(blob).await
}

#[tokio::test]
async fn a_live_token_and_the_password_open_the_maildrop() -> TestResult {
    let sandbox = start(Personality::Standard).await?;
    let token = issue_token(&sandbox, ALICE);
    let bearer = encode(&format!("n,a={ALICE},\x01auth=Bearer {token}\x01\x01"));
    let plain = encode(&format!("\0{ALICE}\0{PASSWORD}"));
    let blob = xoauth2(ALICE, &token);

    for (command, blob) in [
        ("AUTH XOAUTH2".to_owned(), blob.as_str()),
        (format!("AUTH XOAUTH2 {blob}"), ""),
        ("AUTH OAUTHBEARER".to_owned(), bearer.as_str()),
        (format!("AUTH PLAIN {plain}"), ""),
        ("auth plain".to_owned(), plain.as_str()),
    ] {
        let reply = sign_in_by_token(&sandbox, &command, blob).await?;
        assert_eq!(reply, "+OK Signed in", "{command}");
    }
    open_maildrop(&sandbox, ALICE).await?;

    assert_eq!(sandbox.mail().counters().pop3_sign_ins, 6);
    assert_eq!(sandbox.mail().sign_ins(ALICE)?, 6);
    Ok(())
}

#[tokio::test]
async fn an_expired_token_is_challenged_and_then_refused() -> TestResult {
    let sandbox = start(Personality::Google).await?;
    let blob = xoauth2(ALICE, &issue_token(&sandbox, ALICE));
    sandbox.tokens().expire_access(ALICE);

    let mut peer = open_pop3(&sandbox).await?;
    peer.ask("AUTH XOAUTH2").await?;
    let challenge = peer.ask(&blob).await?;
    let refused = peer.ask("").await?;
    peer.ask(&format!("USER {ALICE}")).await?;
    let accepted = peer.ask(&format!("PASS {PASSWORD}")).await?;

    let expected =
        encode(r#"{"schemes":"bearer mac","scope":"https://mail.google.com/","status":"401"}"#);
    assert_eq!(challenge, format!("+ {expected}"));
    assert_eq!(refused, "-ERR [AUTH] Username and password not accepted.");
    assert_eq!(accepted, "+OK Welcome.");
    assert_eq!(sandbox.mail().counters().pop3_refused, 1);
    Ok(())
}

#[tokio::test]
async fn long_responses_go_on_one_line_where_the_provider_takes_them() -> TestResult {
    let google = start(Personality::Google).await?;
    let blob = xoauth2(ALICE, &issue_token(&google, ALICE));
    assert!(blob.len() > 1_000);
    let command = format!("AUTH XOAUTH2 {blob}");
    assert_eq!(
        sign_in_by_token(&google, &command, "").await?,
        "+OK Welcome."
    );

    let standard = start(Personality::Standard).await?;
    assert_eq!(
        sign_in_by_token(&standard, &command, "").await?,
        "-ERR Line too long"
    );
    Ok(())
}

#[tokio::test]
async fn exchange_takes_two_lines_only_and_no_token_beyond_its_bound() -> TestResult {
    let sandbox = start(Personality::Microsoft).await?;
    let blob = xoauth2(ALICE, &issue_token(&sandbox, ALICE));

    let two_lines = sign_in_by_token(&sandbox, "AUTH XOAUTH2", &blob).await?;
    let mut inline = open_pop3(&sandbox).await?;
    inline.send(format!("AUTH XOAUTH2 {blob}\r\n")).await?;
    let mut long = open_pop3(&sandbox).await?;
    long.ask("AUTH XOAUTH2").await?;
    let too_long = xoauth2(ALICE, &"x".repeat(4_097));
    long.send(format!("{too_long}\r\n")).await?;
    let dead = sign_in_by_token(&sandbox, "AUTH XOAUTH2", &xoauth2(ALICE, "x")).await?;

    let closed = "-ERR Protocol error. Connection is closed. 10\r\n";
    assert_eq!(two_lines, "+OK User successfully logged on.");
    assert_eq!(inline.rest().await?, closed);
    assert_eq!(long.rest().await?, closed);
    assert_eq!(
        dead,
        "-ERR Authentication failure: unknown user name or bad password."
    );
    Ok(())
}

#[tokio::test]
async fn a_token_opens_no_other_mailbox_and_nothing_beyond_its_scope() -> TestResult {
    let sandbox = start(Personality::Microsoft).await?;
    let token = issue_token(&sandbox, ALICE);
    let request = mailmesh_sandbox::GrantRequest {
        address: ALICE.to_owned(),
        client_id: "test".to_owned(),
        scopes: vec!["https://outlook.office.com/IMAP.AccessAsUser.All".to_owned()],
        offline: false,
    };
    let imap_only = sandbox.tokens().issue(&request).access_token;

    let other = sign_in_by_token(&sandbox, "AUTH XOAUTH2", &xoauth2(BOB, &token)).await?;
    let scope = sign_in_by_token(&sandbox, "AUTH XOAUTH2", &xoauth2(ALICE, &imap_only)).await?;

    assert!(other.starts_with("-ERR Authentication failure"), "{other}");
    assert!(scope.starts_with("-ERR Authentication failure"), "{scope}");
    Ok(())
}

#[tokio::test]
async fn three_failed_sign_ins_end_the_session() -> TestResult {
    let sandbox = start(Personality::Standard).await?;
    let mut peer = open_pop3(&sandbox).await?;

    let unasked = peer.ask("PASS wrong").await?;
    let mut last = String::new();
    for _ in 0..3 {
        peer.ask(&format!("USER {ALICE}")).await?;
        last = peer.ask("PASS wrong").await?;
    }

    assert_eq!(unasked, "-ERR USER first");
    assert_eq!(last, "-ERR [AUTH] Authentication failed");
    assert_eq!(peer.find_line().await?, None);
    Ok(())
}

#[tokio::test]
async fn sign_in_waits_for_stls_and_clear_text_before_it_is_dropped() -> TestResult {
    let sandbox = start(Personality::Standard).await?;
    let mut peer = Peer::plain(sandbox.addresses().mail.pop3).await?;
    let greeting = peer.line().await?;
    let before = peer.ask_lines("CAPA").await?;
    let user = peer.ask(&format!("USER {ALICE}")).await?;
    let auth = peer.ask("AUTH PLAIN").await?;

    peer.send("STLS\r\nCAPA\r\n").await?;
    let begin = peer.line().await?;
    let mut peer = peer.start_tls(sandbox.ca_pem()).await?;
    let after = peer.ask_lines("CAPA").await?;
    let again = peer.ask("STLS").await?;

    assert!(greeting.starts_with("+OK"), "{greeting}");
    assert!(before.contains(&"STLS".to_owned()), "{before:?}");
    assert!(!before.iter().any(|line| line.starts_with("SASL")));
    assert_eq!(user, "-ERR Sign in over TLS only");
    assert_eq!(auth, "-ERR Sign in over TLS only");
    assert_eq!(begin, "+OK Begin TLS");
    assert!(after.contains(&"SASL PLAIN XOAUTH2 OAUTHBEARER".to_owned()));
    assert!(!after.contains(&"STLS".to_owned()), "{after:?}");
    assert_eq!(again, "-ERR TLS is on already");
    Ok(())
}

#[tokio::test]
async fn capabilities_are_those_of_the_provider_before_and_after_sign_in() -> TestResult {
    let sandbox = start(Personality::Google).await?;
    let mut peer = open_pop3(&sandbox).await?;

    let before = peer.ask_lines("CAPA").await?;
    let mechanisms = peer.ask_lines("AUTH").await?;
    peer.ask(&format!("USER {ALICE}")).await?;
    peer.ask(&format!("PASS {PASSWORD}")).await?;
    let after = peer.ask_lines("CAPA").await?;

    assert_eq!(mechanisms, ["PLAIN", "XOAUTH2", "OAUTHBEARER"]);
    assert!(before.contains(&"LOGIN-DELAY 300".to_owned()), "{before:?}");
    assert!(before.contains(&"RESP-CODES".to_owned()));
    assert!(!before.contains(&"PIPELINING".to_owned()));
    assert!(after.contains(&"PIPELINING".to_owned()), "{after:?}");
    Ok(())
}

#[tokio::test]
async fn scripted_refusals_carry_their_response_code() -> TestResult {
    let sandbox = start(Personality::Standard).await?;
    for code in [
        "[IN-USE]",
        "[LOGIN-DELAY]",
        "[SYS/TEMP]",
        "[SYS/PERM]",
        "[AUTH]",
    ] {
        let text = format!("-ERR {code} Refused");
        let mut rule = FaultRule::once("pop3.auth", Fault::Reply { text: text.clone() });
        rule.address = Some(ALICE.to_owned());
        sandbox.faults().add(rule)?;

        let refused = open_maildrop(&sandbox, ALICE).await.err();

        assert_eq!(refused.map(|error| error.to_string()), Some(text));
    }
    open_maildrop(&sandbox, ALICE).await?;
    Ok(())
}

#[tokio::test]
async fn a_continuation_may_be_scripted_as_an_ok() -> TestResult {
    let sandbox = start(Personality::Standard).await?;
    let text = "+OK".to_owned();
    let rule = FaultRule::once("pop3.continuation", Fault::Reply { text });
    sandbox.faults().add(rule)?;
    let mut peer = open_pop3(&sandbox).await?;

    let continuation = peer.ask("AUTH PLAIN").await?;
    let response = encode(&format!("\0{ALICE}\0{PASSWORD}"));
    let accepted = peer.ask(&response).await?;

    assert_eq!(continuation, "+OK");
    assert_eq!(accepted, "+OK Signed in");
    Ok(())
}
