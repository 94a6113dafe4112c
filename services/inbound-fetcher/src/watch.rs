mod failed_folder;
mod push;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use mailmesh_accounts::spread;
use mailmesh_events::Problem;
use mailmesh_mail::source::WaitLimits;
use mailmesh_mail::{Concern, MailEvidence, MailSource, SourceError};
use mailmesh_store::mailbox::Cursor;
use tracing::warn;

use self::failed_folder::FailedFolders;
use self::push::{PushTrust, SessionEnd};
use crate::account_context::AccountContext;
use crate::failure::WatchFailure;
use crate::open_folder::OpenFolder;
use crate::post_action::PostActions;
use crate::progress::MailboxProgress;
use crate::receive::Receiver;
use crate::standby::Pause;

/// Receives new mail from an account's folders, and waits for changes. It outlives sessions.
#[derive(Debug)]
pub(crate) struct FolderWatch {
    progress: MailboxProgress,
    receiver: Receiver,
    post: PostActions,
    failed: FailedFolders,
    push: PushTrust,
}

/// How much of the account's folders is open in this session already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    First,
    Again,
}

impl FolderWatch {
    pub(crate) fn new(cursors: Vec<Cursor>, good_after: Duration) -> Self {
        Self {
            progress: MailboxProgress::new(cursors),
            receiver: Receiver::default(),
            post: PostActions::default(),
            failed: FailedFolders::default(),
            push: PushTrust::new(good_after),
        }
    }

    /// Gives the right to publish up, as another owner may have published.
    pub(crate) fn disown(&mut self) {
        self.progress.disown();
    }

    /// Returns what is wrong although the account is watched.
    pub(crate) fn problem(&self) -> Option<Problem> {
        self.failed
            .problem()
            .or_else(|| self.post.problem().cloned())
    }

    /// Returns what is to be known of an account all of whose mail is received.
    pub(crate) fn notice(&self, owner: &AccountContext) -> Option<Problem> {
        let seconds = owner.account.poll_interval_seconds;
        let of_push = self.push.problem(seconds);
        of_push.or_else(|| self.progress.problem(seconds))
    }

    /// Notes that a session ended in a look which was not its first.
    pub(crate) fn note_end(&mut self) {
        self.push.note_end(SessionEnd::Else);
    }

    /// Returns how many sessions in a row ended soon after a look that succeeded.
    pub(crate) const fn early_ends(&self) -> u32 {
        self.push.early_ends()
    }

    /// Opens every folder and receives what is new. A folder that fails is skipped while others work.
    pub(crate) async fn look(
        &mut self,
        owner: &AccountContext,
        source: &mut dyn MailSource,
        look: Look,
    ) -> Result<(), WatchFailure> {
        if look == Look::First {
            self.push.begin_session();
            self.progress.begin_session(self.receiver.failing_folders());
        }
        let is_first = look == Look::First && !self.progress.has_looked();
        if is_first && owner.opens_for_changes() {
            self.post.find_backlog();
        }
        if owner.account.delete_after_days.is_some() {
            self.post.look_for_due();
        }
        let is_catching_up = self.post.begin();
        let is_only = owner.account.folders.len() == 1;
        let mut working = Vec::new();
        let mut failure = None;
        for name in self.failed.choose(&owner.account.folders) {
            let is_open = is_only && look == Look::Again;
            let mut folder = OpenFolder {
                owner,
                source: &mut *source,
                name,
            };
            let looked = self.look_into(&mut folder, is_open).await;
            match self.keep_out(&mut folder, looked)? {
                None => working.push(name),
                Some(error) => failure = failure.or(Some(error)),
            }
        }
        if let (true, Some(source)) = (working.is_empty(), failure) {
            let names = self.failed.names();
            return Err(WatchFailure::Folders { names, source });
        }
        if is_catching_up && self.failed.is_empty() {
            self.post.end();
        }
        if !is_only && source.stays_open() {
            self.return_to_first(owner, source, &working).await?;
        }
        self.receiver.note_success();
        owner.note_proof();
        Ok(())
    }

    /// Returns the bounds of the wait after a session that is not kept open.
    pub(crate) fn pause(&self, owner: &AccountContext, source: &dyn MailSource) -> Pause {
        let poll = Duration::from_secs(u64::from(owner.account.poll_interval_seconds.max(1)));
        let least = source.sign_in_pause().unwrap_or_default();
        let most = if self.progress.may_have_more() {
            owner.context.settings.backoff().after(1)
        } else {
            spread(poll)
        };
        Pause {
            least,
            most: most.max(least),
        }
    }

