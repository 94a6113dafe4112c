use std::error::Error;

use async_nats::jetstream::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tracing::{error, info, warn};

use super::Loop;
use super::settle::Letter;
use crate::cause::{NatsCause, Refusal};
use crate::metric;
use crate::publish::PublishError;
use crate::readable::{self, Unreadable};
use crate::subject::matches;

/// How many messages one search looks at; the next one goes on behind them.
const MOST: usize = 5_000;
/// How many messages that are not delivered yet are looked at behind each find: what is bad comes in numbers, and each
/// that is delivered costs what comes behind it one ack wait.
const AHEAD: usize = 1_000;
const NOT_FOUND: usize = 404;

/// Whether a search is due, and where the last one stopped.
#[derive(Debug, Default)]
pub(super) struct Search {
    pub(super) is_due: bool,
    resume_at: u64,
}

#[derive(Debug, thiserror::Error)]
enum SearchError {
    #[error("the question was not answered")]
    Asking(#[source] NatsCause),
    #[error("the question was refused")]
    Refused(#[source] Refusal),
    #[error("the question or its answer cannot be written as JSON")]
    Json(#[from] serde_json::Error),
    #[error("a message in the answer is not base64")]
    Base64(#[from] base64::DecodeError),
    #[error("an unreadable message was not deleted")]
    NotDeleted,
    #[error("the dead letter was not stored, the message is kept")]
    DeadLetter(#[from] PublishError),
}

#[derive(Deserialize)]
struct ConsumerState {
    delivered: Place,
    ack_floor: Place,
}

#[derive(Deserialize)]
struct Place {
    stream_seq: u64,
}

#[derive(Serialize)]
struct NextFrom {
    seq: u64,
    next_by_subj: &'static str,
}

#[derive(Serialize)]
struct Delete {
    seq: u64,
    /// The consumer's acknowledgements do not overwrite what they remove either.
    no_erase: bool,
}

#[derive(Deserialize)]
struct Found {
    message: Stored,
}

#[derive(Deserialize)]
struct Deleted {
    success: bool,
}

/// A message in the server's JSON, where its headers cannot hurt.
#[derive(Deserialize)]
struct Stored {
    subject: String,
    seq: u64,
    #[serde(default)]
    hdrs: String,
    #[serde(default)]
    data: String,
}

impl Loop {
    /// Looks, when a pull ended without being asked to, for what may have ended it: messages that the client cannot read.
    /// Each becomes a dead letter and leaves the stream, so that it comes to nobody again.
    ///
    /// Several replicas may do so at once: the dead letter's message id is the same.
    pub(super) async fn search(&self, search: &mut Search) {
        if !search.is_due {
            return;
        }
        // When it fails, whoever is hit by the same message next searches again.
        search.is_due = false;
        if let Err(error) = self.remove_unreadable(&mut search.resume_at).await {
            warn!(
                consumer = self.consumer,
                error = &error as &dyn Error,
                "The search for unreadable messages was not finished"
            );
        }
    }

    async fn remove_unreadable(&self, resume_at: &mut u64) -> Result<(), SearchError> {
        let stream = self.stream_name();
        let address = format!("CONSUMER.INFO.{stream}.{}", self.consumer);
        let state = self
            .ask::<ConsumerState>(&address, &serde_json::json!({}))
            .await?;
        let Some(state) = state else { return Ok(()) };
        let first = state.ack_floor.stream_seq.saturating_add(1);
        let last = state.delivered.stream_seq;
        let is_resumed = (first..=last).contains(resume_at);
        let mut sequence = if is_resumed { *resume_at } else { first };
        *resume_at = 0;
        let mut ahead = 0_usize;
        for _ in 0..MOST {
            let Some(stored) = self.next_stored(sequence).await? else {
                return Ok(());
            };
            if stored.seq > last {
                let Some(fewer) = ahead.checked_sub(1) else {
                    return Ok(());
                };
                ahead = fewer;
            }
            sequence = stored.seq.saturating_add(1);
            let headers = STANDARD.decode(&stored.hdrs)?;
            if let Err(why) = readable::check(&stored.subject, &headers)
                && self.is_ours(&stored.subject)
            {
                self.remove(stored, why).await?;
                ahead = AHEAD;
            }
        }
        *resume_at = sequence;
        Ok(())
    }

    async fn remove(&self, stored: Stored, why: Unreadable) -> Result<(), SearchError> {
        let sequence = stored.seq;
        let letter = Letter {
            stream_sequence: sequence,
            subject: self.bus.inner.prefix.strip(&stored.subject),
            headers: Vec::new(),
            payload: Bytes::from(STANDARD.decode(&stored.data)?),
            reason: &format!("cannot be read: {why}"),
        };
        let published = self.store_letter(letter).await?;
        if published.is_duplicate {
            info!(
                consumer = self.consumer,
                delivery.sequence = sequence,
                "Unreadable message is among the dead letters already"
            );
        } else {
            metric::handled(self.consumer, "dead_letter");
            error!(
                consumer = self.consumer,
                delivery.sequence = sequence,
                error = &why as &dyn Error,
                "Message that the NATS client cannot read moved to the dead letters"
            );
        }
        self.delete(sequence).await
    }

    async fn delete(&self, sequence: u64) -> Result<(), SearchError> {
        let address = format!("STREAM.MSG.DELETE.{}", self.stream_name());
        let request = Delete {
            seq: sequence,
            no_erase: true,
        };
        let deleted = self.ask::<Deleted>(&address, &request).await;
        if matches!(&deleted, Ok(Some(Deleted { success: true }))) {
            return Ok(());
        }
        // Another replica may have been faster; the server has more than one word for that.
        let next = self.next_stored(sequence).await?;
        if next.is_some_and(|next| next.seq == sequence) {
            return Err(deleted.err().unwrap_or(SearchError::NotDeleted));
        }
        Ok(())
    }

    async fn next_stored(&self, sequence: u64) -> Result<Option<Stored>, SearchError> {
        let address = format!("STREAM.MSG.GET.{}", self.stream_name());
        let request = NextFrom {
            seq: sequence,
            next_by_subj: ">",
        };
        let found = self.ask::<Found>(&address, &request).await?;
        Ok(found.map(|found| found.message))
    }

    /// Asks the JetStream API; none if what is asked for is not there.
    async fn ask<T: DeserializeOwned>(
        &self,
        address: &str,
        request: &(impl Serialize + Sync),
    ) -> Result<Option<T>, SearchError> {
        let body = serde_json::to_vec(request)?;
        let wire = self.bus.wire().await;
        let answer = wire
            .client
            .request(format!("$JS.API.{address}"), body.into())
            .await
            .map_err(|error| SearchError::Asking(error.into()))?;
        match serde_json::from_slice(&answer.payload)? {
            Response::Ok(answer) => Ok(Some(answer)),
            Response::Err { error } if error.code() == NOT_FOUND => Ok(None),
            Response::Err { error } => Err(SearchError::Refused(Refusal::from(&error))),
        }
    }

    fn is_ours(&self, wire_subject: &str) -> bool {
        let subject = self.bus.inner.prefix.strip(wire_subject);
        let filters = &self.settings.filters;
        filters.is_empty() || filters.iter().any(|filter| matches(filter, subject))
    }

    fn stream_name(&self) -> String {
        self.bus.inner.prefix.stream(self.settings.stream.name())
    }
}
