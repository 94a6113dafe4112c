use std::sync::Arc;
use std::time::Duration;

use mailmesh_domain::{AccountState, AfterReceive, Verdict};
use mailmesh_mail::imap::{IdleEnd, ImapLimits, Session};
use mailmesh_mail::{Credentials, Server};
use mailmesh_store::account::Account;
use mailmesh_store::grant::Grant;
use mailmesh_store::mailbox::Cursor;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::context::{Context, Signals, backoff, jittered};
use crate::credentials::{self, Access};
use crate::failure::Failure;
use crate::health::Health;
use crate::ownership::Ownership;
use crate::post_action::PostActions;
use crate::seed::Seed;
use crate::witness::Suspect;

/// A fresh token that is refused so often in a row is not at fault by its age.
pub(crate) const REFUSALS_TO_REPORT: u32 = 3;
/// A server whose refusal only a person can end is not asked every few seconds.
const PERMANENT_SHIFT: u32 = 3;

/// What the account is about to do.
#[derive(Debug)]
pub(crate) enum State {
    Connecting,
    Watching(Box<Session>),
    /// No grant, or one that waits for a person.
    WaitingForSignIn {
        generation: Option<i64>,
    },
    WaitingForToken {
        generation: i64,
    },
    BackingOff(Duration),
    Stopped,
}

/// Watches one account until it is stopped. Its failures end no other's work.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) context: Arc<Context>,
    pub(crate) account: Box<Account>,
    pub(crate) signals: Arc<Signals>,
    pub(crate) stop: CancellationToken,
    pub(crate) cursors: Vec<Cursor>,
    pub(crate) ownership: Option<Box<Ownership>>,
    /// Up to this UID of a folder mails are asked for one by one, as a batch of them broke.
    pub(crate) singly: Option<(String, u32)>,
    pub(crate) suspect: Option<Box<Suspect>>,
    /// The server failed when it was asked for sizes.
    pub(crate) is_size_refused: bool,
    pub(crate) post: PostActions,
    grant: Option<Box<Grant>>,
    health: Health,
    failures: u32,
    pub(crate) refused_generation: Option<i64>,
    pub(crate) refusals: u32,
    can_idle: bool,
}

impl Worker {
    pub(crate) fn new(
        context: Arc<Context>,
        seed: Seed,
        signals: Arc<Signals>,
        stop: CancellationToken,
    ) -> Self {
        let health = match seed.status {
            Some(status) => Health::new(status.state, status.problem),
            None => Health::new(AccountState::Active, None),
        };
        Self {
            context,
            account: Box::new(seed.account),
            signals,
            stop,
            cursors: seed.cursors,
            ownership: None,
            singly: None,
            suspect: None,
            is_size_refused: false,
            post: PostActions::default(),
            grant: seed.grant.map(Box::new),
            health,
            failures: 0,
            refused_generation: None,
            refusals: 0,
            can_idle: true,
        }
    }

    /// Runs until the account is to be given up.
    pub(crate) async fn run(mut self) {
        let mut state = State::Connecting;
        loop {
            if self.stop.is_cancelled() && !matches!(state, State::Watching(_)) {
                return;
            }
            // Boxed, so that a waiting account keeps no room for what it does when busy.
            state = match state {
                State::Connecting => Box::pin(self.connect()).await,
                State::Watching(session) => self.watch(session).await,
                State::WaitingForSignIn { generation } => self.await_sign_in(generation).await,
                State::WaitingForToken { generation } => self.await_token(generation).await,
                State::BackingOff(delay) => self.rest(delay).await,
                State::Stopped => return,
            };
        }
    }

