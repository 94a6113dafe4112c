//! Sign-in, submission and refusals over SMTP.

use mailmesh_sandbox::{Fault, FaultRule, Personality};

use crate::peer::{
    ALICE, BOB, PASSWORD, Peer, TestResult, encode, greet_smtp, issue_token, open_smtp, start,
    xoauth2,
};

#[tokio::test]
async fn a_live_token_signs_in_in_two_steps_and_a_dead_one_is_challenged() -> TestResult {
    let sandbox = start(Personality::Google).await?;
    let response = xoauth2(ALICE, &issue_token(&sandbox, ALICE));

    let mut peer = greet_smtp(&sandbox).await?;
    let too_long = peer.smtp(&format!("AUTH XOAUTH2 {response}")).await?;
    let question = peer.smtp("AUTH XOAUTH2").await?;
    let accepted = peer.smtp(&response).await?;
    sandbox.tokens().expire_access(ALICE);
    let mut peer = greet_smtp(&sandbox).await?;
    peer.smtp("AUTH XOAUTH2").await?;
    let challenge = peer.smtp(&response).await?;
    let refused = peer.smtp("").await?;

    assert_eq!(too_long, "500 5.5.2 Line too long");
    assert_eq!(question, "334 ");
    assert_eq!(accepted, "235 2.7.0 Accepted");
    assert!(challenge.starts_with("334 ey"), "{challenge}");
    assert_eq!(refused, "535 5.7.8 Username and Password not accepted");
    assert_eq!(sandbox.mail().counters().smtp_refused, 1);
    Ok(())
}

#[tokio::test]
async fn short_tokens_and_passwords_sign_in_on_one_line() -> TestResult {
    let sandbox = start(Personality::Standard).await?;
    let token = issue_token(&sandbox, ALICE);

    let mut peer = greet_smtp(&sandbox).await?;
    let inline = peer
        .smtp(&format!("AUTH XOAUTH2 {}", xoauth2(ALICE, &token)))
        .await?;
    let again = peer.smtp("AUTH PLAIN").await?;
    let bearer = encode(&format!("n,a={ALICE},\x01auth=Bearer {token}\x01\x01"));
    let mut peer = greet_smtp(&sandbox).await?;
    let oauthbearer = peer.smtp(&format!("AUTH OAUTHBEARER {bearer}")).await?;
    let mut peer = greet_smtp(&sandbox).await?;
    let username = peer.smtp("AUTH LOGIN").await?;
    let password = peer.smtp(&encode(ALICE)).await?;
    let login = peer.smtp(&encode(PASSWORD)).await?;
    let mut peer = greet_smtp(&sandbox).await?;
    let wrong = peer
        .smtp(&format!(
            "AUTH PLAIN {}",
            encode("\0alice@sandbox.test\0no")
        ))
        .await?;
    let other = peer
        .smtp(&format!("AUTH XOAUTH2 {}", xoauth2(BOB, &token)))
        .await?;
    let cancelled = peer.smtp("*").await?;

    assert!(
        inline.starts_with("235") && oauthbearer.starts_with("235"),
        "{inline} {oauthbearer}"
    );
    assert!(again.starts_with("503"), "{again}");
    assert_eq!(
        (username.as_str(), password.as_str()),
        ("334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6")
    );
    assert!(login.starts_with("235"), "{login}");
    assert!(wrong.starts_with("535 5.7.8"), "{wrong}");
    assert!(other.starts_with("334 "), "{other}");
    assert!(cancelled.starts_with("535"), "{cancelled}");
    Ok(())
}

