//! Sign-in, reading, changing and watching over IMAP.

use bytes::Bytes;
use mailmesh_sandbox::{Fault, FaultRule, Personality};

use crate::peer::{
    ALICE, BOB, PASSWORD, Peer, TestResult, encode, expect_ok, issue_token, open_imap, open_inbox,
    open_smtp, start, xoauth2,
};

const MAIL: &[u8] =
    b"From: Bob <bob@sandbox.test>\r\nSubject: Hello\r\nMessage-ID: <1@sandbox.test>\r\n\r\nOne\r\nTwo\r\n";

fn mail(number: usize) -> Bytes {
    Bytes::from(format!("Subject: {number}\r\n\r\nbody {number}\r\n"))
}

fn last(lines: &[String]) -> &str {
    lines.last().map(String::as_str).unwrap_or_default()
}

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
async fn faults_strike_where_they_wait() -> TestResult {
    let sandbox = start(Personality::Standard).await?;
    sandbox.mail().preload(ALICE, 2, 2_000)?;
    let reply = |text: &str| Fault::Reply {
        text: text.to_owned(),
    };
    let add = |point: &str, fault| sandbox.faults().add(FaultRule::once(point, fault));

    add("imap.greeting", reply("* BYE Overloaded"))?;
    let address = sandbox.addresses().mail.imap_tls;
    let mut refused = Peer::tls(address, sandbox.ca_pem()).await?;
    assert_eq!(refused.rest().await?, "* BYE Overloaded\r\n");

    let mut peer = open_inbox(&sandbox, ALICE).await?;
    add(
        "imap.select",
        reply("{tag} NO [UNAVAILABLE] Temporary System Problem (Failure)"),
    )?;
    let lines = peer.command("SELECT INBOX").await?;
    assert_eq!(
        lines,
        ["a NO [UNAVAILABLE] Temporary System Problem (Failure)"]
    );

    add("imap.fetch.body", Fault::Cut)?;
    peer.send("a UID FETCH 1:2 BODY.PEEK[]\r\n").await?;
    let cut = peer.rest().await?;
    assert!(
        cut.starts_with("* 1 FETCH (UID 1 BODY[] {2000}\r\n"),
        "{cut}"
    );
    assert!((900..1_100).contains(&cut.len()), "{}", cut.len());

    let mut peer = open_inbox(&sandbox, ALICE).await?;
    add("imap.fetch.body", Fault::HugeLiteral { bytes: 500_000_000 })?;
    peer.send("a UID FETCH 1 BODY.PEEK[]\r\n").await?;
    assert_eq!(peer.line().await?, "* 1 FETCH (UID 1 BODY[] {500000000}");

    let mut peer = open_inbox(&sandbox, ALICE).await?;
    add("imap.fetch.body", Fault::Stall { seconds: None })?;
    peer.send("a UID FETCH 1 BODY.PEEK[]\r\n").await?;
    peer.bytes(900).await?;
    sandbox.faults().clear();
    expect_ok(&peer.tagged().await?)?;
    assert_eq!(sandbox.mail().counters().faults, 5);
    Ok(())
}

#[tokio::test]
async fn nonsense_is_answered_and_the_session_goes_on() -> TestResult {
    let sandbox = start(Personality::Standard).await?;
    let mut peer = open_inbox(&sandbox, ALICE).await?;

    for nonsense in [
        "FETCH",
        "FETCH x UID",
        "UID",
        "SEARCH NOT",
        "STORE 1 FLAGS",
        "XYZZY",
        "STATUS INBOX (SIZE)",
    ] {
        let lines = peer.command(nonsense).await?;
        assert!(last(&lines).starts_with("a BAD"), "{nonsense}: {lines:?}");
    }
    peer.send("\r\n").await?;
    assert_eq!(peer.line().await?, "* BAD Not a command");
    let long = format!("SEARCH {}", "ALL ".repeat(40_000));
    assert_eq!(
        peer.command(&long).await?,
        ["a BAD [TOOBIG] Command too long"]
    );
    let lines = peer.command("APPEND Sent {999999999}").await?;
    assert_eq!(lines, ["a BAD [TOOBIG] Command too long"]);
    expect_ok(&peer.command("NOOP").await?)
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
