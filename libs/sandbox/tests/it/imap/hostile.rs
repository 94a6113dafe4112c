//! Faults on the server's side and nonsense on the client's.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mailmesh_sandbox::{Fault, FaultRule, Personality};

use super::last;
use crate::peer::{ALICE, Peer, TestResult, eventually, expect_ok, open_inbox, start};

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
async fn a_reset_connection_ends_with_an_error_and_not_with_an_end() -> TestResult {
    let sandbox = start(Personality::Standard).await?;
    let mut peer = Peer::plain(sandbox.addresses().mail.imap).await?;
    peer.line().await?;
    let rule = FaultRule::once("imap.starttls", Fault::Reset);
    sandbox.faults().add(rule)?;

    peer.send("a STARTTLS\r\n").await?;

    assert!(peer.is_reset().await?);
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

/// Counts panics on this thread, where a test's server runs too and its tasks would swallow them.
fn count_panics() -> Arc<AtomicUsize> {
    let (count, here) = (Arc::new(AtomicUsize::new(0)), std::thread::current().id());
    let (counted, before) = (Arc::clone(&count), std::panic::take_hook());
    std::panic::set_hook(Box::new(move |panic| {
        if std::thread::current().id() == here {
            counted.fetch_add(1, Ordering::SeqCst);
        }
        before(panic);
    }));
    count
}

#[tokio::test]
async fn garbage_from_one_client_harms_no_other() -> TestResult {
    let sandbox = start(Personality::Standard).await?;
    sandbox.mail().preload(ALICE, 3, 400)?;
    let seeds = [
        "UID FETCH 1:* (FLAGS BODY.PEEK[HEADER.FIELDS (FROM \"TO\")]<0.10>)",
        "UID SEARCH OR (SINCE 1-Jan-2026 NOT SEEN) HEADER Subject {3+}\r\nabc",
        "STORE 1,3:* +FLAGS.SILENT (\\Seen \\Deleted x)",
        "APPEND Sent (\\Seen) \" 1-Feb-2026 08:09:10 +0100\" {5+}\r\nhello",
        "LIST (SPECIAL-USE) \"\" {1+}\r\n*",
    ];
    let mut state = 7_u32;
    let mut next = move |below: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        usize::try_from(state >> 8).unwrap_or_default() % below
    };

    let panics = count_panics();

    for round in 0..400 {
        let mut command = format!("a {}\r\n", seeds[round % seeds.len()]).into_bytes();
        for _ in 0..=next(4) {
            let place = next(command.len());
            command[place] = b"\0\"({[]})<>*%\\:, 9\r\n\xff"[next(20)];
        }
        let mut peer = open_inbox(&sandbox, ALICE).await?;
        peer.send(&command).await?;
        peer.send("\r\nb NOOP\r\n").await?;
        drop(peer);
        eventually(|| sandbox.mail().counters().imap_connections == 0).await?;
    }

    assert_eq!(panics.load(Ordering::SeqCst), 0);
    expect_ok(&open_inbox(&sandbox, ALICE).await?.command("NOOP").await?)
}
