use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream;
use async_nats::{ConnectErrorKind, ConnectOptions, Event};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::cause::NatsCause;
use crate::delay::jittered;
use crate::publish::IN_FLIGHT_UNITS;
use crate::settings::{BusCredentials, BusSettings, SettingsError, StreamSettings};
use crate::subject::Prefix;

pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);
const OLDEST_SERVER: (i64, i64, i64) = (2, 12, 0);

/// The connection to NATS. Clones share it.
#[derive(Clone)]
pub struct Bus {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) client: async_nats::Client,
    pub(crate) jetstream: jetstream::Context,
    pub(crate) prefix: Prefix,
    pub(crate) streams: StreamSettings,
    pub(crate) in_flight: Arc<Semaphore>,
    pub(crate) link: watch::Receiver<Link>,
}

/// Whether the server is reached, and how often it has been.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) is_up: bool,
    pub(crate) times_up: u64,
}

/// What the bus knows of its own state, without asking the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    /// Whether the connection stands.
    pub is_connected: bool,
    /// How often the connection was lost and came back.
    pub reconnects: u64,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// The settings do not fit.
    #[error("the NATS settings are not valid")]
    Settings(#[from] SettingsError),
    /// Nobody answered in the time given.
    #[error(
        "no NATS server answered at {url} within {} s: start one there, or set nats.url (MAILMESH_NATS__URL)",
        waited.as_secs()
    )]
    Unreachable {
        /// Where it was sought.
        url: String,
        /// For how long.
        waited: Duration,
        /// The last failure.
        #[source]
        source: NatsCause,
    },
    /// The server refuses us.
    #[error("the NATS server at {url} refused the sign-in: check nats.credentials")]
    SignIn {
        /// Where.
        url: String,
        /// What it said.
        #[source]
        source: NatsCause,
    },
    /// The address or the TLS settings are wrong.
    #[error("cannot use {url} as NATS address: check nats.url and nats.tls_ca_file")]
    Address {
        /// The address.
        url: String,
        /// Why.
        #[source]
        source: NatsCause,
    },
    /// The server is too old.
    #[error("the NATS server at {url} is version {version}, mailmesh needs 2.12 or newer")]
    TooOld {
        /// Where.
        url: String,
        /// What runs there.
        version: String,
    },
    /// The server did not answer a question in time.
    #[error("the NATS server does not answer")]
    Silent {
        /// Why, where it is known.
        #[source]
        source: Option<NatsCause>,
    },
}

impl fmt::Debug for Bus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Bus")
            .field("prefix", &self.inner.prefix)
            .field("health", &self.health())
            .finish_non_exhaustive()
    }
}

impl Bus {
    /// Connects, trying for as long as the settings say. Once connected, the bus reconnects for ever by itself.
    pub async fn connect(settings: &BusSettings) -> Result<Self, BusError> {
        settings.validate()?;
        let (link_sender, link) = watch::channel(Link::default());
        let link_sender = Arc::new(link_sender);
        let client = first_connection(settings, &link_sender).await?;
        mark_up(&link_sender);
        let (major, minor, patch) = OLDEST_SERVER;
        if !client.is_server_compatible(major, minor, patch) {
            return Err(BusError::TooOld {
                url: settings.shown_url(),
                version: client.server_info().version,
            });
        }
        let jetstream = jetstream::context::ContextBuilder::new()
            .timeout(REQUEST_TIMEOUT)
            // Twice what the byte budget lets through: the client's own limit would wait without a bound.
            .max_ack_inflight(8_192)
            .backpressure_on_inflight(true)
            .build(client.clone());
        Ok(Self {
            inner: Arc::new(Inner {
                client,
                jetstream,
                prefix: Prefix::new(&settings.prefix),
                streams: settings.streams.clone(),
                in_flight: Arc::new(Semaphore::new(IN_FLIGHT_UNITS)),
                link,
            }),
        })
    }

    /// Returns whether the connection stands, without asking the server.
    pub fn health(&self) -> Health {
        let link = *self.inner.link.borrow();
        Health {
            is_connected: link.is_up,
            reconnects: link.times_up.saturating_sub(1),
        }
    }

    /// Asks the server for a sign of life, for readiness checks.
    pub async fn check(&self) -> Result<(), BusError> {
        if !self.health().is_connected {
            return Err(BusError::Silent { source: None });
        }
        self.flush_within(CHECK_TIMEOUT).await
    }

    /// Waits until the server has seen everything written so far.
    pub async fn flush(&self) -> Result<(), BusError> {
        self.flush_within(REQUEST_TIMEOUT).await
    }

    async fn flush_within(&self, limit: Duration) -> Result<(), BusError> {
        match tokio::time::timeout(limit, self.inner.client.flush()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(BusError::Silent {
                source: Some(error.into()),
            }),
            Err(_) => Err(BusError::Silent { source: None }),
        }
    }

