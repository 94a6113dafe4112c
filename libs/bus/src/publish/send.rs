use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::header::{
    NATS_BATCH_COMMIT, NATS_BATCH_COMMIT_FINAL, NATS_BATCH_ID, NATS_BATCH_SEQUENCE,
};
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{
    PublishAckFuture, PublishError as ClientError, PublishErrorKind,
};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::publish::PublishAck;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use super::error::{PublishError, refused};
use super::plan::{Placed, Step, plan};
use super::{Prepared, Published};
use crate::cause::{NatsCause, jetstream_error};
use crate::connection::{Bus, Wire};
use crate::delay::jittered;
use crate::metric;

/// How long a call to publish may take to hand everything over; acks may take one request timeout more.
const SEND_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a call waits for a lost connection before it says that nothing was sent.
const LINK_TIMEOUT: Duration = Duration::from_secs(5);

/// How often a message is sent again to a stream that is busy.
const BUSY_TRIES: u32 = 12;

type Answer = Result<Published, PublishError>;

type HandedOver = Result<PublishAckFuture, ClientError>;

/// Sent, and waiting for the server's word.
enum Waiting {
    One { index: usize, subject: String },
    Together(Vec<Placed>),
}

/// The right to have so much in flight.
struct Room {
    _units: OwnedSemaphorePermit,
    _batch: Option<OwnedSemaphorePermit>,
}

/// The answers of a call, as they come in.
struct Answers {
    each: Vec<Option<Answer>>,
    /// Of batches that the server refused: none of these is stored.
    refused: Vec<Placed>,
    takes_batches: bool,
}

impl Bus {
    async fn send_one(&self, prepared: Prepared) -> Answer {
        let mut answers = self.send_all(vec![Ok(prepared)]).await;
        answers.pop().unwrap_or_else(nothing_sent)
    }

