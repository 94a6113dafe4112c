use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::header::{
    NATS_BATCH_COMMIT, NATS_BATCH_COMMIT_FINAL, NATS_BATCH_ID, NATS_BATCH_SEQUENCE,
};
use async_nats::jetstream::context::{
    PublishAckFuture, PublishError as ClientError, PublishErrorKind,
};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::publish::PublishAck;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use super::answers::{AwaitingAck, PublishAnswers, PublishResult, nothing_sent, unknown};
use super::budget::PublishPermit;
use super::error::PublishError;
use super::message::PreparedMessage;
use super::plan::{IndexedMessage, PublishStep, plan};
use crate::cause::NatsCause;
use crate::connection::{Bus, NatsClient};
use crate::delay::jittered;
use crate::stream::kind::StreamKind;

/// Time limit for handing all messages of a call to the client; acks may take one request timeout more.
const SEND_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a call waits for a lost connection before it answers `NotSent`.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(5);

/// Maximum repetitions of a message that the stream refused as it was checking another one under the same fence.
const BUSY_TRIES: u32 = 12;

type HandedOver = Result<PublishAckFuture, ClientError>;

impl Bus {
    async fn send_one(&self, prepared: PreparedMessage) -> PublishResult {
        let mut answers = self.send_all(vec![Ok(prepared)]).await;
        answers.pop().unwrap_or_else(nothing_sent)
    }

    pub(crate) fn send_all(
        &self,
        prepared: Vec<Result<PreparedMessage, PublishError>>,
    ) -> BoxFuture<'_, Vec<PublishResult>> {
        Box::pin(async move {
            let deadline = Instant::now() + SEND_TIMEOUT;
            let streams = self.streams_of(&prepared);
            let mut answers = PublishAnswers::new(prepared.len());
            let steps = self.plan(answers.sort_out(prepared));
            self.send_steps(steps, &mut answers, deadline).await;
            self.note_batches(&answers);
            let mut refused = std::mem::take(&mut answers.refused);
            refused.sort_unstable_by_key(|message| message.index);
            let steps = refused.into_iter().map(PublishStep::One).collect();
            self.send_steps(steps, &mut answers, deadline).await;
            let answers = answers.finish();
            self.inner.refusals.note(&streams, &answers);
            answers
        })
    }

    fn streams_of(
        &self,
        prepared: &[Result<PreparedMessage, PublishError>],
    ) -> Vec<Option<StreamKind>> {
        let subjects = prepared
            .iter()
            .map(|each| each.as_ref().map_or("", |each| each.subject.as_str()));
        self.inner.refusals.streams_of(subjects)
    }

    /// As `send_all`, but nothing is in flight beside a message or a batch: while a check of a subject's last sequence is on
    /// its way through the replicas of a stream, the leader refuses the next one.
    pub(crate) fn send_in_turn(
        &self,
        prepared: Vec<Result<PreparedMessage, PublishError>>,
    ) -> BoxFuture<'_, Vec<PublishResult>> {
        Box::pin(async move {
            let streams = self.streams_of(&prepared);
            let mut answers = PublishAnswers::new(prepared.len());
            let steps = self.plan(answers.sort_out(prepared));
            for step in steps {
                let deadline = Instant::now() + SEND_TIMEOUT;
                match step {
                    PublishStep::One(one) => answers.refused.push(one),
                    batch @ PublishStep::Together(_) => {
                        self.send_steps(vec![batch], &mut answers, deadline).await;
                    }
                }
                for IndexedMessage { index, prepared } in std::mem::take(&mut answers.refused) {
                    let answer = self.send_when_free(Ok(prepared)).await;
                    answers.set(index, answer);
                }
            }
            self.note_batches(&answers);
            let answers = answers.finish();
            self.inner.refusals.note(&streams, &answers);
            answers
        })
    }

    /// Sends one message, again if the stream was busy with another check of the same subject.
    pub(crate) async fn send_when_free(
        &self,
        prepared: Result<PreparedMessage, PublishError>,
    ) -> PublishResult {
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

    fn plan(&self, ready: Vec<IndexedMessage>) -> Vec<PublishStep> {
        if self.inner.takes_batches.load(Ordering::Relaxed) {
            plan(ready)
        } else {
            ready.into_iter().map(PublishStep::One).collect()
        }
    }

    fn note_batches(&self, answers: &PublishAnswers) {
        let was_taking = || self.inner.takes_batches.swap(false, Ordering::Relaxed);
        if !answers.takes_batches && was_taking() {
            warn!(
                "NATS takes no atomic batches for a stream, each message is sent by itself: slower, not less safe"
            );
        }
    }

    async fn send_steps(
        &self,
        steps: Vec<PublishStep>,
        answers: &mut PublishAnswers,
        deadline: Instant,
    ) {
        let mut in_flight = FuturesUnordered::new();
        for step in steps {
            // Acks are processed during the wait: our own messages may be what fills the budget.
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

    /// Waits for a connection and for a part of the budget; none when the deadline comes first.
    async fn room(&self, units: usize, is_batch: bool, deadline: Instant) -> Option<PublishPermit> {
        // Sending without a connection would queue the message: unknown to us, stored some time later.
        let connection_deadline = deadline.min(Instant::now() + CONNECTION_TIMEOUT);
        if !self.is_connected_before(connection_deadline).await {
            return None;
        }
        let budget = &self.inner.publish_budget;
        budget.reserve(units, is_batch, deadline).await
    }

    async fn hand_over(&self, step: PublishStep, deadline: Instant) -> (AwaitingAck, HandedOver) {
        let nats = self.nats().await;
        match step {
            PublishStep::One(IndexedMessage { index, prepared }) => {
                let PreparedMessage {
                    subject,
                    wire_subject,
                    headers,
                    payload,
                    ..
                } = prepared;
                let message = PublishMessage::build().headers(headers).payload(payload);
                let sent = nats.jetstream.send_publish(wire_subject, message).await;
                (AwaitingAck::One { index, subject }, sent)
            }
            PublishStep::Together(messages) => {
                let sent = timeout_at(deadline, send_batch(&nats, &messages)).await;
                // The last message is what makes the server store them.
                let sent = sent.unwrap_or_else(|_| Err(not_committed()));
                (AwaitingAck::Together(messages), sent)
            }
        }
    }
}

/// Sends all messages under one batch id; only the last one is answered.
async fn send_batch(nats: &NatsClient, messages: &[IndexedMessage]) -> HandedOver {
    let id = nats.client.new_inbox();
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
            return nats.jetstream.send_publish(subject, commit).await;
        }
        let sent = nats.client.publish_with_headers(subject, headers, payload);
        sent.await.map_err(|_| not_committed())?;
    }
    Err(not_committed())
}

fn not_committed() -> ClientError {
    ClientError::new(PublishErrorKind::TimedOut)
}

async fn answered(
    waiting: AwaitingAck,
    ack: PublishAckFuture,
    permit: PublishPermit,
) -> (AwaitingAck, Result<PublishAck, ClientError>) {
    let ack = ack.await;
    drop(permit);
    (waiting, ack)
}
