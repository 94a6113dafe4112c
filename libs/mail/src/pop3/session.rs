use std::fmt;

use mailmesh_domain::VerdictKind;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::capability::Capabilities;
use super::error::Pop3Error;
use super::limit::Pop3Limits;
use super::listing::{ListingReader, read_count};
use super::maildrop::MaildropEntry;
use super::numbering::NumberedMaildrop;
use super::reply::{ErrReply, Reply};
use super::retrieval::Retrieval;
use super::stage::Stage;
use super::verdict::{RefusedStep, judge};
use super::wire::Wire;
use crate::message::received_at;
use crate::source::{FetchReport, FetchedMail, FolderAccess};

/// A signed-in session. Usable between complete calls.
pub(super) struct Session {
    pub(super) wire: Wire,
    offered: Capabilities,
    pub(super) limits: Pop3Limits,
    inbox: Option<Inbox>,
    /// A mail that is read slice by slice. Until its end the server takes no other command.
    pub(super) retrieval: Option<Retrieval>,
    /// A mail was whole although its listed size is another.
    pub(super) has_estimates: bool,
    /// No call is under way and nothing has broken.
    is_ready: bool,
}

struct Inbox {
    access: FolderAccess,
    /// What STAT says of the number of mails.
    claimed: Option<u32>,
    numbering: Option<NumberedMaildrop>,
}

/// Why a mail did not come.
pub(super) enum Absence {
    Gone,
    Unreadable,
}

impl fmt::Debug for Session {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Session")
            .field("offered", &self.offered)
            .field("is_ready", &self.is_ready)
            .finish_non_exhaustive()
    }
}

impl Session {
    pub(super) fn new(wire: Wire, offered: Capabilities, limits: Pop3Limits) -> Self {
        Self {
            wire,
            offered,
            limits,
            inbox: None,
            retrieval: None,
            has_estimates: false,
            is_ready: true,
        }
    }

    pub(super) const fn capabilities(&self) -> &Capabilities {
        &self.offered
    }

    pub(super) const fn is_ready(&self) -> bool {
        self.is_ready
    }

    /// Returns the listing, once there is one.
    pub(super) fn numbering(&self) -> Option<&NumberedMaildrop> {
        self.inbox.as_ref()?.numbering.as_ref()
    }

    pub(super) async fn open(&mut self, access: FolderAccess) -> Result<(), Pop3Error> {
        self.begin()?;
        self.inbox = None;
        let opened = self.ask_count().await;
        let claimed = self.finish(opened)?;
        self.inbox = Some(Inbox {
            access,
            claimed,
            numbering: None,
        });
        Ok(())
    }

    async fn ask_count(&mut self) -> Result<Option<u32>, Pop3Error> {
        self.end_retrieval().await?;
        read_count(&mut self.wire, &self.limits).await
    }

    /// Lists the maildrop, which is numbered from `ordinal` + 1 on if it was not listed before.
    pub(super) async fn list(&mut self, ordinal: u64) -> Result<&NumberedMaildrop, Pop3Error> {
        self.begin()?;
        let listed = self.list_once(ordinal).await;
        self.finish(listed)?;
        self.numbering().ok_or(Pop3Error::NoFolder)
    }

    async fn list_once(&mut self, ordinal: u64) -> Result<(), Pop3Error> {
        self.end_retrieval().await?;
        let inbox = self.inbox.as_mut().ok_or(Pop3Error::NoFolder)?;
        // RFC 1939 §4: the numbers, given when the maildrop was locked, hold for the session.
        if inbox.numbering.is_none() {
            let listing = ListingReader {
                wire: &mut self.wire,
                offered: &self.offered,
                limits: &self.limits,
            };
            inbox.numbering = Some(NumberedMaildrop {
                base: ordinal,
                maildrop: listing.read(inbox.claimed).await?,
            });
        }
        Ok(())
    }

    /// Fetches mails one after the other, up to the first that is larger than one slice, or smaller than it is listed.
    pub(super) async fn fetch(
        &mut self,
        ordinals: &[u64],
        slice_bytes: u32,
        mails: &mpsc::Sender<FetchedMail>,
    ) -> Result<FetchReport, Pop3Error> {
        self.begin()?;
        let fetched = self.fetch_each(ordinals, slice_bytes, mails).await;
        self.finish(fetched)
    }

    async fn fetch_each(
        &mut self,
        ordinals: &[u64],
        slice_bytes: u32,
        mails: &mpsc::Sender<FetchedMail>,
    ) -> Result<FetchReport, Pop3Error> {
        let mut report = FetchReport::default();
        for ordinal in ordinals.iter().copied() {
            self.end_retrieval().await?;
            let mut retrieval = match self.retrieve(ordinal).await? {
                Ok(retrieval) => retrieval,
                Err(Absence::Gone) => {
                    report.missing.push(ordinal);
                    continue;
                }
                Err(Absence::Unreadable) => {
                    report.unreadable.push(ordinal);
                    continue;
                }
            };
            let body = retrieval
                .read(&mut self.wire, &self.limits.timeouts, length(slice_bytes))
                .await?;
            let bytes = self.entry(ordinal).and_then(|entry| entry.bytes);
            let is_complete = retrieval.is_ended() && self.is_end(bytes, retrieval.offset);
            let mail = FetchedMail {
                ordinal,
                bytes,
                received_at: received_at(&body),
                flags: Vec::new(),
                body: body.into(),
                is_complete,
            };
            self.retrieval = Some(retrieval);
            mails.send(mail).await.map_err(|_| Pop3Error::NotTaken)?;
            if !is_complete {
                break;
            }
        }
        Ok(report)
    }

