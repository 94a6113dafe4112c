mod ack;
mod batch;
mod context;
mod dead_letter;
mod handler;
mod pull;
mod settings;
mod unreadable_scan;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::connection::Bus;
use context::ConsumerContext;

pub use handler::{Delivery, Handler, HandlerError};
pub use settings::{ConsumeError, ConsumerSettings, StartAt};

impl Bus {
    /// Hands messages to the handler in batches until `stop`; then finishes the batches in flight and returns.
    ///
    /// A batch is all that has come since the last one, up to `max_in_hand`. An error means that consuming never began.
    /// Losing the server, the stream or the consumer later only makes it wait.
    pub async fn consume<H: Handler>(
        &self,
        handler: Arc<H>,
        settings: ConsumerSettings,
        stop: CancellationToken,
    ) -> Result<(), ConsumeError> {
        settings.validate(H::CONSUMER)?;
        let context = ConsumerContext::start(self, H::CONSUMER, settings, stop).await?;
        batch::run(&context, handler).await;
        Ok(())
    }
}
