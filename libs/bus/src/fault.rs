//! What keeps the bus from being used, by the server's answers to the work itself and by what it says of the streams.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::publish::error::PublishError;
use crate::publish::message::PublishReceipt;
use crate::stream::kind::StreamKind;

/// How long a refusal counts after nobody has published to the stream again: longer than any backoff of ours.
const REFUSAL_LIFE: Duration = Duration::from_mins(10);

/// Why the bus does not do its work. It concerns every account alike.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BusFault {
    /// There is no connection, or no answer over it.
    #[error("NATS does not answer")]
    Silent,
    /// The server runs without JetStream, or has switched it off since its disk is full.
    #[error("the NATS server has no JetStream")]
    NoJetStream,
    /// The server does not answer for the stream: it may be electing the stream's leader.
    #[error("stream {stream} does not answer")]
    StreamSilent { stream: &'static str },
    /// The stream was deleted, and could not be made again.
    #[error("stream {stream} is gone")]
    StreamGone { stream: &'static str },
    /// The stream's own limit is reached.
    #[error("stream {stream} is full")]
    StreamFull { stream: &'static str },
    /// The server's disk, or our share of it, is used up.
    #[error("the NATS server has no room for messages of stream {stream} ({answer})")]
    NoStorage {
        stream: &'static str,
        /// The server's own words and code.
        answer: String,
    },
}

type Latest = [Option<(BusFault, Instant)>; StreamKind::ALL.len()];

/// Refusals of the server for want of room, by stream, until it takes a message there again.
#[derive(Debug, Default)]
pub(crate) struct PublishRefusals {
    is_any: AtomicBool,
    latest: Mutex<Latest>,
}

impl PublishRefusals {
    /// Returns the streams that messages are for; nothing if no answer could end a refusal.
    pub(crate) fn streams_of<'a>(
        &self,
        subjects: impl Iterator<Item = &'a str>,
    ) -> Vec<Option<StreamKind>> {
        if self.is_any.load(Ordering::Relaxed) {
            subjects.map(StreamKind::of).collect()
        } else {
            Vec::new()
        }
    }

    /// Notes what the server answered to the messages for these streams.
    pub(crate) fn note(
        &self,
        streams: &[Option<StreamKind>],
        answers: &[Result<PublishReceipt, PublishError>],
    ) {
        for (index, answer) in answers.iter().enumerate() {
            match answer {
                Ok(_) => {
                    if let Some(Some(stream)) = streams.get(index) {
                        self.set(*stream, None);
                    }
                }
                Err(error) => {
                    if let Some((stream, fault)) = fault_of(error) {
                        self.set(stream, Some((fault, Instant::now())));
                    }
                }
            }
        }
    }

    pub(crate) fn of(&self, stream: StreamKind) -> Option<BusFault> {
        if !self.is_any.load(Ordering::Relaxed) {
            return None;
        }
        let latest = self.lock();
        let (fault, at) = latest.get(stream.index())?.as_ref()?;
        (at.elapsed() < REFUSAL_LIFE).then(|| fault.clone())
    }

    fn set(&self, stream: StreamKind, refusal: Option<(BusFault, Instant)>) {
        let mut latest = self.lock();
        if let Some(slot) = latest.get_mut(stream.index()) {
            *slot = refusal;
        }
        let is_any = latest.iter().any(Option::is_some);
        self.is_any.store(is_any, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Latest> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn fault_of(error: &PublishError) -> Option<(StreamKind, BusFault)> {
    match error {
        PublishError::StreamFull { subject, .. } => {
            let kind = StreamKind::of(subject)?;
            let stream = kind.name();
            Some((kind, BusFault::StreamFull { stream }))
        }
        PublishError::NoStorage { subject, source } => {
            let kind = StreamKind::of(subject)?;
            let fault = BusFault::NoStorage {
                stream: kind.name(),
                answer: source.to_string(),
            };
            Some((kind, fault))
        }
        _ => None,
    }
}
