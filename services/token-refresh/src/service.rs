use std::sync::Arc;

use anyhow::Context;
use mailmesh_accounts::{Connections, Membership, Replica};
use mailmesh_bus::Subscription;
use mailmesh_domain::Clock;
use mailmesh_oauth::{Providers, PublicSettings};
use mailmesh_runtime::{ConfigError, Lifecycle};
use mailmesh_secrets::OpeningKeys;
use tokio::sync::Notify;

use crate::client_limiter::ClientLimiter;
use crate::config::Config;
use crate::context::ServiceContext;
use crate::handlers::refresh_token;
use crate::metric::Metrics;
use crate::refresh::Refresher;
use crate::schedule;

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
        let questions = refresh_token::subscribe(&replica).await?;
        let context = ServiceContext {
            clients: ClientLimiter::new(
                config.max_in_flight,
                config.max_in_flight_per_client,
                config.slow_probe(),
            ),
            providers: Providers::new(public.redirect_uri())
                .through(config.proxy_url.clone())
                .allowing(&connections.network),
            metrics: Metrics::new(),
            config,
            replica,
            keys,
        };
        Ok(Self {
            refresher: Arc::new(Refresher { context }),
            membership,
            questions,
        })
    }

    /// Refreshes grants until the process stops, then ends those that are under way.
    pub fn start(self, lifecycle: &Lifecycle) {
        let Self {
            refresher,
            membership,
            questions,
        } = self;
        let work = lifecycle.child("work");
        // The membership relays the outbox, to which refreshes add until their end.
        let members = lifecycle.child_after("mesh", &work);
        let (wake, stop) = (Arc::new(Notify::new()), work.stop_token());
        let replica = refresher.context.replica.clone();
        let asked = refresh_token::run(replica, questions, Arc::clone(&wake), stop.clone());
        work.spawn("questions", asked);
        work.spawn("schedule", schedule::run(refresher, wake, stop));
        let health = membership.health();
        let ready = move || std::future::ready(health.check().map_err(Into::into));
        lifecycle.checks().register(NAME, ready);
        members.spawn("membership", membership.run(members.stop_token()));
    }
}
