//! Requests of the JetStream API whose answers the client would parse too eagerly: it panics on some headers.

use async_nats::jetstream::response::Response;
use futures_util::future::BoxFuture;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::cause::{JetStreamRefusal, NatsCause};
use crate::connection::Bus;

const NOT_FOUND: usize = 404;

/// Why the JetStream API was asked in vain.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JetStreamApiError {
    #[error("the question was not answered")]
    Unanswered(#[source] NatsCause),
    #[error("the question was refused")]
    Refused(#[source] JetStreamRefusal),
    #[error("the question or its answer cannot be written as JSON")]
    Json(#[from] serde_json::Error),
}

#[derive(Deserialize)]
pub(crate) struct ConsumerState {
    pub(crate) delivered: SequenceInfo,
    /// All messages up to here are acknowledged.
    pub(crate) ack_floor: SequenceInfo,
}

#[derive(Deserialize)]
pub(crate) struct SequenceInfo {
    pub(crate) stream_seq: u64,
}

#[derive(Deserialize)]
pub(crate) struct StreamInfo {
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) created: OffsetDateTime,
    pub(crate) state: StreamState,
}

#[derive(Deserialize)]
pub(crate) struct StreamState {
    pub(crate) first_seq: u64,
    pub(crate) last_seq: u64,
}

#[derive(Serialize)]
struct NextFrom {
    seq: u64,
    next_by_subj: &'static str,
}

#[derive(Serialize)]
struct NextSince<'a> {
    #[serde(with = "time::serde::rfc3339")]
    start_time: OffsetDateTime,
    next_by_subj: &'a str,
}

#[derive(Serialize)]
struct Delete {
    seq: u64,
    /// Overwriting it with random bytes, which the server does otherwise, is for secrets and costs a disk write.
    no_erase: bool,
}

#[derive(Deserialize)]
struct FoundMessage {
    message: StoredJson,
}

#[derive(Deserialize)]
struct Deleted {
    success: bool,
}

/// A message in the server's JSON, whose headers the client does not parse.
#[derive(Deserialize)]
pub(crate) struct StoredJson {
    pub(crate) subject: String,
    pub(crate) seq: u64,
    #[serde(default)]
    pub(crate) hdrs: String,
    #[serde(default)]
    pub(crate) data: String,
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) time: OffsetDateTime,
}

pub(crate) async fn stream_info(
    bus: &Bus,
    stream: &str,
) -> Result<Option<StreamInfo>, JetStreamApiError> {
    ask(bus, format!("STREAM.INFO.{stream}"), &serde_json::json!({})).await
}

pub(crate) async fn consumer_state(
    bus: &Bus,
    stream: &str,
    consumer: &str,
) -> Result<Option<ConsumerState>, JetStreamApiError> {
    let address = format!("CONSUMER.INFO.{stream}.{consumer}");
    ask(bus, address, &serde_json::json!({})).await
}

/// Returns the first message from a sequence on.
pub(crate) async fn next_stored(
    bus: &Bus,
    stream: &str,
    sequence: u64,
) -> Result<Option<StoredJson>, JetStreamApiError> {
    let request = NextFrom {
        seq: sequence,
        next_by_subj: ">",
    };
    let found: Option<FoundMessage> =
        ask(bus, format!("STREAM.MSG.GET.{stream}"), &request).await?;
    Ok(found.map(|found| found.message))
}

/// Returns the sequence of the first message of a subject that was stored at a moment or later.
pub(crate) async fn first_since(
    bus: &Bus,
    stream: &str,
    wire_subject: &str,
    moment: OffsetDateTime,
) -> Result<Option<u64>, JetStreamApiError> {
    let request = NextSince {
        start_time: moment,
        next_by_subj: wire_subject,
    };
    let found: Option<FoundMessage> =
        ask(bus, format!("STREAM.MSG.GET.{stream}"), &request).await?;
    Ok(found.map(|found| found.message.seq))
}

/// Deletes one message; returns whether the server did.
pub(crate) async fn delete_stored(
    bus: &Bus,
    stream: &str,
    sequence: u64,
) -> Result<bool, JetStreamApiError> {
    let request = Delete {
        seq: sequence,
        no_erase: true,
    };
    let deleted: Option<Deleted> =
        ask(bus, format!("STREAM.MSG.DELETE.{stream}"), &request).await?;
    Ok(deleted.is_some_and(|deleted| deleted.success))
}

/// Asks the JetStream API; none if what is asked for is not there.
fn ask<'a, T: DeserializeOwned + 'a>(
    bus: &'a Bus,
    address: String,
    request: &(impl Serialize + Sync),
) -> BoxFuture<'a, Result<Option<T>, JetStreamApiError>> {
    let body = serde_json::to_vec(request);
    Box::pin(async move {
        let nats = bus.nats().await;
        let answer = nats
            .client
            .request(format!("$JS.API.{address}"), body?.into())
            .await
            .map_err(|error| JetStreamApiError::Unanswered(error.into()))?;
        match serde_json::from_slice(&answer.payload)? {
            Response::Ok(answer) => Ok(Some(answer)),
            Response::Err { error } if error.code() == NOT_FOUND => Ok(None),
            Response::Err { error } => {
                Err(JetStreamApiError::Refused(JetStreamRefusal::from(&error)))
            }
        }
    })
}
