use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use mailmesh_domain::{Epoch, Position};
use tokio::sync::mpsc;

use super::error::ImapError;
use super::fetch::ImapFetchReport;
use super::folder::SelectMode;
use super::idle::IdleEnd;
use super::session::Session;
use crate::source::{
    Farewell, FetchReport, FetchedMail, FolderAccess, HighestMail, ListedMail, ListingKind,
    MailSource, OpenedFolder, PostAction, PostActionEffect, WaitLimits,
};
use crate::source_error::SourceError;

/// An IMAP session as a [`MailSource`]; ordinals are UIDs.
#[derive(Debug)]
pub struct ImapSource {
    session: Session,
    uid_validity: Option<u64>,
    /// How often the open folder's numbering went back, by the caller's record.
    restarts: u32,
    /// Per session: a refusal of IDLE may be temporary, or of one server behind a load balancer.
    can_idle: bool,
}

impl ImapSource {
    /// Wraps a session in which nothing is under way.
    pub const fn new(session: Session) -> Self {
        Self {
            session,
            uid_validity: None,
            restarts: 0,
            can_idle: true,
        }
    }

    async fn open_folder(
        &mut self,
        folder: &str,
        access: FolderAccess,
    ) -> Result<OpenedFolder, SourceError> {
        let mode = match access {
            FolderAccess::Read => SelectMode::ReadOnly,
            FolderAccess::Change => SelectMode::ReadWrite,
        };
        (self.uid_validity, self.restarts) = (None, 0);
        let state = self.session.select(folder, mode).await?;
        self.uid_validity = Some(state.uid_validity);
        Ok(OpenedFolder {
            epoch: Epoch::of_uid_validity(state.uid_validity),
            last_ordinal: state.uid_next.map(|next| u64::from(next.saturating_sub(1))),
        })
    }

    async fn list(&mut self, ordinal: u64) -> Result<Vec<ListedMail>, SourceError> {
        let uid_validity = self.uid_validity.ok_or(ImapError::NoFolder)?;
        let Ok(last_uid) = u32::try_from(ordinal) else {
            return Ok(Vec::new());
        };
        let uids = self.session.uids_after(last_uid).await?;
        let listed = uids.into_iter().map(|uid| ListedMail {
            ordinal: u64::from(uid),
            position: Position::Imap {
                uid_validity,
                uid,
                restarts: self.restarts,
            },
            bytes: None,
        });
        Ok(listed.collect())
    }

    async fn idle(&mut self, limit: Duration, wake: BoxFuture<'_, ()>) -> Result<(), SourceError> {
        match self.session.idle(limit, wake).await {
            Ok(report) => {
                // NOOP proves that the server still has the session; a silent socket proves nothing.
                if report.end == IdleEnd::TimeUp {
                    self.session.noop().await?;
                }
                Ok(())
            }
            Err(error) if error.is_idle_unsupported() && self.session.is_healthy() => {
                self.can_idle = false;
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn poll(
        &mut self,
        interval: Duration,
        wake: BoxFuture<'_, ()>,
    ) -> Result<(), SourceError> {
        if self.session.take_change().is_some() {
            return Ok(());
        }
        tokio::select! {
            () = wake => {}
            () = tokio::time::sleep(interval) => {
                self.session.noop().await?;
            }
        }
        Ok(())
    }

    async fn act(
        &mut self,
        uids: &[u32],
        action: &PostAction,
    ) -> Result<PostActionEffect, SourceError> {
        match action {
            PostAction::MarkSeen => self.session.mark_seen(uids).await?,
            PostAction::MoveTo(folder) => self.session.move_to(uids, folder).await?,
            PostAction::Delete => self.session.delete(uids).await?,
        }
        Ok(PostActionEffect::Now)
    }
}

impl MailSource for ImapSource {
    fn listing(&self) -> ListingKind {
        ListingKind::AfterOrdinal
    }

    fn stays_open(&self) -> bool {
        true
    }

    fn is_usable(&self) -> bool {
        self.session.is_healthy()
    }

    fn open<'a>(
        &'a mut self,
        folder: &'a str,
        access: FolderAccess,
    ) -> BoxFuture<'a, Result<OpenedFolder, SourceError>> {
        Box::pin(self.open_folder(folder, access))
    }

    fn resume(&mut self, epoch: &Epoch) {
        self.restarts = epoch.restarts();
    }

    fn list_after(&mut self, ordinal: u64) -> BoxFuture<'_, Result<Vec<ListedMail>, SourceError>> {
        Box::pin(self.list(ordinal))
    }

