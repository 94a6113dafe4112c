use std::error::Error as _;
use std::time::Duration;

use async_nats::jetstream::context::{
    CreateStreamError, CreateStreamErrorKind, GetStreamError, GetStreamErrorKind, RequestError,
    RequestErrorKind,
};
use async_nats::jetstream::stream::Config;
use async_nats::jetstream::{self, ErrorCode};
use futures_util::future::BoxFuture;
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use crate::cause::{NatsCause, jetstream_error};
use crate::connection::{Bus, reconnect_delay};

use super::error::StreamError;
use super::kind::StreamKind;

/// Time limit for one attempt to make all streams at start.
const ATTEMPT: Duration = Duration::from_secs(5);

impl Bus {
    /// Makes the streams, or changes what differs from the settings. Several processes may do so at once.
    ///
    /// Without `nats.provision` it only looks whether they are there.
    pub async fn ensure_streams(&self) -> Result<(), StreamError> {
        for kind in StreamKind::ALL {
            self.ensure_stream(kind).await?;
        }
        Ok(())
    }

    /// As [`Bus::ensure_streams`], and tries for up to `connect_wait_seconds`: a server that has just started, or a cluster
    /// that elects a leader, answers nothing for some seconds.
    pub fn await_streams(&self) -> BoxFuture<'_, Result<(), StreamError>> {
        Box::pin(async move {
            let deadline = Instant::now() + self.inner.settings.connect_wait();
            let mut failures = 0;
            loop {
                let attempt = timeout(ATTEMPT, self.ensure_streams()).await;
                let is_over = Instant::now() >= deadline;
                match attempt {
                    Ok(Ok(())) => return Ok(()),
                    Ok(Err(error)) if is_over || !error.may_pass() => return Err(error),
                    // Without a limit of its own it says what was not answered.
                    Err(_) if is_over => return self.ensure_streams().await,
                    Ok(Err(_)) | Err(_) => {}
                }
                if failures == 0 {
                    info!("Waiting for JetStream");
                }
                tokio::time::sleep(reconnect_delay(failures)).await;
                failures += 1;
            }
        })
    }

    pub(super) async fn ensure_stream(&self, kind: StreamKind) -> Result<(), StreamError> {
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
        if !inner.settings.provision {
            warn!(
                stream,
                "Stream differs from the settings; `mailmesh provision` changes it"
            );
            return Ok(());
        }
        match self.nats().await.jetstream.update_stream(&wanted).await {
            Ok(_) => {
                info!(stream, "Stream changed to the settings");
                Ok(())
            }
            Err(error) => {
                Err(
                    self.not_ensured(kind, stream, error, |stream, source| StreamError::Update {
                        stream,
                        source,
                    }),
                )
            }
        }
    }

    async fn create_after(
        &self,
        kind: StreamKind,
        stream: String,
        error: GetStreamError,
    ) -> Result<(), StreamError> {
        match error.kind() {
            GetStreamErrorKind::JetStream(cause)
                if cause.error_code() == ErrorCode::STREAM_NOT_FOUND => {}
            _ if is_without_jetstream(&error) => {
                let source = error.into();
                return Err(StreamError::NoJetStream { source });
            }
            GetStreamErrorKind::Request => {
                let source = error.into();
                return Err(StreamError::Unanswered { stream, source });
            }
            GetStreamErrorKind::JetStream(cause) if cause.code() >= 500 => {
                let source = error.into();
                return Err(StreamError::Unanswered { stream, source });
            }
            _ => {
                let source = error.into();
                return Err(StreamError::Read { stream, source });
            }
        }
        let inner = &self.inner;
        if !inner.settings.provision {
            return Err(StreamError::NotProvisioned { stream });
        }
        let mut wanted = Config::default();
        kind.shape(&mut wanted, &inner.settings.streams, &inner.prefix);
        match self.nats().await.jetstream.create_stream(wanted).await {
            Ok(_) => {
                info!(stream, "Stream made");
                Ok(())
            }
            Err(error) => {
                Err(
                    self.not_ensured(kind, stream, error, |stream, source| StreamError::Create {
                        stream,
                        source,
                    }),
                )
            }
        }
    }

    fn not_ensured(
        &self,
        kind: StreamKind,
        stream: String,
        error: CreateStreamError,
        refused: fn(String, NatsCause) -> StreamError,
    ) -> StreamError {
        let failure = EnsureFailure::of(&error.kind());
        let source = NatsCause::from(error);
        match failure {
            EnsureFailure::NoRoom => StreamError::NoRoom {
                stream,
                max_bytes: kind.limits(&self.inner.settings.streams).0,
                source,
            },
            EnsureFailure::Unanswered => StreamError::Unanswered { stream, source },
            EnsureFailure::Refused => refused(stream, source),
        }
    }
}

/// No responder on the JetStream API, or its refusal: the server runs without it.
pub(super) fn is_without_jetstream(error: &GetStreamError) -> bool {
    let refusal = match error.kind() {
        GetStreamErrorKind::JetStream(cause) => Some(cause.error_code()),
        _ => jetstream_error(error).map(jetstream::Error::error_code),
    };
    let is_refused = refusal.is_some_and(|code| {
        code == ErrorCode::JETSTREAM_NOT_ENABLED
            || code == ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT
    });
    is_refused
        || error
            .source()
            .and_then(|source| source.downcast_ref::<RequestError>())
            .is_some_and(|request| request.kind() == RequestErrorKind::NoResponders)
}

/// Why a stream was not made or changed.
enum EnsureFailure {
    NoRoom,
    Unanswered,
    Refused,
}

impl EnsureFailure {
    fn of(kind: &CreateStreamErrorKind) -> Self {
        let error = match kind {
            CreateStreamErrorKind::JetStream(error) => error,
            CreateStreamErrorKind::TimedOut | CreateStreamErrorKind::JetStreamUnavailable => {
                return Self::Unanswered;
            }
            _ => return Self::Refused,
        };
        let code = error.error_code();
        let has_no_room = code == ErrorCode::STORAGE_RESOURCES_EXCEEDED
            || code == ErrorCode::MEMORY_RESOURCES_EXCEEDED
            || code == ErrorCode::INSUFFICIENT_RESOURCES
            || code == ErrorCode::STREAM_MAX_STREAM_BYTES_EXCEEDED;
        match error.code() {
            _ if has_no_room => Self::NoRoom,
            // "no suitable peers for placement": the other servers of the cluster have not reported yet.
            _ if code == ErrorCode::CLUSTER_NO_PEERS => Self::Unanswered,
            503 | 504 => Self::Unanswered,
            _ => Self::Refused,
        }
    }
}
