use std::sync::Arc;

use time::Duration;

use super::listing::{Selection, SessionListing};
use super::session::{MaildropLock, OpenMaildrop, Session};
use crate::mailbox::{Mailbox, MaildropRefusal, find_folder};
use crate::server::bytes::trim_line_end;
use crate::server::sasl::{self, Mechanism, Purpose, SaslProof, SaslRefusal};
use crate::server::wire::{ConnectionEnd, Strike};
use crate::settings::Personality;

/// RFC 4954's bound for a response, which POP3 servers keep too.
const RESPONSE_BYTES: usize = 12_288;
/// RFC 2449: a command with its arguments and CRLF.
const INLINE_BYTES: usize = 255;
/// Exchange Online's POP3 front end ends the connection on any longer token.
const EXCHANGE_TOKEN_BYTES: usize = 4_096;
const FAILED_SIGN_INS: u8 = 3;
const CLEAR_TEXT: &str = "-ERR Sign in over TLS only";
const EXCHANGE_PROTOCOL_ERROR: &str = "-ERR Protocol error. Connection is closed. 10";
/// Before Gmail's login name: the last 30 days, whether retrieved or not.
const RECENT: &str = "recent:";
const RECENT_LIFE: Duration = Duration::days(30);
const GMAIL_LISTED: usize = 250;

pub(super) fn user(session: &mut Session, name: &str) -> Result<(), ConnectionEnd> {
    if !session.is_secure() {
        return session.reply(CLEAR_TEXT);
    }
    session.user = Some(name.to_owned());
    // The reply must not show whether the name exists.
    session.reply("+OK Now the password")
}

pub(super) async fn password(session: &mut Session, secret: &str) -> Result<(), ConnectionEnd> {
    let Some(user) = session.user.take() else {
        return session.reply("-ERR USER first");
    };
    let proof = SaslProof {
        user,
        secret: secret.to_owned(),
        mechanism: Mechanism::Login,
    };
    settle(session, Mechanism::Login, Ok(proof)).await
}

pub(super) async fn authenticate(
    session: &mut Session,
    rest: &str,
    line_bytes: usize,
) -> Result<(), ConnectionEnd> {
    if !session.is_secure() {
        return session.reply(CLEAR_TEXT);
    }
    let personality = session.site.personality;
    let (name, initial) = rest.split_once(' ').unwrap_or((rest, ""));
    if name.is_empty() {
        let names = mechanisms(personality).replace(' ', "\r\n");
        return session.reply(&format!("+OK\r\n{names}\r\n."));
    }
    let mechanism = Mechanism::find(name.as_bytes())
        .filter(|it| *it != Mechanism::Login && it.is_offered(personality));
    let Some(mechanism) = mechanism else {
        return session.reply("-ERR Unrecognized authentication type");
    };
    let initial = initial.trim();
    if !initial.is_empty() && personality == Personality::Microsoft && mechanism.is_bearer() {
        session.reply(EXCHANGE_PROTOCOL_ERROR)?;
        return Err(ConnectionEnd::ByUs);
    }
    if line_bytes > INLINE_BYTES && personality == Personality::Standard {
        return session.reply("-ERR Line too long");
    }
    let response = if initial.is_empty() {
        if session.strike("pop3.continuation").await? == Strike::Passed {
            session.wire()?.put(b"+ \r\n");
        }
        read_response(session).await?
    } else {
        initial.as_bytes().to_vec()
    };
    if response == b"*" {
        return session.reply("-ERR Authentication cancelled");
    }
    let proof = sasl::decode(&response).and_then(|decoded| sasl::read_proof(mechanism, &decoded));
    let is_refused_by_exchange = |proof: &SaslProof| {
        personality == Personality::Microsoft
            && mechanism.is_bearer()
            && proof.secret.len() > EXCHANGE_TOKEN_BYTES
    };
    if proof.as_ref().is_ok_and(is_refused_by_exchange) {
        session.reply(EXCHANGE_PROTOCOL_ERROR)?;
        return Err(ConnectionEnd::ByUs);
    }
    settle(session, mechanism, proof).await
}

/// Returns the mechanisms as CAPA names them.
pub(super) fn mechanisms(personality: Personality) -> &'static str {
    match personality {
        Personality::Microsoft => "PLAIN XOAUTH2",
        Personality::Google | Personality::Standard => "PLAIN XOAUTH2 OAUTHBEARER",
    }
}

