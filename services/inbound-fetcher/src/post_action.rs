use std::time::Duration;

use mailmesh_domain::{AfterReceive, MailId};
use mailmesh_events::Problem;
use mailmesh_mail::imap::{ImapError, Session};
use mailmesh_store::account::Account;
use mailmesh_store::mailbox::{self, Cursor};
use tokio::time::Instant;

use crate::account::Worker;
use crate::config::Settings;
use crate::context::{Context, backoff};
use crate::failure::Failure;

const DUE_LIMIT: i64 = 500;
/// How often mails are looked for whose days on the server are over.
const DUE_LOOK: Duration = Duration::from_hours(1);

/// A recorded mail that something is still to be done with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Due {
    pub(crate) mail_id: MailId,
    pub(crate) uid: u32,
}

/// How it goes with what is to be done on the server after mails were received.
#[derive(Debug, Default)]
pub(crate) struct PostActions {
    /// Some may be due that nobody is at: refused, or left by an earlier run or owner.
    is_behind: bool,
    /// Somebody fell behind since the folders were last gone through for it.
    is_fresh: bool,
    refusals: u32,
    retry_at: Option<Instant>,
    problem: Option<Box<Problem>>,
    look_at: Option<Instant>,
}

impl PostActions {
    pub(crate) const fn fall_behind(&mut self) {
        self.is_behind = true;
        self.is_fresh = true;
    }

    /// Mails that are left on the server for some days become due without a sign.
    pub(crate) fn look_for_due(&mut self) {
        let now = Instant::now();
        if self.look_at.is_none_or(|at| at <= now) {
            self.look_at = Some(now + DUE_LOOK);
            self.fall_behind();
        }
    }

    /// Returns whether the server may be asked now.
    pub(crate) fn may_try(&self) -> bool {
        self.retry_at.is_none_or(|at| at <= Instant::now())
    }

    /// Returns whether something is to be caught up with now.
    pub(crate) fn is_due(&self) -> bool {
        self.is_behind && self.may_try()
    }

    pub(crate) fn is_fresh(&self) -> bool {
        self.is_fresh && self.is_due()
    }

    pub(crate) fn problem(&self) -> Option<&Problem> {
        self.problem.as_deref()
    }

    /// Begins to go through the folders. Returns whether all that is due by now will be tried.
    pub(crate) fn begin(&mut self) -> bool {
        let is_due = self.is_due();
        if is_due {
            self.is_fresh = false;
            self.retry_at = None;
        }
        is_due
    }

    /// Notes that every folder was gone through.
    pub(crate) fn end(&mut self) {
        if !self.is_fresh && self.retry_at.is_none() {
            *self = Self {
                look_at: self.look_at,
                ..Self::default()
            };
        }
    }

    /// Notes the server's refusal. One that may pass by itself is no problem before it stays.
    pub(crate) fn refuse(&mut self, error: &ImapError, settings: &Settings) {
        let verdict = error.verdict();
        self.is_behind = true;
        self.refusals = self.refusals.saturating_add(1);
        let (base, limit) = (settings.backoff_base(), settings.backoff_limit());
        let delay = backoff(self.refusals - 1, base, limit);
        let delay = verdict.retry_after.map_or(delay, |hint| hint.max(delay));
        self.retry_at = Some(Instant::now() + delay);
        if !verdict.is_retryable() || self.refusals >= settings.failures_to_report {
            let what = format!("Received mails cannot be marked, moved or deleted: {error}.");
            let problem = Problem::new(what, verdict)
                .with_code(error.code().map(ToOwned::to_owned))
                .with_mail("Mail is received; it stays where it is on the server.");
            self.problem = Some(Box::new(problem));
        }
    }
}

impl Worker {
    /// Does what was left undone in the open folder, if something may be.
    pub(crate) async fn catch_up(
        &mut self,
        session: &mut Session,
        folder: &str,
    ) -> Result<(), Failure> {
        if !self.post.is_due() {
            return Ok(());
        }
        let Some(cursor) = self.cursor(folder) else {
            return Ok(());
        };
        let refusal = catch_up(&self.context, &self.account, session, cursor).await?;
        self.note_post_action(refusal.as_ref());
        Ok(())
    }

