use std::collections::HashSet;

use futures_util::future::BoxFuture;
use time::OffsetDateTime;

use crate::api;
use crate::connection::Bus;
use crate::direct::{BatchRequest, batch, next_of_leader};
use crate::header::find;
use crate::stored::{ReadError, StoredMessage};
use crate::stream::StreamKind;
use crate::subject::is_literal;

const MESSAGE_ID: &str = "Nats-Msg-Id";
const BATCH_MESSAGES: usize = 256;
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// Reads one subject of `EVENTS` from a sequence to its end, a bounded part at a time.
#[derive(Debug)]
pub struct ReadBack {
    bus: Bus,
    subject: String,
    wire_subject: String,
    next_sequence: u64,
    is_done: bool,
}

impl Bus {
    /// Starts to read what `EVENTS` holds on one subject after a sequence.
    pub fn read_back(&self, subject: &str, after_sequence: u64) -> Result<ReadBack, ReadError> {
        if !is_literal(subject) {
            return Err(ReadError::BadSubject {
                subject: subject.to_owned(),
            });
        }
        Ok(ReadBack {
            bus: self.clone(),
            subject: subject.to_owned(),
            wire_subject: self.inner.prefix.subject(subject),
            next_sequence: after_sequence.saturating_add(1),
            is_done: false,
        })
    }
}

impl Bus {
    /// Returns when `EVENTS` was made, in microseconds: a stream that was deleted and made anew counts its messages from 1
    /// again, so that a sequence means nothing without this.
    pub fn events_created_at(&self) -> BoxFuture<'_, Result<OffsetDateTime, ReadError>> {
        Box::pin(async move {
            let kind = StreamKind::Events;
            let name = self.inner.prefix.stream(kind.name());
            let nats = self.nats().await;
            let found = nats.jetstream.get_stream(&name).await;
            let stream = found.map_err(|error| ReadError::asking(kind, error.into()))?;
            let created = stream.cached_info().created;
            // Databases keep no more.
            let micros = created.microsecond() * 1_000;
            Ok(created.replace_nanosecond(micros).unwrap_or(created))
        })
    }

    /// Returns which of these message ids `EVENTS` holds on one subject, stored at `since` or later. The stream's leader is
    /// asked for the end: what it has stored by now is found, however long ago the server has forgotten the id.
    ///
    /// # Errors
    /// When the stream does not answer.
    pub fn find_stored(
        &self,
        subject: String,
        message_ids: HashSet<String>,
        since: OffsetDateTime,
    ) -> BoxFuture<'static, Result<HashSet<String>, ReadError>> {
        let bus = self.clone();
        Box::pin(async move {
            let stream = bus.inner.prefix.stream(StreamKind::Events.name());
            let wire_subject = bus.inner.prefix.subject(&subject);
            let first = api::first_since(&bus, &stream, &wire_subject, since).await;
            let mut found = HashSet::new();
            let Some(first) = first.map_err(ReadError::start)? else {
                return Ok(found);
            };
            let mut reading = bus.read_back(&subject, first.saturating_sub(1))?;
            while found.len() < message_ids.len() {
                let batch = reading.next_batch().await?;
                if batch.is_empty() {
                    break;
                }
                let ids = batch
                    .iter()
                    .filter_map(|stored| find(&stored.headers, MESSAGE_ID));
                found.extend(
                    ids.filter(|id| message_ids.contains(*id))
                        .map(str::to_owned),
                );
            }
            Ok(found)
        })
    }
}

impl ReadBack {
    /// Returns the next messages; empty only at the end, which the stream's leader has confirmed.
    pub fn next_batch(&mut self) -> BoxFuture<'_, Result<Vec<StoredMessage>, ReadError>> {
        Box::pin(async move {
            if self.is_done {
                return Ok(Vec::new());
            }
            let request = BatchRequest {
                seq: self.next_sequence,
                batch: BATCH_MESSAGES,
                max_bytes: BATCH_BYTES,
                next_by_subj: &self.wire_subject,
            };
            let (mut found, is_end) = batch(&self.bus, StreamKind::Events, &request).await?;
            self.advance(&found);
            if is_end {
                // The replica that answered may lag behind; only the leader knows the end.
                let next = next_of_leader(
                    &self.bus,
                    StreamKind::Events,
                    &self.subject,
                    self.next_sequence,
                );
                match next.await? {
                    Some(stored) => found.push(stored),
                    None => self.is_done = true,
                }
                self.advance(&found);
            }
            Ok(found)
        })
    }

    /// Returns everything that is left; for subjects known to hold little.
    pub async fn collect_all(mut self) -> Result<Vec<StoredMessage>, ReadError> {
        let mut all = Vec::new();
        loop {
            let found = self.next_batch().await?;
            if found.is_empty() {
                return Ok(all);
            }
            all.extend(found);
        }
    }

    fn advance(&mut self, found: &[StoredMessage]) {
        if let Some(last) = found.last() {
            self.next_sequence = last.sequence.saturating_add(1);
        }
    }
}
