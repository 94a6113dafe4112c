use std::error::Error;
use std::marker::PhantomData;
use std::time::Duration;

use async_nats::Subscriber;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use mailmesh_events::{Event, decode_event};
use tokio::time::Instant;
use tracing::warn;

use crate::cause::NatsCause;
use crate::connection::Bus;
use crate::delay::jittered;
use crate::header::{BadHeader, Headers, find_last, from_map, to_map};
use crate::publish::PublishError;
use crate::subject::is_literal;

/// A message outside JetStream: it may be lost, so it only means "look again".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// The subject it was stored on, or sent to if it was not stored; without the prefix.
    pub subject: String,
    pub headers: Headers,
    pub payload: Bytes,
}

/// Hints on one subject, as they come.
#[derive(Debug)]
pub struct Subscription {
    bus: Bus,
    subscriber: Subscriber,
    subject: String,
    group: Option<String>,
    /// Failed attempts in a row to subscribe again, and the time of the next.
    failures: u32,
    retry_at: Instant,
}

/// Events of one type, as they come.
#[derive(Debug)]
pub struct EventSubscription<E> {
    hints: Subscription,
    event: PhantomData<fn() -> E>,
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
        Ok(Subscription {
            bus: self.clone(),
            subscriber: self.subscriber(subject, group).await?,
            subject: subject.to_owned(),
            group: group.map(ToOwned::to_owned),
            failures: 0,
            retry_at: Instant::now(),
        })
    }

    /// Subscribes to all events of one type, whatever their key. They are hints like all others: one may be lost.
    pub async fn subscribe_to<E: Event>(&self) -> Result<EventSubscription<E>, SubscribeError> {
        Ok(EventSubscription {
            hints: self.subscribe(E::NAME, None).await?,
            event: PhantomData,
        })
    }

    fn subscriber<'a>(
        &'a self,
        subject: &'a str,
        group: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Subscriber, SubscribeError>> {
        Box::pin(async move {
            let client = &self.nats().await.client;
            let wire_subject = self.inner.prefix.subject(subject);
            let made = match group {
                Some(group) => client.queue_subscribe(wire_subject, group.to_owned()).await,
                None => client.subscribe(wire_subject).await,
            };
            made.map_err(|error| SubscribeError {
                subject: subject.to_owned(),
                source: error.into(),
            })
        })
    }

    /// Sends a hint: not stored, not confirmed.
    pub fn publish_core<'a>(
        &'a self,
        subject: &'a str,
        headers: &'a [(String, String)],
        payload: Bytes,
    ) -> BoxFuture<'a, Result<(), PublishError>> {
        Box::pin(async move {
            let subject = subject.to_owned();
            if !is_literal(&subject) {
                return Err(PublishError::BadSubject { subject });
            }
            let map = match to_map(headers) {
                Ok(map) => map,
                Err(BadHeader { name }) => return Err(PublishError::BadHeader { subject, name }),
            };
            let wire_subject = self.inner.prefix.subject(&subject);
            let nats = self.nats().await;
            let sent = nats.client.publish_with_headers(wire_subject, map, payload);
            sent.await.map_err(|error| PublishError::Unknown {
                subject,
                source: error.into(),
            })
        })
    }
}

impl Subscription {
    /// Waits for the next hint; none after the bus was closed. The subscription survives reconnects and the end of the
    /// client, but hints sent meanwhile are lost.
    pub async fn next(&mut self) -> Option<Hint> {
        let message = loop {
            match self.subscriber.next().await {
                Some(message) => break message,
                None if self.bus.is_closed() => return None,
                None => self.renew().await,
            }
        };
        let headers = from_map(message.headers.as_ref());
        let prefix = &self.bus.inner.prefix;
        // What a stream republishes names in a header the subject that it was stored on, behind those of the publisher.
        let subject = find_last(&headers, "Nats-Subject").unwrap_or(&message.subject);
        Some(Hint {
            subject: prefix.strip(subject).to_owned(),
            payload: message.payload,
            headers,
        })
    }

    /// Subscribes again when the client has ended. Cancel-safe: a dropped wait is continued by the next.
    async fn renew(&mut self) {
        tokio::time::sleep_until(self.retry_at).await;
        let delay = jittered(
            self.failures,
            Duration::from_millis(50),
            Duration::from_secs(4),
        );
        self.retry_at = Instant::now() + delay;
        let made = self.bus.subscriber(&self.subject, self.group.as_deref());
        match made.await {
            Ok(subscriber) => {
                self.subscriber = subscriber;
                self.failures = 0;
            }
            Err(error) => {
                if self.failures == 0 {
                    let error = &error as &dyn Error;
                    warn!(
                        subject = self.subject,
                        error, "Subscription ended, making it anew"
                    );
                }
                self.failures += 1;
            }
        }
    }
}

impl<E: Event> EventSubscription<E> {
    /// Waits for the next event; as [`Subscription::next`], none after the bus was closed.
    pub async fn next(&mut self) -> Option<E> {
        loop {
            let hint = self.hints.next().await?;
            match decode_event::<E>(&hint.headers, &hint.payload) {
                Ok(event) => return Some(event.data),
                // Not the error itself: it quotes what was sent.
                Err(error) => warn!(
                    event = E::NAME,
                    field = error.field(),
                    "Event skipped, it cannot be decoded"
                ),
            }
        }
    }
}
