use std::sync::Arc;

use anyhow::Context;
use mailmesh_accounts::{Connections, Membership, Replica};
use mailmesh_bus::Subscription;
use mailmesh_domain::Clock;
use mailmesh_oauth::{Providers, PublicSettings};
use mailmesh_runtime::{ConfigError, Lifecycle};
use mailmesh_secrets::OpeningKeys;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::client_limiter::ClientLimiter;
use crate::config::Config;
use crate::metric::Metrics;
use crate::refresh::Refresher;
use crate::{ask, schedule};

const NAME: &str = "token-refresh";

/// One replica of the service that refreshes tokens.
#[derive(Debug)]
pub struct Service {
    refresher: Arc<Refresher>,
    membership: Membership,
    questions: Subscription,
}

impl Service {
    /// Checks the settings, announces the replica and listens for questions.
    ///
    /// # Errors
    /// When a setting is out of its range, or the database or the bus fails.
    pub async fn build(
        config: Config,
        public: PublicSettings,
        keys: OpeningKeys,
        connections: &Connections,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<Self> {
        let checked = config.validate();
        checked.map_err(|problem| ConfigError::invalid("token_refresh", problem))?;
        let (replica, membership) = Replica::join(NAME, connections, clock)
            .await
            .context("cannot announce the token refresh")?;
        let questions = ask::subscribe(&replica).await?;
        let refresher = Refresher {
            clients: ClientLimiter::new(config.max_in_flight_per_client, config.slow_probe()),
            providers: Providers::new(public.redirect_uri()).through(config.proxy_url.clone()),
            metrics: Metrics::new(),
            config,
            replica,
            keys,
        };
        Ok(Self {
            refresher: Arc::new(refresher),
            membership,
            questions,
        })
    }

    /// Runs the service within the process's life cycle.
    pub fn start(self, lifecycle: &Lifecycle) {
        let stop = lifecycle.stop_token();
        lifecycle.spawn(NAME, self.run(stop));
    }

    /// Refreshes grants until `stop`, then ends those that are under way.
    pub async fn run(self, stop: CancellationToken) {
        let Self {
            refresher,
            membership,
            questions,
        } = self;
        let wake = Arc::new(Notify::new());
        let asked = ask::run(
            refresher.replica.clone(),
            questions,
            Arc::clone(&wake),
            stop.clone(),
        );
        // The membership relays the outbox, to which refreshes add until their end.
        let leave = CancellationToken::new();
        let refreshing = async {
            schedule::run(refresher, wake, stop).await;
            leave.cancel();
        };
        tokio::join!(membership.run(leave.clone()), asked, refreshing);
    }
}
