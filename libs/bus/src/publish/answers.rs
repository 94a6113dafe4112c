use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{PublishError as ClientError, PublishErrorKind};
use async_nats::jetstream::publish::PublishAck;

use super::error::{PublishError, refused};
use super::message::{Prepared, Published};
use super::plan::{Placed, Step};
use crate::cause::{NatsCause, jetstream_error};
use crate::metric;

pub(super) type Answer = Result<Published, PublishError>;

/// Sent, and waiting for the server's word.
pub(super) enum Waiting {
    One { index: usize, subject: String },
    Together(Vec<Placed>),
}

/// The answers of a call, as they come in.
pub(super) struct Answers {
    each: Vec<Option<Answer>>,
    /// Of batches that the server refused: none of these is stored.
    pub(super) refused: Vec<Placed>,
    pub(super) takes_batches: bool,
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
        prepared: Vec<Result<Prepared, PublishError>>,
    ) -> Vec<Placed> {
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

    pub(super) fn set(&mut self, index: usize, answer: Answer) {
        if let Some(slot) = self.each.get_mut(index) {
            *slot = Some(answer);
        }
    }

    pub(super) fn settle_all(&mut self, waiting: Waiting, error: impl Fn(String) -> PublishError) {
        match waiting {
            Waiting::One { index, subject } => self.settle(index, Err(error(subject))),
            Waiting::Together(messages) => {
                for Placed { index, prepared } in messages {
                    self.settle(index, Err(error(prepared.subject)));
                }
            }
        }
    }

    pub(super) fn take(&mut self, waiting: Waiting, ack: Result<PublishAck, ClientError>) {
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

    pub(super) fn finish(self) -> Vec<Answer> {
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

pub(super) fn nothing_sent() -> Answer {
    Err(PublishError::NotSent {
        subject: String::new(),
    })
}
