//! The worker of one account: decides when mail is claimed and how many connections are open.

mod circuit_breaker;
mod connect;
mod connection_pool;
mod connection_scaler;
mod connection_task;
mod prefetcher;
mod progress;
mod queue;

use std::sync::Arc;
use std::time::Duration;

use mailmesh_accounts::{CredentialsError, RecordedState, WorkerSignals};
use mailmesh_domain::{AccountState, GrantState, History, VerdictKind};
use mailmesh_mail::transport::TransportFailure;
use mailmesh_store::account::Account;
use mailmesh_store::{StoreError, grant};
use time::OffsetDateTime;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::context::ServiceContext;
use crate::failure::credentials::{of_credentials, of_endpoint};
use circuit_breaker::{CircuitBreaker, Permission, Trip};
use connect::{NotOpened, TokenGeneration, open};
use connection_pool::ConnectionPool;
use connection_task::ConnectionExit;
use prefetcher::Prefetcher;
use queue::AccountQueue;

/// Mails claimed at once for each open connection.
const CLAIM_PER_CONNECTION: usize = 4;
/// Connections that the queue of fetched mails is sized for at most.
const MAX_FED: usize = 16;

/// Sends the mail of one account for as long as this replica holds it.
#[derive(Debug)]
pub(crate) struct Worker {
    context: Arc<ServiceContext>,
    account: Arc<Account>,
    signals: Arc<WorkerSignals>,
    recorded: RecordedState,
    stop: CancellationToken,
    queue: AccountQueue,
    prefetcher: Prefetcher,
    connections: ConnectionPool,
    breaker: CircuitBreaker,
    standing: RecordedStanding,
    /// Its row says that it fails, of before this worker: it signs in although no mail waits.
    must_prove: bool,
    /// The token last signed in with.
    token: Option<TokenGeneration>,
}

/// Account state as this worker has recorded it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RecordedStanding {
    /// Nothing recorded; it may be blocked for an obstacle that is gone.
    Fresh,
    /// Its block was lifted. Its row may still hold a problem.
    Resumed,
    /// Its row is in the state `active`.
    Active,
}

impl Worker {
    pub(crate) fn new(
        context: Arc<ServiceContext>,
        account: Arc<Account>,
        signals: Arc<WorkerSignals>,
        recorded: RecordedState,
        history: History,
    ) -> Self {
        let stored = signals.recorded();
        let is_failing = stored.is_some_and(|stored| stored.state == AccountState::Failing);
        let stop = signals.stop.clone();
        // The queue keeps the connections busy while the next mails are claimed.
        let most = usize::try_from(account.max_connections).unwrap_or(1);
        let (feed, jobs) = mpsc::channel(CLAIM_PER_CONNECTION * most.clamp(1, MAX_FED));
        let breaker = CircuitBreaker::new(account.authorisation, history);
        Self {
            queue: AccountQueue::new(Arc::clone(&context), Arc::clone(&account)),
            prefetcher: Prefetcher::new(&context, feed),
            connections: ConnectionPool::new(
                Arc::clone(&context),
                Arc::clone(&account),
                jobs,
                breaker.progress(),
                stop.clone(),
            ),
            context,
            account,
            signals,
            recorded,
            stop,
            breaker,
            standing: RecordedStanding::Fresh,
            must_prove: is_failing,
            token: None,
        }
    }

