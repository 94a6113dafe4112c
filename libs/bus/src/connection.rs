mod client;
mod denial;

use std::error::Error;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_nats::ConnectErrorKind;
use futures_util::future::BoxFuture;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use crate::cause::NatsCause;
use crate::fault::PublishRefusals;
use crate::prover::EventProver;
use crate::publish::budget::PublishBudget;
use crate::settings::{BusSettings, BusSettingsError};
use crate::stream::creation::StreamCreations;
use crate::subject::Prefix;
pub(crate) use client::{
    ConnectionState, ConnectionWatch, NatsClient, NatsClientError, REQUEST_TIMEOUT, connect,
    reconnect_delay,
};
pub use denial::Denial;

const CHECK_TIMEOUT: Duration = Duration::from_secs(2);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// The first with atomic batch publishing (NATS ADR-50).
const OLDEST_SERVER: (i64, i64, i64) = (2, 12, 0);
/// Pause between attempts to make a new client after the last one has ended.
const RENEW_PAUSE: Duration = Duration::from_secs(1);

/// The connection to NATS. Clones share it.
///
/// The client behind it can end for good: it panics over a header value with a bare carriage return. [`Bus::health`]
/// then reports that it is not connected, calls in flight fail, and the next call makes a new client.
#[derive(Clone)]
pub struct Bus {
    pub(crate) inner: Arc<BusInner>,
    pub(crate) prover: Option<EventProver>,
}

pub(crate) struct BusInner {
    pub(crate) prefix: Prefix,
    pub(crate) settings: BusSettings,
    pub(crate) publish_budget: PublishBudget,
    /// Whether atomic batches are tried: until a stream refuses one.
    pub(crate) takes_batches: AtomicBool,
    pub(crate) refusals: PublishRefusals,
    pub(crate) creations: StreamCreations,
    state: ConnectionWatch,
    nats: RwLock<Arc<NatsClient>>,
    /// When the last attempt to make a new client failed.
    renewing: Mutex<Option<Instant>>,
    is_closed: AtomicBool,
}

/// The state of the connection as the client reports it, without asking the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BusHealth {
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
    Settings(#[from] BusSettingsError),
    /// No server answered within `connect_wait_seconds`.
    #[error(
        "no NATS server answered at {url} within {} s: start one there, or set nats.url (MAILMESH_NATS__URL)",
        waited.as_secs()
    )]
    Unreachable {
        url: String,
        waited: Duration,
        #[source]
        source: NatsCause,
    },
    /// The server refuses us.
    #[error(
        "the NATS server at {url} refused the sign-in: check user and password in nats.credentials or nats.url"
    )]
    SignIn {
        url: String,
        #[source]
        source: NatsCause,
    },
    /// The address or the TLS settings are wrong.
    #[error("cannot use {url} as NATS address: check nats.url and nats.tls_ca_file")]
    Address {
        url: String,
        #[source]
        source: NatsCause,
    },
    /// The server is too old.
    #[error("the NATS server at {url} is version {version}, mailmesh needs 2.12 or newer")]
    TooOld { url: String, version: String },
    /// The server did not answer a question in time.
    #[error("the NATS server does not answer")]
    Silent {
        #[source]
        source: Option<NatsCause>,
    },
}