    /// Marks mails as deleted; the server deletes them when it answers QUIT.
    pub(super) async fn delete(&mut self, ordinals: &[u64]) -> Result<(), Pop3Error> {
        self.begin()?;
        let deleted = self.delete_each(ordinals).await;
        self.finish(deleted)
    }

    async fn delete_each(&mut self, ordinals: &[u64]) -> Result<(), Pop3Error> {
        let stage = Stage::Delete;
        let inbox = self.inbox.as_ref().ok_or(Pop3Error::NoFolder)?;
        if inbox.access != FolderAccess::Change {
            return Err(Pop3Error::NoFolder);
        }
        self.end_retrieval().await?;
        for ordinal in ordinals.iter().copied() {
            let Some(number) = self.entry(ordinal).map(|entry| entry.number) else {
                continue;
            };
            let refusal = match self.command(stage, &format!("DELE {number}")).await? {
                Reply::Ok(_) => continue,
                Reply::Refused(refusal) => refusal,
                Reply::Continue(_) => return Err(Pop3Error::Unreadable { stage }),
            };
            // A mail that is gone, or marked already, needs no DELE: its refusal is ignored.
            if !is_about_mail(stage, &refusal) || self.is_listed(number).await? {
                return Err(Pop3Error::Refused { stage, refusal });
            }
        }
        Ok(())
    }

    /// Ends the session so that the server acts on it, if it can be done in time.
    pub(super) async fn quit(mut self) {
        let limit = self.limits.timeouts.quit;
        match timeout(limit, self.say_farewell()).await {
            Ok(Ok(Reply::Ok(_))) => {}
            // RFC 1939 §6: `-ERR` if some marked mails were not removed; the next listing shows which.
            Ok(Ok(_)) => tracing::debug!("The server did not do all that was left to the end"),
            Ok(Err(error)) => tracing::debug!(
                error = &error as &dyn std::error::Error,
                "The session did not end well"
            ),
            Err(_) => tracing::debug!("The server did not answer the farewell"),
        }
        self.wire.shutdown(limit).await;
    }

    async fn say_farewell(&mut self) -> Result<Reply, Pop3Error> {
        self.begin()?;
        self.end_retrieval().await?;
        let limit = self.limits.timeouts.quit;
        self.wire.command(Stage::Quit, "QUIT", limit).await
    }

    pub(super) fn begin(&mut self) -> Result<(), Pop3Error> {
        if !self.is_ready {
            return Err(Pop3Error::Closed);
        }
        self.is_ready = false;
        Ok(())
    }

    pub(super) fn finish<T>(&mut self, result: Result<T, Pop3Error>) -> Result<T, Pop3Error> {
        self.is_ready = match &result {
            Ok(_) => true,
            Err(error) => error.is_session_healthy(),
        };
        result
    }

    pub(super) fn entry(&self, ordinal: u64) -> Option<&MaildropEntry> {
        self.numbering()?.entry(ordinal)
    }

    pub(super) async fn command(
        &mut self,
        stage: Stage,
        command: &str,
    ) -> Result<Reply, Pop3Error> {
        let limit = self.limits.timeouts.command;
        self.wire.command(stage, command, limit).await
    }

    pub(super) async fn end_retrieval(&mut self) -> Result<(), Pop3Error> {
        match self.retrieval.take() {
            Some(mut retrieval) => retrieval.drain(&mut self.wire, &self.limits).await,
            None => Ok(()),
        }
    }

    pub(super) async fn retrieve(
        &mut self,
        ordinal: u64,
    ) -> Result<Result<Retrieval, Absence>, Pop3Error> {
        let inbox = self.inbox.as_ref().ok_or(Pop3Error::NoFolder)?;
        let listed = inbox.numbering.as_ref();
        let Some(entry) = listed.and_then(|numbering| numbering.entry(ordinal)) else {
            return Ok(Err(Absence::Gone));
        };
        let number = entry.number;
        let timeouts = &self.limits.timeouts;
        let refusal = match Retrieval::start(&mut self.wire, timeouts, ordinal, number).await? {
            Ok(retrieval) => return Ok(Ok(retrieval)),
            Err(refusal) => refusal,
        };
        let stage = Stage::Retrieve;
        if !is_about_mail(stage, &refusal) {
            return Err(Pop3Error::Refused { stage, refusal });
        }
        // The caller never asks for a missing mail again, so LIST has to confirm the refusal.
        Ok(Err(if self.is_listed(number).await? {
            Absence::Unreadable
        } else {
            Absence::Gone
        }))
    }

    async fn is_listed(&mut self, number: u32) -> Result<bool, Pop3Error> {
        let stage = Stage::List;
        match self.command(stage, &format!("LIST {number}")).await? {
            Reply::Ok(_) => Ok(true),
            Reply::Refused(_) => Ok(false),
            Reply::Continue(_) => Err(Pop3Error::Unreadable { stage }),
        }
    }
}

/// Not about the server, the session or its token.
fn is_about_mail(stage: Stage, refusal: &ErrReply) -> bool {
    let verdict = judge(RefusedStep::Command(stage), refusal, None).verdict();
    matches!(verdict.kind, VerdictKind::Unknown | VerdictKind::Permanent)
}

pub(super) fn length(bytes: u32) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