    /// Sends until it is stopped; then finishes the mails in flight and requeues the rest.
    pub(crate) async fn run(mut self) {
        if self.must_prove {
            self.signals.wake.notify_one();
        }
        loop {
            let look_again = self.look_again();
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                Some(exit) = self.connections.next_exit(), if !self.connections.is_empty() => {
                    Box::pin(self.take_exit(exit)).await;
                }
                without_body = self.prefetcher.advance(), if !self.prefetcher.is_empty() => {
                    if let Some((claimed, reason)) = without_body {
                        self.queue.end_without_body(&claimed.mail, reason).await;
                    }
                    if !self.prefetcher.is_empty() { continue; }
                }
                () = self.signals.wake.notified() => {}
                () = tokio::time::sleep(look_again.unwrap_or_default()), if look_again.is_some() => {}
            }
            // Boxed, so that the futures of ten thousand waiting accounts do not include it.
            if let Err(error) = Box::pin(self.work()).await {
                warn!(
                    error = &error as &dyn std::error::Error,
                    "Mail waits for the database; it is tried again"
                );
                if self.connections.is_empty() {
                    self.requeue_waiting().await;
                }
            }
            self.note_awaited_token();
        }
        self.finish().await;
    }

    /// Has the host wake this worker for a token whose event was lost.
    fn note_awaited_token(&self) {
        let generation = self.breaker.awaited().map(|(_, generation)| generation);
        let is_patient = self.breaker.needs_person();
        self.signals.wait_for_newer(generation, is_patient);
    }

    /// Returns how long nothing is to be done unless something happens.
    fn look_again(&self) -> Option<Duration> {
        let of_breaker = self.breaker.look_again(self.context.replica.clock.now())?;
        let telling = self.queue.tell_again();
        Some(telling.map_or(of_breaker, |pause| pause.min(of_breaker)))
    }

    /// Claims what is due, unless the account cannot send or enough is claimed.
    async fn work(&mut self) -> Result<(), StoreError> {
        if self.standing == RecordedStanding::Fresh {
            self.queue.unblock().await?;
            self.standing = RecordedStanding::Resumed;
        }
        let replica = &self.context.replica;
        self.recorded.repeat(replica, &self.account).await?;
        if std::mem::take(&mut self.must_prove) && self.may_send().await? {
            // What its row says may be of settings that were corrected; mail may not come for long.
            self.open_first().await?;
        }
        while !self.stop.is_cancelled() {
            if !self.may_send().await? {
                return self.queue.block(&self.breaker).await;
            }
            if self.connections.is_empty() {
                if !self.has_waiting() && !self.queue.has_due().await? {
                    return Ok(());
                }
                if !self.open_first().await? {
                    self.requeue_waiting().await;
                    continue;
                }
            }
            if !self.prefetcher.is_empty() {
                return Ok(());
            }
            let limit = CLAIM_PER_CONNECTION * self.connections.len().max(1);
            let claimed = self.queue.claim(limit).await?;
            if claimed.is_empty() {
                return Ok(());
            }
            let most = usize::try_from(self.account.max_connections).unwrap_or(1);
            if claimed.len() == limit && self.connections.len() < most {
                self.connections.scale_up();
            }
            self.prefetcher.add(claimed);
        }
        Ok(())
    }

    /// Returns whether claimed mail waits for a connection, also if it was handed over while the last one was closing.
    fn has_waiting(&self) -> bool {
        self.prefetcher.has_handed_over() || !self.prefetcher.is_empty()
    }

    /// Returns whether mail may be claimed now; tries the account again when it is time to.
    async fn may_send(&mut self) -> Result<bool, StoreError> {
        if self.breaker.has_recovered() {
            self.record_active().await?;
            self.breaker.close();
        }
        let now = self.context.replica.clock.now();
        let has_connections = !self.connections.is_empty();
        match self.breaker.permission(now, has_connections) {
            Permission::Send => Ok(true),
            Permission::Wait => Ok(false),
            Permission::SignIn => self.open_first().await,
            Permission::SignInWithOther(token) => {
                if self.has_other_token(token).await? {
                    return self.open_first().await;
                }
                if let Some((grant, generation)) = self.breaker.token_to_ask_for() {
                    let credentials = &self.context.credentials;
                    credentials.ask_for_token(grant, generation).await;
                }
                Ok(false)
            }
        }
    }

    /// Returns whether the grant has a newer token, is refused since then or is so no longer, or is gone.
    async fn has_other_token(&self, (id, generation): TokenGeneration) -> Result<bool, StoreError> {
        let is_refused = self.breaker.is_grant_refused();
        let mut tx = self.context.replica.database.begin().await?;
        let grants = grant::list_by_ids(&mut tx, &[id]).await?;
        tx.commit().await?;
        Ok(grants.first().is_none_or(|grant| {
            let is_active = grant.state == GrantState::Active;
            grant.generation > generation || is_active == is_refused
        }))
    }

    /// Opens the first connection before any mail is claimed, so that an account that cannot sign in
    /// costs no attempts. Returns whether there is one now.
    async fn open_first(&mut self) -> Result<bool, StoreError> {
        let refused = self.breaker.refused_generation();
        let opened = tokio::select! {
            opened = open(&self.context, &self.account, refused) => opened,
            () = self.stop.cancelled() => return Ok(false),
        };
        let now = self.context.replica.clock.now();
        let trip = match opened {
            Ok((transport, token)) => {
                self.token = token;
                self.record_sign_in().await?;
                self.connections.add(transport);
                return Ok(true);
            }
            Err(NotOpened::NoEndpoint(error)) => Trip::denied(of_endpoint(&error), now),
            Err(NotOpened::NoCredentials(error)) => match error {
                CredentialsError::Store(error) => return Err(error),
                CredentialsError::TokenOver {
                    grant_id,
                    generation,
                } => Trip::token_over((grant_id, generation), now),
                CredentialsError::GrantRefused { generation, .. } => {
                    self.grant_refused(&error, generation, now)
                }
                other => Trip::denied(of_credentials(&other), now),
            },
            Err(NotOpened::Failed { failure, token }) => {
                self.token = token;
                self.breaker.fail(&failure, token, &self.context.retry, now)
            }
        };
        self.trip(trip).await?;
        Ok(false)
    }

    /// Records that the account works, and lifts its block.
    async fn record_sign_in(&mut self) -> Result<(), StoreError> {
        if self.standing != RecordedStanding::Active {
            self.queue.unblock().await?;
            if !self.breaker.is_long_strained() {
                self.record_active().await?;
            }
        }
        self.breaker.record_sign_in();
        Ok(())
    }

    async fn record_active(&mut self) -> Result<(), StoreError> {
        let replica = &self.context.replica;
        self.recorded.set_active(replica, &self.account).await?;
        self.standing = RecordedStanding::Active;
        Ok(())
    }

    async fn take_exit(&mut self, exit: ConnectionExit) {
        let now = self.context.replica.clock.now();
        let trip = match exit {
            ConnectionExit::Done => None,
            ConnectionExit::NotOpened(failure) if !self.connections.is_empty() => {
                debug!(code = failure.code, "No further connection");
                let rest = self.rest_before_scaling(&failure);
                self.connections.record_refusal(rest);
                None
            }
            ConnectionExit::Blocked(failure) | ConnectionExit::NotOpened(failure) => {
                let retry = &self.context.retry;
                Some(self.breaker.fail(&failure, self.token, retry, now))
            }
            ConnectionExit::Strained(failure) => self.breaker.strain(&failure, now),
        };
        let Some(trip) = trip else { return };
        self.stop_connections().await;
        if let Err(error) = self.trip(trip).await {
            warn!(
                error = &error as &dyn std::error::Error,
                "The account's state was not recorded"
            );
        }
    }

    fn rest_before_scaling(&self, failure: &TransportFailure) -> Duration {
        match failure.verdict().kind {
            VerdictKind::Transient => failure.diagnosis.retry_after.unwrap_or_default(),
            _ => self.context.retry.rest_after(failure.verdict()),
        }
    }

    /// Keeps the account from sending. Nothing of it is in force when the database fails: the account
    /// is tried, and its state recorded, again.
    async fn trip(&mut self, trip: Trip) -> Result<(), StoreError> {
        let trip = self.look_at_grant(trip).await?;
        // Before the row is written: a commit whose answer is lost may have left the problem there.
        if self.standing == RecordedStanding::Active {
            self.standing = RecordedStanding::Resumed;
        }
        let replica = &self.context.replica;
        if let Some(problem) = trip.problem() {
            if let Some(state) = trip.report {
                self.recorded
                    .set_problem(replica, &self.account, state, problem)
                    .await?;
            }
            info!(
                kind = ?problem.kind,
                code = problem.code,
                "Account cannot send for now"
            );
        }
        if let Some((grant, generation)) = trip.ask {
            let credentials = &self.context.credentials;
            credentials.ask_for_token(grant, generation).await;
        }
        self.breaker.trip(trip);
        Ok(())
    }

    /// Replaces waiting for a token by waiting for the person, if the grant needs a sign-in: no token comes before that.
    async fn look_at_grant(&self, trip: Trip) -> Result<Trip, StoreError> {
        let Some((_, generation)) = trip.ask else {
            return Ok(trip);
        };
        let credentials = &self.context.credentials;
        let opened = credentials.open(&self.account, None, Some(generation));
        match opened.await {
            Err(CredentialsError::Store(error)) => Err(error),
            Err(error @ CredentialsError::GrantRefused { generation, .. }) => {
                let now = self.context.replica.clock.now();
                Ok(self.grant_refused(&error, generation, now))
            }
            Ok(_) | Err(_) => Ok(trip),
        }
    }

    fn grant_refused(
        &self,
        error: &CredentialsError,
        generation: i64,
        now: OffsetDateTime,
    ) -> Trip {
        let problem = of_credentials(error);
        match self.account.grant_id {
            Some(id) => Trip::grant_refused(problem, (id, generation), now),
            None => Trip::denied(problem, now),
        }
    }

    /// Ends the connections after their mails, because the account cannot send.
    async fn stop_connections(&mut self) {
        self.connections.stop();
        self.requeue_waiting().await;
    }

    /// Requeues what was claimed and no connection has taken.
    async fn requeue_waiting(&mut self) {
        let mut waiting = self.connections.take_jobs().await;
        waiting.extend(self.prefetcher.take_back());
        for claimed in waiting {
            self.queue.requeue(&claimed.mail).await;
        }
    }

    async fn finish(mut self) {
        self.requeue_waiting().await;
        self.connections.finish().await;
    }
}