    async fn connect(&mut self) -> State {
        let known = self.grant.take().map(|grant| *grant);
        let refused = self.refused_generation;
        let access = credentials::load(&self.context, &self.account, known, refused).await;
        let (credentials, generation) = match access {
            Ok(Access::Ready {
                credentials,
                generation,
            }) => (credentials, generation),
            Ok(Access::NoGrant { generation }) => return State::WaitingForSignIn { generation },
            Ok(Access::Stale { generation }) => return State::WaitingForToken { generation },
            Err(failure) => return self.fail(failure).await,
        };
        let stop = self.stop.clone();
        let session = tokio::select! {
            () = stop.cancelled() => return State::Stopped,
            session = self.sign_in(&credentials) => session,
        };
        match session {
            Ok(session) => {
                // What refused to push may have been a passing state, or another server of many.
                self.can_idle = true;
                State::Watching(Box::new(session))
            }
            Err(Failure::Imap(error)) if error.is_token_refused() && generation.is_some() => {
                let generation = generation.unwrap_or_default();
                self.refuse(Failure::Imap(error), generation).await
            }
            Err(failure) => self.fail(failure).await,
        }
    }

    async fn sign_in(&self, credentials: &Credentials) -> Result<Session, Failure> {
        let account = &*self.account;
        let address = account.server_address()?;
        let server = Server {
            host: address.host.clone(),
            port: address.port,
            encryption: address.encryption,
            tls: self.context.gate.tls(account.ca_pem.as_deref())?,
        };
        let _entry = self.context.gate.enter(&address.host).await;
        let session = Session::connect(&server, credentials, ImapLimits::default()).await?;
        debug!(account.id = %account.id, "Signed in");
        Ok(session)
    }

    /// Notes that the server refused the access token itself.
    async fn refuse(&mut self, failure: Failure, generation: i64) -> State {
        if self.refused_generation != Some(generation) {
            self.refusals += 1;
        }
        self.refused_generation = Some(generation);
        if self.refusals >= REFUSALS_TO_REPORT {
            let problem = failure.problem(Verdict::needs_sign_in());
            let state = AccountState::SignInRequired;
            self.health
                .set(&self.context, &self.account, state, Some(&problem))
                .await;
        }
        // A newer token may be there already; if not, it is asked for.
        State::Connecting
    }

    async fn watch(&mut self, mut session: Box<Session>) -> State {
        let mut is_first = true;
        loop {
            let checked = Box::pin(self.check(&mut session, is_first)).await;
            match checked {
                Ok(()) => is_first = false,
                Err(failure) => {
                    // Exchange counts sessions that were only dropped against the account's limit.
                    if session.is_healthy() {
                        Box::pin(session.logout()).await;
                    } else {
                        drop(session);
                    }
                    return self.fail(failure).await;
                }
            }
            if let Err(failure) = self.wait(&mut session).await {
                return self.fail(failure).await;
            }
            if self.stop.is_cancelled() {
                Box::pin(session.logout()).await;
                return State::Stopped;
            }
        }
    }

    /// Looks into every folder and receives what is new.
    async fn check(&mut self, session: &mut Session, is_first: bool) -> Result<(), Failure> {
        let folders = self.account.folders.clone();
        let is_only = folders.len() == 1;
        if is_first && self.opens_for_changes() {
            self.post.fall_behind();
        }
        if self.account.delete_after_days.is_some() {
            self.post.look_for_due();
        }
        let is_catching_up = self.post.begin();
        for folder in &folders {
            if is_first || !is_only {
                self.open_folder(session, folder).await?;
            }
            // While a folder is read again, mails are still to get their new numbers.
            let cursor = self.cursor(folder);
            let is_read_again = cursor.is_some_and(|cursor| cursor.rescan_until.is_some());
            if !is_read_again {
                self.catch_up(session, folder).await?;
            }
            self.receive_folder(session, folder).await?;
            if is_read_again || self.post.is_fresh() {
                self.catch_up(session, folder).await?;
            }
        }
        if is_catching_up {
            self.post.end();
        }
        if let (Some(first), false) = (folders.first(), is_only) {
            self.open_folder(session, first).await?;
            // What came to it while the others were looked into is no change after this opening.
            self.receive_folder(session, first).await?;
        }
        self.succeed().await;
        Ok(())
    }