    pub(crate) fn send_all(
        &self,
        prepared: Vec<Result<Prepared, PublishError>>,
    ) -> BoxFuture<'_, Vec<Answer>> {
        Box::pin(async move {
            let deadline = Instant::now() + SEND_TIMEOUT;
            let mut answers = Answers::new(prepared.len());
            let steps = self.plan(answers.sort_out(prepared));
            self.send_steps(steps, &mut answers, deadline).await;
            self.note_batches(&answers);
            let mut refused = std::mem::take(&mut answers.refused);
            refused.sort_unstable_by_key(|message| message.index);
            let steps = refused.into_iter().map(Step::One).collect();
            self.send_steps(steps, &mut answers, deadline).await;
            answers.finish()
        })
    }

    /// As `send_all`, but nothing is in flight beside a message or a batch: while a check of a subject's last sequence is on
    /// its way through the replicas of a stream, the leader refuses the next one.
    pub(crate) fn send_in_turn(
        &self,
        prepared: Vec<Result<Prepared, PublishError>>,
    ) -> BoxFuture<'_, Vec<Answer>> {
        Box::pin(async move {
            let mut answers = Answers::new(prepared.len());
            let steps = self.plan(answers.sort_out(prepared));
            for step in steps {
                let deadline = Instant::now() + SEND_TIMEOUT;
                match step {
                    Step::One(one) => answers.refused.push(one),
                    batch @ Step::Together(_) => {
                        self.send_steps(vec![batch], &mut answers, deadline).await;
                    }
                }
                for Placed { index, prepared } in std::mem::take(&mut answers.refused) {
                    let answer = self.send_when_free(Ok(prepared)).await;
                    answers.set(index, answer);
                }
            }
            self.note_batches(&answers);
            answers.finish()
        })
    }

    /// Sends one message, again if the stream was busy with another check of the same subject.
    pub(crate) async fn send_when_free(&self, prepared: Result<Prepared, PublishError>) -> Answer {
        let prepared = prepared?;
        let mut tries = 0;
        loop {
            let answer = self.send_one(prepared.clone()).await;
            let is_busy = answer.as_ref().is_err_and(PublishError::is_busy);
            if !is_busy || tries == BUSY_TRIES {
                return answer;
            }
            let delay = jittered(tries, Duration::from_millis(2), Duration::from_millis(200));
            tokio::time::sleep(delay).await;
            tries += 1;
        }
    }

    fn plan(&self, ready: Vec<Placed>) -> Vec<Step> {
        if self.inner.takes_batches.load(Ordering::Relaxed) {
            plan(ready)
        } else {
            ready.into_iter().map(Step::One).collect()
        }
    }

    fn note_batches(&self, answers: &Answers) {
        let was_taking = || self.inner.takes_batches.swap(false, Ordering::Relaxed);
        if !answers.takes_batches && was_taking() {
            warn!(
                "NATS takes no atomic batches for a stream, each message is sent by itself: slower, not less safe"
            );
        }
    }

    async fn send_steps(&self, steps: Vec<Step>, answers: &mut Answers, deadline: Instant) {
        let mut in_flight = FuturesUnordered::new();
        for step in steps {
            // Acks are taken in while we wait for room: our own messages may be what fills it.
            let room = self.room(step.units(), step.is_batch(), deadline);
            tokio::pin!(room);
            let room = loop {
                tokio::select! {
                    room = &mut room => break room,
                    Some((waiting, ack)) = in_flight.next() => answers.take(waiting, ack),
                }
            };
            let Some(room) = room else {
                answers.settle_all(step.into(), |subject| PublishError::NotSent { subject });
                continue;
            };
            let (waiting, handed_over) = self.hand_over(step, deadline).await;
            match handed_over {
                Ok(ack) => in_flight.push(answered(waiting, ack, room)),
                Err(error) => {
                    let (kind, cause) = (error.kind(), NatsCause::from(error));
                    answers.settle_all(waiting, |subject| match kind {
                        // The command did not enter the client's queue.
                        PublishErrorKind::TimedOut => PublishError::NotSent { subject },
                        _ => unknown(subject, &cause),
                    });
                }
            }
        }
        while let Some((waiting, ack)) = in_flight.next().await {
            answers.take(waiting, ack);
        }
    }

    /// Waits for a connection and for room in flight; none when the deadline comes first.
    async fn room(&self, units: usize, is_batch: bool, deadline: Instant) -> Option<Room> {
        // Sending without a connection would queue the message: unknown to us, stored some time later.
        let link_deadline = deadline.min(Instant::now() + LINK_TIMEOUT);
        if !self.link_is_up_before(link_deadline).await {
            return None;
        }
        let inner = &self.inner;
        let batch = if is_batch {
            Some(acquire(&inner.batches_in_flight, 1, deadline).await?)
        } else {
            None
        };
        Some(Room {
            _units: acquire(&inner.in_flight, units, deadline).await?,
            _batch: batch,
        })
    }

    async fn hand_over(&self, step: Step, deadline: Instant) -> (Waiting, HandedOver) {
        let wire = self.wire().await;
        match step {
            Step::One(Placed { index, prepared }) => {
                let Prepared {
                    subject,
                    wire_subject,
                    headers,
                    payload,
                    ..
                } = prepared;
                let message = PublishMessage::build().headers(headers).payload(payload);
                let sent = wire.jetstream.send_publish(wire_subject, message).await;
                (Waiting::One { index, subject }, sent)
            }
            Step::Together(messages) => {
                let sent = timeout_at(deadline, send_batch(&wire, &messages)).await;
                // The last message is what makes the server store them.
                let sent = sent.unwrap_or_else(|_| Err(not_committed()));
                (Waiting::Together(messages), sent)
            }
        }
    }
}

/// Sends all messages under one batch id; only the last one is answered.
async fn send_batch(wire: &Wire, messages: &[Placed]) -> HandedOver {
    let id = wire.client.new_inbox();
    let last = messages.len();
    for (message, number) in messages.iter().zip(1..) {
        let prepared = &message.prepared;
        let (subject, payload) = (prepared.wire_subject.clone(), prepared.payload.clone());
        let mut headers = prepared.headers.clone();
        headers.insert(NATS_BATCH_ID, id.as_str());
        headers.insert(NATS_BATCH_SEQUENCE, number.to_string());
        if number == last {
            headers.insert(NATS_BATCH_COMMIT, NATS_BATCH_COMMIT_FINAL);
            let commit = PublishMessage::build().headers(headers).payload(payload);
            return wire.jetstream.send_publish(subject, commit).await;
        }
        let sent = wire.client.publish_with_headers(subject, headers, payload);
        sent.await.map_err(|_| not_committed())?;
    }
    Err(not_committed())
}

fn not_committed() -> ClientError {
    ClientError::new(PublishErrorKind::TimedOut)
}

async fn acquire(
    of: &Arc<Semaphore>,
    permits: usize,
    deadline: Instant,
) -> Option<OwnedSemaphorePermit> {
    let permits = u32::try_from(permits).unwrap_or(u32::MAX);
    let acquired = timeout_at(deadline, Arc::clone(of).acquire_many_owned(permits)).await;
    acquired.ok()?.ok()
}

