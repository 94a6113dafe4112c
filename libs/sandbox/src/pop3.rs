//! The POP3 server over each mailbox's INBOX: sign-in only over TLS, one session for a maildrop at a time, deletions
//! carried out by QUIT alone.
//!
//! A session shows the mails that were there when it signed in. With the Google personality it shows the 250 oldest that
//! no session has retrieved and then ended with QUIT, or with `recent:` before the login those of the last 30 days; with
//! the Microsoft personality an XOAUTH2 response on the command's own line ends the connection.

mod answer;
mod content;
mod listing;
mod session;
mod sign_in;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::mailbox::{UidlKind, find_folder_mut};
use crate::server::bytes::trim_line_end;
use crate::server::site::Site;
use crate::server::wire::{ConnectionEnd, Strike, Wire};
use crate::settings::Personality;
use session::{OpenMaildrop, Session};

/// RFC 4954's bound for a response, and room for the command before it.
const LINE_BYTES: usize = 12_288 + 512;
/// RFC 2449 says 255 with CRLF, and servers are lenient towards long passwords.
const COMMAND_BYTES: usize = 1_024;
const HANDSHAKE: Duration = Duration::from_secs(30);
const SIGN_IN_FIRST: &str = "-ERR Sign in first";

/// Serves one connection to its end.
pub(crate) async fn serve(site: &Arc<Site>, wire: Wire) {
    let mut session = Session::new(site, wire);
    let ended = run(&mut session).await;
    // Before the last words: a client that reads them may sign in again at once.
    session.opened = None;
    if ended.is_err()
        && let Some(wire) = &mut session.wire
    {
        // The connection is over either way; this only tries to deliver the last words.
        wire.flush().await.ok();
    }
}

async fn run(session: &mut Session) -> Result<(), ConnectionEnd> {
    if session.strike("pop3.greeting").await? == Strike::Passed {
        session.reply(match session.site.personality {
            Personality::Google => "+OK Gpop ready for requests from 127.0.0.1 sandbox",
            Personality::Microsoft => "+OK The Microsoft Exchange POP3 service is ready.",
            Personality::Standard => "+OK mailmesh sandbox ready",
        })?;
    }
    loop {
        let wire = session.wire()?;
        if wire.input.is_empty() {
            wire.flush().await?;
            wire.rest();
        }
        match wire.read_line(LINE_BYTES).await? {
            Some(line) => obey(session, &line).await?,
            None => session.reply("-ERR Line too long")?,
        }
    }
}

async fn obey(session: &mut Session, line: &Bytes) -> Result<(), ConnectionEnd> {
    session.site.store.count().pop3_commands.increase();
    if session.opened.as_ref().is_some_and(is_expired) {
        session.reply("-ERR [SYS/TEMP] Session expired, connection is closed")?;
        return Err(ConnectionEnd::ByUs);
    }
    let Ok(text) = std::str::from_utf8(trim_line_end(line)) else {
        return session.reply("-ERR Not UTF-8");
    };
    let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
    let verb = verb.to_ascii_uppercase();
    if verb != "AUTH" && line.len() > COMMAND_BYTES {
        return session.reply("-ERR Line too long");
    }
    match verb.as_str() {
        "CAPA" => return capabilities(session).await,
        "QUIT" => return quit(session).await,
        _ => {}
    }
    if session.opened.is_some() {
        return after_sign_in(session, &verb, rest.trim()).await;
    }
    match verb.as_str() {
        "STLS" => Box::pin(start_tls(session)).await,
        "USER" => sign_in::user(session, rest.trim()),
        // A password may hold blanks, also at its ends.
        "PASS" => Box::pin(sign_in::password(session, rest)).await,
        "AUTH" => Box::pin(sign_in::authenticate(session, rest.trim(), line.len())).await,
        _ => session.reply(SIGN_IN_FIRST),
    }
}

async fn after_sign_in(session: &mut Session, verb: &str, rest: &str) -> Result<(), ConnectionEnd> {
    match verb {
        "STAT" => answer::stat(session).await,
        "LIST" => answer::list(session, rest).await,
        "UIDL" => answer::uidl(session, rest).await,
        "RETR" => answer::retrieve(session, rest).await,
        "TOP" => answer::show_top(session, rest).await,
        "DELE" => answer::delete(session, rest).await,
        "RSET" => answer::reset(session).await,
        "NOOP" => session.reply("+OK"),
        "USER" | "PASS" | "AUTH" | "STLS" => session.reply("-ERR Signed in already"),
        _ => session.reply("-ERR Unknown command"),
    }
}

