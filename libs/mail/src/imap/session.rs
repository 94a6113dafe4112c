use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::timeout;

use super::capability::Capabilities;
use super::error::{ImapError, Stage};
use super::limit::ImapLimits;
use super::wire::Wire;
use crate::MailStream;

/// A signed-in IMAP connection.
#[derive(Debug)]
pub struct Session {
    pub(super) wire: Wire,
    pub(super) limits: ImapLimits,
    pub(super) capabilities: Option<Capabilities>,
    pub(super) folder: Option<FolderUpdates>,
    pub(super) open_body: Option<OpenBody>,
    pub(super) last_tag: u32,
    /// The server has answered a question for a part of a mail with something else.
    pub(super) has_broken_ranges: bool,
    /// A mail was whole although its announced size is another.
    pub(super) has_estimates: bool,
    /// Replies to the command under way that had no effect.
    pub(super) idle_talk: u32,
    /// No command is under way and nothing has broken.
    pub(super) is_ready: bool,
}

/// A body that the server sends whole although a part of it was asked for: it is read piece by piece.
#[derive(Debug)]
pub(super) struct OpenBody {
    /// Of the command that it answers.
    pub(super) tag: String,
    pub(super) uid: u32,
    /// Bytes that were read of it.
    pub(super) offset: u64,
    pub(super) left: u64,
    /// The command was answered to its end.
    pub(super) is_over: bool,
    /// No range was asked for, so that the mail ends where this does.
    pub(super) is_asked_whole: bool,
    /// The mail's size as the server tells it.
    pub(super) announced: Option<u64>,
}

impl OpenBody {
    pub(super) fn new(tag: &str, uid: u32, bytes: u64) -> Self {
        Self {
            tag: tag.to_owned(),
            uid,
            offset: 0,
            left: bytes,
            is_over: false,
            is_asked_whole: false,
            announced: None,
        }
    }
}

/// What we know of the open folder beyond its opening.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct FolderUpdates {
    pub(super) exists: u32,
    /// The server told how many there are.
    pub(super) is_counted: bool,
    pub(super) uid_next: Option<u32>,
    /// Under which it was opened.
    pub(super) uid_validity: Option<u64>,
    /// Changed since the last report to the caller.
    pub(super) has_changed: bool,
    /// Mails removed since the opening; sequence numbers shift with each.
    pub(super) expunged: u64,
    /// Of the mails at the last look those that are left.
    pub(super) looked_at: u32,
    /// More mails came than the last look listed.
    pub(super) has_unlisted: bool,
}

impl FolderUpdates {
    pub(super) fn new(exists: Option<u32>, uid_next: Option<u32>) -> Self {
        let is_counted = exists.is_some();
        let exists = exists.unwrap_or_default();
        Self {
            exists,
            is_counted,
            uid_next,
            looked_at: exists,
            ..Self::default()
        }
    }

    /// Returns whether there is nothing to ask for.
    pub(super) const fn is_empty(&self) -> bool {
        self.is_counted && self.exists == 0
    }

    /// Returns whether there is nothing to ask for from this UID on. There are servers that refuse to search an empty folder,
    /// and others that call one empty which is not: UIDNEXT may contradict.
    pub(super) fn is_empty_from(&self, first: u32) -> bool {
        self.is_empty() && self.uid_next.is_none_or(|next| next <= first)
    }

    /// Returns how many mails came since the last look, and begins another.
    pub(super) const fn begin_look(&mut self) -> u32 {
        self.has_changed = false;
        self.has_unlisted = false;
        let arrived = self.exists.saturating_sub(self.looked_at);
        self.looked_at = self.exists;
        arrived
    }
}

impl Session {
    pub(super) fn new(stream: MailStream, limits: ImapLimits) -> Self {
        Self {
            wire: Wire::new(stream, limits.bounds()),
            limits,
            capabilities: None,
            folder: None,
            open_body: None,
            has_broken_ranges: false,
            has_estimates: false,
            last_tag: 0,
            idle_talk: 0,
            is_ready: true,
        }
    }

    /// Returns what the server offers.
    pub fn capabilities(&self) -> Capabilities {
        self.capabilities.unwrap_or_default()
    }

    /// Returns whether the session can take a command.
    pub const fn is_healthy(&self) -> bool {
        self.is_ready || self.open_body.is_some()
    }

    /// Asks for changes; returns the number of mails if the folder changed since it was last asked for.
    pub async fn noop(&mut self) -> Result<Option<u32>, ImapError> {
        self.run(Stage::Noop, "NOOP").await?;
        Ok(self.take_change())
    }

    /// Sends LOGOUT and closes the connection; failures are ignored, since nothing depends on it any more.
    pub fn logout(mut self) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let limit = self.limits.timeouts.logout;
            if timeout(limit, self.say_farewell()).await.is_err() {
                tracing::debug!("The server did not answer the farewell");
            }
        })
    }

    async fn say_farewell(&mut self) {
        // Exchange counts sessions that were only dropped, so the answer is waited for.
        let farewell = self.run(Stage::Logout, "LOGOUT").await;
        if let Err(error) = farewell {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "The farewell failed"
            );
        }
        if let Err(error) = self.wire.shutdown().await {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "Closing the connection failed"
            );
        }
    }

    pub(super) fn take_change(&mut self) -> Option<u32> {
        let folder = self.folder.as_mut()?;
        std::mem::take(&mut folder.has_changed).then_some(folder.exists)
    }

    pub(super) const fn command_limit(&self, stage: Stage) -> Duration {
        let timeouts = &self.limits.timeouts;
        match stage {
            Stage::Greeting | Stage::StartTls | Stage::Capability | Stage::SignIn | Stage::Id => {
                timeouts.sign_in
            }
            Stage::Idle => timeouts.idle_answer,
            Stage::Logout => timeouts.logout,
            _ => timeouts.command,
        }
    }
}