    fn has_unlisted(&self) -> bool {
        self.session.has_unlisted()
    }

    fn highest_up_to(
        &mut self,
        ordinal: u64,
    ) -> BoxFuture<'_, Result<Option<HighestMail>, SourceError>> {
        Box::pin(async move {
            let uid = u32::try_from(ordinal).unwrap_or(u32::MAX);
            let found = self.session.highest_up_to(uid).await?;
            Ok(found.map(|mail| HighestMail {
                ordinal: u64::from(mail.uid),
                received_at: mail.internal_date,
            }))
        })
    }

    fn sizes<'a>(
        &'a mut self,
        ordinals: &'a [u64],
    ) -> BoxFuture<'a, Result<BTreeMap<u64, u64>, SourceError>> {
        Box::pin(async move {
            let sizes = self.session.sizes(&uids(ordinals)).await?;
            let wide = |(uid, bytes)| (u64::from(uid), u64::from(bytes));
            Ok(sizes.into_iter().map(wide).collect())
        })
    }

    fn fetch<'a>(
        &'a mut self,
        ordinals: &'a [u64],
        slice_bytes: u32,
        mails: &'a mpsc::Sender<FetchedMail>,
    ) -> BoxFuture<'a, Result<FetchReport, SourceError>> {
        Box::pin(async move {
            let uids = uids(ordinals);
            let report = self.session.fetch(&uids, slice_bytes, mails).await?;
            Ok(report.into())
        })
    }

    fn fetch_slice(
        &mut self,
        ordinal: u64,
        offset: u64,
        bytes: u32,
    ) -> BoxFuture<'_, Result<Bytes, SourceError>> {
        Box::pin(async move {
            let uid = u32::try_from(ordinal).map_err(|_| ImapError::MailGone)?;
            Ok(self.session.fetch_slice(uid, offset, bytes).await?)
        })
    }

    fn wait<'a>(
        &'a mut self,
        limits: WaitLimits,
        wake: BoxFuture<'a, ()>,
    ) -> BoxFuture<'a, Result<(), SourceError>> {
        if self.can_idle {
            Box::pin(self.idle(limits.push, wake))
        } else {
            Box::pin(self.poll(limits.poll, wake))
        }
    }

    fn avoid_push(&mut self) {
        self.can_idle = false;
    }

    fn locate(&self, position: &Position) -> Option<u64> {
        match position {
            Position::Imap {
                uid_validity,
                uid,
                restarts,
            } if Some(*uid_validity) == self.uid_validity && *restarts == self.restarts => {
                Some(u64::from(*uid))
            }
            _ => None,
        }
    }

    fn apply<'a>(
        &'a mut self,
        ordinals: &'a [u64],
        action: &'a PostAction,
    ) -> BoxFuture<'a, Result<PostActionEffect, SourceError>> {
        Box::pin(async move { self.act(&uids(ordinals), action).await })
    }

    fn open_sent(&mut self) -> BoxFuture<'_, Result<bool, SourceError>> {
        Box::pin(async move {
            (self.uid_validity, self.restarts) = (None, 0);
            self.uid_validity = self.session.select_sent().await?;
            Ok(self.uid_validity.is_some())
        })
    }

    fn contains_message_id<'a>(
        &'a mut self,
        message_id: &'a str,
    ) -> BoxFuture<'a, Result<bool, SourceError>> {
        Box::pin(async move {
            let found = self.session.search_message_id(message_id).await?;
            Ok(!found.is_empty())
        })
    }

    fn close(self: Box<Self>, _farewell: Farewell) -> BoxFuture<'static, ()> {
        // LOGOUT confirms nothing in IMAP: what was fetched stays what it was.
        Box::pin(async move {
            if self.session.is_healthy() {
                self.session.logout().await;
            }
        })
    }
}

/// UIDs have 32 bits (RFC 9051 §2.3.1.1), so that no mail has a larger ordinal.
fn uids(ordinals: &[u64]) -> Vec<u32> {
    let uids = ordinals.iter().map(|ordinal| u32::try_from(*ordinal));
    uids.filter_map(Result::ok).collect()
}

impl From<ImapFetchReport> for FetchReport {
    fn from(report: ImapFetchReport) -> Self {
        let wide = |uids: Vec<u32>| uids.into_iter().map(u64::from).collect();
        Self {
            missing: wide(report.missing),
            unreadable: wide(report.unreadable),
        }
    }
}
