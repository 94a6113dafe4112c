//! Group commit of stages and outcomes: while one transaction is on its way to the disk, the next
//! gathers. A commit per mail and stage would cap the mesh at the disk's sync rate. Stages go apart
//! from outcomes, because connections wait for them.

mod stage;

use std::sync::Arc;
use std::time::Duration;

use mailmesh_accounts::{GroupCommit, GroupHandle, Replica};
use mailmesh_domain::MailId;
use mailmesh_events::EncodedEvent;
use mailmesh_runtime::Lifecycle;
use mailmesh_store::outbound_mail::{self, Outcome};
use mailmesh_store::{StoreError, outbox};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::decide::MailEventKind;
use crate::in_flight::{InFlight, InFlightGuard};
use crate::metric;
pub(crate) use stage::StageEntry;
use stage::StageWrite;

const QUEUE: usize = 1_024;
const BATCH: usize = 512;
const RETRY: Duration = Duration::from_millis(500);
/// Maximum attempts to record the last outcomes when the process stops.
const LAST_TRIES: u32 = 10;

/// An outcome and the events that tell of it, recorded together or not at all.
#[derive(Debug)]
pub(crate) struct OutcomeRecord {
    pub(crate) outcome: Outcome,
    pub(crate) events: Vec<EncodedEvent>,
    /// What the events tell of.
    pub(crate) kind: Option<MailEventKind>,
}

/// An outcome that waits for the database, and the guard of its attempt.
#[derive(Debug)]
struct QueuedOutcome {
    recorded: OutcomeRecord,
    _guard: Option<InFlightGuard>,
}

/// Hands stages and outcomes to the recorder.
#[derive(Debug, Clone)]
pub(crate) struct RecorderHandle {
    in_flight: Arc<InFlight>,
    stages: GroupHandle<StageWrite>,
    outcomes: mpsc::Sender<QueuedOutcome>,
}

impl RecorderHandle {
    /// Records that an attempt is about to commit.
    pub(crate) async fn enter_committing(&self, mail: MailId, attempt: i32) -> StageEntry {
        let receipt = self.stages.add((mail, attempt)).await;
        receipt.wait().await.unwrap_or(StageEntry::NotRecorded)
    }

    /// Records an outcome some time soon; it is tried until it succeeds.
    pub(crate) async fn record(&self, recorded: OutcomeRecord) {
        let (mail, attempt) = (recorded.outcome.mail_id, recorded.outcome.attempt);
        let waiting = QueuedOutcome {
            _guard: self.in_flight.guard_again(mail, attempt),
            recorded,
        };
        if self.outcomes.send(waiting).await.is_err() {
            // Another replica finds the attempt by its stage.
            warn!("An outcome came after the recorder had stopped");
        }
    }
}

/// Writes stages and outcomes, in one loop each.
#[derive(Debug)]
pub(crate) struct Recorder {
    stages: GroupCommit<StageWrite>,
    outcomes: Outcomes,
}

#[derive(Debug)]
struct Outcomes {
    replica: Replica,
    requests: mpsc::Receiver<QueuedOutcome>,
    /// What the database did not take yet.
    pending: Vec<QueuedOutcome>,
}

impl Recorder {
    pub(crate) fn new(replica: Replica, in_flight: Arc<InFlight>) -> (Self, RecorderHandle) {
        let (stages, to_stages) = stage::recorder(replica.clone());
        let (to_outcomes, requests) = mpsc::channel(QUEUE);
        let outcomes = Outcomes {
            replica,
            requests,
            pending: Vec::new(),
        };
        let handle = RecorderHandle {
            in_flight,
            stages: to_stages,
            outcomes: to_outcomes,
        };
        (Self { stages, outcomes }, handle)
    }

    /// Records until `part` stops, then what is left. Stop it after the senders have ended.
    pub(crate) fn start(self, part: &Lifecycle) {
        part.spawn("stages", self.stages.run(part.stop_token()));
        part.spawn("outcomes", self.outcomes.run(part.stop_token()));
    }
}

impl Outcomes {
    async fn run(mut self, stop: CancellationToken) {
        loop {
            let has_pending = !self.pending.is_empty();
            tokio::select! {
                Some(request) = self.requests.recv(), if self.pending.len() < BATCH => {
                    self.pending.push(request);
                }
                () = tokio::time::sleep(RETRY), if has_pending => {}
                () = stop.cancelled() => break,
            }
            self.take_and_write().await;
        }
        self.requests.close();
        for _ in 0..LAST_TRIES {
            self.take_and_write().await;
            if self.pending.is_empty() && self.requests.is_empty() {
                return;
            }
            if !self.pending.is_empty() {
                tokio::time::sleep(RETRY).await;
            }
        }
        info!(
            outcomes = self.pending.len(),
            "Outcomes were not recorded; others find the attempts by their stage"
        );
    }

    async fn take_and_write(&mut self) {
        while self.pending.len() < BATCH
            && let Ok(next) = self.requests.try_recv()
        {
            self.pending.push(next);
        }
        if self.pending.is_empty() {
            return;
        }
        match self.write().await {
            Ok(()) => self.pending.clear(),
            Err(error) => warn!(
                error = &error as &dyn std::error::Error,
                outcomes = self.pending.len(),
                "Outcomes were not recorded; they are tried again"
            ),
        }
    }

    /// One transaction: an event is there exactly when its outcome is.
    async fn write(&self) -> Result<(), StoreError> {
        let now = self.replica.clock.now();
        let pending = || self.pending.iter().map(|waiting| &waiting.recorded);
        let outcomes: Vec<Outcome> = pending().map(|recorded| recorded.outcome.clone()).collect();
        let mut tx = self.replica.database.begin().await?;
        let settled = outbound_mail::record_outcomes(&mut tx, &outcomes, now).await?;
        let events: Vec<EncodedEvent> = pending()
            .filter(|recorded| settled.contains(&recorded.outcome.mail_id))
            .flat_map(|recorded| recorded.events.iter().cloned())
            .collect();
        outbox::insert(&mut tx, self.replica.id, &events, now).await?;
        tx.commit().await?;
        let told = pending().filter(|recorded| settled.contains(&recorded.outcome.mail_id));
        for kind in told.filter_map(|recorded| recorded.kind) {
            metric::count(metric::outcome_of(kind), 1);
        }
        if !events.is_empty() {
            self.replica.outbox.wake();
        }
        Ok(())
    }
}