async fn read_response(session: &mut Session) -> Result<Vec<u8>, ConnectionEnd> {
    let line = session.wire()?.read_line(RESPONSE_BYTES).await?;
    let line = line.unwrap_or_default();
    Ok(trim_line_end(&line).to_vec())
}

async fn settle(
    session: &mut Session,
    mechanism: Mechanism,
    mut proof: Result<SaslProof, SaslRefusal>,
) -> Result<(), ConnectionEnd> {
    let site = Arc::clone(&session.site);
    let is_recent =
        site.personality == Personality::Google && proof.as_mut().is_ok_and(strip_recent);
    let user = proof.as_ref().ok().map(|proof| proof.user.clone());
    let wire = session.wire()?;
    let strike = wire.strike(&site, "pop3.auth", user.as_deref(), "").await?;
    if strike == Strike::Answered {
        return Ok(());
    }
    match proof.and_then(|proof| sasl::judge(&site, &proof, Purpose::Pop3)) {
        Ok(mailbox) => open(session, mailbox, is_recent),
        Err(refusal) => refuse(session, mechanism, refusal).await,
    }
}

fn strip_recent(proof: &mut SaslProof) -> bool {
    let stripped = proof.user.strip_prefix(RECENT).map(str::to_owned);
    let is_recent = stripped.is_some();
    if let Some(user) = stripped {
        proof.user = user;
    }
    is_recent
}

fn open(
    session: &mut Session,
    mailbox: Arc<Mailbox>,
    is_recent: bool,
) -> Result<(), ConnectionEnd> {
    let site = Arc::clone(&session.site);
    let epoch = mailbox.epoch();
    let lock = match MaildropLock::take(&site.store, mailbox) {
        Ok(lock) => lock,
        Err(refusal) => return session.reply(refuse_maildrop(site.personality, refusal)),
    };
    let quirks = Arc::clone(&lock.mailbox.maildrop().quirks);
    let is_gmail = site.personality == Personality::Google;
    let selection = Selection {
        hides_popped: !is_recent && (is_gmail || quirks.hides_retrieved),
        since: is_recent.then(|| site.store.now() - RECENT_LIFE),
        most: quirks
            .listed_at_most
            .or((is_gmail && !is_recent).then_some(GMAIL_LISTED)),
    };
    let folders = lock.mailbox.folders();
    let inbox = find_folder(&folders, "INBOX").ok_or(ConnectionEnd::Broken)?;
    let listing = SessionListing::open(inbox, quirks, selection);
    drop(folders);
    session.opened = Some(OpenMaildrop {
        lock,
        listing,
        epoch,
    });
    site.store.count().pop3_sign_ins.increase();
    session.reply(match site.personality {
        Personality::Google => "+OK Welcome.",
        Personality::Microsoft => "+OK User successfully logged on.",
        Personality::Standard => "+OK Signed in",
    })
}

/// Exchange announces no RESP-CODES and gives none.
fn refuse_maildrop(personality: Personality, refusal: MaildropRefusal) -> &'static str {
    match (personality, refusal) {
        (Personality::Microsoft, MaildropRefusal::InUse) => "-ERR The maildrop is already in use",
        (_, MaildropRefusal::InUse) => "-ERR [IN-USE] The maildrop is locked by another session",
        (Personality::Microsoft, MaildropRefusal::TooSoon) => "-ERR Try again later",
        (_, MaildropRefusal::TooSoon) => "-ERR [LOGIN-DELAY] The last sign-in was too recent",
    }
}

async fn refuse(
    session: &mut Session,
    mechanism: Mechanism,
    refusal: SaslRefusal,
) -> Result<(), ConnectionEnd> {
    let personality = session.site.personality;
    session.site.store.count().pop3_refused.increase();
    session.failed_sign_ins += 1;
    if let Some(challenge) = sasl::challenge(personality, mechanism, refusal) {
        session.wire()?.say(format_args!("+ {challenge}\r\n"));
        // The client owes an answer of no content; what it says changes nothing.
        read_response(session).await?;
    }
    session.reply(match personality {
        Personality::Google => "-ERR [AUTH] Username and password not accepted.",
        Personality::Microsoft => "-ERR Authentication failure: unknown user name or bad password.",
        Personality::Standard => "-ERR [AUTH] Authentication failed",
    })?;
    if session.failed_sign_ins >= FAILED_SIGN_INS {
        return Err(ConnectionEnd::ByUs);
    }
    Ok(())
}