    /// Does what is to be done with mails that were just recorded.
    pub(crate) async fn act(&mut self, session: &mut Session, due: &[Due]) -> Result<(), Failure> {
        // What is left on the server for some days is found once they are over.
        let is_later = self.account.delete_after_days.is_some();
        if is_later || due.is_empty() || !self.post.may_try() {
            return Ok(());
        }
        let refusal = run(&self.context, &self.account, session, due).await?;
        self.note_post_action(refusal.as_ref());
        Ok(())
    }

    fn note_post_action(&mut self, refusal: Option<&ImapError>) {
        if let Some(error) = refusal {
            self.post.refuse(error, &self.context.settings);
        }
    }
}

async fn catch_up(
    context: &Context,
    account: &Account,
    session: &mut Session,
    cursor: &Cursor,
) -> Result<Option<ImapError>, Failure> {
    loop {
        let mut tx = context.replica.database.begin().await?;
        let (folder, now) = (cursor.folder.as_str(), context.now());
        let due = mailbox::list_post_actions(&mut tx, account.id, folder, now, DUE_LIMIT).await?;
        let (current, renumbered): (Vec<_>, Vec<_>) =
            due.iter().partition(|due| due.epoch == cursor.epoch);
        // A UID of before the renumbering may now be another mail's.
        let lost: Vec<MailId> = renumbered.iter().map(|due| due.mail_id).collect();
        if !lost.is_empty() {
            mailbox::finish_post_actions(&mut tx, &lost).await?;
        }
        tx.commit().await?;
        if due.is_empty() {
            return Ok(None);
        }
        let current: Vec<Due> = current
            .into_iter()
            .filter_map(|due| {
                let uid = u32::try_from(due.ordinal).ok()?;
                let mail_id = due.mail_id;
                Some(Due { mail_id, uid })
            })
            .collect();
        if let Some(refusal) = run(context, account, session, &current).await? {
            return Ok(Some(refusal));
        }
    }
}

/// Marks, moves or deletes recorded mails on the server. Returns the server's refusal, if it refuses.
async fn run(
    context: &Context,
    account: &Account,
    session: &mut Session,
    due: &[Due],
) -> Result<Option<ImapError>, Failure> {
    if due.is_empty() {
        return Ok(None);
    }
    let uids: Vec<u32> = due.iter().map(|due| due.uid).collect();
    let done = match (account.after_receive, &account.move_to) {
        (AfterReceive::Keep, _) | (AfterReceive::Move, None) => Ok(()),
        (AfterReceive::MarkSeen, _) => session.mark_seen(&uids).await,
        (AfterReceive::Move, Some(folder)) => session.move_to(&uids, folder).await,
        (AfterReceive::Delete, _) => session.delete(&uids).await,
    };
    match done {
        Ok(()) => {}
        // The mail itself is received; it stays where it is until the setting is right.
        Err(error) if error.is_session_healthy() => return Ok(Some(error)),
        Err(error) => return Err(error.into()),
    }
    let mails: Vec<MailId> = due.iter().map(|due| due.mail_id).collect();
    let mut tx = context.replica.database.begin().await?;
    mailbox::finish_post_actions(&mut tx, &mails).await?;
    tx.commit().await?;
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusal_that_may_pass_is_no_problem_before_it_stays() {
        let settings = Settings::default();
        let passing = ImapError::KeepsChanging;
        let lasting = ImapError::Unsupported {
            capability: "UIDPLUS",
        };
        let mut post = PostActions::default();

        post.refuse(&passing, &settings);
        assert!(post.problem().is_none() && !post.is_due());
        for _ in 1..settings.failures_to_report {
            post.refuse(&passing, &settings);
        }
        assert!(post.problem().is_some());

        let mut post = PostActions::default();
        post.refuse(&lasting, &settings);
        assert!(post.problem().is_some());
    }

    #[test]
    fn what_falls_behind_on_the_way_stays_due() {
        let mut post = PostActions::default();
        post.fall_behind();

        assert!(post.begin());
        post.fall_behind();
        post.end();
        assert!(post.is_due());

        assert!(post.begin());
        post.end();
        assert!(!post.is_due());
    }
}
