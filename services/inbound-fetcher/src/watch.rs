use std::sync::Arc;
use std::time::Duration;

use mailmesh_events::Problem;
use mailmesh_mail::MailSource;
use mailmesh_mail::source::{FolderAccess, WaitLimits};
use mailmesh_store::mailbox::Cursor;

use crate::account_context::AccountContext;
use crate::context::jittered;
use crate::failure::Failure;
use crate::open_folder::OpenFolder;
use crate::position::Positions;
use crate::post_action::PostActions;
use crate::publish::Publisher;
use crate::receive::Receiver;
use crate::reconcile;

/// Looks into an account's folders for new mail, and waits for changes. It outlives sessions.
#[derive(Debug)]
pub(crate) struct FolderWatch {
    positions: Positions,
    receiver: Receiver,
    post: PostActions,
}

/// How much of the account's folders is open in this session already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    First,
    Again,
}

impl FolderWatch {
    pub(crate) fn new(cursors: Vec<Cursor>) -> Self {
        Self {
            positions: Positions::new(cursors),
            receiver: Receiver::default(),
            post: PostActions::default(),
        }
    }

    /// Gives the right to publish up, as another owner may have been there.
    pub(crate) fn disown(&mut self) {
        self.positions.disown();
    }

    /// Returns what is wrong although the account is watched.
    pub(crate) fn problem(&self) -> Option<&Problem> {
        self.post.problem()
    }

    /// Looks into every folder and receives what is new.
    pub(crate) async fn look(
        &mut self,
        owner: &AccountContext,
        source: &mut dyn MailSource,
        look: Look,
    ) -> Result<(), Failure> {
        let folders = &owner.account.folders;
        let is_only = folders.len() == 1;
        if look == Look::First && owner.opens_for_changes() {
            self.post.find_backlog();
        }
        if owner.account.delete_after_days.is_some() {
            self.post.look_for_due();
        }
        let is_catching_up = self.post.begin();
        for name in folders {
            let mut folder = OpenFolder {
                owner,
                source: &mut *source,
                name,
            };
            if look == Look::First || !is_only {
                self.open(&mut folder).await?;
            }
            self.look_into(&mut folder).await?;
        }
        if is_catching_up {
            self.post.end();
        }
        if let (Some(name), false) = (folders.first(), is_only) {
            let mut folder = OpenFolder {
                owner,
                source,
                name,
            };
            self.open(&mut folder).await?;
            // What came to it while the others were looked into is no change after this opening.
            self.receive(&mut folder).await?;
        }
        self.receiver.note_success();
        owner.note_proof();
        Ok(())
    }

    /// Waits for a change, the poll interval, a wake-up or the stop.
    pub(crate) async fn wait(
        &self,
        owner: &AccountContext,
        source: &mut dyn MailSource,
    ) -> Result<(), Failure> {
        if self.post.is_fresh() {
            return Ok(());
        }
        let poll = Duration::from_secs(u64::from(owner.account.poll_interval_seconds.max(1)));
        let push = Duration::from_secs(owner.context.settings.idle_limit_seconds);
        let limits = WaitLimits {
            push: jittered(poll.min(push)),
            poll: jittered(poll),
        };
        let (stop, signals) = (owner.stop.clone(), Arc::clone(&owner.signals));
        let woken = Box::pin(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = signals.wake.notified() => {}
            }
        });
        Ok(source.wait(limits, woken).await?)
    }

    async fn open(&mut self, folder: &mut OpenFolder<'_>) -> Result<(), Failure> {
        let access = if folder.owner.opens_for_changes() {
            FolderAccess::Change
        } else {
            FolderAccess::Read
        };
        let opened = folder.source.open(folder.name, access).await?;
        reconcile::fit_cursor(folder, &mut self.positions, &opened).await
    }

    /// Receives what is new in the open folder and does what was left undone in it.
    async fn look_into(&mut self, folder: &mut OpenFolder<'_>) -> Result<(), Failure> {
        // While a folder is read again, mails are still to get their new numbers.
        let cursor = self.positions.cursor(folder.name);
        let is_read_again = cursor.is_some_and(|cursor| cursor.rescan_until.is_some());
        if !is_read_again {
            self.post.catch_up(folder).await?;
        }
        self.receive(folder).await?;
        if is_read_again || self.post.is_fresh() {
            self.post.catch_up(folder).await?;
        }
        Ok(())
    }

    /// Receives what lies beyond the cursor of the open folder.
    async fn receive(&mut self, folder: &mut OpenFolder<'_>) -> Result<(), Failure> {
        let received = self.receive_all(folder).await;
        if self.positions.take_read_back() && folder.owner.opens_for_changes() {
            self.post.find_backlog();
        }
        received
    }

    async fn receive_all(&mut self, folder: &mut OpenFolder<'_>) -> Result<(), Failure> {
        let (owner, name, positions) = (folder.owner, folder.name, &mut self.positions);
        while let Some(cursor) = positions.cursor(name) {
            if owner.stop.is_cancelled() {
                return Ok(());
            }
            let listed = folder.source.list_after(cursor.ordinal).await?;
            let Some(last) = listed.last().map(|mail| mail.ordinal) else {
                break;
            };
            if !positions.is_owned() {
                reconcile::take_ownership(owner, positions, name).await?;
                continue;
            }
            self.receiver
                .receive(folder, positions, &mut self.post, &listed)
                .await?;
            // Nothing lies between what was listed, so all of it was dealt with.
            Publisher::pass(owner, name, positions, last).await?;
        }
        // What was published beyond the cursor and is listed no more was removed meanwhile.
        if let Some(ordinal) = positions.last_published(name) {
            Publisher::pass(owner, name, positions, ordinal).await?;
        }
        reconcile::finish_rescan(owner, positions, name).await
    }
}