fn is_expired(opened: &OpenMaildrop) -> bool {
    opened.lock.mailbox.epoch() != opened.epoch
}

async fn capabilities(session: &mut Session) -> Result<(), ConnectionEnd> {
    if session.strike("pop3.capa").await? == Strike::Answered {
        return Ok(());
    }
    let personality = session.site.personality;
    let is_signed_in = session.opened.is_some();
    let quirks = session
        .opened
        .as_ref()
        .map(|opened| Arc::clone(&opened.lock.mailbox.maildrop().quirks));
    let mut lines = vec!["+OK Capability list follows".to_owned(), "TOP".to_owned()];
    let mut add = |line: &str| lines.push(line.to_owned());
    if quirks
        .as_ref()
        .is_none_or(|quirks| quirks.uidl != UidlKind::Missing)
    {
        add("UIDL");
    }
    if session.is_secure() {
        add("USER");
        add(&format!("SASL {}", sign_in::mechanisms(personality)));
    } else {
        add("STLS");
    }
    match personality {
        Personality::Microsoft => {}
        Personality::Google => {
            add("RESP-CODES");
            // Gmail announces that it keeps nothing, and keeps everything.
            add("EXPIRE 0");
            add("LOGIN-DELAY 300");
            add("X-GOOGLE-RICO");
        }
        Personality::Standard => {
            add("RESP-CODES");
            add("AUTH-RESP-CODE");
            add("EXPIRE NEVER");
            add("IMPLEMENTATION mailmesh-sandbox");
        }
    }
    if personality == Personality::Standard || (personality == Personality::Google && is_signed_in)
    {
        add("PIPELINING");
    }
    let hides_retrieved = quirks.as_ref().is_some_and(|quirks| quirks.hides_retrieved);
    if personality != Personality::Google && hides_retrieved {
        add("X-GOOGLE-RICO");
    }
    if personality != Personality::Google
        && let Some(delay) = quirks.and_then(|quirks| quirks.login_delay_seconds)
    {
        add(&format!("LOGIN-DELAY {delay}"));
    }
    add(".");
    session.reply(&lines.join("\r\n"))
}

async fn start_tls(session: &mut Session) -> Result<(), ConnectionEnd> {
    if session.is_secure() {
        return session.reply("-ERR TLS is on already");
    }
    if session.strike("pop3.stls").await? == Strike::Answered {
        return Ok(());
    }
    let mut wire = session.wire.take().ok_or(ConnectionEnd::Broken)?;
    wire.put(b"+OK Begin TLS\r\n");
    wire.flush().await?;
    let secured = tokio::time::timeout(HANDSHAKE, wire.start_tls(&session.site)).await;
    session.wire = Some(secured.map_err(|_| ConnectionEnd::ByUs)??);
    // RFC 2595 4: what was said before TLS counts for nothing.
    session.user = None;
    Ok(())
}

async fn quit(session: &mut Session) -> Result<(), ConnectionEnd> {
    if session.strike("pop3.quit").await? == Strike::Answered {
        return Err(ConnectionEnd::ByUs);
    }
    let mut address = None;
    if let Some(OpenMaildrop { lock, listing, .. }) = session.opened.take() {
        address = Some(lock.mailbox.address.clone());
        let committed = find_folder_mut(&mut lock.mailbox.folders(), "INBOX")
            .is_some_and(|folder| listing.commit(folder));
        if committed {
            lock.mailbox.announce();
        }
        // Before the reply: a client that has it may sign in again at once.
        lock.release();
    }
    let site = Arc::clone(&session.site);
    let wire = session.wire()?;
    // The mailbox is let go, and a fault may wait for it alone.
    let strike = wire.strike(&site, "pop3.after_quit", address.as_deref(), "");
    if strike.await? == Strike::Passed {
        session.reply("+OK Goodbye")?;
    }
    Err(ConnectionEnd::ByUs)
}
