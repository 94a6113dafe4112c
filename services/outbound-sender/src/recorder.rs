//! Group commit of stages and outcomes: while one transaction is on its way to the disk, the next
//! gathers. A commit per mail and stage would cap the mesh at the disk's sync rate.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use mailmesh_domain::MailId;
use mailmesh_events::Encoded;
use mailmesh_replica::Replica;
use mailmesh_store::outbound_mail::{self, Outcome};
use mailmesh_store::{StoreError, outbox, send_attempt};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::job::InHand;

const QUEUE: usize = 1_024;
const BATCH: usize = 512;
const RETRY: Duration = Duration::from_millis(500);
/// How often the last outcomes are tried when the process stops.
const LAST_TRIES: u32 = 10;

/// Whether a final dot may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry {
    Entered,
    TakenOver,
    NotRecorded,
}

/// An outcome and the events that tell of it, recorded together or not at all.
#[derive(Debug)]
pub(crate) struct Recorded {
    pub(crate) outcome: Outcome,
    pub(crate) events: Vec<Encoded>,
}

#[derive(Debug)]
enum Request {
    Enter {
        mail: MailId,
        attempt: i32,
        answer: oneshot::Sender<Entry>,
    },
    Record(Box<Recorded>),
}

/// The side of those who send.
#[derive(Debug, Clone)]
pub(crate) struct RecorderHandle {
    requests: mpsc::Sender<Request>,
}

impl RecorderHandle {
    /// Records that an attempt is about to send its final dot.
    pub(crate) async fn enter_final_dot(&self, mail: MailId, attempt: i32) -> Entry {
        let (answer, answered) = oneshot::channel();
        let request = Request::Enter {
            mail,
            attempt,
            answer,
        };
        if self.requests.send(request).await.is_err() {
            return Entry::NotRecorded;
        }
        answered.await.unwrap_or(Entry::NotRecorded)
    }

    /// Records an outcome some time soon; it is tried until it succeeds.
    pub(crate) async fn record(&self, recorded: Recorded) {
        let request = Request::Record(Box::new(recorded));
        if self.requests.send(request).await.is_err() {
            // Another replica finds the attempt by its stage.
            warn!("An outcome came after the recorder had stopped");
        }
    }
}

/// Writes what the senders hand in.
#[derive(Debug)]
pub(crate) struct Recorder {
    replica: Replica,
    in_hand: Arc<InHand>,
    requests: mpsc::Receiver<Request>,
    /// What the database did not take yet.
    pending: Vec<Recorded>,
}

type Entering = (MailId, i32, oneshot::Sender<Entry>);

impl Recorder {
    pub(crate) fn new(replica: Replica, in_hand: Arc<InHand>) -> (Self, RecorderHandle) {
        let (sender, requests) = mpsc::channel(QUEUE);
        let recorder = Self {
            replica,
            in_hand,
            requests,
            pending: Vec::new(),
        };
        (recorder, RecorderHandle { requests: sender })
    }

    /// Records until `stop`, then what is left. Stop it after the senders have ended.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        loop {
            let has_pending = !self.pending.is_empty();
            let first = tokio::select! {
                request = self.requests.recv() => request,
                () = tokio::time::sleep(RETRY), if has_pending => None,
                () = stop.cancelled() => break,
            };
            self.take_and_write(first).await;
        }
        self.requests.close();
        for _ in 0..LAST_TRIES {
            self.take_and_write(None).await;
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

    async fn take_and_write(&mut self, first: Option<Request>) {
        let mut entering: Vec<Entering> = Vec::new();
        let mut next = first;
        while self.pending.len() + entering.len() < BATCH {
            match next.take() {
                Some(Request::Enter {
                    mail,
                    attempt,
                    answer,
                }) => entering.push((mail, attempt, answer)),
                Some(Request::Record(recorded)) => self.pending.push(*recorded),
                None => {}
            }
            match self.requests.try_recv() {
                Ok(request) => next = Some(request),
                Err(_) => break,
            }
        }
        // The bound was reached with one taken out.
        if let Some(Request::Record(recorded)) = next {
            self.pending.push(*recorded);
        } else if let Some(Request::Enter {
            mail,
            attempt,
            answer,
        }) = next
        {
            entering.push((mail, attempt, answer));
        }
        if entering.is_empty() && self.pending.is_empty() {
            return;
        }
        self.write_and_answer(entering).await;
    }

    async fn write_and_answer(&mut self, entering: Vec<Entering>) {
        match self.write(&entering).await {
            Ok(entered) => {
                for recorded in self.pending.drain(..) {
                    self.in_hand.remove(recorded.outcome.mail_id);
                }
                for (mail, _, answer) in entering {
                    let entry = if entered.contains(&mail) {
                        Entry::Entered
                    } else {
                        Entry::TakenOver
                    };
                    // Whoever asked may have gone: then the dot is not sent.
                    answer.send(entry).ok();
                }
            }
            Err(error) => {
                warn!(
                    error = &error as &dyn std::error::Error,
                    stages = entering.len(),
                    outcomes = self.pending.len(),
                    "Stages and outcomes were not recorded; outcomes are tried again"
                );
                for (_, _, answer) in entering {
                    answer.send(Entry::NotRecorded).ok();
                }
            }
        }
    }

    /// One transaction: an event is there exactly when its outcome is.
    async fn write(&self, entering: &[Entering]) -> Result<HashSet<MailId>, StoreError> {
        let now = self.replica.clock.now();
        let mut tx = self.replica.database.begin().await?;
        let mut entered = HashSet::new();
        if !entering.is_empty() {
            let attempts: Vec<(MailId, i32)> = entering
                .iter()
                .map(|(mail, attempt, _)| (*mail, *attempt))
                .collect();
            entered = send_attempt::enter_final_dot(&mut tx, &attempts).await?;
        }
        let mut has_events = false;
        if !self.pending.is_empty() {
            let outcomes: Vec<Outcome> = self
                .pending
                .iter()
                .map(|recorded| recorded.outcome.clone())
                .collect();
            let settled = outbound_mail::record_outcomes(&mut tx, &outcomes, now).await?;
            let events: Vec<Encoded> = self
                .pending
                .iter()
                .filter(|recorded| settled.contains(&recorded.outcome.mail_id))
                .flat_map(|recorded| recorded.events.iter().cloned())
                .collect();
            has_events = !events.is_empty();
            outbox::insert(&mut tx, self.replica.id, &events, now).await?;
        }
        tx.commit().await?;
        if has_events {
            self.replica.outbox.wake();
        }
        Ok(entered)
    }
}
