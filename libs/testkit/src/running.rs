use std::time::Duration;

use anyhow::ensure;
use mailmesh_runtime::Lifecycle;

/// Longer than any service takes to finish what is in hand.
const GRACE: Duration = Duration::from_mins(1);

/// One replica of a service, in this process; it is abandoned with this value.
#[derive(Debug)]
pub struct RunningReplica {
    lifecycle: Lifecycle,
}

impl RunningReplica {
    /// Starts a replica whose life cycle is its own.
    pub fn start(start: impl FnOnce(&Lifecycle)) -> Self {
        let lifecycle = Lifecycle::new("replica");
        start(&lifecycle);
        Self { lifecycle }
    }

    /// Asks it to stop and does not wait.
    pub fn ask_to_stop(&self) {
        self.lifecycle.stop();
    }

    /// Stops it, and fails if it did not end well.
    pub async fn stop(self) -> anyhow::Result<()> {
        let report = self.lifecycle.end(GRACE).await;
        if let Some(fault) = report.fault {
            return Err(fault.into());
        }
        ensure!(report.busy.is_empty(), "still busy: {:?}", report.busy);
        Ok(())
    }

    /// Ends it as a crash would: nothing is finished, recorded or released.
    pub async fn kill(self) {
        self.lifecycle.abandon().await;
    }
}

impl Drop for RunningReplica {
    fn drop(&mut self) {
        drop(self.lifecycle.abandon());
    }
}
