use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::jetstream;
use async_nats::{ConnectErrorKind, ConnectOptions, Event, ServerError};
use futures_util::future::BoxFuture;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::watch;
use tracing::{debug, error, info, warn};

use super::denial::Denial;
use crate::cause::NatsCause;
use crate::delay::jittered;
use crate::settings::{BusCredentials, BusSettings, BusSettingsError};

/// Time limit for the server's answer to one request.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// A client of the NATS library with its own connection, and its JetStream context.
pub(crate) struct NatsClient {
    pub(crate) client: async_nats::Client,
    pub(crate) jetstream: jetstream::Context,
}

/// Whether the server is reached, and how often it has been.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ConnectionState {
    pub(crate) is_up: bool,
    pub(crate) times_up: u64,
    /// The client's task has ended: it will never reconnect.
    pub(crate) has_ended: bool,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NatsClientError {
    #[error("the NATS settings are not valid")]
    Settings(#[from] BusSettingsError),
    #[error("cannot connect to NATS")]
    Connect {
        kind: ConnectErrorKind,
        #[source]
        source: NatsCause,
    },
}

/// The state of a connection for those who wait for it, and whether its changes are logged.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionWatch {
    link: Arc<watch::Sender<ConnectionState>>,
    is_quiet: Arc<AtomicBool>,
    denied: Arc<watch::Sender<Option<Denial>>>,
}

impl ConnectionWatch {
    pub(crate) fn new() -> Self {
        Self {
            link: Arc::new(watch::Sender::new(ConnectionState::default())),
            is_quiet: Arc::default(),
            denied: Arc::new(watch::Sender::new(None)),
        }
    }

    pub(crate) fn quiet() -> Self {
        let this = Self::new();
        this.silence();
        this
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<ConnectionState> {
        self.link.subscribe()
    }

    pub(crate) fn now(&self) -> ConnectionState {
        *self.link.borrow()
    }

    fn note_server_error(&self, error: &ServerError, inbox_prefix: &str) {
        let Some(denial) = Denial::of(error, inbox_prefix) else {
            warn!(%error, "NATS server reports an error");
            return;
        };
        error!(
            denied = %denial,
            action = denial.action(),
            "NATS refuses this user a right"
        );
        self.denied.send_replace(Some(denial));
    }

    /// Waits until the server refuses a right, or has refused one.
    pub(crate) async fn denied(&self) -> Denial {
        let mut denied = self.denied.subscribe();
        let found = denied.wait_for(Option::is_some).await;
        match found.ok().and_then(|denial| denial.clone()) {
            Some(denial) => denial,
            // Its sender lives in this.
            None => std::future::pending().await,
        }
    }

    pub(crate) fn silence(&self) {
        self.is_quiet.store(true, Ordering::Relaxed);
    }

    fn is_quiet(&self) -> bool {
        self.is_quiet.load(Ordering::Relaxed)
    }

    fn mark_up(&self) {
        self.link.send_if_modified(|link| {
            if link.is_up {
                return false;
            }
            link.is_up = true;
            link.has_ended = false;
            link.times_up += 1;
            true
        });
    }

    fn mark_down(&self) {
        self.link.send_if_modified(|link| {
            let was_up = link.is_up;
            link.is_up = false;
            was_up
        });
    }

    fn note(&self, event: &Event, inbox_prefix: &str) {
        match event {
            Event::Connected => {
                self.mark_up();
                if !self.is_quiet() {
                    info!("NATS connected");
                }
            }
            Event::Disconnected => {
                self.mark_down();
                if !self.is_quiet() {
                    warn!("NATS connection lost, reconnecting");
                }
            }
            Event::Closed => self.mark_down(),
            Event::SlowConsumer(subscription) => {
                warn!(
                    subscription,
                    "NATS messages dropped: the reader is too slow"
                );
            }
            Event::LameDuckMode => info!("NATS server is shutting down, another will be used"),
            // Whoever waits for the answer only sees a time-out.
            Event::ServerError(error) => self.note_server_error(error, inbox_prefix),
            Event::ClientError(error) if self.is_quiet() => debug!(%error, "NATS client fails"),
            Event::ClientError(error) => warn!(%error, "NATS client reports an error"),
            Event::Draining => {}
        }
    }
}

/// Lives in the client's event callback, and so exactly as long as the client's task.
///
/// A task that panics sends no event and leaves the client's own state at "connected": dropping this is the only sign.
struct ClientEndGuard(ConnectionWatch);

impl Drop for ClientEndGuard {
    fn drop(&mut self) {
        self.0.link.send_modify(|link| {
            link.is_up = false;
            link.has_ended = true;
        });
    }
}

impl NatsClient {
    pub(crate) fn new(client: async_nats::Client) -> Self {
        let jetstream = jetstream::context::ContextBuilder::new()
            .timeout(REQUEST_TIMEOUT)
            // Above what the publish budget admits: async-nats waits without a bound when its own limit is reached.
            .max_ack_inflight(8_192)
            .backpressure_on_inflight(true)
            .build(client.clone());
        Self { client, jetstream }
    }
}

/// Connects once. The client then reconnects by itself until its task ends, or its last clone is dropped.
pub(crate) fn connect<'a>(
    settings: &'a BusSettings,
    state: &'a ConnectionWatch,
) -> BoxFuture<'a, Result<async_nats::Client, NatsClientError>> {
    Box::pin(async move {
        let servers = settings.addresses();
        let options = options(settings, state.clone()).await?;
        match options.connect(&servers[..]).await {
            Ok(client) => {
                state.mark_up();
                Ok(client)
            }
            Err(error) => Err(NatsClientError::Connect {
                kind: error.kind(),
                source: error.into(),
            }),
        }
    })
}

async fn options(
    settings: &BusSettings,
    state: ConnectionWatch,
) -> Result<ConnectOptions, BusSettingsError> {
    let guard = ClientEndGuard(state);
    let inbox_prefix = settings.inbox_prefix.clone();
    let mut options = ConnectOptions::new()
        .name(&settings.client_name)
        .custom_inbox_prefix(&settings.inbox_prefix)
        .require_tls(settings.requires_tls())
        .connection_timeout(Duration::from_secs(5))
        .request_timeout(Some(REQUEST_TIMEOUT))
        .ping_interval(Duration::from_secs(20))
        .reconnect_delay_callback(|attempts| {
            reconnect_delay(u32::try_from(attempts).unwrap_or(u32::MAX))
        })
        .event_callback(move |event| {
            let ClientEndGuard(state) = &guard;
            state.note(&event, &inbox_prefix);
            std::future::ready(())
        });
    if let Some(path) = &settings.tls_ca_file {
        options = options.add_root_certificates(path.clone());
    }
    let Some(credentials) = settings.sign_in() else {
        return Ok(options);
    };
    Ok(match &credentials {
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

async fn secret(path: &Path) -> Result<SecretString, BusSettingsError> {
    let text = tokio::fs::read_to_string(path)
        .await
        .map_err(|source| unreadable(path, source))?;
    Ok(SecretString::from(text.trim().to_owned()))
}

fn unreadable(path: &Path, source: std::io::Error) -> BusSettingsError {
    BusSettingsError::SecretFile {
        path: path.to_owned(),
        source,
    }
}

pub(crate) fn reconnect_delay(failures: u32) -> Duration {
    jittered(failures, Duration::from_millis(50), Duration::from_secs(4))
}
