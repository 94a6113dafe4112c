use std::sync::Arc;

use bytes::Bytes;
use time::OffsetDateTime;

use super::Session;
use super::answer::{CommandAnswer, CommandProblem};
use super::envelope::put_envelope;
use super::item::{BodyItem, Item, parse_items};
use super::moment::InternalDate;
use super::parse::Parser;
use crate::fault::Fault;
use crate::mailbox::{Flags, ImapQuirks, Mail};
use crate::server::wire::{ConnectionEnd, Wire, take_fault};

/// Mails looked up per visit to the folder, so that others get their turn.
const MAILS_PER_VISIT: usize = 64;

/// What one FETCH wants of each mail.
struct Plan {
    items: Vec<Item>,
    sets_seen: bool,
    has_body: bool,
    quirks: ImapQuirks,
}

/// A mail on its way out, with its sequence number.
struct FetchTarget {
    number: usize,
    mail: Mail,
    is_newly_seen: bool,
}

impl Session {
    pub(super) async fn fetch(
        &mut self,
        is_by_uid: bool,
        parser: &mut Parser,
    ) -> Result<CommandAnswer, CommandProblem> {
        let sequence = parser.sequence()?;
        let mut items = parse_items(parser)?;
        if is_by_uid && !items.iter().any(|item| matches!(item, Item::Uid)) {
            items.insert(0, Item::Uid);
        }
        let (mailbox, view, _) = self.selected()?;
        let quirks = mailbox.imap_quirks();
        let places = sequence.places(view.uids(), is_by_uid);
        let bodies = || items.iter().filter_map(as_body);
        let plan = Plan {
            sets_seen: !view.is_read_only && bodies().any(|body| !body.is_peek),
            has_body: bodies().next().is_some(),
            quirks,
            items,
        };
        for visit in places.chunks(MAILS_PER_VISIT) {
            for outgoing in self.collect(visit, &plan)? {
                self.send(&outgoing, &plan).await?;
            }
        }
        Ok(CommandAnswer::Done)
    }

    /// Looks the mails up; those that another session expunged are left out, which is no error.
    fn collect(
        &mut self,
        places: &[usize],
        plan: &Plan,
    ) -> Result<Vec<FetchTarget>, CommandProblem> {
        let (mailbox, view, wire) = self.selected()?;
        let mut folders = mailbox.folders();
        let Some(folder) = view.find_mut(&mut folders) else {
            return Ok(Vec::new());
        };
        if plan.sets_seen {
            // Other sessions' changes must be reported before this session's own count as reported.
            view.report(folder, false, &mut wire.output);
        }
        let mut found = Vec::with_capacity(places.len());
        let mut changed = false;
        for &place in places {
            let uid = view.uids().get(place).copied().unwrap_or_default();
            let Some(mail) = folder.find(uid) else {
                continue;
            };
            let is_newly_seen = plan.sets_seen && !mail.flags.has(Flags::SEEN);
            let mail = if is_newly_seen {
                folder.change_flags(uid, |flags| flags.set(Flags::SEEN))
            } else {
                Some(mail)
            };
            changed |= is_newly_seen;
            found.extend(mail.map(|mail| FetchTarget {
                number: place + 1,
                mail: mail.clone(),
                is_newly_seen,
            }));
        }
        if changed {
            view.mark_flags_seen(folder);
            drop(folders);
            mailbox.announce();
        }
        Ok(found)
    }

    async fn send(&mut self, outgoing: &FetchTarget, plan: &Plan) -> Result<(), ConnectionEnd> {
        if plan.has_body {
            self.site.store.count().imap_bodies.increase();
            if plan.quirks.broken.contains(&Some(outgoing.mail.uid)) {
                let fault = Fault::HugeLiteral { bytes: 1 << 40 };
                return Box::pin(self.send_badly(fault, outgoing, plan)).await;
            }
            if let Some(fault) = take_fault(&self.site, "imap.fetch.body", self.address()) {
                return Box::pin(self.send_badly(fault, outgoing, plan)).await;
            }
        }
        let wire = self.wire()?;
        put_mail(wire, outgoing, plan, true).await?;
        wire.flush_when_full().await
    }

