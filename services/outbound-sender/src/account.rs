//! The worker of one account: decides when mail is claimed and how many connections are open.

mod backoff;
mod connect;
mod connection_scaler;
mod connection_task;
mod gate;
mod prefetcher;
mod requeue;

use std::sync::Arc;
use std::time::Duration;

use mailmesh_domain::VerdictKind;
use mailmesh_mail::transport::Failure;
use mailmesh_store::account::Account;
use mailmesh_store::{StoreError, outbound_mail};
use tokio::sync::{Mutex, Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::access::Denied;
use crate::job::{Claimed, Job};
use crate::shared::Shared;
use connect::{NotOpened, Token, open};
use connection_scaler::ConnectionScaler;
use connection_task::{ConnectionExit, ConnectionTask};
use gate::Gate;
use prefetcher::Prefetcher;

/// Mails claimed for each open connection at a time.
const CLAIM_PER_CONNECTION: usize = 4;
/// Connections beyond these need no deeper queue.
const MOST_FED: usize = 16;
/// How long connections are waited for that finish what is in hand.
const FINISH: Duration = Duration::from_secs(20);

/// What the supervisor holds of a worker.
#[derive(Debug)]
pub(crate) struct WorkerHandle {
    pub(crate) stop: CancellationToken,
    pub(crate) settings: watch::Sender<Arc<Account>>,
}

/// Sends the mail of one account for as long as this replica holds it.
#[derive(Debug)]
pub(crate) struct Worker {
    shared: Arc<Shared>,
    account: Arc<Account>,
    settings: watch::Receiver<Arc<Account>>,
    wake: Arc<Notify>,
    stop: CancellationToken,
    /// Ends the connections of an older revision, and all when the worker stops.
    connection_stop: CancellationToken,
    connections: JoinSet<ConnectionExit>,
    /// Connections that were told to end and still wait for the server.
    lingering: JoinSet<()>,
    prefetcher: Prefetcher,
    jobs: Arc<Mutex<mpsc::Receiver<Job>>>,
    gate: Gate,
    scaler: ConnectionScaler,
    /// The grant and generation of the token last signed in with.
    token: Option<Token>,
}

impl Worker {
    pub(crate) fn new(shared: Arc<Shared>, account: Arc<Account>) -> (Self, WorkerHandle) {
        let (sender, settings) = watch::channel(Arc::clone(&account));
        let stop = CancellationToken::new();
        let wake = shared.wakes.add(account.id);
        // What waits here feeds the connections while the next mails are claimed.
        let most = usize::try_from(account.max_connections).unwrap_or(1);
        let (feed, jobs) = mpsc::channel(CLAIM_PER_CONNECTION * most.clamp(1, MOST_FED));
        let worker = Self {
            prefetcher: Prefetcher::new(&shared, feed),
            shared,
            account,
            settings,
            wake,
            connection_stop: stop.child_token(),
            stop: stop.clone(),
            connections: JoinSet::new(),
            lingering: JoinSet::new(),
            jobs: Arc::new(Mutex::new(jobs)),
            gate: Gate::default(),
            scaler: ConnectionScaler::default(),
            token: None,
        };
        let handle = WorkerHandle {
            stop,
            settings: sender,
        };
        (worker, handle)
    }

    /// Sends until it is stopped; then finishes what is in hand and gives the rest back.
    pub(crate) async fn run(mut self) {
        loop {
            let look_again = self.gate.look_again(self.shared.replica.clock.now());
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                Some(end) = self.connections.join_next(), if !self.connections.is_empty() => {
                    Box::pin(self.take_exit(end.ok())).await;
                }
                changed = self.settings.changed() => {
                    if changed.is_err() { break; }
                    Box::pin(self.take_settings()).await;
                }
                without_body = self.prefetcher.advance(), if !self.prefetcher.is_empty() => {
                    if let Some((claimed, reason)) = without_body {
                        self.end_without_body(&claimed, reason).await;
                    }
                    if !self.prefetcher.is_empty() { continue; }
                }
                () = self.wake.notified() => {}
                () = tokio::time::sleep(look_again.unwrap_or_default()), if look_again.is_some() => {}
            }
            // Boxed, so that the ten thousand accounts that wait hold no room for it.
            if let Err(error) = Box::pin(self.work()).await {
                warn!(
                    account.id = %self.account.id,
                    error = &error as &dyn std::error::Error,
                    "Mail waits for the database; it is tried again"
                );
                if self.connections.is_empty() {
                    self.requeue_waiting().await;
                }
            }
        }
        self.finish().await;
    }

    /// Claims what is due, unless the account cannot send or has enough in hand.
    async fn work(&mut self) -> Result<(), StoreError> {
        self.resume_once().await?;
        while !self.stop.is_cancelled() {
            if !self.pass_gate().await? {
                return self.park().await;
            }
            if self.connections.is_empty() {
                if !self.has_waiting() && !self.has_due().await? {
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
            let claimed = self.claim(limit).await?;
            if claimed.is_empty() {
                return Ok(());
            }
            let most = usize::try_from(self.account.max_connections).unwrap_or(1);
            if claimed.len() == limit && self.connections.len() < most {
                self.add_connection();
            }
            self.prefetcher.add(claimed);
        }
        Ok(())
    }

    /// Mail that was handed over while the last connection was closing waits for the next one.
    fn has_waiting(&self) -> bool {
        self.prefetcher.has_handed_over() || !self.prefetcher.is_empty()
    }

    async fn has_due(&self) -> Result<bool, StoreError> {
        let now = self.shared.replica.clock.now();
        let mut tx = self.shared.replica.database.begin().await?;
        let due = outbound_mail::next_due(&mut tx, &[self.account.id]).await?;
        tx.commit().await?;
        Ok(due.iter().any(|(_, due_at)| *due_at <= now))
    }

    async fn claim(&self, limit: usize) -> Result<Vec<Claimed>, StoreError> {
        let replica = &self.shared.replica;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let now = replica.clock.now();
        let mut tx = replica.database.begin().await?;
        let claimed =
            outbound_mail::claim_due(&mut tx, replica.id, self.account.id, limit, now).await?;
        tx.commit().await?;
        // Held only now: if the answer is lost, they are found as mails that nobody knows of.
        let held = claimed.into_iter().map(|mail| Claimed {
            guard: self.shared.in_flight.guard(&mail),
            mail,
        });
        Ok(held.collect())
    }

    /// Opens the first connection before any mail is claimed, so that an account that cannot sign in
    /// costs no attempts. Returns whether there is one now.
    async fn open_first(&mut self) -> Result<bool, StoreError> {
        let opened = tokio::select! {
            opened = open(&self.shared, &self.account) => opened,
            () = self.stop.cancelled() => return Ok(false),
        };
        match opened {
            Ok((transport, token)) => {
                self.token = token;
                self.signed_in().await?;
                let task = self.new_task();
                self.connections.spawn(task.run(transport));
                Ok(true)
            }
            Err(NotOpened::Denied(Denied::Store(error))) => Err(error),
            Err(NotOpened::Denied(denied)) => {
                self.bar(denied).await?;
                Ok(false)
            }
            Err(NotOpened::Failed { failure, token }) => {
                self.token = token;
                self.block(failure).await?;
                Ok(false)
            }
        }
    }

    /// A further connection opens itself, while those that are open go on.
    fn add_connection(&mut self) {
        let Some(opening) = self.scaler.try_open() else {
            return;
        };
        let task = self.new_task();
        self.connections.spawn(async move {
            match task.connect().await {
                Ok(Some(connection)) => {
                    drop(opening);
                    task.run(connection).await
                }
                Ok(None) => ConnectionExit::Done,
                Err(failure) => ConnectionExit::NotOpened(failure),
            }
        });
    }

    fn new_task(&self) -> ConnectionTask {
        ConnectionTask {
            shared: Arc::clone(&self.shared),
            account: Arc::clone(&self.account),
            jobs: Arc::clone(&self.jobs),
            stop: self.connection_stop.clone(),
            in_vain: Arc::clone(&self.gate.in_vain),
        }
    }

    async fn take_exit(&mut self, end: Option<ConnectionExit>) {
        let result = match end {
            Some(ConnectionExit::Blocked(failure)) => self.block(failure).await,
            Some(ConnectionExit::Strained(failure)) => self.strain(failure).await,
            Some(ConnectionExit::NotOpened(failure)) if self.connections.is_empty() => {
                self.block(failure).await
            }
            Some(ConnectionExit::NotOpened(failure)) => {
                debug!(account.id = %self.account.id, code = failure.code, "No further connection");
                self.scaler
                    .record_refusal(self.rest_before_scaling(&failure));
                Ok(())
            }
            Some(ConnectionExit::Done) => Ok(()),
            None => {
                warn!(account.id = %self.account.id, "A connection's task failed");
                Ok(())
            }
        };
        if let Err(error) = result {
            warn!(
                account.id = %self.account.id,
                error = &error as &dyn std::error::Error,
                "The account's state was not recorded"
            );
        }
    }

    fn rest_before_scaling(&self, failure: &Failure) -> Duration {
        match failure.verdict.kind {
            VerdictKind::Transient => failure.verdict.retry_after.unwrap_or_default(),
            _ => self.shared.retry.rest_after(failure.verdict),
        }
    }

    /// Connections with the old settings finish what is in hand.
    async fn take_settings(&mut self) {
        let account = Arc::clone(&self.settings.borrow_and_update());
        if account.revision == self.account.revision {
            return;
        }
        self.account = account;
        self.gate = Gate::default();
        self.scaler = ConnectionScaler::default();
        self.stop_connections().await;
        self.end_connections().await;
    }

    /// Waits for connections that were told to end, so that the server sees no more of them than it
    /// should. One that has no final reply by then goes on beside the new ones: cut off, its mail
    /// would be uncertain for no reason.
    async fn end_connections(&mut self) {
        while self.lingering.try_join_next().is_some() {}
        let mut connections = std::mem::take(&mut self.connections);
        let all = async { while connections.join_next().await.is_some() {} };
        tokio::select! {
            () = all => return,
            () = tokio::time::sleep(FINISH) => {}
            () = self.stop.cancelled() => {}
        }
        self.lingering
            .spawn(async move { while connections.join_next().await.is_some() {} });
    }

    /// An account that is given up waits for its last final replies; a process that ends does not.
    async fn finish(mut self) {
        self.shared.wakes.remove(self.account.id, &self.wake);
        self.requeue_waiting().await;
        let (connections, lingering) = (&mut self.connections, &mut self.lingering);
        let all = async {
            while connections.join_next().await.is_some() {}
            while lingering.join_next().await.is_some() {}
        };
        let late = async {
            self.shared.ending.cancelled().await;
            tokio::time::sleep(FINISH).await;
        };
        tokio::select! {
            () = all => {}
            // Others find the attempts by their stage.
            () = late => {}
        }
    }

    /// Ends the connections after what they have in hand, because the account cannot send.
    async fn stop_connections(&mut self) {
        self.connection_stop.cancel();
        self.connection_stop = self.stop.child_token();
        self.requeue_waiting().await;
    }
}