async fn answered(
    waiting: Waiting,
    ack: PublishAckFuture,
    room: Room,
) -> (Waiting, Result<PublishAck, ClientError>) {
    let ack = ack.await;
    drop(room);
    (waiting, ack)
}

impl From<Step> for Waiting {
    fn from(step: Step) -> Self {
        match step {
            Step::One(Placed { index, prepared }) => Self::One {
                index,
                subject: prepared.subject,
            },
            Step::Together(messages) => Self::Together(messages),
        }
    }
}

impl Answers {
    fn new(count: usize) -> Self {
        let mut each = Vec::new();
        each.resize_with(count, || None);
        Self {
            each,
            refused: Vec::new(),
            takes_batches: true,
        }
    }

    /// Settles what cannot be sent, and returns the rest.
    fn sort_out(&mut self, prepared: Vec<Result<Prepared, PublishError>>) -> Vec<Placed> {
        let mut ready = Vec::with_capacity(prepared.len());
        for (index, each) in prepared.into_iter().enumerate() {
            match each {
                Ok(prepared) => ready.push(Placed { index, prepared }),
                Err(error) => self.settle(index, Err(error)),
            }
        }
        ready
    }

    fn settle(&mut self, index: usize, answer: Answer) {
        metric::published(&answer);
        self.set(index, answer);
    }

    fn set(&mut self, index: usize, answer: Answer) {
        if let Some(slot) = self.each.get_mut(index) {
            *slot = Some(answer);
        }
    }

    fn settle_all(&mut self, waiting: Waiting, error: impl Fn(String) -> PublishError) {
        match waiting {
            Waiting::One { index, subject } => self.settle(index, Err(error(subject))),
            Waiting::Together(messages) => {
                for Placed { index, prepared } in messages {
                    self.settle(index, Err(error(prepared.subject)));
                }
            }
        }
    }

    fn take(&mut self, waiting: Waiting, ack: Result<PublishAck, ClientError>) {
        match (waiting, ack) {
            (Waiting::One { index, .. }, Ok(ack)) => {
                let published = Published {
                    sequence: ack.sequence,
                    is_duplicate: ack.duplicate,
                };
                self.settle(index, Ok(published));
            }
            (Waiting::Together(messages), Ok(ack)) => self.take_batch(messages, &ack),
            (waiting, Err(error)) => self.take_refusal(waiting, error),
        }
    }

    /// The messages of a batch lie one behind the other, and the word is about the last.
    fn take_batch(&mut self, messages: Vec<Placed>, ack: &PublishAck) {
        let count = messages.len() as u64;
        if ack.batch_size != Some(count) {
            // A server that knows no batches stored each by itself, or did not: their ids tell when they are sent again.
            self.takes_batches = false;
            self.refused.extend(messages);
            return;
        }
        let first = (ack.sequence + 1).saturating_sub(count);
        for (message, sequence) in messages.iter().zip(first..) {
            let published = Published {
                sequence,
                is_duplicate: false,
            };
            self.settle(message.index, Ok(published));
        }
    }

    fn take_refusal(&mut self, waiting: Waiting, error: ClientError) {
        let refusal = jetstream_error(&error);
        match (error.kind(), refusal, waiting) {
            (PublishErrorKind::StreamNotFound, _, waiting) => {
                self.settle_all(waiting, |subject| PublishError::NoStream { subject });
            }
            (PublishErrorKind::WrongLastSequence, _, waiting) => {
                self.settle_all(waiting, |subject| PublishError::Fenced { subject });
            }
            // One of them is a duplicate, or there is no room for all: each may still pass by itself.
            (_, Some(refusal), Waiting::Together(messages)) => {
                self.takes_batches &= refusal.error_code() != ErrorCode::ATOMIC_PUBLISH_DISABLED;
                self.refused.extend(messages);
            }
            (_, Some(refusal), one @ Waiting::One { .. }) => {
                self.settle_all(one, |subject| refused(subject, refusal));
            }
            (_, None, waiting) => {
                let cause = NatsCause::from(error);
                self.settle_all(waiting, |subject| unknown(subject, &cause));
            }
        }
    }

    fn finish(self) -> Vec<Answer> {
        let answered = self.each.into_iter();
        answered
            .map(|each| each.unwrap_or_else(nothing_sent))
            .collect()
    }
}

fn unknown(subject: String, cause: &NatsCause) -> PublishError {
    PublishError::Unknown {
        subject,
        source: cause.clone(),
    }
}

pub(super) fn nothing_sent() -> Answer {
    Err(PublishError::NotSent {
        subject: String::new(),
    })
}