    /// Waits until the connection stands; says whether it did in time.
    pub(crate) async fn link_is_up_before(&self, deadline: Instant) -> bool {
        let mut link = self.inner.link.clone();
        let up = link.wait_for(|link| link.is_up);
        matches!(tokio::time::timeout_at(deadline, up).await, Ok(Ok(_)))
    }
}

async fn first_connection(
    settings: &BusSettings,
    link: &Arc<watch::Sender<Link>>,
) -> Result<async_nats::Client, BusError> {
    let url = settings.shown_url();
    let servers: Vec<&str> = settings.servers().collect();
    let started = Instant::now();
    let mut failures = 0;
    loop {
        let options = options(settings, Arc::clone(link)).await?;
        let error = match options.connect(&servers[..]).await {
            Ok(client) => return Ok(client),
            Err(error) => error,
        };
        let kind = error.kind();
        let source = NatsCause::from(error);
        match kind {
            ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
                return Err(BusError::SignIn { url, source });
            }
            ConnectErrorKind::ServerParse | ConnectErrorKind::Tls => {
                return Err(BusError::Address { url, source });
            }
            _ => {}
        }
        let waited = started.elapsed();
        if waited >= settings.connect_wait() {
            return Err(BusError::Unreachable {
                url,
                waited: settings.connect_wait(),
                source,
            });
        }
        if failures == 0 {
            info!(nats.url = url, "Waiting for NATS");
        }
        tokio::time::sleep(reconnect_delay(failures)).await;
        failures += 1;
    }
}

async fn options(
    settings: &BusSettings,
    link: Arc<watch::Sender<Link>>,
) -> Result<ConnectOptions, SettingsError> {
    let mut options = ConnectOptions::new()
        .name(&settings.client_name)
        .connection_timeout(Duration::from_secs(5))
        .request_timeout(Some(REQUEST_TIMEOUT))
        .ping_interval(Duration::from_secs(20))
        .reconnect_delay_callback(|attempts| {
            reconnect_delay(u32::try_from(attempts).unwrap_or(u32::MAX))
        })
        .event_callback(move |event| {
            note(&link, &event);
            std::future::ready(())
        });
    if let Some(path) = &settings.tls_ca_file {
        options = options
            .add_root_certificates(path.clone())
            .require_tls(true);
    }
    let Some(credentials) = &settings.credentials else {
        return Ok(options);
    };
    Ok(match credentials {
        BusCredentials::UserPassword {
            user,
            password_file,
        } => {
            let password = secret(password_file).await?;
            options.user_and_password(user.clone(), password.expose_secret().to_owned())
        }
        BusCredentials::Password { user, password } => {
            options.user_and_password(user.clone(), password.expose_secret().to_owned())
        }
        BusCredentials::TokenFile(path) => {
            options.token(secret(path).await?.expose_secret().to_owned())
        }
        BusCredentials::Token(token) => options.token(token.expose_secret().to_owned()),
        BusCredentials::NkeySeedFile(path) => {
            options.nkey(secret(path).await?.expose_secret().to_owned())
        }
        BusCredentials::CredentialsFile(path) => options
            .credentials_file(path)
            .await
            .map_err(|source| unreadable(path, source))?,
    })
}

async fn secret(path: &Path) -> Result<SecretString, SettingsError> {
    let text = tokio::fs::read_to_string(path)
        .await
        .map_err(|source| unreadable(path, source))?;
    Ok(SecretString::from(text.trim().to_owned()))
}

fn unreadable(path: &Path, source: std::io::Error) -> SettingsError {
    SettingsError::SecretFile {
        path: path.to_owned(),
        source,
    }
}

fn reconnect_delay(failures: u32) -> Duration {
    jittered(failures, Duration::from_millis(50), Duration::from_secs(4))
}

fn mark_up(link: &watch::Sender<Link>) {
    link.send_if_modified(|link| {
        if link.is_up {
            return false;
        }
        link.is_up = true;
        link.times_up += 1;
        true
    });
}

fn note(link: &watch::Sender<Link>, event: &Event) {
    match event {
        Event::Connected => {
            mark_up(link);
            info!("NATS connected");
        }
        Event::Disconnected => {
            link.send_modify(|link| link.is_up = false);
            warn!("NATS connection lost, reconnecting");
        }
        Event::Closed => link.send_modify(|link| link.is_up = false),
        Event::SlowConsumer(subscription) => {
            warn!(
                subscription,
                "NATS messages dropped: the reader is too slow"
            );
        }
        Event::LameDuckMode => info!("NATS server is shutting down, another will be used"),
        Event::ServerError(error) => warn!(%error, "NATS server reports an error"),
        Event::ClientError(error) => warn!(%error, "NATS client reports an error"),
        Event::Draining => {}
    }
}
