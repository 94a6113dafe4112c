use std::time::Duration;

use mailmesh_domain::{
    AfterReceive, FailureCause, History, MailId, MustAct, Position, VerdictKind, responsibility,
};
use mailmesh_events::Problem;
use mailmesh_mail::SourceError;
use mailmesh_mail::source::{PostAction, PostActionEffect};
use mailmesh_store::StoreError;
use mailmesh_store::account::Account;
use mailmesh_store::mailbox::{self, DuePostAction, ReceivedMail};
use tokio::time::Instant;

use crate::account_context::AccountContext;
use crate::config::Settings;
use crate::context::ServiceContext;
use crate::failure::WatchFailure;
use crate::open_folder::OpenFolder;

/// Maximum due mails per query.
const DUE_LIMIT: i64 = 500;
/// Interval of looking for mails whose `delete_after_days` are over.
const DUE_LOOK: Duration = Duration::from_hours(1);

/// A recorded mail that something is still to be done with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Due {
    mail_id: MailId,
    ordinal: u64,
}

impl Due {
    pub(crate) const fn of(mail: &ReceivedMail) -> Self {
        Self {
            mail_id: mail.id,
            ordinal: mail.ordinal,
        }
    }
}

/// Post-actions that may be due although their mails were not received just now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Backlog {
    #[default]
    Empty,
    /// Left by an earlier run or owner, and not yet tried.
    Found,
    /// Tried folder by folder, not all of them with success.
    Tried,
    /// The server does some once the session has ended well, which the next listing shows.
    AtClose,
}

/// Outcome of a request to the server.
#[derive(Debug)]
enum PostActionResult {
    Done,
    /// A later listing shows whether it was done.
    AtClose,
    Refused(SourceError),
}

/// A refusal by the server that has not been overcome.
#[derive(Debug)]
struct PendingRefusal {
    /// Refusals in a row.
    count: u32,
    /// None once it is tried again.
    retry_at: Option<Instant>,
    /// Part of the account's problem once it is reported.
    problem: Option<Problem>,
}

/// What is done with mails on the server once they are received.
#[derive(Debug, Default)]
pub(crate) struct PostActions {
    backlog: Backlog,
    refusal: Option<Box<PendingRefusal>>,
    look_at: Option<Instant>,
}

impl PostActions {
    /// Marks that an earlier run or owner may have left some undone.
    pub(crate) const fn find_backlog(&mut self) {
        self.backlog = Backlog::Found;
    }

    /// Looks for mails whose `delete_after_days` are over, at intervals: no event announces them.
    pub(crate) fn look_for_due(&mut self) {
        let now = Instant::now();
        if self.look_at.is_none_or(|at| at <= now) {
            self.look_at = Some(now + DUE_LOOK);
            self.find_backlog();
        }
    }

    /// Returns whether a backlog that was not yet tried may be tried now.
    pub(crate) fn is_fresh(&self) -> bool {
        self.backlog == Backlog::Found && self.may_try()
    }

    pub(crate) fn problem(&self) -> Option<&Problem> {
        self.refusal.as_ref()?.problem.as_ref()
    }

    /// Begins to go through the folders. Returns whether all that is due by now is tried.
    pub(crate) fn begin(&mut self) -> bool {
        let is_due = self.is_due();
        if is_due {
            self.backlog = Backlog::Tried;
            if let Some(refusal) = &mut self.refusal {
                refusal.retry_at = None;
            }
        }
        is_due
    }

    /// Notes that every folder was gone through.
    pub(crate) fn end(&mut self) {
        let is_refused = self
            .refusal
            .iter()
            .any(|refusal| refusal.retry_at.is_some());
        if self.backlog == Backlog::Tried && !is_refused {
            self.backlog = Backlog::Empty;
            self.refusal = None;
        }
    }

