mod error;
mod foreign;
pub(crate) mod kind;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{CreateStreamErrorKind, GetStreamErrorKind};
use async_nats::jetstream::stream::Config;
use tracing::info;

use crate::cause::{NatsCause, jetstream_error};
use crate::connection::Bus;
use crate::settings::StreamSettings;

pub use error::StreamError;
pub use foreign::ForeignStream;
pub use kind::StreamKind;

impl Bus {
    /// Makes the streams, or changes what differs from the settings. Several processes may do so at once.
    pub async fn ensure_streams(&self) -> Result<(), StreamError> {
        for kind in StreamKind::ALL {
            self.ensure_stream(kind).await?;
        }
        Ok(())
    }

    async fn ensure_stream(&self, kind: StreamKind) -> Result<(), StreamError> {
        let inner = &self.inner;
        let stream = inner.prefix.stream(kind.name());
        let found = match self.nats().await.jetstream.get_stream(&stream).await {
            Ok(found) => found,
            Err(error) => return self.create_after(kind, stream, error).await,
        };
        let present = &found.cached_info().config;
        let mut wanted = present.clone();
        kind.shape(&mut wanted, &inner.settings.streams, &inner.prefix);
        if wanted == *present {
            return Ok(());
        }
        match self.nats().await.jetstream.update_stream(&wanted).await {
            Ok(_) => {
                info!(stream, "Stream changed to the settings");
                Ok(())
            }
            Err(error) => {
                let is_room = has_no_room(&error.kind());
                let source = NatsCause::from(error);
                Err(if is_room {
                    no_room(kind, stream, &inner.settings.streams, source)
                } else {
                    StreamError::Update { stream, source }
                })
            }
        }
    }

    async fn create_after(
        &self,
        kind: StreamKind,
        stream: String,
        error: async_nats::jetstream::context::GetStreamError,
    ) -> Result<(), StreamError> {
        match error.kind() {
            GetStreamErrorKind::JetStream(cause)
                if cause.error_code() == ErrorCode::STREAM_NOT_FOUND => {}
            GetStreamErrorKind::JetStream(cause) if is_without_jetstream(cause.error_code()) => {
                let source = error.into();
                return Err(StreamError::NoJetStream { source });
            }
            GetStreamErrorKind::Request if is_unanswered(&error) => {
                let source = error.into();
                return Err(StreamError::NoJetStream { source });
            }
            _ => {
                let source = error.into();
                return Err(StreamError::Read { stream, source });
            }
        }
        let inner = &self.inner;
        let mut wanted = Config::default();
        kind.shape(&mut wanted, &inner.settings.streams, &inner.prefix);
        match self.nats().await.jetstream.create_stream(wanted).await {
            Ok(_) => {
                info!(stream, "Stream made");
                Ok(())
            }
            Err(error) => {
                let is_room = has_no_room(&error.kind());
                let source = NatsCause::from(error);
                Err(if is_room {
                    no_room(kind, stream, &inner.settings.streams, source)
                } else {
                    StreamError::Create { stream, source }
                })
            }
        }
    }
}

fn is_without_jetstream(code: ErrorCode) -> bool {
    code == ErrorCode::JETSTREAM_NOT_ENABLED || code == ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT
}

/// No responder on the JetStream API: the server runs without it.
fn is_unanswered(error: &dyn std::error::Error) -> bool {
    use async_nats::jetstream::context::{RequestError, RequestErrorKind};
    error
        .source()
        .and_then(|source| source.downcast_ref::<RequestError>())
        .is_some_and(|request| request.kind() == RequestErrorKind::NoResponders)
        || jetstream_error(error).is_some_and(|cause| is_without_jetstream(cause.error_code()))
}

fn has_no_room(kind: &CreateStreamErrorKind) -> bool {
    let CreateStreamErrorKind::JetStream(error) = kind else {
        return false;
    };
    let code = error.error_code();
    code == ErrorCode::STORAGE_RESOURCES_EXCEEDED
        || code == ErrorCode::MEMORY_RESOURCES_EXCEEDED
        || code == ErrorCode::INSUFFICIENT_RESOURCES
        || code == ErrorCode::STREAM_MAX_STREAM_BYTES_EXCEEDED
}

fn no_room(
    kind: StreamKind,
    stream: String,
    settings: &StreamSettings,
    source: NatsCause,
) -> StreamError {
    StreamError::NoRoom {
        stream,
        max_bytes: kind.limits(settings).0,
        source,
    }
}
