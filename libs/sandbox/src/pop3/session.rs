use std::sync::Arc;

use bytes::BytesMut;

use super::listing::SessionListing;
use crate::fault::Fault;
use crate::mailbox::{MailStore, Mailbox, MaildropRefusal};
use crate::server::site::Site;
use crate::server::wire::{ConnectionEnd, Strike, Wire, take_fault};

/// Written again and again where a fault wants far too much.
const FLOOD: [u8; 8_192] = [b'x'; 8_192];

/// One connection and how far it has come.
pub(super) struct Session {
    pub(super) site: Arc<Site>,
    /// The name that USER gave, until PASS proves it.
    pub(super) user: Option<String>,
    /// Dropped before the connection: who sees the end of the connection finds the maildrop unlocked.
    pub(super) opened: Option<OpenMaildrop>,
    pub(super) failed_sign_ins: u8,
    pub(super) wire: Option<Wire>,
}

/// The maildrop of a session that is signed in.
pub(super) struct OpenMaildrop {
    pub(super) lock: MaildropLock,
    pub(super) listing: SessionListing,
    /// The mailbox's epoch at sign-in; another one now means that this session is over.
    pub(super) epoch: u64,
}

/// Keeps other sessions out for as long as it lives.
pub(super) struct MaildropLock {
    pub(super) mailbox: Arc<Mailbox>,
    store: MailStore,
    is_after_quit: bool,
}

impl MaildropLock {
    pub(super) fn take(store: &MailStore, mailbox: Arc<Mailbox>) -> Result<Self, MaildropRefusal> {
        mailbox.maildrop().lock(store.now())?;
        Ok(Self {
            mailbox,
            store: store.clone(),
            is_after_quit: false,
        })
    }

    /// Unlocks for a session that ended as it should.
    pub(super) fn release(mut self) {
        self.is_after_quit = true;
    }
}

impl Drop for MaildropLock {
    fn drop(&mut self) {
        let now = self.store.now();
        self.mailbox.maildrop().unlock(now, self.is_after_quit);
    }
}

impl Session {
    pub(super) fn new(site: &Arc<Site>, wire: Wire) -> Self {
        Self {
            site: Arc::clone(site),
            user: None,
            opened: None,
            failed_sign_ins: 0,
            wire: Some(wire),
        }
    }

    pub(super) fn wire(&mut self) -> Result<&mut Wire, ConnectionEnd> {
        self.wire.as_mut().ok_or(ConnectionEnd::Broken)
    }

    pub(super) fn is_secure(&self) -> bool {
        self.wire.as_ref().is_some_and(Wire::is_secure)
    }

    pub(super) fn reply(&mut self, line: &str) -> Result<(), ConnectionEnd> {
        self.wire()?.say(format_args!("{line}\r\n"));
        Ok(())
    }

    /// Takes the fault that waits at `point` for the mailbox of this session.
    pub(super) fn take_fault(&self, point: &str) -> Option<Fault> {
        let mailbox = self.opened.as_ref().map(|opened| &opened.lock.mailbox);
        take_fault(&self.site, point, mailbox.map(|mailbox| &*mailbox.address))
    }

    /// Lets a fault that waits at `point` strike before the step.
    pub(super) async fn strike(&mut self, point: &str) -> Result<Strike, ConnectionEnd> {
        match self.take_fault(point) {
            None => Ok(Strike::Passed),
            Some(fault) => Box::pin(self.suffer(fault)).await,
        }
    }

    pub(super) async fn suffer(&mut self, fault: Fault) -> Result<Strike, ConnectionEnd> {
        let site = Arc::clone(&self.site);
        let wire = self.wire()?;
        if let Fault::HugeLiteral { bytes } = fault {
            wire.put(b"+OK ");
            flood(wire, bytes).await?;
            wire.put(b"\r\n");
            return Ok(Strike::Answered);
        }
        wire.suffer(&site, fault, "").await
    }

    /// Lets a fault strike in the middle of an answer, which is `answer` to its end.
    pub(super) async fn suffer_midway(
        &mut self,
        fault: Fault,
        mut answer: BytesMut,
    ) -> Result<(), ConnectionEnd> {
        let site = Arc::clone(&self.site);
        let wire = self.wire()?;
        let rest = answer.split_off(answer.len() / 2);
        wire.put(&answer);
        wire.flush().await?;
        match fault {
            Fault::HugeLiteral { bytes } => {
                flood(wire, bytes).await?;
                wire.put(&rest);
            }
            Fault::Stall { seconds } => {
                wire.stall(&site, seconds).await?;
                wire.put(&rest);
            }
            Fault::Cut | Fault::Reset | Fault::Reply { .. } | Fault::Status { .. } => {
                wire.suffer(&site, fault, "").await?;
            }
        }
        Ok(())
    }
}

/// Sends this many bytes without a line end.
async fn flood(wire: &mut Wire, bytes: u64) -> Result<(), ConnectionEnd> {
    let mut left = bytes;
    while left > 0 {
        let now = usize::try_from(left).map_or(FLOOD.len(), |left| left.min(FLOOD.len()));
        wire.put(FLOOD.get(..now).unwrap_or_default());
        wire.flush_when_full().await?;
        left -= now as u64;
    }
    Ok(())
}