    /// Does what was left undone in the open folder, if the server may be asked.
    pub(crate) async fn catch_up(
        &mut self,
        folder: &mut OpenFolder<'_>,
    ) -> Result<(), WatchFailure> {
        if !self.is_due() {
            return Ok(());
        }
        let answer = catch_up(folder).await?;
        self.note(answer, folder.owner);
        Ok(())
    }

    /// Does what is to be done with mails that were just recorded.
    pub(crate) async fn act(
        &mut self,
        folder: &mut OpenFolder<'_>,
        due: &[Due],
    ) -> Result<(), WatchFailure> {
        // What is left on the server for some days is found once they are over.
        let is_later = folder.owner.account.delete_after_days.is_some();
        if is_later || due.is_empty() || !self.may_try() {
            return Ok(());
        }
        let answer = run(folder, due).await?;
        self.note(answer, folder.owner);
        Ok(())
    }

    fn may_try(&self) -> bool {
        let mut refusals = self.refusal.iter();
        let retry_at = refusals.find_map(|refusal| refusal.retry_at);
        retry_at.is_none_or(|at| at <= Instant::now())
    }

    fn is_due(&self) -> bool {
        self.backlog != Backlog::Empty && self.may_try()
    }

    fn note(&mut self, answer: PostActionResult, owner: &AccountContext) {
        match answer {
            PostActionResult::Done => {}
            PostActionResult::AtClose => self.backlog = Backlog::AtClose,
            PostActionResult::Refused(error) => {
                self.refuse(&error, &owner.context.settings, &wording_of(&owner.account));
            }
        }
    }

    /// Counts the server's refusal. A transient one is reported once it has repeated.
    fn refuse(&mut self, error: &SourceError, settings: &Settings, action: &str) {
        if self.backlog == Backlog::Empty {
            self.backlog = Backlog::Tried;
        }
        let verdict = error.verdict();
        let before = self.refusal.take();
        let count = before.as_ref().map_or(0, |refusal| refusal.count);
        let count = count.saturating_add(1);
        let hint = verdict.retry_after.unwrap_or_default();
        let delay = settings.backoff().after_or(count, hint);
        let problem = if !verdict.is_retryable() || count >= settings.failures_to_report {
            let what = format!("Received mails cannot be {action}: {error}.");
            // Its code alone does not tell a folder that is not there from one that is closed: the setting is named.
            let mut decided = error.diagnosis().responsibility(History::WORKS);
            let may_pass = matches!(
                verdict.kind,
                VerdictKind::Transient | VerdictKind::Throttled
            );
            if !may_pass && decided.verdict.who == MustAct::Administrator {
                decided = responsibility(FailureCause::PostActionRefused, History::WORKS);
            }
            let problem = Problem::decided(what, &decided)
                .with_code(error.code().map(ToOwned::to_owned))
                .with_mail("Mail is received; it stays where it is on the server.");
            Some(problem)
        } else {
            before.and_then(|refusal| refusal.problem)
        };
        self.refusal = Some(Box::new(PendingRefusal {
            count,
            retry_at: Some(Instant::now() + delay),
            problem,
        }));
    }
}

/// Returns what is done with an account's received mails, as it reads in a sentence.
fn wording_of(account: &Account) -> String {
    match (account.after_receive, &account.move_to) {
        (AfterReceive::Move, Some(folder)) => format!("moved to {folder:?}"),
        (AfterReceive::Delete, _) => "deleted".to_owned(),
        _ => "marked as seen".to_owned(),
    }
}

