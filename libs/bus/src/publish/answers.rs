use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{PublishError as ClientError, PublishErrorKind};
use async_nats::jetstream::publish::PublishAck;

use super::error::{PublishError, refused};
use super::message::{PreparedMessage, PublishReceipt};
use super::plan::{IndexedMessage, PublishStep};
use crate::cause::{NatsCause, jetstream_error};
use crate::metric;

pub(super) type PublishResult = Result<PublishReceipt, PublishError>;

/// Sent, and waiting for the server's acknowledgement.
pub(super) enum AwaitingAck {
    One { index: usize, subject: String },
    Together(Vec<IndexedMessage>),
}

/// The answers of a call, as they come in.
pub(super) struct PublishAnswers {
    each: Vec<Option<PublishResult>>,
    /// Of batches that the server refused: none of these is stored.
    pub(super) refused: Vec<IndexedMessage>,
    pub(super) takes_batches: bool,
}

impl From<PublishStep> for AwaitingAck {
    fn from(step: PublishStep) -> Self {
        match step {
            PublishStep::One(IndexedMessage { index, prepared }) => Self::One {
                index,
                subject: prepared.subject,
            },
            PublishStep::Together(messages) => Self::Together(messages),
        }
    }
}

impl PublishAnswers {
    pub(super) fn new(count: usize) -> Self {
        let mut each = Vec::new();
        each.resize_with(count, || None);
        Self {
            each,
            refused: Vec::new(),
            takes_batches: true,
        }
    }

    /// Settles what cannot be sent, and returns the rest.
    pub(super) fn sort_out(
        &mut self,
        prepared: Vec<Result<PreparedMessage, PublishError>>,
    ) -> Vec<IndexedMessage> {
        let mut ready = Vec::with_capacity(prepared.len());
        for (index, each) in prepared.into_iter().enumerate() {
            match each {
                Ok(prepared) => ready.push(IndexedMessage { index, prepared }),
                Err(error) => self.settle(index, Err(error)),
            }
        }
        ready
    }

    fn settle(&mut self, index: usize, answer: PublishResult) {
        metric::published(&answer);
        self.set(index, answer);
    }

    pub(super) fn set(&mut self, index: usize, answer: PublishResult) {
        if let Some(slot) = self.each.get_mut(index) {
            *slot = Some(answer);
        }
    }

    pub(super) fn settle_all(
        &mut self,
        waiting: AwaitingAck,
        error: impl Fn(String) -> PublishError,
    ) {
        match waiting {
            AwaitingAck::One { index, subject } => self.settle(index, Err(error(subject))),
            AwaitingAck::Together(messages) => {
                for IndexedMessage { index, prepared } in messages {
                    self.settle(index, Err(error(prepared.subject)));
                }
            }
        }
    }

    pub(super) fn take(&mut self, waiting: AwaitingAck, ack: Result<PublishAck, ClientError>) {
        match (waiting, ack) {
            (AwaitingAck::One { index, .. }, Ok(ack)) => {
                let published = PublishReceipt {
                    sequence: ack.sequence,
                    is_duplicate: ack.duplicate,
                };
                self.settle(index, Ok(published));
            }
            (AwaitingAck::Together(messages), Ok(ack)) => self.take_batch(messages, &ack),
            (waiting, Err(error)) => self.take_refusal(waiting, error),
        }
    }

    /// Messages of a batch have consecutive sequences, and the acknowledgement names the last.
    fn take_batch(&mut self, messages: Vec<IndexedMessage>, ack: &PublishAck) {
        let count = messages.len() as u64;
        if ack.batch_size != Some(count) {
            // A server without batches may have stored some of them: sent again, those are recognised by their message ids.
            self.takes_batches = false;
            self.refused.extend(messages);
            return;
        }
        let first = (ack.sequence + 1).saturating_sub(count);
        for (message, sequence) in messages.iter().zip(first..) {
            let published = PublishReceipt {
                sequence,
                is_duplicate: false,
            };
            self.settle(message.index, Ok(published));
        }
    }

    fn take_refusal(&mut self, waiting: AwaitingAck, error: ClientError) {
        let refusal = jetstream_error(&error);
        match (error.kind(), refusal, waiting) {
            (PublishErrorKind::StreamNotFound, _, waiting) => {
                self.settle_all(waiting, |subject| PublishError::NoStream { subject });
            }
            (PublishErrorKind::WrongLastSequence, _, waiting) => {
                self.settle_all(waiting, |subject| PublishError::Fenced { subject });
            }
            // One of them is a duplicate, or the stream has no space for all: each may still pass by itself.
            (_, Some(refusal), AwaitingAck::Together(messages)) => {
                self.takes_batches &= refusal.error_code() != ErrorCode::ATOMIC_PUBLISH_DISABLED;
                self.refused.extend(messages);
            }
            (_, Some(refusal), one @ AwaitingAck::One { .. }) => {
                self.settle_all(one, |subject| refused(subject, refusal));
            }
            (_, None, waiting) => {
                let cause = NatsCause::from(error);
                self.settle_all(waiting, |subject| unknown(subject, &cause));
            }
        }
    }

    pub(super) fn finish(self) -> Vec<PublishResult> {
        let answered = self.each.into_iter();
        answered
            .map(|each| each.unwrap_or_else(nothing_sent))
            .collect()
    }
}

pub(super) fn unknown(subject: String, cause: &NatsCause) -> PublishError {
    PublishError::Unknown {
        subject,
        source: cause.clone(),
    }
}

pub(super) fn nothing_sent() -> PublishResult {
    Err(PublishError::NotSent {
        subject: String::new(),
    })
}
