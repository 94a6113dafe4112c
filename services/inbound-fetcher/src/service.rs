use std::sync::Arc;

use anyhow::Context as _;
use mailmesh_accounts::{
    AccountCredentials, AccountHost, Connections, Membership, Overlap, Replica, WorkerRegistry,
};
use mailmesh_bus::StreamKind;
use mailmesh_domain::Clock;
use mailmesh_runtime::{ConfigError, Lifecycle};
use mailmesh_secrets::EventProofKeys;
use tokio_util::sync::CancellationToken;

use crate::budget::Budget;
use crate::config::Config;
use crate::context::ServiceContext;
use crate::liveness;
use crate::metric::Metrics;
use crate::recorder::recorder;
use crate::retention;
use crate::work::InboundWork;

const NAME: &str = "inbound-fetcher";
const STREAMS: &[StreamKind] = &[StreamKind::Events, StreamKind::MailRaw];

/// One replica of the inbound fetcher.
#[derive(Debug)]
pub struct Service {
    config: Config,
    replica: Replica,
    membership: Membership,
    proofs: EventProofKeys,
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
        let proofs = config.keys.event_proofs();
        let proofs = proofs.context("the keys prove no events")?;
        // What is read back was proved by these keys, whoever built the connections.
        let connections = &connections.clone().with_event_proofs(&config.keys)?;
        let (replica, membership) = Replica::join(NAME, connections, clock)
            .await
            .context("cannot announce the inbound fetcher")?;
        Ok(Self {
            config,
            replica,
            membership,
            proofs,
        })
    }

    /// Watches accounts until the process stops, then brings what is in hand to its end.
    pub fn start(self, lifecycle: &Lifecycle) {
        let Self {
            config,
            replica,
            membership,
            proofs,
        } = self;
        let (recorder, recorder_handle) = recorder(replica.clone());
        let host = config.settings.host();
        let retention = config.settings.retention();
        let context = Arc::new(ServiceContext {
            budget: Budget::new(config.settings.memory_bytes),
            metrics: Metrics::new(),
            proofs,
            settings: config.settings,
            credentials: AccountCredentials::new(replica.clone(), config.keys),
            recorder: recorder_handle,
            replica: replica.clone(),
        });
        let registry = WorkerRegistry::new(Overlap::Never);
        let work = lifecycle.child("work");
        // Records outlast the workers, the membership both: it relays the outbox, to which they add until their end.
        let records = lifecycle.child_after("records", &work);
        let members = lifecycle.child_after("mesh", &records);

        let proving = liveness::record_until(
            Arc::clone(&context),
            Arc::clone(&registry),
            records.stop_token(),
        );
        records.spawn("proofs", proving);
        // Ends when the last one that records has: what it was given is written.
        records.spawn("received-mails", recorder.run(CancellationToken::new()));
        let forgetting = retention::run(replica.clone(), retention, work.stop_token());
        work.spawn("retention", forgetting);
        let inbound = Arc::new(InboundWork { context });
        let hosting = AccountHost::run(replica, inbound, host, registry, work.stop_token());
        work.spawn("accounts", hosting);
        let health = membership.health();
        let ready = move || std::future::ready(health.check().map_err(Into::into));
        lifecycle.checks().register(NAME, ready);
        let membership = membership.needing(STREAMS);
        members.spawn("membership", membership.run(members.stop_token()));
    }
}
