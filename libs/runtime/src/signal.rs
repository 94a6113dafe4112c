use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::warn;

/// The signals that ask a process to stop.
pub(crate) struct StopSignals {
    interrupt: Option<Signal>,
    terminate: Option<Signal>,
}

impl StopSignals {
    /// Listens from now on; a signal that cannot be listened for is logged and never comes.
    pub(crate) fn listen() -> Self {
        let open = |kind| match signal(kind) {
            Ok(signal) => Some(signal),
            Err(error) => {
                warn!(%error, "Signals cannot be heard");
                None
            }
        };
        Self {
            interrupt: open(SignalKind::interrupt()),
            terminate: open(SignalKind::terminate()),
        }
    }

    /// Waits for the next signal and returns its name.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            () = heard(self.interrupt.as_mut()) => "SIGINT",
            () = heard(self.terminate.as_mut()) => "SIGTERM",
        }
    }
}

async fn heard(signal: Option<&mut Signal>) {
    let Some(signal) = signal else {
        return std::future::pending().await;
    };
    if signal.recv().await.is_none() {
        std::future::pending::<()>().await;
    }
}