#[tokio::test]
async fn nothing_is_sent_before_tls_and_sign_in() -> TestResult {
    let sandbox = start(Personality::Standard).await?;
    let mut peer = Peer::plain(sandbox.addresses().mail.smtp).await?;
    peer.reply().await?;

    let early = peer.smtp(&format!("MAIL FROM:<{ALICE}>")).await?;
    peer.send("EHLO client.test\r\n").await?;
    let offered = peer.burst().await?;
    let clear = peer.smtp("AUTH PLAIN AGEAYg==").await?;
    peer.send("STARTTLS\r\nNOOP\r\n").await?;
    let ready = peer.reply().await?;
    let mut peer = peer.start_tls(sandbox.ca_pem()).await?;
    let forgotten = peer.smtp(&format!("MAIL FROM:<{ALICE}>")).await?;
    peer.send("EHLO client.test\r\n").await?;
    let secured = peer.burst().await?;
    let anonymous = peer.smtp(&format!("MAIL FROM:<{ALICE}>")).await?;

    assert!(early.starts_with("503 5.5.1"), "{early}");
    assert!(
        offered.contains("250-STARTTLS") && !offered.contains("AUTH"),
        "{offered}"
    );
    assert!(clear.starts_with("530 5.7.0"), "{clear}");
    assert!(ready.starts_with("220"), "{ready}");
    assert!(forgotten.starts_with("503 5.5.1"), "{forgotten}");
    assert!(
        secured.contains("250-AUTH LOGIN PLAIN XOAUTH2 OAUTHBEARER\r\n"),
        "{secured}"
    );
    assert!(secured.contains("250-SIZE 35882577\r\n"), "{secured}");
    assert!(anonymous.starts_with("530 5.7.0"), "{anonymous}");
    Ok(())
}

#[tokio::test]
async fn a_pipelined_group_with_one_refused_recipient_is_answered_at_once() -> TestResult {
    let sandbox = start(Personality::Standard).await?;
    let mut peer = open_smtp(&sandbox, ALICE).await?;

    peer.send(format!(
        "MAIL FROM:<{ALICE}> SIZE=40\r\nRCPT TO:<{BOB}>\r\nRCPT TO:<refuse@else.where>\r\n\
         RCPT TO:<carol@else.where>\r\nDATA\r\n"
    ))
    .await?;
    let group = peer.burst().await?;
    let queued = peer.smtp("Subject: x\r\n\r\n..dotted\r\n.").await?;

    assert_eq!(
        group,
        "250 2.1.0 OK\r\n250 2.1.5 OK\r\n550 5.1.1 No such user here\r\n250 2.1.5 OK\r\n354 Go ahead\r\n"
    );
    assert_eq!(queued, "250 2.0.0 OK queued as 1");
    let expected = b"Subject: x\r\n\r\n.dotted\r\n";
    let inbox = sandbox.mail().list(BOB, "INBOX")?;
    assert_eq!(
        inbox.first().map(|mail| mail.raw.to_vec()),
        Some(expected.to_vec())
    );
    let outbox = sandbox.mail().outbox();
    let [only] = &outbox[..] else {
        return Err("one mail should have gone elsewhere".into());
    };
    assert_eq!(only.recipients, ["carol@else.where"]);
    assert_eq!(
        (only.account.as_str(), &only.raw[..]),
        (ALICE, &expected[..])
    );
    Ok(())
}

#[tokio::test]
async fn senders_and_recipients_are_judged_one_by_one() -> TestResult {
    let sandbox = start(Personality::Standard).await?;
    let mut peer = open_smtp(&sandbox, ALICE).await?;

    let foreign = peer.smtp(&format!("MAIL FROM:<{BOB}>")).await?;
    let large = peer
        .smtp(&format!("MAIL FROM:<{ALICE}> SIZE=99999999"))
        .await?;
    let own = peer
        .smtp(&format!("MAIL FROM:<{ALICE}> BODY=8BITMIME"))
        .await?;
    let twice = peer.smtp(&format!("MAIL FROM:<{ALICE}>")).await?;
    let full = peer.smtp("RCPT TO:<full@x.y>").await?;
    let later = peer.smtp("RCPT TO:<later@x.y>").await?;
    let nobody = peer.smtp("DATA").await?;
    let reset = peer.smtp("RSET").await?;
    let no_mail = peer.smtp("RCPT TO:<a@b.c>").await?;
    let unknown = peer.smtp("BDAT 5").await?;
    peer.send("QUIT\r\n").await?;

    assert!(foreign.starts_with("553 5.7.1"), "{foreign}");
    assert!(large.starts_with("552 5.3.4"), "{large}");
    assert!(own.starts_with("250"), "{own}");
    assert!(twice.starts_with("503"), "{twice}");
    assert!(
        full.starts_with("452 4.2.2") && later.starts_with("450 4.2.1"),
        "{full} {later}"
    );
    assert!(nobody.starts_with("554 5.5.1"), "{nobody}");
    assert!(
        reset.starts_with("250") && no_mail.starts_with("503"),
        "{reset} {no_mail}"
    );
    assert!(unknown.starts_with("502"), "{unknown}");
    assert_eq!(peer.rest().await?, "221 2.0.0 Goodbye\r\n");
    Ok(())
}

