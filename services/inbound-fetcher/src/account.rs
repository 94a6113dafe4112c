use std::sync::Arc;
use std::time::Duration;

use mailmesh_accounts::{AccountSnapshot, CredentialsError, RecordedState, WorkerSignals};
use mailmesh_domain::AccountState;
use mailmesh_mail::source::Farewell;
use mailmesh_mail::{Credentials, MailSource, connect_source};
use mailmesh_store::grant::Grant;
use tracing::{debug, warn};

use crate::account_context::AccountContext;
use crate::context::ServiceContext;
use crate::failure::WatchFailure;
use crate::standby::{self, Pause, WaitEnd};
use crate::token_refusal::TokenRefusals;
use crate::watch::{FolderWatch, Look};

/// Steps that a permanent refusal skips on the backoff: only a person can end it.
const PERMANENT_SHIFT: u32 = 3;

/// What the account is about to do.
#[derive(Debug)]
enum State {
    Connecting,
    Watching(Box<dyn MailSource>),
    /// No grant, or one that waits for a person.
    WaitingForSignIn {
        generation: Option<i64>,
    },
    WaitingForToken {
        generation: i64,
    },
    /// The server keeps no session open while nothing happens.
    BetweenSessions(Pause),
    BackingOff(Duration),
    Stopped,
}

/// Watches one account until it is stopped. Its failures end no other's work.
#[derive(Debug)]
pub(crate) struct Worker {
    owner: Box<AccountContext>,
    watch: Box<FolderWatch>,
    grant: Option<Box<Grant>>,
    recorded: RecordedState,
    refusals: TokenRefusals,
    /// The server has known the account before this worker began.
    has_worked: bool,
}

impl Worker {
    pub(crate) fn new(
        context: Arc<ServiceContext>,
        snapshot: AccountSnapshot,
        signals: Arc<WorkerSignals>,
    ) -> Self {
        let recorded = RecordedState::new(&snapshot, Arc::clone(&signals));
        let good_after = Duration::from_secs(context.settings.good_session_seconds);
        let is_app = snapshot.history().is_app;
        let settings = (snapshot.account, snapshot.term);
        let owner = AccountContext::new(context, settings, is_app, signals);
        Self {
            owner: Box::new(owner),
            watch: Box::new(FolderWatch::new(snapshot.cursors, good_after)),
            grant: snapshot.grant.map(Box::new),
            recorded,
            refusals: TokenRefusals::default(),
            has_worked: snapshot.has_worked,
        }
    }

    /// Runs until the account is to be given up.
    pub(crate) async fn run(mut self) {
        let mut state = State::Connecting;
        loop {
            if self.owner.stop.is_cancelled() && !matches!(state, State::Watching(_)) {
                return;
            }
            // Boxed, so that the future of a waiting account does not include the states of a busy one.
            state = match state {
                State::Connecting => Box::pin(self.connect()).await,
                State::Watching(source) => self.watch(source).await,
                State::WaitingForSignIn { generation } => {
                    after(standby::await_sign_in(&self.owner, generation).await)
                }
                State::WaitingForToken { generation } => self.await_token(generation).await,
                State::BetweenSessions(pause) => after(standby::pause(&self.owner, pause).await),
                State::BackingOff(delay) => after(standby::rest(&self.owner, delay).await),
                State::Stopped => return,
            };
        }
    }

    async fn connect(&mut self) -> State {
        let (replica, account) = (&self.owner.context.replica, &self.owner.account);
        if let Err(error) = self.recorded.repeat(replica, account).await {
            return self.fail(WatchFailure::Store(error)).await;
        }
        let known = self.grant.take().map(|grant| *grant);
        let refused = self.refusals.generation();
        let (context, account) = (&self.owner.context, &self.owner.account);
        let opened = context.credentials.open(account, known, refused).await;
        let (credentials, generation) = match opened {
            Ok(opened) => (opened.credentials, opened.token.map(|(_, number)| number)),
            Err(CredentialsError::NoGrant) => {
                return State::WaitingForSignIn { generation: None };
            }
            // `token-refresh` has recorded the state and published it.
            Err(CredentialsError::GrantRefused { generation, .. }) => {
                let generation = Some(generation);
                return State::WaitingForSignIn { generation };
            }
            Err(CredentialsError::TokenOver { generation, .. }) => {
                return State::WaitingForToken { generation };
            }
            Err(error) => return self.fail(WatchFailure::Credentials(error)).await,
        };
        let source = tokio::select! {
            () = self.owner.stop.cancelled() => return State::Stopped,
            source = sign_in(&self.owner, &credentials) => source,
        };
        match (source, generation) {
            (Ok(source), _) => State::Watching(source),
            (Err(WatchFailure::Source(error)), Some(generation)) if error.is_token_refused() => {
                self.refuse(WatchFailure::Source(error), generation).await
            }
            (Err(failure), _) => self.fail(failure).await,
        }
    }