    /// Waits for a change, the poll interval, a wake-up or the stop.
    pub(crate) async fn wait(
        &mut self,
        owner: &AccountContext,
        source: &mut dyn MailSource,
    ) -> Result<(), WatchFailure> {
        let limit = self.failed.next_try().unwrap_or(Duration::MAX);
        if self.post.is_fresh() || limit.is_zero() {
            return Ok(());
        }
        let poll = Duration::from_secs(u64::from(owner.account.poll_interval_seconds.max(1)));
        let push = Duration::from_secs(owner.context.settings.idle_limit_seconds);
        // RFC 2177 allows to idle for 29 minutes. NATs and servers drop connections sooner and in silence, which shows only once
        // something is sent.
        let limits = WaitLimits {
            push: spread(poll.min(push)).min(limit),
            poll: spread(poll).min(limit),
        };
        let (stop, signals) = (owner.stop.clone(), Arc::clone(&owner.signals));
        let woken = Box::pin(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = signals.wake.notified() => {}
            }
        });
        if self.push.polls() {
            source.avoid_push();
        }
        let waited = source.wait(limits, woken).await;
        match &waited {
            Ok(()) => self.push.note_wait(),
            Err(error) if error.is_token_stale() => self.push.note_end(SessionEnd::Else),
            Err(_) => self.push.note_end(SessionEnd::InWait),
        }
        Ok(waited?)
    }

    /// Skips the folder after a failure that concerns no more than it, and returns that failure; any other is an error.
    fn keep_out(
        &mut self,
        folder: &mut OpenFolder<'_>,
        looked: Result<(), WatchFailure>,
    ) -> Result<Option<SourceError>, WatchFailure> {
        let error = match looked {
            Ok(()) => {
                self.failed.note_success(folder.name);
                return Ok(None);
            }
            Err(WatchFailure::Source(error)) => error,
            Err(other) => return Err(other),
        };
        let (account, settings) = (&folder.owner.account, &folder.owner.context.settings);
        let is_only = account.folders.len() == 1;
        if is_only && error.concern() == Concern::Folder {
            return Err(WatchFailure::Folders {
                names: format!("{:?}", folder.name),
                source: error,
            });
        }
        if is_only || !concerns_folder(&error) {
            return Err(error.into());
        }
        self.failed.note_failure(folder.name, &error, settings);
        if !folder.source.is_usable() {
            // It stays out in the next session, which brings the others.
            return Err(error.into());
        }
        warn!(
            error = &error as &dyn Error,
            "A folder is not received for a while"
        );
        Ok(Some(error))
    }

    /// Opens the first folder that works, so that its changes are waited for: IDLE covers only the open folder (RFC 2177).
    async fn return_to_first(
        &mut self,
        owner: &AccountContext,
        source: &mut dyn MailSource,
        working: &[&str],
    ) -> Result<(), WatchFailure> {
        let mut failure = None;
        for name in working {
            let mut folder = OpenFolder {
                owner,
                source: &mut *source,
                name,
            };
            let opened = self.open_and_receive(&mut folder).await;
            match self.keep_out(&mut folder, opened)? {
                None => return Ok(()),
                Some(error) => failure = failure.or(Some(error)),
            }
        }
        failure.map_or(Ok(()), |error| Err(error.into()))
    }

    async fn open_and_receive(&mut self, folder: &mut OpenFolder<'_>) -> Result<(), WatchFailure> {
        self.progress.open(folder).await?;
        // What came to it while the others were looked into is no change after this opening.
        self.receive(folder).await
    }

    /// Receives what is new in a folder and does what was left undone in it.
    async fn look_into(
        &mut self,
        folder: &mut OpenFolder<'_>,
        is_open: bool,
    ) -> Result<(), WatchFailure> {
        if !is_open {
            self.progress.open(folder).await?;
        }
        let is_settled = self.progress.is_settled(folder.name);
        if is_settled {
            self.post.catch_up(folder).await?;
        }
        self.receive(folder).await?;
        if !is_settled || self.post.is_fresh() {
            self.post.catch_up(folder).await?;
        }
        Ok(())
    }

    /// Receives what is new in the open folder.
    async fn receive(&mut self, folder: &mut OpenFolder<'_>) -> Result<(), WatchFailure> {
        let received = self.receive_all(folder).await;
        if self.progress.take_read_back() && folder.owner.opens_for_changes() {
            self.post.find_backlog();
        }
        received
    }

    async fn receive_all(&mut self, folder: &mut OpenFolder<'_>) -> Result<(), WatchFailure> {
        let (owner, progress) = (folder.owner, &mut self.progress);
        loop {
            if owner.stop.is_cancelled() {
                return Err(WatchFailure::Stopping);
            }
            let mails = progress.list_new(folder).await?;
            let Some(last) = mails.last().map(|mail| mail.ordinal) else {
                return progress.finish(folder).await;
            };
            self.receiver
                .receive(folder, progress, &mut self.post, &mails)
                .await?;
            // Nothing new lies between them, so all of it was dealt with.
            progress.pass(owner, folder.name, last).await?;
        }
    }
}

/// Returns whether other folders may do better in the same session. A mail that the server refuses to show must not hold
/// them up either: one that is alone in its folder fails for an hour before it is quarantined.
fn concerns_folder(error: &SourceError) -> bool {
    match error.concern() {
        Concern::Folder | Concern::Mail => true,
        Concern::Session => {
            error.is_session_usable() && error.evidence_against_mail() >= MailEvidence::Strong
        }
        Concern::Account | Concern::Host => false,
    }
}