#[tokio::test]
async fn bare_line_feeds_end_no_mail_and_are_refused() -> TestResult {
    let sandbox = start(Personality::Standard).await?;
    let mut peer = open_smtp(&sandbox, ALICE).await?;
    begin_mail(&mut peer).await?;

    let reply = peer
        .smtp("Subject: x\r\n\r\nsmuggled\n.\nMAIL FROM:<x@y.z>\r\n.")
        .await?;

    assert!(reply.starts_with("554 5.6.11"), "{reply}");
    assert_eq!(sandbox.mail().counters().submitted, 0);
    Ok(())
}

#[tokio::test]
async fn three_failed_sign_ins_end_the_session() -> TestResult {
    let sandbox = start(Personality::Microsoft).await?;
    let mut peer = greet_smtp(&sandbox).await?;
    let attempt = format!("AUTH XOAUTH2 {}", xoauth2(ALICE, "dead"));

    let first = peer.smtp(&attempt).await?;
    let second = peer.smtp("AUTH PLAIN !").await?;
    peer.send(format!("{attempt}\r\n")).await?;

    assert_eq!(first, "535 5.7.3 Authentication unsuccessful [SANDBOX]");
    assert!(second.starts_with("501"), "{second}");
    assert!(peer.rest().await?.starts_with("421 4.7.0"));
    Ok(())
}

#[tokio::test]
async fn lines_beyond_every_bound_are_refused_and_the_session_goes_on() -> TestResult {
    let sandbox = start(Personality::Standard).await?;
    let mut peer = open_smtp(&sandbox, ALICE).await?;

    for length in [3_000, 20_000, 200_000] {
        let reply = peer.smtp(&format!("NOOP {}", "x".repeat(length))).await?;
        assert_eq!(reply, "500 5.5.2 Line too long", "{length}");
    }
    let large = "x".repeat(998) + "\r\n";
    begin_mail(&mut peer).await?;
    let refused = peer.smtp(&format!("{}.", large.repeat(36_000))).await?;
    let after = peer.smtp("NOOP").await?;

    assert!(refused.starts_with("552 5.3.4"), "{refused}");
    assert!(after.starts_with("250"), "{after}");
    Ok(())
}

#[tokio::test]
async fn many_recipients_are_cut_off_where_google_does() -> TestResult {
    let sandbox = start(Personality::Google).await?;
    let mut peer = open_smtp(&sandbox, ALICE).await?;
    peer.smtp(&format!("MAIL FROM:<{ALICE}>")).await?;

    let group: Vec<_> = (0..101)
        .map(|number| format!("RCPT TO:<r{number}@else.where>\r\n"))
        .collect();
    peer.send(group.concat()).await?;
    let mut replies = Vec::new();
    for _ in 0..101 {
        replies.push(peer.reply().await?);
    }

    assert_eq!(
        replies
            .iter()
            .filter(|reply| reply.starts_with("250"))
            .count(),
        100
    );
    assert_eq!(
        replies.last().map(String::as_str),
        Some("452 4.5.3 Too many recipients")
    );
    Ok(())
}

#[tokio::test]
async fn a_sent_copy_is_kept_when_asked_for() -> TestResult {
    let sandbox = start(Personality::Standard).await?;
    sandbox.mail().set_sent_copy(true);
    let mut peer = open_smtp(&sandbox, ALICE).await?;
    begin_mail(&mut peer).await?;

    peer.smtp("Subject: x\r\n\r\n.").await?;

    let sent = sandbox.mail().list(ALICE, "Sent")?;
    assert_eq!(sent.len(), 1);
    assert!(sent.iter().all(|mail| mail.flags.is_seen()));
    Ok(())
}

