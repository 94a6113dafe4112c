use async_nats::Subscriber;
use bytes::Bytes;
use futures_util::StreamExt;

use crate::cause::NatsCause;
use crate::connection::Bus;
use crate::header::{BadHeader, Headers, find, from_map, to_map};
use crate::publish::PublishError;
use crate::subject::is_literal;

/// A message outside JetStream: it may be lost, so it only says "look again".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// The subject it was stored on, or sent to if it was not stored; without the prefix.
    pub subject: String,
    /// Its headers.
    pub headers: Headers,
    /// Its body.
    pub payload: Bytes,
}

/// Hints on one subject, as they come.
#[derive(Debug)]
pub struct Subscription {
    bus: Bus,
    subscriber: Subscriber,
}

/// The subscription was not made.
#[derive(Debug, thiserror::Error)]
#[error("cannot subscribe to {subject}")]
pub struct SubscribeError {
    subject: String,
    #[source]
    source: NatsCause,
}

impl Bus {
    /// Subscribes to a subject, or a pattern of them. With a group, each message goes to one member.
    pub async fn subscribe(
        &self,
        subject: &str,
        group: Option<&str>,
    ) -> Result<Subscription, SubscribeError> {
        let client = &self.inner.client;
        let wire_subject = self.inner.prefix.subject(subject);
        let made = match group {
            Some(group) => client.queue_subscribe(wire_subject, group.to_owned()).await,
            None => client.subscribe(wire_subject).await,
        };
        let subscriber = made.map_err(|error| SubscribeError {
            subject: subject.to_owned(),
            source: error.into(),
        })?;
        Ok(Subscription {
            bus: self.clone(),
            subscriber,
        })
    }

    /// Sends a hint: not stored, not confirmed.
    pub async fn publish_core(
        &self,
        subject: &str,
        headers: &[(String, String)],
        payload: Bytes,
    ) -> Result<(), PublishError> {
        let subject = subject.to_owned();
        if !is_literal(&subject) {
            return Err(PublishError::BadSubject { subject });
        }
        let map = match to_map(headers) {
            Ok(map) => map,
            Err(BadHeader { name }) => return Err(PublishError::BadHeader { subject, name }),
        };
        let wire_subject = self.inner.prefix.subject(&subject);
        let sent = self
            .inner
            .client
            .publish_with_headers(wire_subject, map, payload);
        sent.await.map_err(|error| PublishError::Unknown {
            subject,
            source: error.into(),
        })
    }
}

impl Subscription {
    /// Waits for the next hint. Lasts through reconnects; none after the connection was closed.
    pub async fn next(&mut self) -> Option<Hint> {
        let message = self.subscriber.next().await?;
        let headers = from_map(message.headers.as_ref());
        let prefix = &self.bus.inner.prefix;
        // What a stream republishes names in a header the subject that it was stored on.
        let subject = find(&headers, "Nats-Subject").unwrap_or(&message.subject);
        Some(Hint {
            subject: prefix.strip(subject).to_owned(),
            payload: message.payload,
            headers,
        })
    }
}
