use std::time::Duration;

use async_nats::StatusCode;
use async_nats::jetstream::stream::RawMessageErrorKind;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::connection::{Bus, REQUEST_TIMEOUT};
use crate::header::{find, find_last, from_map};
use crate::stored::{ReadError, StoredMessage};
use crate::stream::StreamKind;

const NO_MORE: u16 = 204;
const BATCH_SILENCE: Duration = REQUEST_TIMEOUT;

/// Asks any replica for several messages of one subject.
#[derive(Debug, Serialize)]
pub(crate) struct BatchRequest<'a> {
    pub(crate) seq: u64,
    pub(crate) batch: usize,
    pub(crate) max_bytes: usize,
    pub(crate) next_by_subj: &'a str,
}

/// Returns the last message of the subject, as the stream's leader knows it.
///
/// A direct get may be answered by a replica that lags behind; what decides about ownership must not.
pub(crate) async fn last_of_leader(
    bus: &Bus,
    stream: StreamKind,
    subject: &str,
) -> Result<Option<StoredMessage>, ReadError> {
    from_leader(bus, stream, None, subject).await
}

/// Returns the first message of the subject at or after the sequence, as the stream's leader knows it.
pub(crate) async fn next_of_leader(
    bus: &Bus,
    stream: StreamKind,
    subject: &str,
    sequence: u64,
) -> Result<Option<StoredMessage>, ReadError> {
    from_leader(bus, stream, Some(sequence), subject).await
}

fn from_leader<'a>(
    bus: &'a Bus,
    stream: StreamKind,
    sequence: Option<u64>,
    subject: &'a str,
) -> BoxFuture<'a, Result<Option<StoredMessage>, ReadError>> {
    Box::pin(async move {
        let inner = &bus.inner;
        let name = inner.prefix.stream(stream.name());
        let nats = bus.nats().await;
        let handle = nats
            .jetstream
            .get_stream_no_info(&name)
            .await
            .map_err(|error| ReadError::asking(stream, error.into()))?;
        let request = handle.raw_message_builder();
        let wire_subject = inner.prefix.subject(subject);
        let request = match sequence {
            Some(sequence) => request.sequence(sequence).next_by_subject(wire_subject),
            None => request.last_by_subject(wire_subject),
        };
        match request.send().await {
            Ok(message) => Ok(Some(StoredMessage {
                sequence: message.sequence,
                subject: inner.prefix.strip(&message.subject).to_owned(),
                headers: from_map(Some(&message.headers)),
                payload: message.payload,
                stored_at: Some(message.time),
            })),
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(ReadError::asking(stream, error.into())),
        }
    })
}

/// Returns the last message of the subject from whichever replica answers.
pub(crate) fn last<'a>(
    bus: &'a Bus,
    stream: StreamKind,
    subject: &'a str,
) -> BoxFuture<'a, Result<Option<StoredMessage>, ReadError>> {
    Box::pin(async move {
        let inner = &bus.inner;
        let address = format!(
            "$JS.API.DIRECT.GET.{}.{}",
            inner.prefix.stream(stream.name()),
            inner.prefix.subject(subject)
        );
        let nats = bus.nats().await;
        let message = nats
            .client
            .request(address, Bytes::new())
            .await
            .map_err(|error| ReadError::asking(stream, error.into()))?;
        match message.status {
            None => stored(bus, stream, message).map(Some),
            Some(StatusCode::NOT_FOUND) => Ok(None),
            Some(status) => Err(ReadError::Status {
                stream: stream.name(),
                status: status.as_u16(),
            }),
        }
    })
}

/// Returns up to `batch` messages of the subject, and whether the replica has no more.
pub(crate) fn batch<'a>(
    bus: &'a Bus,
    stream: StreamKind,
    request: &'a BatchRequest<'_>,
) -> BoxFuture<'a, Result<(Vec<StoredMessage>, bool), ReadError>> {
    Box::pin(async move {
        let inner = &bus.inner;
        let address = format!("$JS.API.DIRECT.GET.{}", inner.prefix.stream(stream.name()));
        let body = serde_json::to_vec(request).map_err(|source| ReadError::Request { source })?;
        let nats = bus.nats().await;
        let inbox = nats.client.new_inbox();
        let mut answers = nats
            .client
            .subscribe(inbox.clone())
            .await
            .map_err(|error| ReadError::asking(stream, error.into()))?;
        nats.client
            .publish_with_reply(address, inbox, body.into())
            .await
            .map_err(|error| ReadError::asking(stream, error.into()))?;
        let mut found = Vec::new();
        loop {
            let answer = tokio::time::timeout(BATCH_SILENCE, answers.next()).await;
            // None when the client has ended, which the next call notices.
            let Ok(Some(message)) = answer else {
                return Err(ReadError::Silent {
                    stream: stream.name(),
                });
            };
            match message.status.map(|status| status.as_u16()) {
                None => found.push(stored(bus, stream, message)?),
                Some(404) => return Ok((found, true)),
                // 204 also ends an answer that its limits cut short; the server then says how many are left.
                Some(NO_MORE) => {
                    let headers = from_map(message.headers.as_ref());
                    let is_end = find(&headers, "Nats-Num-Pending").is_none_or(|left| left == "0");
                    return Ok((found, is_end));
                }
                Some(status) => {
                    return Err(ReadError::Status {
                        stream: stream.name(),
                        status,
                    });
                }
            }
        }
    })
}

fn stored(
    bus: &Bus,
    stream: StreamKind,
    message: async_nats::Message,
) -> Result<StoredMessage, ReadError> {
    let headers = from_map(message.headers.as_ref());
    // The server appends its headers to those of the publisher, who may have sent some of the same name (nats-server 2.15.1).
    let sequence = find_last(&headers, "Nats-Sequence").and_then(|text| text.parse().ok());
    let subject =
        find_last(&headers, "Nats-Subject").map(|text| bus.inner.prefix.strip(text).to_owned());
    let stored_at = find_last(&headers, "Nats-Time-Stamp").map(str::to_owned);
    match (sequence, subject) {
        (Some(sequence), Some(subject)) => Ok(StoredMessage {
            sequence,
            subject,
            stored_at: stored_at.and_then(|text| OffsetDateTime::parse(&text, &Rfc3339).ok()),
            headers,
            payload: message.payload,
        }),
        _ => Err(ReadError::Unreadable {
            stream: stream.name(),
        }),
    }
}
