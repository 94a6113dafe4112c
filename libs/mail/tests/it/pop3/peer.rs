//! What a POP3 server says, for the scripted peers, and clients that talk to it.

use std::io;
use std::time::Duration;

use mailmesh_mail::pop3::{Pop3Error, Pop3Limits, Pop3Source, Pop3Timeouts};
use mailmesh_mail::source::{FetchReport, FetchedMail, FolderAccess, MailSource};
use mailmesh_mail::{Credentials, Server, SourceError};
use tokio::sync::mpsc;

use crate::imap::peer::{Peer, Stream, TestResult, play};

pub(crate) const CAPABILITIES: &str = "+OK\r\nUIDL\r\nUSER\r\n.\r\n";

/// Hears this command and answers with these bytes.
pub(crate) async fn answer<S: Stream>(
    peer: &mut Peer<S>,
    command: &str,
    reply: &str,
) -> io::Result<()> {
    let line = peer.hear().await?;
    if line != command {
        let text = format!("expected {command:?}, heard {line:?}");
        return Err(io::Error::other(text));
    }
    peer.say(reply).await
}

/// Greets a client that signs in as nobody.
pub(crate) async fn greet(peer: &mut Peer) -> io::Result<()> {
    peer.say("+OK ready\r\n").await?;
    answer(peer, "CAPA", CAPABILITIES).await
}

/// Greets, and lists mails with these ids and one byte each, which is less than any has.
pub(crate) async fn list(peer: &mut Peer, uidls: &[&str]) -> io::Result<()> {
    greet(peer).await?;
    let lines = |text: &dyn Fn(usize) -> String| -> String {
        let lines = (0..uidls.len()).map(|at| format!("{} {}\r\n", at + 1, text(at)));
        format!("+OK\r\n{}.\r\n", lines.collect::<String>())
    };
    answer(peer, "STAT", &format!("+OK {} 100\r\n", uidls.len())).await?;
    let ids = lines(&|at| uidls.get(at).copied().unwrap_or_default().to_owned());
    answer(peer, "UIDL", &ids).await?;
    answer(peer, "LIST", &lines(&|_| "1".to_owned())).await
}

/// Limits that let silence fail soon, yet not because the machine is busy.
pub(crate) fn hasty() -> Pop3Limits {
    let short = Duration::from_secs(1);
    Pop3Limits {
        timeouts: Pop3Timeouts {
            sign_in: short,
            command: short,
            listing: short,
            silence: short,
            fetch_mail: short,
            quit: short,
            ..Pop3Timeouts::default()
        },
        ..Pop3Limits::default()
    }
}

/// Connects as nobody and opens the inbox.
pub(crate) async fn open_inbox(server: &Server, limits: Pop3Limits) -> TestResult<Box<Pop3Source>> {
    let mut source = Pop3Source::connect(server, &Credentials::None, limits).await?;
    source.open("INBOX", FolderAccess::Change).await?;
    Ok(Box::new(source))
}

/// Connects as nobody and lists the inbox from 1 on.
pub(crate) async fn list_inbox(server: &Server, limits: Pop3Limits) -> TestResult<Box<Pop3Source>> {
    let mut source = open_inbox(server, limits).await?;
    source.list_after(0).await?;
    Ok(source)
}

/// Fetches in slices of 100 bytes.
pub(crate) async fn fetch(
    source: &mut Pop3Source,
    ordinals: &[u64],
) -> (Result<FetchReport, SourceError>, Vec<FetchedMail>) {
    let (sender, mut receiver) = mpsc::channel(100);
    let report = source.fetch(ordinals, 100, &sender).await;
    drop(sender);
    let mut mails = Vec::new();
    while let Some(mail) = receiver.recv().await {
        mails.push(mail);
    }
    (report, mails)
}

/// Plays a script against a client that must not get in.
pub(crate) async fn refused(
    script: impl AsyncFnOnce(Peer) -> io::Result<()>,
    credentials: Credentials,
) -> TestResult<Pop3Error> {
    play(script, async |server| {
        match Pop3Source::connect(&server, &credentials, hasty()).await {
            Ok(_) => Err("signed in".into()),
            Err(error) => Ok(error),
        }
    })
    .await
}