/// Does what is due in the open folder, as far as the server lets it.
async fn catch_up(folder: &mut OpenFolder<'_>) -> Result<PostActionResult, WatchFailure> {
    let (context, account) = (&folder.owner.context, &folder.owner.account);
    loop {
        let mut tx = context.replica.database.begin().await?;
        let (name, now) = (folder.name, context.now());
        let rows = mailbox::list_post_actions(&mut tx, account.id, name, now, DUE_LIMIT).await?;
        let mut due = Vec::with_capacity(rows.len());
        let mut lost = Vec::new();
        for row in &rows {
            let mail_id = row.mail_id;
            let position = position_of(account, row);
            match position.and_then(|position| folder.source.locate(&position)) {
                Some(ordinal) => due.push(Due { mail_id, ordinal }),
                // After a change of UIDVALIDITY the old UID may belong to another mail.
                None => lost.push(mail_id),
            }
        }
        if !lost.is_empty() {
            mailbox::finish_post_actions(&mut tx, &lost).await?;
        }
        tx.commit().await?;
        if rows.is_empty() {
            return Ok(PostActionResult::Done);
        }
        match run(folder, &due).await? {
            PostActionResult::Done => {}
            other => return Ok(other),
        }
    }
}

fn position_of(account: &Account, due: &DuePostAction) -> Option<Position> {
    Position::from_stored(account.protocol, &due.epoch, &due.position)
}

/// Marks, moves or deletes recorded mails on the server.
async fn run(folder: &mut OpenFolder<'_>, due: &[Due]) -> Result<PostActionResult, WatchFailure> {
    if due.is_empty() {
        return Ok(PostActionResult::Done);
    }
    let action = action_of(&folder.owner.account);
    let is_gone = matches!(action, Some(PostAction::MoveTo(_) | PostAction::Delete));
    if let Some(action) = action {
        let ordinals: Vec<u64> = due.iter().map(|due| due.ordinal).collect();
        match folder.source.apply(&ordinals, &action).await {
            Ok(PostActionEffect::Now) => {}
            Ok(PostActionEffect::AtClose) => return Ok(PostActionResult::AtClose),
            // The mail itself is received; it stays in its folder until the setting is corrected.
            Err(error) if error.is_session_usable() => return Ok(PostActionResult::Refused(error)),
            Err(error) => return Err(error.into()),
        }
    }
    finish(&folder.owner.context, due, is_gone).await?;
    Ok(PostActionResult::Done)
}

fn action_of(account: &Account) -> Option<PostAction> {
    match account.after_receive {
        AfterReceive::Keep => None,
        AfterReceive::MarkSeen => Some(PostAction::MarkSeen),
        AfterReceive::Move => account.move_to.clone().map(PostAction::MoveTo),
        AfterReceive::Delete => Some(PostAction::Delete),
    }
}

async fn finish(context: &ServiceContext, due: &[Due], is_gone: bool) -> Result<(), StoreError> {
    let mails: Vec<MailId> = due.iter().map(|due| due.mail_id).collect();
    let mut tx = context.replica.database.begin().await?;
    if is_gone {
        mailbox::record_gone(&mut tx, &mails, context.now()).await?;
    } else {
        mailbox::finish_post_actions(&mut tx, &mails).await?;
    }
    tx.commit().await
}

#[cfg(test)]
mod tests {
    use mailmesh_domain::Protocol;

    use super::*;

    #[test]
    fn refusal_that_may_pass_is_no_problem_before_it_stays() {
        let settings = Settings::default();
        let passing = SourceError::KeepsChanging;
        let lasting = SourceError::CannotRead {
            protocol: Protocol::Smtp,
        };
        let mut post = PostActions::default();

        post.refuse(&passing, &settings, "deleted");
        assert!(post.problem().is_none() && !post.is_due());
        for _ in 1..settings.failures_to_report {
            post.refuse(&passing, &settings, "deleted");
        }
        assert!(post.problem().is_some());

        let mut post = PostActions::default();
        post.refuse(&lasting, &settings, "deleted");
        assert!(post.problem().is_some());
    }

    #[test]
    fn what_falls_behind_on_the_way_stays_due() {
        let mut post = PostActions::default();
        post.find_backlog();

        assert!(post.begin());
        post.find_backlog();
        post.end();
        assert!(post.is_due());

        assert!(post.begin());
        post.end();
        assert!(!post.is_due());
    }
}
