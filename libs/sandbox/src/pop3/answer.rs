use bytes::BytesMut;

use super::content::{ending, split_at_dots, top};
use super::listing::SessionListing;
use super::session::Session;
use crate::fault::Fault;
use crate::server::bytes::put;
use crate::server::wire::{ConnectionEnd, Strike};

const NO_SUCH: &str = "-ERR No such message";
const MALFORMED: &str = "-ERR Cannot understand the arguments";

pub(super) async fn stat(session: &mut Session) -> Result<(), ConnectionEnd> {
    if session.strike("pop3.stat").await? == Strike::Answered {
        return Ok(());
    }
    let listing = listing(session)?;
    let (count, size) = (listing.live().count(), listing.total_size());
    session.reply(&format!("+OK {count} {size}"))
}

pub(super) async fn list(session: &mut Session, argument: &str) -> Result<(), ConnectionEnd> {
    if session.strike("pop3.list").await? == Strike::Answered {
        return Ok(());
    }
    let listing = listing(session)?;
    if !argument.is_empty() {
        let number = argument.parse().unwrap_or_default();
        return match listing.find(number).map(|message| listing.size(message)) {
            Some(size) => session.reply(&format!("+OK {number} {size}")),
            None => session.reply(NO_SUCH),
        };
    }
    let mut answer = BytesMut::new();
    put(
        &mut answer,
        format_args!("+OK {} messages\r\n", listing.live().count()),
    );
    for (number, message) in listing.live() {
        put(
            &mut answer,
            format_args!("{number} {}\r\n", listing.size(message)),
        );
    }
    send(session, "pop3.list.body", answer).await
}

pub(super) async fn uidl(session: &mut Session, argument: &str) -> Result<(), ConnectionEnd> {
    if session.strike("pop3.uidl").await? == Strike::Answered {
        return Ok(());
    }
    let listing = listing(session)?;
    if !listing.has_uidls() {
        return session.reply("-ERR Unknown command");
    }
    if !argument.is_empty() {
        let number = argument.parse().unwrap_or_default();
        let found = listing.find(number);
        return match found.map(|message| listing.uidl(number, message)) {
            Some(uidl) => session.reply(&format!("+OK {number} {uidl}")),
            None => session.reply(NO_SUCH),
        };
    }
    let mut answer = BytesMut::from(&b"+OK\r\n"[..]);
    for (number, message) in listing.live().take(listing.most_uidls()) {
        put(
            &mut answer,
            format_args!("{number} {}\r\n", listing.uidl(number, message)),
        );
    }
    send(session, "pop3.uidl.body", answer).await
}

async fn send(
    session: &mut Session,
    point: &str,
    mut answer: BytesMut,
) -> Result<(), ConnectionEnd> {
    answer.extend_from_slice(b".\r\n");
    if let Some(fault) = session.take_fault(point) {
        return Box::pin(session.suffer_midway(fault, answer)).await;
    }
    session.wire()?.put_shared(&answer.freeze()).await
}

pub(super) async fn retrieve(session: &mut Session, argument: &str) -> Result<(), ConnectionEnd> {
    if session.strike("pop3.retr").await? == Strike::Answered {
        return Ok(());
    }
    let number = argument.parse().unwrap_or_default();
    let listing = listing(session)?;
    let Some(message) = listing.find(number) else {
        return session.reply(NO_SUCH);
    };
    let (raw, size) = (message.raw.clone(), listing.size(message));
    listing.mark_retrieved(number);
    let broken = listing.is_broken(number).then_some(Fault::Cut);
    session.site.store.count().pop3_retrieved.increase();
    if broken.is_some() {
        session.site.store.count().faults.increase();
    }
    let fault = broken.or_else(|| session.take_fault("pop3.retr.body"));
    if let Some(fault) = fault {
        let mut answer = BytesMut::new();
        put(&mut answer, format_args!("+OK {size} octets\r\n"));
        answer.extend_from_slice(&split_at_dots(&raw).join(&b'.'));
        answer.extend_from_slice(ending(&raw));
        return Box::pin(session.suffer_midway(fault, answer)).await;
    }
    session.reply(&format!("+OK {size} octets"))?;
    send_mail(session, &raw).await
}

pub(super) async fn show_top(session: &mut Session, argument: &str) -> Result<(), ConnectionEnd> {
    if session.strike("pop3.top").await? == Strike::Answered {
        return Ok(());
    }
    let Some((number, lines)) = argument.split_once(' ') else {
        return session.reply(MALFORMED);
    };
    let (Ok(number), Ok(lines)) = (number.parse(), lines.trim().parse()) else {
        return session.reply(MALFORMED);
    };
    let Some(message) = listing(session)?.find(number) else {
        return session.reply(NO_SUCH);
    };
    let raw = top(&message.raw, lines);
    session.reply("+OK Top of message follows")?;
    send_mail(session, &raw).await
}

async fn send_mail(session: &mut Session, raw: &bytes::Bytes) -> Result<(), ConnectionEnd> {
    let wire = session.wire()?;
    let mut is_first = true;
    for part in split_at_dots(raw) {
        if !is_first {
            wire.put(b".");
        }
        is_first = false;
        wire.put_shared(&part).await?;
    }
    wire.put(ending(raw));
    wire.flush_when_full().await
}

pub(super) async fn delete(session: &mut Session, argument: &str) -> Result<(), ConnectionEnd> {
    if session.strike("pop3.dele").await? == Strike::Answered {
        return Ok(());
    }
    let number = argument.parse().unwrap_or_default();
    if listing(session)?.delete(number) {
        session.reply("+OK Message deleted")
    } else {
        session.reply(NO_SUCH)
    }
}

pub(super) async fn reset(session: &mut Session) -> Result<(), ConnectionEnd> {
    if session.strike("pop3.rset").await? == Strike::Answered {
        return Ok(());
    }
    listing(session)?.reset();
    session.reply("+OK")
}

fn listing(session: &mut Session) -> Result<&mut SessionListing, ConnectionEnd> {
    let opened = session.opened.as_mut().ok_or(ConnectionEnd::Broken)?;
    Ok(&mut opened.listing)
}