impl BusError {
    /// Says what whoever runs the servers should do.
    pub const fn action(&self) -> &'static str {
        match self {
            Self::Settings(_) => "Correct the setting named here.",
            Self::Unreachable { .. } => {
                "Start nats-server 2.12 or newer with JetStream there (nats-server -js), or correct nats.url; see whether a firewall is between."
            }
            Self::SignIn { .. } => {
                "Correct user and password in nats.credentials or nats.url, or give the server this user (docs/permissions.md)."
            }
            Self::Address { .. } => {
                "Correct nats.url, or name the certificate of the authority that signed the server's in nats.tls_ca_file."
            }
            Self::TooOld { .. } => "Replace the server by nats-server 2.12 or newer.",
            Self::Silent { .. } => "See in nats-server's log what keeps it from answering.",
        }
    }
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
    /// Connects, trying for up to `connect_wait_seconds`. Once connected, the bus reconnects for ever by itself.
    pub fn connect(settings: &BusSettings) -> BoxFuture<'_, Result<Self, BusError>> {
        Box::pin(async move {
            settings.validate_for_server()?;
            let state = ConnectionWatch::new();
            let client = first_connection(settings, &state).await?;
            let (major, minor, patch) = OLDEST_SERVER;
            if !client.is_server_compatible(major, minor, patch) {
                return Err(BusError::TooOld {
                    url: settings.shown_url(),
                    version: client.server_info().version,
                });
            }
            Ok(Self {
                inner: Arc::new(BusInner {
                    prefix: Prefix::new(&settings.prefix),
                    settings: settings.clone(),
                    publish_budget: PublishBudget::new(),
                    takes_batches: AtomicBool::new(true),
                    refusals: PublishRefusals::default(),
                    creations: StreamCreations::default(),
                    state,
                    nats: RwLock::new(Arc::new(NatsClient::new(client))),
                    renewing: Mutex::default(),
                    is_closed: AtomicBool::new(false),
                }),
                prover: None,
            })
        })
    }

    /// Returns whether the connection stands, without asking the server.
    pub fn health(&self) -> BusHealth {
        let link = self.inner.state.now();
        BusHealth {
            is_connected: link.is_up,
            reconnects: link.times_up.saturating_sub(1),
        }
    }

    /// Waits until the server refuses our user a right; the call that needed it only runs into its time limit.
    pub fn denied(&self) -> BoxFuture<'_, Denial> {
        Box::pin(self.inner.state.denied())
    }

    /// Asks the server for an answer, for readiness checks.
    pub fn check(&self) -> BoxFuture<'_, Result<(), BusError>> {
        Box::pin(async move {
            let answer = tokio::time::timeout(CHECK_TIMEOUT, async {
                self.renew_if_ended().await;
                if self.health().is_connected {
                    self.flush().await
                } else {
                    Err(BusError::Silent { source: None })
                }
            });
            answer
                .await
                .unwrap_or(Err(BusError::Silent { source: None }))
        })
    }

    /// Waits until the server has seen everything written so far.
    pub async fn flush(&self) -> Result<(), BusError> {
        let nats = self.nats().await;
        match tokio::time::timeout(REQUEST_TIMEOUT, nats.client.flush()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(BusError::Silent {
                source: Some(error.into()),
            }),
            Err(_) => Err(BusError::Silent { source: None }),
        }
    }

    /// Writes what is left and closes the connection for good: calls fail from now on, and subscriptions end.
    ///
    /// For the end of a process whose NATS server ends with it: the loss of the connection is not logged then.
    pub fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let BusInner {
                state, is_closed, ..
            } = &*self.inner;
            is_closed.store(true, Ordering::Relaxed);
            state.silence();
            let nats = self.inner.nats();
            let closing = async {
                nats.client.flush().await?;
                nats.client.drain().await?;
                let mut link = state.subscribe();
                link.wait_for(|link| link.has_ended).await?;
                Ok::<(), Box<dyn Error + Send + Sync>>(())
            };
            match tokio::time::timeout(CLOSE_TIMEOUT, closing).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => debug!(error, "NATS connection was gone before it was closed"),
                Err(_) => debug!("NATS connection could not be closed in time"),
            }
        })
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.inner.is_closed.load(Ordering::Relaxed)
    }

    /// Waits until the connection stands; says whether it did in time.
    pub(crate) async fn is_connected_before(&self, deadline: Instant) -> bool {
        if self.is_closed() {
            return false;
        }
        let standing = async {
            self.renew_if_ended().await;
            let mut link = self.inner.state.subscribe();
            link.wait_for(|link| link.is_up).await.is_ok()
        };
        let in_time = tokio::time::timeout_at(deadline, standing).await;
        in_time.unwrap_or(false)
    }

    /// Returns the shared client, a new one if its task has ended.
    pub(crate) async fn nats(&self) -> Arc<NatsClient> {
        self.renew_if_ended().await;
        self.inner.nats()
    }

    async fn renew_if_ended(&self) {
        let inner = &self.inner;
        if !inner.state.now().has_ended || self.is_closed() {
            return;
        }
        let mut failed_at = inner.renewing.lock().await;
        let is_too_soon = failed_at.is_some_and(|at| at.elapsed() < RENEW_PAUSE);
        if is_too_soon || !inner.state.now().has_ended {
            return;
        }
        match connect(&inner.settings, &inner.state).await {
            Ok(client) => {
                inner.replace(NatsClient::new(client));
                error!("NATS client had ended without being asked to, a new one was made");
            }
            Err(error) => {
                *failed_at = Some(Instant::now());
                let error = &error as &dyn Error;
                warn!(error, "NATS client has ended, and no new one can be made");
            }
        }
    }
}

impl BusInner {
    /// Returns the shared client as it is, even if its task has ended.
    pub(crate) fn nats(&self) -> Arc<NatsClient> {
        Arc::clone(&self.nats.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn replace(&self, nats: NatsClient) {
        *self.nats.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(nats);
    }
}

async fn first_connection(
    settings: &BusSettings,
    state: &ConnectionWatch,
) -> Result<async_nats::Client, BusError> {
    let url = settings.shown_url();
    let started = Instant::now();
    let mut failures = 0;
    loop {
        let (kind, source) = match connect(settings, state).await {
            Ok(client) => return Ok(client),
            Err(NatsClientError::Settings(error)) => return Err(error.into()),
            Err(NatsClientError::Connect { kind, source }) => (kind, source),
        };
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
