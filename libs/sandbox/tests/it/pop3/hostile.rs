//! Faults on the server's side and nonsense on the client's.

use mailmesh_sandbox::{Fault, FaultRule, Personality, Sandbox};

use super::mail;
use crate::peer::{ALICE, PASSWORD, Peer, TestResult, eventually, open_maildrop, open_pop3, start};

fn add(sandbox: &Sandbox, point: &str, fault: Fault) -> TestResult {
    sandbox.faults().add(FaultRule::once(point, fault))?;
    Ok(())
}

fn reply(text: &str) -> Fault {
    Fault::Reply {
        text: text.to_owned(),
    }
}

#[tokio::test]
async fn each_command_can_be_cut_reset_answered_wrongly_and_stalled() -> TestResult {
    let sandbox = start(Personality::Standard).await?;
    sandbox.mail().deliver(ALICE, mail(1))?;
    for (point, command) in [
        ("pop3.capa", "CAPA"),
        ("pop3.stat", "STAT"),
        ("pop3.list", "LIST"),
        ("pop3.uidl", "UIDL"),
        ("pop3.retr", "RETR 1"),
        ("pop3.top", "TOP 1 0"),
        ("pop3.rset", "RSET"),
        ("pop3.dele", "DELE 1"),
        ("pop3.quit", "QUIT"),
    ] {
        for fault in [Fault::Cut, Fault::Reset] {
            add(&sandbox, point, fault)?;
            let mut peer = open_maildrop(&sandbox, ALICE).await?;
            peer.send(format!("{command}\r\n")).await?;
            assert_eq!(peer.rest().await?, "", "{point}");
        }

        add(&sandbox, point, reply("%$ garbage"))?;
        let mut peer = open_maildrop(&sandbox, ALICE).await?;
        assert_eq!(peer.ask(command).await?, "%$ garbage", "{point}");
        peer.ask("QUIT").await.ok();

        add(&sandbox, point, Fault::Stall { seconds: None })?;
        let before = sandbox.mail().counters().faults;
        let mut peer = open_maildrop(&sandbox, ALICE).await?;
        peer.send(format!("{command}\r\n")).await?;
        eventually(|| sandbox.mail().counters().faults > before).await?;
        sandbox.faults().clear();
        assert!(peer.line().await?.starts_with("+OK"), "{point}");
        // A session that has ended refuses the bytes, which is as good.
        peer.send("QUIT\r\n").await.ok();
        peer.rest().await?;
        assert!(sandbox.faults().is_empty(), "{point}");
        if point == "pop3.dele" {
            sandbox.mail().deliver(ALICE, mail(1))?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_greeting_stls_and_auth_can_fail() -> TestResult {
    let sandbox = start(Personality::Standard).await?;

    add(
        &sandbox,
        "pop3.greeting",
        reply("-ERR Too busy, connection closed"),
    )?;
    let address = sandbox.addresses().mail.pop3_tls;
    let mut refused = Peer::tls(address, sandbox.ca_pem()).await?;
    assert_eq!(
        refused.rest().await?,
        "-ERR Too busy, connection closed\r\n"
    );

    add(&sandbox, "pop3.greeting", Fault::Reset)?;
    let mut reset = Peer::plain(sandbox.addresses().mail.pop3).await?;
    assert!(reset.is_reset().await?);

    add(&sandbox, "pop3.stls", reply("-ERR Command not permitted"))?;
    let mut plain = Peer::plain(sandbox.addresses().mail.pop3).await?;
    plain.line().await?;
    assert_eq!(plain.ask("STLS").await?, "-ERR Command not permitted");

    add(&sandbox, "pop3.auth", Fault::Cut)?;
    let mut peer = open_pop3(&sandbox).await?;
    peer.ask(&format!("USER {ALICE}")).await?;
    peer.send(format!("PASS {PASSWORD}\r\n")).await?;
    assert_eq!(peer.rest().await?, "");
    Ok(())
}

#[tokio::test]
async fn an_answer_can_break_in_its_middle() -> TestResult {
    let sandbox = start(Personality::Standard).await?;
    sandbox.mail().preload(ALICE, 100, 2_000)?;

    for (point, command) in [
        ("pop3.list.body", "LIST"),
        ("pop3.uidl.body", "UIDL"),
        ("pop3.retr.body", "RETR 1"),
    ] {
        let mut peer = open_maildrop(&sandbox, ALICE).await?;
        peer.send(format!("{command}\r\nQUIT\r\n")).await?;
        let goodbye = "+OK Goodbye\r\n";
        let whole = peer.rest().await?.replace(goodbye, "");
        let (half, rest) = whole.split_at(whole.len() / 2);

        add(&sandbox, point, Fault::Cut)?;
        let mut peer = open_maildrop(&sandbox, ALICE).await?;
        peer.send(format!("{command}\r\n")).await?;
        assert_eq!(peer.rest().await?, half, "{point}");

        add(&sandbox, point, reply("\r\n."))?;
        let mut peer = open_maildrop(&sandbox, ALICE).await?;
        peer.send(format!("{command}\r\nQUIT\r\n")).await?;
        assert_eq!(peer.rest().await?, format!("{half}\r\n.\r\n{goodbye}"));

        add(&sandbox, point, Fault::HugeLiteral { bytes: 1_000_000 })?;
        let mut peer = open_maildrop(&sandbox, ALICE).await?;
        peer.send(format!("{command}\r\nQUIT\r\n")).await?;
        let flooded = peer.rest().await?;
        assert_eq!(flooded.len(), whole.len() + 1_000_000 + goodbye.len());
        assert!(flooded.ends_with(&format!("x{rest}{goodbye}")), "{point}");

        add(&sandbox, point, Fault::Stall { seconds: None })?;
        let mut peer = open_maildrop(&sandbox, ALICE).await?;
        peer.send(format!("{command}\r\n")).await?;
        assert_eq!(peer.bytes(half.len()).await?, half);
        sandbox.faults().clear();
        assert_eq!(peer.bytes(rest.len()).await?, rest);
        peer.ask("QUIT").await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_line_may_be_endless() -> TestResult {
    let sandbox = start(Personality::Standard).await?;
    let bytes = 300_000;
    add(&sandbox, "pop3.stat", Fault::HugeLiteral { bytes })?;
    let mut peer = open_maildrop(&sandbox, ALICE).await?;

    let line = peer.ask("STAT").await?;

    assert_eq!(line.len(), 300_004);
    Ok(())
}

#[tokio::test]
async fn nonsense_is_answered_and_the_session_goes_on() -> TestResult {
    let sandbox = start(Personality::Standard).await?;
    let mut peer = open_pop3(&sandbox).await?;
    for nonsense in [
        "",
        "STAT",
        "NOOP",
        "XYZZY",
        "AUTH DIGEST-MD5",
        "PASS",
        "AUTH PLAIN ?",
    ] {
        let line = peer.ask(nonsense).await?;
        assert!(line.starts_with("-ERR"), "{nonsense}: {line}");
    }
    assert_eq!(peer.ask(&"x".repeat(2_000)).await?, "-ERR Line too long");
    assert_eq!(peer.ask(&"x".repeat(20_000)).await?, "-ERR Line too long");
    assert_eq!(peer.ask("AUTH XOAUTH2").await?, "+ ");
    assert_eq!(peer.ask("*").await?, "-ERR Authentication cancelled");
    drop(peer);

    let mut peer = open_maildrop(&sandbox, ALICE).await?;
    for nonsense in [
        "LIST 99999999999999999999999",
        "TOP 1 -1",
        "DELE",
        "RETR -1",
        "USER x",
        "UIDL \u{fffd}",
    ] {
        let line = peer.ask(nonsense).await?;
        assert!(line.starts_with("-ERR"), "{nonsense}: {line}");
    }
    peer.send(b"STAT \xff\r\n").await?;
    assert_eq!(peer.line().await?, "-ERR Not UTF-8");
    assert_eq!(peer.ask("NOOP").await?, "+OK");
    Ok(())
}
