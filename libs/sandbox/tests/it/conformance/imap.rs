//! async-imap against the IMAP server.

use std::collections::HashSet;
use std::time::Duration;

use async_imap::extensions::idle::IdleResponse;
use async_imap::types::{Fetch, Flag, NameAttribute};
use async_imap::{Authenticator, Client, Session};
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use mailmesh_sandbox::{Personality, Sandbox};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::peer::{ALICE, PASSWORD, TestResult, issue_token, start, trusting};

type Stream = TlsStream<TcpStream>;

const MAIL: &[u8] = b"From: Bob <bob@sandbox.test>\r\nTo: alice@sandbox.test\r\nSubject: Hello\r\n\
    Message-ID: <1@sandbox.test>\r\nDate: Thu, 01 Jan 2026 10:00:00 +0000\r\n\r\nGr\xc3\xbc\xc3\x9fe\r\n.\r\nTwo\r\n";

/// Says one prepared response and then nothing, as XOAUTH2 wants after a challenge.
struct Once(Option<String>);

impl Authenticator for Once {
    type Response = String;

    fn process(&mut self, _challenge: &[u8]) -> String {
        self.0.take().unwrap_or_default()
    }
}

async fn connect(sandbox: &Sandbox) -> TestResult<Client<Stream>> {
    let stream = TcpStream::connect(sandbox.addresses().mail.imap_tls).await?;
    let name = ServerName::try_from("localhost")?;
    let stream = trusting(sandbox.ca_pem())?.connect(name, stream).await?;
    let mut client = Client::new(stream);
    let greeting = client.read_response().await?;
    greeting.ok_or("no greeting")?;
    Ok(client)
}

async fn open(sandbox: &Sandbox) -> TestResult<Session<Stream>> {
    let client = connect(sandbox).await?;
    Ok(client
        .login(ALICE, PASSWORD)
        .await
        .map_err(|(error, _)| error)?)
}

fn xoauth2(token: &str) -> Once {
    Once(Some(format!("user={ALICE}\x01auth=Bearer {token}\x01\x01")))
}

async fn fetch(session: &mut Session<Stream>, uids: &str, items: &str) -> TestResult<Vec<Fetch>> {
    let stream = session.uid_fetch(uids, items).await?;
    Ok(stream.try_collect().await?)
}

fn has_flag(fetch: &Fetch, wanted: &Flag<'_>) -> bool {
    fetch.flags().any(|flag| flag == *wanted)
}

