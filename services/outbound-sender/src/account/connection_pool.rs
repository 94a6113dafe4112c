use std::sync::Arc;
use std::time::Duration;

use mailmesh_mail::transport::MailTransport;
use mailmesh_store::account::Account;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, warn};

use super::connection_scaler::ConnectionScaler;
use super::connection_task::{ConnectionExit, ConnectionTask};
use super::progress::ServerProgress;
use crate::context::ServiceContext;
use crate::job::{ClaimedMail, Job};

/// Connections of one account, one task each.
#[derive(Debug)]
pub(super) struct ConnectionPool {
    context: Arc<ServiceContext>,
    account: Arc<Account>,
    jobs: Arc<Mutex<mpsc::Receiver<Job>>>,
    progress: Arc<ServerProgress>,
    worker_stop: CancellationToken,
    /// Ends the connections when the account cannot send, and when the worker stops.
    stop: CancellationToken,
    tasks: JoinSet<ConnectionExit>,
    scaler: ConnectionScaler,
}

impl ConnectionPool {
    pub(super) fn new(
        context: Arc<ServiceContext>,
        account: Arc<Account>,
        jobs: mpsc::Receiver<Job>,
        progress: Arc<ServerProgress>,
        worker_stop: CancellationToken,
    ) -> Self {
        Self {
            context,
            account,
            jobs: Arc::new(Mutex::new(jobs)),
            progress,
            stop: worker_stop.child_token(),
            worker_stop,
            tasks: JoinSet::new(),
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
                error = &error as &dyn std::error::Error,
                "A connection's task failed"
            );
            ConnectionExit::Done
        }))
    }

    /// Adds an open connection.
    pub(super) fn add(&mut self, transport: Box<dyn MailTransport>) {
        let task = self.new_task();
        self.tasks.spawn(task.run(transport).in_current_span());
    }

    /// Opens one more connection, if that may be tried now, while those that are open go on.
    pub(super) fn scale_up(&mut self) {
        let Some(opening) = self.scaler.try_open() else {
            return;
        };
        let task = self.new_task();
        let opened = async move {
            match task.connect().await {
                Ok(Some(transport)) => {
                    drop(opening);
                    task.run(transport).await
                }
                Ok(None) => ConnectionExit::Done,
                Err(failure) => ConnectionExit::NotOpened(failure),
            }
        };
        self.tasks.spawn(opened.in_current_span());
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
    pub(super) async fn take_jobs(&self) -> Vec<ClaimedMail> {
        let mut jobs = self.jobs.lock().await;
        let waiting = std::iter::from_fn(|| jobs.try_recv().ok());
        waiting.map(Job::into_claimed).collect()
    }

    /// Waits for the last final replies: cut off, mail would be uncertain for no reason. The host ends the wait when
    /// the process ends; others then find the attempts by their stage.
    pub(super) async fn finish(mut self) {
        while self.tasks.join_next().await.is_some() {}
    }

    fn new_task(&self) -> ConnectionTask {
        ConnectionTask {
            context: Arc::clone(&self.context),
            account: Arc::clone(&self.account),
            jobs: Arc::clone(&self.jobs),
            stop: self.stop.clone(),
            progress: Arc::clone(&self.progress),
        }
    }
}
