//! Builds services on shared connections.

use std::sync::Arc;

use mailmesh_accounts::{Connections, ConnectionsError};
use mailmesh_bus::{Bus, BusError};
use mailmesh_domain::{Clock, SystemClock};
use mailmesh_runtime::{ConfigError, Lifecycle, Unavailable};
use mailmesh_secrets::SecretString;
use mailmesh_store::PostgresSettings;

use crate::config::Config;
use crate::embedded::services_ended;
use crate::key_check;
use crate::service_kind::Kind;

/// What a started service reports to the terminal.
#[derive(Debug, Default)]
pub(crate) struct StartReport {
    /// Where the service answers HTTP, if it does.
    pub(crate) address: Option<std::net::SocketAddr>,
    /// The first administrator's key, if it was made just now.
    pub(crate) first_key: Option<SecretString>,
}

/// Opens the connections that the configuration names; the process is ready while they answer, and closes the bus when
/// its services have ended.
pub(crate) async fn connect(
    postgres: &PostgresSettings,
    config: &Config,
    lifecycle: &Lifecycle,
) -> anyhow::Result<Connections> {
    let connected = Connections::open(postgres, &config.nats).await;
    let connections = connected.map_err(|error| match error {
        ConnectionsError::Bus(error) => of_bus(error).context("NATS is not usable"),
        _ => Unavailable::new(error).into(),
    })?;
    let Connections { database, bus, .. } = connections.clone();
    let connections = connections.with_limits(&config.connects, &config.network);
    lifecycle.checks().register("postgres", move || {
        let database = database.clone();
        async move { Ok(database.ping().await.map(drop)?) }
    });
    lifecycle.checks().register("nats", move || {
        let bus = bus.clone();
        async move { Ok(bus.check().await?) }
    });
    let (process, bus) = (lifecycle.clone(), connections.bus.clone());
    lifecycle.spawn("bus", async move {
        process.stopping().await;
        services_ended(&process).await;
        bus.close().await;
    });
    Ok(connections)
}

/// Connects to NATS alone, for the commands that need nothing else.
pub(crate) async fn connect_bus(config: &Config) -> anyhow::Result<Bus> {
    Bus::connect(&config.nats).await.map_err(of_bus)
}

fn of_bus(error: BusError) -> anyhow::Error {
    match error {
        BusError::Settings(_) | BusError::Address { .. } => {
            ConfigError::invalid("nats", error).into()
        }
        _ => Unavailable::new(error).into(),
    }
}

/// Configuration and connections that each service is built with.
struct Foundation<'a> {
    config: &'a Config,
    connections: &'a Connections,
    clock: Arc<dyn Clock>,
    lifecycle: Lifecycle,
}

/// Starts one service on connections that it may share with others.
pub(crate) async fn start(
    kind: Kind,
    config: &Config,
    connections: &Connections,
    lifecycle: &Lifecycle,
) -> anyhow::Result<StartReport> {
    // admin, alone in its process, has no key to prove with: nothing acts on what it tells.
    let proving = match config.opening_keys() {
        Ok(keys) => {
            key_check::log(&connections.database, &keys, kind).await;
            Some(connections.clone().with_event_proofs(&keys)?)
        }
        Err(_) => None,
    };
    let on = Foundation {
        config,
        connections: proving.as_ref().unwrap_or(connections),
        clock: Arc::new(SystemClock),
        lifecycle: lifecycle.child(kind.name()),
    };
    match kind {
        Kind::Admin => on.admin().await,
        Kind::AuthCallback => on.auth_callback().await,
        Kind::TokenRefresh => on.token_refresh().await,
        Kind::InboundFetcher => on.inbound_fetcher().await,
        Kind::OutboundSender => on.outbound_sender().await,
    }
}

impl Foundation<'_> {
    async fn admin(self) -> anyhow::Result<StartReport> {
        let key = self.config.sealing_key()?;
        let settings = self.config.admin.clone();
        let public = self.config.public()?.clone();
        let service =
            mailmesh_admin::Service::build(settings, public, key, self.connections, self.clock)
                .await?;
        let started = StartReport {
            address: Some(service.address()),
            first_key: service.first_key(),
        };
        service.start(&self.lifecycle);
        Ok(started)
    }

    async fn auth_callback(self) -> anyhow::Result<StartReport> {
        let (public, keys) = (self.config.public()?.clone(), self.config.opening_keys()?);
        let service = mailmesh_auth_callback::Service::build(
            self.config.auth_callback.clone(),
            public,
            keys,
            self.connections,
            self.clock,
        )
        .await?;
        let address = Some(service.address());
        service.start(&self.lifecycle);
        Ok(StartReport {
            address,
            ..StartReport::default()
        })
    }

    async fn token_refresh(self) -> anyhow::Result<StartReport> {
        let (public, keys) = (self.config.public()?.clone(), self.config.opening_keys()?);
        let settings = self.config.token_refresh.clone();
        mailmesh_token_refresh::Service::build(
            settings,
            public,
            keys,
            self.connections,
            self.clock,
        )
        .await?
        .start(&self.lifecycle);
        Ok(StartReport::default())
    }

    async fn inbound_fetcher(self) -> anyhow::Result<StartReport> {
        let settings = mailmesh_inbound_fetcher::Config {
            settings: self.config.inbound_fetcher.clone(),
            keys: self.config.opening_keys()?,
        };
        mailmesh_inbound_fetcher::Service::build(settings, self.connections, self.clock)
            .await?
            .start(&self.lifecycle);
        Ok(StartReport::default())
    }

    async fn outbound_sender(self) -> anyhow::Result<StartReport> {
        let (settings, keys) = (
            self.config.outbound_sender.clone(),
            self.config.opening_keys()?,
        );
        mailmesh_outbound_sender::Service::build(settings, keys, self.connections, self.clock)
            .await?
            .start(&self.lifecycle);
        Ok(StartReport::default())
    }
}