    /// Notes that the server has just handed mail over; a long backlog is no silence.
    pub(crate) fn note_progress(&mut self) {
        self.signals.prove(self.context.now());
        self.failures = 0;
    }

    async fn succeed(&mut self) {
        let now = self.context.now();
        if let Some(before) = self.signals.proved_at().filter(|_| self.failures > 0) {
            let dark_seconds = (now - before).whole_seconds();
            info!(account.id = %self.account.id, dark_seconds, "The account is watched again");
        }
        self.signals.prove(now);
        self.failures = 0;
        self.refusals = 0;
        self.refused_generation = None;
        self.is_size_refused = false;
        let problem = self.post.problem();
        let state = match problem {
            Some(_) => AccountState::Failing,
            None => AccountState::Active,
        };
        self.health
            .set(&self.context, &self.account, state, problem)
            .await;
    }

    /// Waits for a change, the poll interval, a wake-up or the stop.
    async fn wait(&mut self, session: &mut Session) -> Result<(), Failure> {
        if self.post.is_fresh() {
            return Ok(());
        }
        let poll = Duration::from_secs(u64::from(self.account.poll_interval_seconds.max(1)));
        let (stop, signals) = (self.stop.clone(), Arc::clone(&self.signals));
        let woken = async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = signals.wake.notified() => {}
            }
        };
        if self.can_idle {
            let limit = Duration::from_secs(self.context.settings.idle_limit_seconds);
            match session.idle(jittered(poll.min(limit)), woken).await {
                Ok(report) => {
                    if report.end == IdleEnd::TimeUp {
                        session.noop().await?;
                    }
                    return Ok(());
                }
                Err(error) if error.is_idle_unsupported() && session.is_healthy() => {
                    self.can_idle = false;
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
        tokio::select! {
            () = woken => {}
            () = tokio::time::sleep(jittered(poll)) => {}
        }
        if !self.stop.is_cancelled() {
            session.noop().await?;
        }
        Ok(())
    }

    /// Decides what a failure means for the account, and how long to stay away.
    async fn fail(&mut self, failure: Failure) -> State {
        if self.stop.is_cancelled() {
            return State::Stopped;
        }
        if failure.breaks_ownership() {
            self.ownership = None;
        }
        let first = self.failures == 0;
        self.failures = self.failures.saturating_add(1);
        self.context.metrics.count_failure();
        if let Failure::Imap(error) = &failure
            && error.is_token_stale()
            && first
        {
            return State::Connecting;
        }
        warn!(
            account.id = %self.account.id,
            failures = self.failures,
            error = &failure as &dyn std::error::Error,
            "The account is not watched for a while"
        );
        let settings = &self.context.settings;
        let (base, limit) = (settings.backoff_base(), settings.backoff_limit());
        let verdict = failure.verdict();
        let is_reported = !verdict.is_retryable()
            || failure.is_full()
            || self.failures >= settings.failures_to_report;
        if is_reported {
            let problem = failure.problem(verdict);
            let state = AccountState::Failing;
            self.health
                .set(&self.context, &self.account, state, Some(&problem))
                .await;
        }
        let shift = if verdict.is_retryable() {
            0
        } else {
            PERMANENT_SHIFT
        };
        let delay = backoff(self.failures - 1 + shift, base, limit);
        State::BackingOff(verdict.retry_after.map_or(delay, |hint| hint.max(delay)))
    }

    pub(crate) fn opens_for_changes(&self) -> bool {
        self.account.after_receive != AfterReceive::Keep
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes_of<Task>(_task: impl Fn(Worker) -> Task) -> usize {
        size_of::<Task>()
    }

    #[test]
    fn waiting_account_keeps_no_room_for_what_it_does_when_busy() {
        let bytes = bytes_of(Worker::run);

        assert!(bytes <= 8 * 1024, "{bytes}");
    }
}
