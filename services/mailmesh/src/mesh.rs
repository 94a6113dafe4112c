//! Builds services on shared connections.

use std::sync::Arc;

use anyhow::Context;
use mailmesh_domain::{Clock, SystemClock};
use mailmesh_replica::{Connections, PublicSettings};
use mailmesh_runtime::{ConfigError, Lifecycle, Unavailable};
use mailmesh_secrets::SecretString;

use crate::config::Config;

/// One of the five services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Admin,
    AuthCallback,
    TokenRefresh,
    InboundFetcher,
    OutboundSender,
}

impl Kind {
    pub(crate) const ALL: [Self; 5] = [
        Self::TokenRefresh,
        Self::InboundFetcher,
        Self::OutboundSender,
        Self::AuthCallback,
        Self::Admin,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::AuthCallback => "auth-callback",
            Self::TokenRefresh => "token-refresh",
            Self::InboundFetcher => "inbound-fetcher",
            Self::OutboundSender => "outbound-sender",
        }
    }
}

/// What starting a service told, for whoever shows it.
#[derive(Debug, Default)]
pub(crate) struct Started {
    /// Where the service answers HTTP, if it does.
    pub(crate) address: Option<std::net::SocketAddr>,
    /// The first administrator's key, if it was made just now.
    pub(crate) first_key: Option<SecretString>,
}

/// Opens the connections that the configuration names.
pub(crate) async fn connect(config: &Config) -> anyhow::Result<Connections> {
    let postgres = config.postgres.as_ref().context(
        "no database is named: set postgres.url in the configuration file, or MAILMESH_POSTGRES__URL",
    )?;
    let connections = Connections::open(postgres, &config.nats).await;
    connections.map_err(|error| Unavailable::new(error).into())
}

/// Starts one service on connections that it may share with others.
pub(crate) async fn start(
    kind: Kind,
    config: &Config,
    connections: &Connections,
    lifecycle: &Lifecycle,
) -> anyhow::Result<Started> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let lifecycle = lifecycle.child(kind.name());
    let keys = || {
        let keys = config.keys.opening_keys();
        keys.map_err(|source| ConfigError::invalid("keys", source))
    };
    let mut started = Started::default();
    match kind {
        Kind::Admin => {
            let key = config.keys.sealing_key();
            let key = key.map_err(|source| ConfigError::invalid("keys", source))?;
            let service = mailmesh_admin::Service::build(
                config.admin.clone(),
                public(config)?,
                key,
                connections,
                clock,
            )
            .await?;
            started.address = Some(service.address());
            started.first_key = service.first_key();
            service.start(&lifecycle);
        }
        Kind::AuthCallback => {
            let service = mailmesh_auth_callback::Service::build(
                config.auth_callback.clone(),
                public(config)?,
                keys()?,
                connections,
                clock,
            )
            .await?;
            started.address = Some(service.address());
            service.start(&lifecycle);
        }
        Kind::TokenRefresh => {
            let settings = config.token_refresh.clone();
            mailmesh_token_refresh::Service::build(
                settings,
                public(config)?,
                keys()?,
                connections,
                clock,
            )
            .await?
            .start(&lifecycle);
        }
        Kind::InboundFetcher => {
            let settings = mailmesh_inbound_fetcher::Config {
                settings: config.inbound_fetcher.clone(),
                keys: keys()?,
            };
            mailmesh_inbound_fetcher::Service::build(settings, connections, clock)
                .await?
                .start(&lifecycle);
        }
        Kind::OutboundSender => {
            let settings = config.outbound_sender.clone();
            mailmesh_outbound_sender::Service::build(settings, keys()?, connections, clock)
                .await?
                .start(&lifecycle);
        }
    }
    Ok(started)
}

fn public(config: &Config) -> anyhow::Result<PublicSettings> {
    config.public.clone().context(
        "no public URL is named: set public.url to the address at which browsers reach auth-callback, or MAILMESH_PUBLIC__URL",
    )
}
