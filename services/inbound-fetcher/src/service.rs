use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use mailmesh_accounts::{
    AccountCredentials, AccountHost, Connections, Membership, Overlap, Replica, WorkerRegistry,
};
use mailmesh_domain::Clock;
use mailmesh_runtime::{ConfigError, Lifecycle};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::budget::Budget;
use crate::config::Config;
use crate::context::Context;
use crate::metric::Metrics;
use crate::proof;
use crate::recorder::recorder;
use crate::retention;
use crate::work::InboundWork;

const NAME: &str = "inbound-fetcher";
/// How long the last records and events may take once the workers have ended.
const REST: Duration = Duration::from_secs(10);

/// One replica of the inbound fetcher.
#[derive(Debug)]
pub struct Service {
    config: Config,
    replica: Replica,
    membership: Membership,
}

impl Service {
    /// Checks the settings and announces the replica.
    ///
    /// # Errors
    /// When a setting is out of its range or the database fails.
    pub async fn build(
        config: Config,
        connections: &Connections,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<Self> {
        let checked = config.settings.validate();
        checked.map_err(|problem| ConfigError::invalid("inbound_fetcher", problem))?;
        let (replica, membership) = Replica::join(NAME, connections, clock)
            .await
            .context("cannot announce the inbound fetcher")?;
        Ok(Self {
            config,
            replica,
            membership,
        })
    }

    /// Runs the service within the process's life cycle.
    pub fn start(self, lifecycle: &Lifecycle) {
        let stop = lifecycle.stop_token();
        lifecycle.spawn(NAME, self.run(stop));
    }

    /// Watches accounts until `stop`, then brings what is in hand to its end.
    ///
    /// # Errors
    /// When a part of the service ended before it was told to.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let Self {
            config,
            replica,
            membership,
        } = self;
        let (recorder, recorder_handle) = recorder(replica.clone());
        let host = config.settings.host();
        let context = Arc::new(Context {
            budget: Budget::new(config.settings.memory_bytes),
            metrics: Metrics::new(),
            settings: config.settings,
            credentials: AccountCredentials::new(replica.clone(), config.keys),
            recorder: recorder_handle,
            replica: replica.clone(),
        });
        // The membership outlives all else: workers add to the outbox until their end.
        let leave = CancellationToken::new();
        let mut parts = JoinSet::new();
        let left = leave.clone();
        parts.spawn(async move {
            membership.run(left).await;
            "membership"
        });
        parts.spawn(async move {
            recorder.run(CancellationToken::new()).await;
            "recorder"
        });
        let forgetting = retention::run(replica.clone(), leave.clone());
        parts.spawn(async move {
            forgetting.await;
            "retention"
        });
        let registry = WorkerRegistry::new(Overlap::Never);
        let (proving, proved, ended) = (Arc::clone(&context), Arc::clone(&registry), leave.clone());
        parts.spawn(async move {
            proof::record_until(&proving, &proved, ended).await;
            "record of proofs"
        });
        let work = Arc::new(InboundWork { context });
        let hosting = AccountHost::run(replica, work, host, registry, stop.clone());
        tokio::pin!(hosting);
        let broken = tokio::select! {
            () = &mut hosting => None,
            broken = first_to_break(&mut parts) => Some(broken),
        };
        if let Some(part) = broken {
            anyhow::bail!("the {part} of the inbound fetcher ended by itself");
        }
        leave.cancel();
        let rest = async { while parts.join_next().await.is_some() {} };
        if tokio::time::timeout(REST, rest).await.is_err() {
            warn!("The inbound fetcher left work behind; other replicas take it over");
        }
        Ok(())
    }
}

/// Waits for a part that ends though nobody told it to.
async fn first_to_break(parts: &mut JoinSet<&'static str>) -> String {
    match parts.join_next().await {
        Some(Ok(part)) => part.to_owned(),
        Some(Err(error)) => format!("part ({error})"),
        None => std::future::pending().await,
    }
}
