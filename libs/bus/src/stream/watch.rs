//! Streams while the services run: what keeps them from being used, and making those again that were deleted.

use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::GetStreamErrorKind;
use futures_util::future::BoxFuture;
use tokio::time::timeout;
use tracing::{error, warn};

use super::ensure::is_without_jetstream;
use super::kind::StreamKind;
use crate::connection::Bus;
use crate::fault::BusFault;
use crate::metric;

/// Time limit for the server's answer about one stream.
const ANSWER: Duration = Duration::from_secs(3);

impl Bus {
    /// Looks for what keeps these streams from being used; makes those again that are gone.
    pub fn find_fault<'a>(&'a self, streams: &'a [StreamKind]) -> BoxFuture<'a, Option<BusFault>> {
        Box::pin(async move {
            if self.check().await.is_err() {
                return Some(BusFault::Silent);
            }
            for kind in streams {
                let fault = match self.ask_for(*kind).await {
                    Some(BusFault::StreamGone { stream }) => self.restore(*kind, stream).await,
                    found => found,
                };
                if let Some(fault) = fault.or_else(|| self.inner.refusals.of(*kind)) {
                    return Some(fault);
                }
            }
            None
        })
    }

    async fn restore(&self, kind: StreamKind, stream: &'static str) -> Option<BusFault> {
        match self.ensure_stream(kind).await {
            Ok(()) => {
                self.inner.creations.forget(kind);
                report_loss(kind);
                None
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                warn!(stream, error, "A stream is gone and cannot be made");
                Some(BusFault::StreamGone { stream })
            }
        }
    }

    async fn ask_for(&self, kind: StreamKind) -> Option<BusFault> {
        let stream = kind.name();
        let nats = self.nats().await;
        let name = self.inner.prefix.stream(stream);
        let answer = timeout(ANSWER, nats.jetstream.get_stream(&name)).await;
        let error = match answer {
            Ok(Ok(found)) => {
                // Another replica or a person has made it again.
                if self.inner.creations.note(kind, found.cached_info().created) {
                    report_loss(kind);
                }
                return None;
            }
            Err(_) => return Some(BusFault::StreamSilent { stream }),
            Ok(Err(error)) => error,
        };
        Some(match error.kind() {
            GetStreamErrorKind::JetStream(cause)
                if cause.error_code() == ErrorCode::STREAM_NOT_FOUND =>
            {
                BusFault::StreamGone { stream }
            }
            _ if is_without_jetstream(&error) => BusFault::NoJetStream,
            _ => BusFault::StreamSilent { stream },
        })
    }
}

fn report_loss(kind: StreamKind) {
    let stream = kind.name();
    metric::restored(stream);
    error!(
        stream,
        lost = kind.loss(),
        "A stream was gone and was made again: mail may have been lost"
    );
}