#[tokio::test]
async fn faults_around_the_final_dot_decide_whether_the_mail_is_stored() -> TestResult {
    let sandbox = start(Personality::Standard).await?;
    let add = |point: &str, fault| sandbox.faults().add(FaultRule::once(point, fault));
    let text = "Subject: x\r\n\r\nHello\r\n.\r\n";

    for (point, stored) in [
        ("smtp.content", 0),
        ("smtp.final_dot", 0),
        ("smtp.after_final_dot", 1),
    ] {
        add(point, Fault::Cut)?;
        let mut peer = open_smtp(&sandbox, ALICE).await?;
        begin_mail(&mut peer).await?;
        peer.send(text).await?;
        assert_eq!(peer.rest().await?, "", "{point}");
        assert_eq!(sandbox.mail().list(BOB, "INBOX")?.len(), stored, "{point}");
    }
    add(
        "smtp.after_final_dot",
        Fault::Reply {
            text: "421 4.3.0 Try again later".to_owned(),
        },
    )?;
    let mut peer = open_smtp(&sandbox, ALICE).await?;
    begin_mail(&mut peer).await?;
    peer.send(text).await?;
    assert_eq!(peer.rest().await?, "421 4.3.0 Try again later\r\n");
    assert_eq!(sandbox.mail().list(BOB, "INBOX")?.len(), 2);
    Ok(())
}

#[tokio::test]
async fn faults_answer_in_place_of_any_step() -> TestResult {
    let sandbox = start(Personality::Standard).await?;
    let reply = |text: &str| Fault::Reply {
        text: text.to_owned(),
    };
    let add = |point: &str, fault| sandbox.faults().add(FaultRule::once(point, fault));

    add(
        "smtp.ehlo",
        reply("421 4.7.0 Try again later, closing connection"),
    )?;
    assert!(greet_smtp(&sandbox).await?.smtp("NOOP").await.is_err());
    add("smtp.auth", reply("454 4.7.0 Too many login attempts"))?;
    let refused = open_smtp(&sandbox, ALICE)
        .await
        .err()
        .map(|error| error.to_string());
    assert_eq!(
        refused.as_deref(),
        Some("454 4.7.0 Too many login attempts")
    );
    let mut peer = open_smtp(&sandbox, ALICE).await?;
    add(
        "smtp.mail",
        reply("550 5.4.5 Daily user sending limit exceeded"),
    )?;
    assert!(
        peer.smtp(&format!("MAIL FROM:<{ALICE}>"))
            .await?
            .starts_with("550 5.4.5")
    );
    add("smtp.rcpt", Fault::Stall { seconds: Some(0) })?;
    begin_mail(&mut peer).await?;
    add("smtp.quit", Fault::Cut)?;
    peer.smtp("Subject: x\r\n\r\n.").await?;
    peer.send("QUIT\r\n").await?;
    assert_eq!(peer.rest().await?, "");
    Ok(())
}

#[tokio::test]
async fn the_sink_counts_mails_and_keeps_none() -> TestResult {
    let sandbox = start(Personality::Standard).await?;
    sandbox.mail().sink_mode(true);
    let mut peer = open_smtp(&sandbox, ALICE).await?;

    for _ in 0..3 {
        begin_mail(&mut peer).await?;
        let reply = peer.smtp("Subject: x\r\n\r\n..\r\n.").await?;
        assert!(reply.starts_with("250"), "{reply}");
    }

    let counters = sandbox.mail().counters();
    assert_eq!((counters.submitted, counters.submitted_bytes), (3, 3 * 17));
    assert!(sandbox.mail().list(BOB, "INBOX")?.is_empty());
    Ok(())
}

/// Starts a mail from Alice to Bob, up to the go-ahead for its content.
async fn begin_mail(peer: &mut Peer) -> TestResult {
    for command in [
        &format!("MAIL FROM:<{ALICE}>"),
        &format!("RCPT TO:<{BOB}>"),
        "DATA",
    ] {
        let reply = peer.smtp(command).await?;
        if !reply.starts_with(['2', '3']) {
            return Err(reply.into());
        }
    }
    Ok(())
}