    /// Counts a refusal of the access token itself.
    async fn refuse(&mut self, failure: WatchFailure, generation: i64) -> State {
        self.refusals.note(generation);
        if self.refusals.is_persistent() {
            let problem = failure.problem_of_tokens(self.owner.is_app);
            let (context, account) = (&self.owner.context, &self.owner.account);
            let state = AccountState::SignInRequired;
            self.recorded
                .set(&context.replica, account, state, Some(&problem))
                .await;
        }
        // A newer token may be there already; if not, it is asked for.
        State::Connecting
    }

    async fn await_token(&mut self, generation: i64) -> State {
        let Some(grant_id) = self.owner.account.grant_id else {
            return State::WaitingForSignIn {
                generation: Some(generation),
            };
        };
        let refusals = &mut self.refusals;
        after(standby::await_token(&self.owner, grant_id, generation, refusals).await)
    }

    async fn watch(&mut self, mut source: Box<dyn MailSource>) -> State {
        let mut look = Look::First;
        loop {
            let looking = self.watch.look(&self.owner, source.as_mut(), look);
            if let Err(failure) = Box::pin(looking).await {
                if look == Look::Again {
                    self.watch.note_end();
                }
                // Exchange counts sessions that were only dropped against the account's limit.
                source.close(Farewell::Abandon).await;
                return self.fail(failure).await;
            }
            look = Look::Again;
            Box::pin(self.succeed()).await;
            if !source.stays_open() {
                let pause = self.watch.pause(&self.owner, source.as_ref());
                // All that was fetched is published and recorded.
                source.close(Farewell::Confirm).await;
                return State::BetweenSessions(pause);
            }
            if let Err(failure) = self.watch.wait(&self.owner, source.as_mut()).await {
                return self.fail(failure).await;
            }
            if self.owner.stop.is_cancelled() {
                source.close(Farewell::Confirm).await;
                return State::Stopped;
            }
        }
    }

    async fn succeed(&mut self) {
        self.refusals = TokenRefusals::default();
        self.has_worked = true;
        let problem = self.watch.problem();
        let state = match &problem {
            Some(_) => AccountState::Failing,
            None => AccountState::Active,
        };
        let problem = problem.or_else(|| self.watch.notice(&self.owner));
        let (context, account) = (&self.owner.context, &self.owner.account);
        self.recorded
            .set(&context.replica, account, state, problem.as_ref())
            .await;
    }

    /// Decides what a failure means for the account, and how long to stay away.
    async fn fail(&mut self, failure: WatchFailure) -> State {
        if self.owner.stop.is_cancelled() {
            return State::Stopped;
        }
        if failure.breaks_ownership() {
            self.watch.disown();
        }
        // Looks that succeeded prove nothing while each session ends soon after.
        let early_ends = self.watch.early_ends();
        let failures = self.owner.count_failure();
        // Gmail and Exchange end a session with its token, after about an hour: no failure, unless it happens twice in a row.
        if let WatchFailure::Source(error) = &failure
            && error.is_token_stale()
            && failures == 1
            && early_ends <= 1
        {
            return State::Connecting;
        }
        let (context, account) = (&self.owner.context, &self.owner.account);
        warn!(
            failures,
            error = &failure as &dyn std::error::Error,
            "The account is not watched for a while"
        );
        let settings = &context.settings;
        let verdict = failure.verdict();
        let is_lasting = !verdict.is_retryable();
        let is_told = is_lasting || failures >= settings.failures_to_report;
        if is_told && !failure.is_of_mesh() {
            let problem = failure.problem(self.owner.history(self.has_worked));
            let state = AccountState::Failing;
            self.recorded
                .set(&context.replica, account, state, Some(&problem))
                .await;
        }
        let shift = if is_lasting { PERMANENT_SHIFT } else { 0 };
        let hint = verdict.retry_after.unwrap_or_default();
        let steps = failures.max(early_ends).saturating_add(shift);
        State::BackingOff(settings.backoff().after_or(steps, hint))
    }
}

fn after(waited: WaitEnd) -> State {
    match waited {
        WaitEnd::Stopped => State::Stopped,
        WaitEnd::Over => State::Connecting,
    }
}

async fn sign_in(
    owner: &AccountContext,
    credentials: &Credentials,
) -> Result<Box<dyn MailSource>, WatchFailure> {
    let (account, servers) = (&owner.account, &owner.context.replica.servers);
    let endpoint = servers.endpoint_of(account)?;
    let connecting = servers.permit_connect(endpoint.direction, &endpoint.server.host);
    let _permit = connecting.await;
    let source = connect_source(&endpoint, credentials).await?;
    debug!("Signed in");
    Ok(source)
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
