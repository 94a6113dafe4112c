use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use mailmesh_accounts::{
    AccountCredentials, AccountHost, Connections, HostSettings, Membership, MemoryBudget, Overlap,
    Replica, WorkerRegistry,
};
use mailmesh_bus::{EventSubscription, StreamKind, Subscription};
use mailmesh_domain::{Clock, Direction, Key};
use mailmesh_events::account::AccountChanged;
use mailmesh_runtime::{ConfigError, Lifecycle};
use mailmesh_secrets::OpeningKeys;
use tokio::sync::Notify;

use crate::account_cache::AccountCache;
use crate::config::Config;
use crate::context::{OUTBOUND_DUE, ServiceContext};
use crate::deleted_account;
use crate::handlers::CommandHandler;
use crate::in_flight::InFlight;
use crate::raw_cache::RawCache;
use crate::recorder::Recorder;
use crate::retention;
use crate::retry_policy::RetryPolicy;
use crate::uncertain::UncertainResolver;
use crate::work::OutboundWork;
use crate::{cancel, due, gauge, leftover, recovery};

const NAME: &str = "outbound-sender";
const STREAMS: &[StreamKind] = &[
    StreamKind::Events,
    StreamKind::MailSend,
    StreamKind::MailRaw,
    StreamKind::DeadLetters,
];
const CHECK_EVERY: Duration = Duration::from_secs(30);
const LOOK_FOR_TOKENS_EVERY: Duration = Duration::from_secs(5);
/// Maximum wait for connections that finish their mails when the process ends.
const FINISH: Duration = Duration::from_secs(20);

/// One replica of the service, ready to run.
#[derive(Debug)]
pub struct Service {
    replica: Replica,
    membership: Membership,
    config: Arc<Config>,
    context: Arc<ServiceContext>,
    recorder: Recorder,
    accounts: Arc<AccountCache>,
    due_hints: Subscription,
    changed: EventSubscription<AccountChanged>,
    unknown: Key,
}

impl Service {
    /// Checks the configuration, joins the mesh and subscribes to the hints.
    ///
    /// # Errors
    /// When the configuration is not usable, or NATS or Postgres does not answer.
    pub async fn build(
        config: Config,
        keys: OpeningKeys,
        connections: &Connections,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<Self> {
        let checked = config.validate();
        checked.map_err(|problem| ConfigError::invalid("outbound_sender", problem))?;
        let (replica, membership) = Replica::join(NAME, connections, clock)
            .await
            .context("cannot join the mesh")?;
        let config = Arc::new(config);
        let in_flight = Arc::new(InFlight::default());
        let (recorder, handle) = Recorder::new(replica.clone(), Arc::clone(&in_flight));
        let context = ServiceContext {
            retry: RetryPolicy::of(&config),
            transport: config.transport(),
            recorder: handle,
            credentials: AccountCredentials::new(replica.clone(), keys),
            registry: WorkerRegistry::new(Overlap::WhileEnding),
            raws: Arc::new(RawCache::new(config.cache_bytes())),
            raw_mails: replica.bus.raw_mails(),
            in_flight,
            memory: MemoryBudget::new(config.raw_memory_bytes - config.cache_bytes()),
            recover_soon: Notify::new(),
            config: Arc::clone(&config),
            replica: replica.clone(),
        };
        let due_hints = replica.bus.subscribe(OUTBOUND_DUE, None).await?;
        let changed = replica.bus.subscribe_to::<AccountChanged>().await?;
        Ok(Self {
            accounts: Arc::new(AccountCache::new(replica.database.clone())),
            unknown: Key::try_new("unknown").context("the key of no account")?,
            context: Arc::new(context),
            membership,
            recorder,
            replica,
            config,
            due_hints,
            changed,
        })
    }

    /// Sends until the process stops, and until the mails in flight have come to their end.
    pub fn start(self, lifecycle: &Lifecycle) {
        let work = lifecycle.child("work");
        // The recorder outlives those who send, the membership outlives the recorder.
        let records = lifecycle.child_after("records", &work);
        let members = lifecycle.child_after("mesh", &records);
        self.recorder.start(&records);
        let health = self.membership.health();
        let ready = move || std::future::ready(health.check().map_err(Into::into));
        lifecycle.checks().register(NAME, ready);
        let membership = self.membership.needing(STREAMS);
        members.spawn("membership", membership.run(members.stop_token()));

        let stop = work.stop_token();
        let is_full = Arc::new(Notify::new());
        let handler = Arc::new(CommandHandler {
            replica: self.replica.clone(),
            config: Arc::clone(&self.config),
            accounts: Arc::clone(&self.accounts),
            registry: Arc::clone(&self.context.registry),
            raws: Arc::clone(&self.context.raws),
            is_full: Arc::clone(&is_full),
            unknown: self.unknown,
            failed: Arc::default(),
        });
        let (bus, consuming) = (self.replica.bus.clone(), stop.clone());
        work.spawn("commands", async move {
            let consumed = bus
                .consume(handler, CommandHandler::settings(), consuming)
                .await;
            consumed.context("cannot take commands in")
        });
        let (accounts, changed) = (self.accounts, self.changed);
        let (forgetting, is_deleted) = (stop.clone(), Arc::new(Notify::new()));
        let deleted =
            deleted_account::run(self.replica.clone(), Arc::clone(&is_deleted), stop.clone());
        work.spawn("deleted-accounts", deleted);
        work.spawn("account-cache", async move {
            accounts
                .forget_changed(changed, is_deleted, forgetting)
                .await;
        });
        let cancelling = cancel::run(self.replica.clone(), stop.clone());
        work.spawn("cancels", cancelling);
        let removing = leftover::run(self.replica.clone(), stop.clone());
        work.spawn("leftover-commands", removing);
        let retaining = retention::run(self.replica, self.config, is_full, stop);
        work.spawn("retention", retaining);
        send(self.context, self.due_hints, &work);
    }
}

/// Starts what works on the mails that were taken in.
fn send(context: Arc<ServiceContext>, due_hints: Subscription, work: &Lifecycle) {
    let outbound = Arc::new(OutboundWork {
        context: Arc::clone(&context),
    });
    let host = HostSettings {
        direction: Direction::Outbound,
        check_every: CHECK_EVERY,
        look_for_tokens_every: LOOK_FOR_TOKENS_EVERY,
        finish_within: FINISH,
    };
    let (replica, registry) = (context.replica.clone(), Arc::clone(&context.registry));
    let stop = work.stop_token();
    let hosting = AccountHost::run(replica, outbound, host, registry, stop.clone());
    work.spawn("accounts", hosting);
    let waking = due::run(Arc::clone(&context), due_hints, stop.clone());
    work.spawn("due", waking);
    let recovering = recovery::run(Arc::clone(&context), stop.clone());
    work.spawn("recovery", recovering);
    let measuring = gauge::run(Arc::clone(&context), stop.clone());
    work.spawn("queue-gauges", measuring);
    let resolving = UncertainResolver::default().run(context, stop);
    work.spawn("uncertain", resolving);
}
