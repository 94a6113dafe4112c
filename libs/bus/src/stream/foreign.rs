use async_nats::jetstream::context::GetStreamByNameErrorKind;
use mailmesh_events::EVENT_NAMES;

use super::error::StreamError;
use crate::connection::Bus;

/// A stream, not of the mesh, that captures the bare subjects on which events are republished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignStream {
    pub name: String,
    /// The events that it listens to, as `mail.received`.
    pub events: Vec<&'static str>,
}

impl Bus {
    /// Finds the streams that capture bare event subjects. They miss mails: a republished event keeps the headers by which
    /// `EVENTS` checked it (its fence, its batch), and another stream fails that check and drops it. A stream that has
    /// `EVENTS` as its source receives every event.
    pub async fn foreign_streams(&self) -> Result<Vec<ForeignStream>, StreamError> {
        let nats = self.nats().await;
        let mut found: Vec<ForeignStream> = Vec::new();
        for &event in EVENT_NAMES {
            let subject = self.inner.prefix.subject(event);
            let name = match nats.jetstream.stream_by_subject(subject).await {
                Ok(name) => name,
                Err(error) if error.kind() == GetStreamByNameErrorKind::NotFound => continue,
                Err(error) => {
                    return Err(StreamError::Read {
                        stream: format!("behind {event}"),
                        source: error.into(),
                    });
                }
            };
            match found.iter_mut().find(|stream| stream.name == name) {
                Some(stream) => stream.events.push(event),
                None => found.push(ForeignStream {
                    name,
                    events: vec![event],
                }),
            }
        }
        Ok(found)
    }
}
