use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// One replica of a service, in this process; it ends with this value.
#[derive(Debug)]
pub struct Running {
    stop: CancellationToken,
    tasks: JoinSet<anyhow::Result<()>>,
}

impl Running {
    /// Starts what `run` makes of a token that asks it to stop.
    pub fn start<F>(run: impl FnOnce(CancellationToken) -> F) -> Self
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(run(stop.clone()));
        Self { stop, tasks }
    }

    /// Asks it to stop and does not wait.
    pub fn ask_to_stop(&self) {
        self.stop.cancel();
    }

    /// Stops it, and fails if it did not end well.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended??;
        }
        Ok(())
    }

    /// Ends it as a crash would: nothing is finished, recorded or released.
    pub async fn kill(mut self) {
        self.tasks.shutdown().await;
    }
}