#[tokio::test]
async fn it_signs_in_by_password_and_by_token_everywhere() -> TestResult {
    for personality in [
        Personality::Standard,
        Personality::Google,
        Personality::Microsoft,
    ] {
        let sandbox = start(personality).await?;
        let token = issue_token(&sandbox, ALICE);

        open(&sandbox).await?.logout().await?;
        let plain = Once(Some(format!("\0{ALICE}\0{PASSWORD}")));
        for (mechanism, response) in [("PLAIN", plain), ("XOAUTH2", xoauth2(&token))] {
            let client = connect(&sandbox).await?;
            let signed_in = client.authenticate(mechanism, response).await;
            let mut session = signed_in.map_err(|(error, _)| error)?;
            let capabilities = session.capabilities().await?;
            assert!(capabilities.has_str("IDLE") && capabilities.has_str("MOVE"));
            session.logout().await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn it_answers_the_challenge_of_a_dead_token_and_goes_on() -> TestResult {
    let sandbox = start(Personality::Google).await?;
    let client = connect(&sandbox).await?;

    let refused = client.authenticate("XOAUTH2", xoauth2("dead")).await;
    let Err((error, client)) = refused else {
        return Err("a dead token signed in".into());
    };
    assert!(matches!(error, async_imap::error::Error::No(_)), "{error}");
    let signed_in = client.login(ALICE, PASSWORD).await;
    signed_in.map_err(|(error, _)| error)?.logout().await?;
    Ok(())
}

#[tokio::test]
async fn it_lists_and_selects_folders() -> TestResult {
    let sandbox = start(Personality::Standard).await?;
    sandbox.mail().deliver(ALICE, Bytes::from_static(MAIL))?;
    let mut session = open(&sandbox).await?;

    session.create("Archive/2026").await?;
    session.subscribe("Archive/2026").await?;
    let names: Vec<_> = session
        .list(Some(""), Some("*"))
        .await?
        .try_collect()
        .await?;
    let status = session.status("INBOX", "(MESSAGES UIDNEXT UNSEEN)").await?;
    let selected = session.select("INBOX").await?;
    let examined = session.examine("Sent").await?;
    let missing = session.select("Nowhere").await;

    let sent = names.iter().find(|name| name.name() == "Sent");
    assert!(sent.is_some_and(|name| name.attributes().contains(&NameAttribute::Sent)));
    assert!(names.iter().any(|name| name.name() == "Archive/2026"));
    assert_eq!((status.exists, status.uid_next), (1, Some(2)));
    assert_eq!((selected.exists, selected.uid_next), (1, Some(2)));
    let folders = sandbox.mail().folders(ALICE)?;
    let validity = folders.first().map(|folder| folder.uid_validity);
    assert_eq!(selected.uid_validity, validity);
    assert_eq!(examined.exists, 0);
    assert!(missing.is_err());
    session.logout().await?;
    Ok(())
}

#[tokio::test]
async fn it_renames_and_deletes_folders() -> TestResult {
    let sandbox = start(Personality::Standard).await?;
    let mut session = open(&sandbox).await?;
    session.create("Work").await?;
    session.create("Work/2026").await?;
    session.append("Work", None, None, MAIL).await?;
    let before = session.select("Work").await?;
    session.close().await?;

    session.rename("Work", "Office").await?;
    let after = session.select("Office").await?;
    session.close().await?;
    let taken = session.rename("Office", "Sent").await;
    session.delete("Office").await?;
    let gone = session.select("Office").await;
    let inbox = session.delete("INBOX").await;

    assert_eq!(after.exists, 1);
    assert_eq!(after.uid_validity, before.uid_validity);
    assert!(taken.is_err() && gone.is_err() && inbox.is_err());
    let left = sandbox.mail().folders(ALICE)?;
    assert!(left.iter().any(|folder| folder.name == "Office/2026"));
    session.logout().await?;
    Ok(())
}

#[tokio::test]
async fn it_searches_and_fetches_mail_whole_and_in_part() -> TestResult {
    let sandbox = start(Personality::Standard).await?;
    sandbox.mail().deliver(ALICE, Bytes::from_static(MAIL))?;
    sandbox.mail().preload(ALICE, 2, 100_000)?;
    let mut session = open(&sandbox).await?;
    session.select("INBOX").await?;

    let all = session.uid_search("ALL").await?;
    let new = session.uid_search("UID 3:* UNSEEN").await?;
    let found = session
        .uid_search("HEADER Message-ID \"<1@sandbox.test>\"")
        .await?;
    let none = session.uid_search("SEEN").await?;
    let items = "(UID FLAGS RFC822.SIZE INTERNALDATE ENVELOPE BODY.PEEK[])";
    let peeked = fetch(&mut session, "1:*", items).await?;
    let part = fetch(&mut session, "1", "(UID BODY.PEEK[]<6.3>)").await?;
    let header = fetch(
        &mut session,
        "1",
        "(UID BODY.PEEK[HEADER.FIELDS (SUBJECT)])",
    )
    .await?;
    let read = fetch(&mut session, "1", "(UID FLAGS BODY[])").await?;

    assert_eq!(all, HashSet::from([1, 2, 3]));
    assert_eq!(new, HashSet::from([3]));
    assert_eq!(found, HashSet::from([1]));
    assert_eq!(none, HashSet::new());
    let stored = sandbox.mail().list(ALICE, "INBOX")?;
    assert_eq!(peeked.len(), 3);
    for (fetched, stored) in peeked.iter().zip(&stored) {
        assert_eq!(fetched.uid, Some(stored.uid));
        assert_eq!(fetched.body(), Some(&stored.raw[..]));
        let size = u32::try_from(stored.raw.len())?;
        assert_eq!(fetched.size, Some(size));
        let moment = fetched.internal_date().map(|date| date.timestamp());
        assert_eq!(moment, Some(stored.received_at.unix_timestamp()));
        assert!(!has_flag(fetched, &Flag::Seen));
    }
    let envelope = peeked.first().and_then(Fetch::envelope);
    let subject = envelope.and_then(|envelope| envelope.subject.as_deref());
    assert_eq!(subject, Some(&b"Hello"[..]));
    assert_eq!(part.first().and_then(Fetch::body), MAIL.get(6..9));
    let header = header.first().and_then(Fetch::header);
    assert_eq!(header, Some(&b"Subject: Hello\r\n\r\n"[..]));
    assert!(read.iter().any(|fetch| has_flag(fetch, &Flag::Seen)));
    session.logout().await?;
    Ok(())
}

#[tokio::test]
async fn it_stores_flags_and_moves_copies_and_expunges_mail() -> TestResult {
    let sandbox = start(Personality::Standard).await?;
    sandbox.mail().preload(ALICE, 4, 300)?;
    let mut session = open(&sandbox).await?;
    session.select("INBOX").await?;

    let stored = session.uid_store("1", "+FLAGS (\\Seen $Label)").await?;
    let stored: Vec<Fetch> = stored.try_collect().await?;
    session.uid_copy("1", "Archive").await?;
    session.uid_mv("2", "Archive").await?;
    let deleted = session.uid_store("3", "+FLAGS.SILENT (\\Deleted)").await?;
    let deleted: Vec<Fetch> = deleted.try_collect().await?;
    let expunged: Vec<u32> = session.uid_expunge("3").await?.try_collect().await?;
    let left = session.uid_search("ALL").await?;
    session.noop().await?;

    assert!(stored.iter().any(
        |fetch| has_flag(fetch, &Flag::Seen) && has_flag(fetch, &Flag::Custom("$Label".into()))
    ));
    assert_eq!(deleted.len(), 0);
    assert_eq!(expunged, [2], "2 is gone already");
    assert_eq!(left, HashSet::from([1, 4]));
    assert_eq!(sandbox.mail().list(ALICE, "Archive")?.len(), 2);
    session.logout().await?;
    Ok(())
}

#[tokio::test]
async fn it_appends_mail_with_flags_and_a_date() -> TestResult {
    let sandbox = start(Personality::Standard).await?;
    let mut session = open(&sandbox).await?;

    let date = Some("\" 1-Feb-2026 08:09:10 +0100\"");
    session.append("Sent", Some("(\\Seen)"), date, MAIL).await?;
    let refused = session.append("Nowhere", None, None, MAIL).await;
    session.select("Sent").await?;

    let sent = sandbox.mail().list(ALICE, "Sent")?;
    let sent = sent.first().ok_or("nothing was appended")?;
    assert_eq!(&sent.raw[..], MAIL);
    assert!(sent.flags.is_seen());
    assert_eq!(sent.received_at.unix_timestamp(), 1_769_929_750);
    assert!(refused.is_err());
    session.logout().await?;
    Ok(())
}

#[tokio::test]
async fn it_hears_of_new_mail_while_it_idles_and_works_on_afterwards() -> TestResult {
    let sandbox = start(Personality::Standard).await?;
    let mut session = open(&sandbox).await?;
    session.select("INBOX").await?;

    let mut idle = session.idle();
    idle.init().await?;
    let (changed, _stop) = idle.wait_with_timeout(Duration::from_secs(20));
    sandbox.mail().deliver(ALICE, Bytes::from_static(MAIL))?;
    let changed = changed.await?;
    let mut session = idle.done().await?;

    assert!(matches!(changed, IdleResponse::NewData(_)), "{changed:?}");
    assert_eq!(session.uid_search("ALL").await?, HashSet::from([1]));
    session.logout().await?;
    Ok(())
}
