use std::sync::Arc;
use std::time::Duration;

use mailmesh_bus::trace;
use mailmesh_mail::transport::{MailTransport, TransportFailure};
use mailmesh_store::account::Account;
use mailmesh_store::outbound_mail::OutboundMail;
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span, debug, field, info_span};

use super::connect::{NotOpened, open};
use super::progress::ServerProgress;
use crate::context::ServiceContext;
use crate::decide::{AttemptResult, decide};
use crate::delivery::{DeliveryResult, deliver, hung_up};
use crate::job::Job;

/// Why a connection ended.
#[derive(Debug)]
pub(super) enum ConnectionExit {
    /// Nothing more to do, or the server closed it.
    Done,
    /// It could not be opened.
    NotOpened(TransportFailure),
    /// The account cannot send for now.
    Blocked(TransportFailure),
    /// The connection or the server failed; another connection may work.
    Strained(TransportFailure),
}

/// One connection of an account, which sends one mail after the other.
#[derive(Debug)]
pub(super) struct ConnectionTask {
    pub(super) context: Arc<ServiceContext>,
    pub(super) account: Arc<Account>,
    pub(super) jobs: Arc<Mutex<mpsc::Receiver<Job>>>,
    pub(super) stop: CancellationToken,
    pub(super) progress: Arc<ServerProgress>,
}

impl ConnectionTask {
    pub(super) async fn run(self, mut transport: Box<dyn MailTransport>) -> ConnectionExit {
        let idle = Duration::from_secs(self.context.config.idle_seconds);
        loop {
            let job = tokio::select! {
                biased;
                () = self.stop.cancelled() => None,
                job = self.next_job() => job,
                () = tokio::time::sleep(idle) => None,
            };
            let Some(job) = job else {
                transport.close().await;
                return ConnectionExit::Done;
            };
            if let Err(end) = self.send(&mut transport, job).await {
                return end;
            }
            if !transport.is_reusable() {
                transport.close().await;
                return ConnectionExit::Done;
            }
        }
    }

    async fn next_job(&self) -> Option<Job> {
        self.jobs.lock().await.recv().await
    }

    /// Opens a connection with the account's present token; none when it cannot be tried now.
    pub(super) async fn connect(&self) -> Result<Option<Box<dyn MailTransport>>, TransportFailure> {
        match open(&self.context, &self.account, None).await {
            Ok((transport, _)) => Ok(Some(transport)),
            // The worker meets the same when it opens its next connection, and deals with it.
            Err(NotOpened::NoEndpoint(_) | NotOpened::NoCredentials(_)) => Ok(None),
            Err(NotOpened::Failed { failure, .. }) => Err(failure),
        }
    }

    /// Sends one mail; an error ends the connection.
    async fn send(
        &self,
        transport: &mut Box<dyn MailTransport>,
        job: Job,
    ) -> Result<(), ConnectionExit> {
        let span = info_span!(
            "deliver.mail",
            mail.id = %job.mail.id,
            account.id = %self.account.id,
            delivery.attempt = job.mail.attempts,
            outcome = field::Empty,
        );
        if let Some(parent) = &job.mail.trace_parent {
            trace::continue_from(&span, &[("traceparent".to_owned(), parent.clone())]);
        }
        self.send_in_span(transport, job).instrument(span).await
    }

    async fn send_in_span(
        &self,
        transport: &mut Box<dyn MailTransport>,
        job: Job,
    ) -> Result<(), ConnectionExit> {
        let recorder = &self.context.recorder;
        let mut delivered = deliver(transport.as_mut(), recorder, &job.mail, &job.raw).await;
        let mut end_if_gone = ConnectionExit::Done;
        // Gmail and Exchange hang up after minutes without mail. Nothing was tried, so it is on a new connection, once.
        if matches!(delivered, DeliveryResult::ConnectionGone) {
            match self.connect().await {
                Ok(Some(fresh)) => {
                    *transport = fresh;
                    delivered = deliver(transport.as_mut(), recorder, &job.mail, &job.raw).await;
                    end_if_gone = ConnectionExit::Strained(hung_up());
                }
                Ok(None) => {}
                Err(failure) => {
                    self.record_result(&job.mail, AttemptResult::Unattempted)
                        .await;
                    return Err(ConnectionExit::NotOpened(failure));
                }
            }
        }
        match delivered {
            DeliveryResult::Ended(ended) => {
                let was_tried = !matches!(ended, AttemptResult::Unattempted);
                match self.record_result(&job.mail, ended).await {
                    Some(failure) if failure.is_of_host() => Err(ConnectionExit::Strained(failure)),
                    Some(failure) => Err(ConnectionExit::Blocked(failure)),
                    None => {
                        if was_tried {
                            self.progress.record_answer();
                        }
                        Ok(())
                    }
                }
            }
            DeliveryResult::TakenOver => {
                debug!(mail.id = %job.mail.id, "Another replica has taken the mail over");
                Ok(())
            }
            DeliveryResult::ConnectionGone => {
                self.record_result(&job.mail, AttemptResult::Unattempted)
                    .await;
                Err(end_if_gone)
            }
        }
    }

    /// Decides and hands the outcome to the recorder; returns what keeps the account from sending.
    async fn record_result(
        &self,
        mail: &OutboundMail,
        ended: AttemptResult,
    ) -> Option<TransportFailure> {
        let now = self.context.replica.clock.now();
        let mut decision = decide(mail, ended, &self.context.retry, now);
        let (outcome, obstacle) = (&decision.outcome, decision.obstacle.take());
        Span::current().record("outcome", outcome.state.as_str());
        debug!(
            mail.id = %mail.id,
            state = %outcome.state,
            code = outcome.problem.as_ref().and_then(|problem| problem.code.as_deref()),
            "Attempt ended"
        );
        self.context.record(&self.account.key, mail, decision).await;
        obstacle
    }
}