    async fn send_badly(
        &mut self,
        fault: Fault,
        outgoing: &FetchTarget,
        plan: &Plan,
    ) -> Result<(), ConnectionEnd> {
        let site = Arc::clone(&self.site);
        let wire = self.wire()?;
        wire.flush().await?;
        match fault {
            Fault::Cut | Fault::Reset => {
                put_mail(wire, outgoing, plan, false).await?;
                wire.output.truncate(wire.output.len() / 2);
                wire.flush().await?;
                if fault == Fault::Reset {
                    return Err(wire.reset());
                }
                Err(ConnectionEnd::ByUs)
            }
            Fault::Stall { seconds } => {
                put_mail(wire, outgoing, plan, false).await?;
                let rest = wire.output.split_off(wire.output.len() / 2);
                wire.flush().await?;
                wire.stall(&site, seconds).await?;
                wire.put(&rest);
                Ok(())
            }
            Fault::HugeLiteral { bytes } => {
                wire.say(format_args!(
                    "* {} FETCH (UID {} BODY[] {{{bytes}}}\r\n",
                    outgoing.number, outgoing.mail.uid
                ));
                wire.put(&outgoing.mail.raw);
                Err(wire.wait_for_end().await)
            }
            Fault::Reply { .. } | Fault::Status { .. } => {
                wire.suffer(&site, fault, "*").await?;
                Ok(())
            }
        }
    }
}

const fn as_body(item: &Item) -> Option<&BodyItem> {
    match item {
        Item::Body(body) => Some(body),
        _ => None,
    }
}

async fn put_mail(
    wire: &mut Wire,
    outgoing: &FetchTarget,
    plan: &Plan,
    may_share: bool,
) -> Result<(), ConnectionEnd> {
    let mail = &outgoing.mail;
    wire.say(format_args!("* {} FETCH (", outgoing.number));
    let mut separator = "";
    for item in &plan.items {
        wire.put(separator.as_bytes());
        separator = " ";
        match item {
            Item::Uid => wire.say(format_args!("UID {}", mail.uid)),
            Item::Flags => wire.say(format_args!("FLAGS ({})", mail.flags)),
            Item::Size => wire.say(format_args!("RFC822.SIZE {}", mail.raw.len())),
            Item::InternalDate => wire.say(format_args!(
                "INTERNALDATE \"{}\"",
                InternalDate(if plan.quirks.dates_alike {
                    OffsetDateTime::UNIX_EPOCH
                } else {
                    mail.received_at
                })
            )),
            Item::Envelope => put_envelope(&mut wire.output, &mail.raw),
            Item::Body(body) => {
                let part = cut(body, &mail.raw, plan.quirks);
                put_body(wire, body, &part, may_share).await?;
            }
        }
    }
    let has_flags = plan.items.iter().any(|item| matches!(item, Item::Flags));
    if outgoing.is_newly_seen && !has_flags {
        wire.say(format_args!(" FLAGS ({})", mail.flags));
    }
    wire.put(b")\r\n");
    Ok(())
}

fn cut(body: &BodyItem, raw: &Bytes, quirks: ImapQuirks) -> Bytes {
    let part = if quirks.ignores_ranges {
        body.whole(raw)
    } else {
        body.cut(raw)
    };
    let most = quirks.answered_at_most.unwrap_or(usize::MAX);
    part.slice(..part.len().min(most))
}

async fn put_body(
    wire: &mut Wire,
    body: &BodyItem,
    part: &Bytes,
    may_share: bool,
) -> Result<(), ConnectionEnd> {
    wire.put(body.label.as_bytes());
    if let Some((first, _)) = body.partial {
        wire.say(format_args!("<{first}>"));
    }
    wire.say(format_args!(" {{{}}}\r\n", part.len()));
    if may_share {
        return wire.put_shared(part).await;
    }
    wire.put(part);
    Ok(())
}
