use std::sync::Arc;
use std::time::Duration;

use mailmesh_mail::transport::MailTransport;
use mailmesh_store::account::Account;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::connection_scaler::ConnectionScaler;
use super::connection_task::{ConnectionExit, ConnectionTask};
use super::progress::Progress;
use crate::job::{Claimed, Job};
use crate::shared::Shared;

/// Maximum wait for connections that finish their mails.
const FINISH: Duration = Duration::from_secs(20);

/// The connections of one account, each in a task of its own.
#[derive(Debug)]
pub(super) struct Connections {
    shared: Arc<Shared>,
    account: Arc<Account>,
    jobs: Arc<Mutex<mpsc::Receiver<Job>>>,
    progress: Arc<Progress>,
    worker_stop: CancellationToken,
    /// Ends the connections of an older revision, and all when the worker stops.
    stop: CancellationToken,
    tasks: JoinSet<ConnectionExit>,
    /// Connections that were told to end and still wait for the server.
    lingering: JoinSet<()>,
    scaler: ConnectionScaler,
}

impl Connections {
    pub(super) fn new(
        shared: Arc<Shared>,
        account: Arc<Account>,
        jobs: mpsc::Receiver<Job>,
        progress: Arc<Progress>,
        worker_stop: CancellationToken,
    ) -> Self {
        Self {
            shared,
            account,
            jobs: Arc::new(Mutex::new(jobs)),
            progress,
            stop: worker_stop.child_token(),
            worker_stop,
            tasks: JoinSet::new(),
            lingering: JoinSet::new(),
            scaler: ConnectionScaler::default(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.tasks.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Waits for the next connection that ends; none when there is no connection.
    pub(super) async fn next_exit(&mut self) -> Option<ConnectionExit> {
        let joined = self.tasks.join_next().await?;
        Some(joined.unwrap_or_else(|error| {
            warn!(
                account.id = %self.account.id,
                error = &error as &dyn std::error::Error,
                "A connection's task failed"
            );
            ConnectionExit::Done
        }))
    }

    /// Takes in a connection that is open.
    pub(super) fn add(&mut self, transport: Box<dyn MailTransport>) {
        let task = self.new_task();
        self.tasks.spawn(task.run(transport));
    }

    /// Opens one more connection, if that may be tried now, while those that are open go on.
    pub(super) fn scale_up(&mut self) {
        let Some(opening) = self.scaler.try_open() else {
            return;
        };
        let task = self.new_task();
        self.tasks.spawn(async move {
            match task.connect().await {
                Ok(Some(transport)) => {
                    drop(opening);
                    task.run(transport).await
                }
                Ok(None) => ConnectionExit::Done,
                Err(failure) => ConnectionExit::NotOpened(failure),
            }
        });
    }

    /// `rest` is the pause that the refusal asks for at least.
    pub(super) fn record_refusal(&mut self, rest: Duration) {
        self.scaler.record_refusal(rest);
    }

    /// Ends the connections after the mails that they are sending.
    pub(super) fn stop(&mut self) {
        self.stop.cancel();
        self.stop = self.worker_stop.child_token();
    }

    /// Takes the mails back that no connection has taken.
    pub(super) async fn take_jobs(&self) -> Vec<Claimed> {
        let mut jobs = self.jobs.lock().await;
        let waiting = std::iter::from_fn(|| jobs.try_recv().ok());
        waiting.map(Job::into_claimed).collect()
    }

    /// Starts over with other settings, once the connections with the old ones have ended, so that the
    /// server sees no more of them than it should. One that has no final reply by then goes on beside
    /// the new ones: cut off, its mail would be uncertain for no reason.
    pub(super) async fn replace(&mut self, account: Arc<Account>, progress: Arc<Progress>) {
        self.account = account;
        self.progress = progress;
        self.scaler = ConnectionScaler::default();
        while self.lingering.try_join_next().is_some() {}
        let mut tasks = std::mem::take(&mut self.tasks);
        let all = async { while tasks.join_next().await.is_some() {} };
        tokio::select! {
            () = all => return,
            () = tokio::time::sleep(FINISH) => {}
            () = self.worker_stop.cancelled() => {}
        }
        self.lingering
            .spawn(async move { while tasks.join_next().await.is_some() {} });
    }

    /// Waits for the last final replies, and not for long once the process is ending: others find the
    /// attempts by their stage.
    pub(super) async fn finish(mut self) {
        let all = async {
            while self.tasks.join_next().await.is_some() {}
            while self.lingering.join_next().await.is_some() {}
        };
        let late = async {
            self.shared.ending.cancelled().await;
            tokio::time::sleep(FINISH).await;
        };
        tokio::select! {
            () = all => {}
            () = late => {}
        }
    }

    fn new_task(&self) -> ConnectionTask {
        ConnectionTask {
            shared: Arc::clone(&self.shared),
            account: Arc::clone(&self.account),
            jobs: Arc::clone(&self.jobs),
            stop: self.stop.clone(),
            progress: Arc::clone(&self.progress),
        }
    }
}
