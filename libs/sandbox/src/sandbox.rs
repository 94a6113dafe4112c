use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn;
use futures_util::future::BoxFuture;
use mailmesh_domain::Clock;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::info;

use crate::certificate::{CertificateError, TlsAuthority};
use crate::control::{self, Desk};
use crate::fault::FaultBook;
use crate::fault::http::{CutSwitch, honour_cuts};
use crate::host::{self, HostError};
use crate::mailbox::{MailStore, MailStoreError};
use crate::oauth::SigningKeyError;
use crate::oauth::listener::FrontDoor;
use crate::oauth::{
    self, ClientBook, InvalidRedirectUri, OAuthCounters, ProviderState, SigningKey,
};
use crate::server::{MailAddresses, MailParts, MailServerError, SandboxMailServer};
use crate::settings::{ApplicationSettings, ClientSettings, Settings};
use crate::token::TokenBook;

/// Requests in hand may end; whoever holds a connection longer loses it.
const STOP_LIMIT: Duration = Duration::from_secs(2);

/// Why the sandbox could not start.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The address to listen on can be reached from elsewhere, or clients could not use the host.
    #[error(transparent)]
    Host(HostError),
    /// The port of the OAuth server could not be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    #[error("cannot start the mail servers")]
    Mail(#[source] MailServerError),
    /// No certificate could be made.
    #[error("cannot make the certificates")]
    Tls(#[source] CertificateError),
    /// No key for id tokens could be made.
    #[error("cannot make the key for id tokens")]
    Key(#[source] SigningKeyError),
    /// A mailbox of the settings was refused.
    #[error("cannot create mailbox {address}")]
    Mailbox {
        /// The mailbox.
        address: String,
        /// The store's reason.
        #[source]
        source: MailStoreError,
    },
    /// A client of the settings was refused.
    #[error("cannot register a client")]
    Client(#[source] InvalidRedirectUri),
}

/// Where the sandbox listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses {
    /// The name by which clients reach every server.
    pub host: String,
    /// The OAuth server and the control API.
    pub oauth: SocketAddr,
    /// The issuer, which is also the base URL of every endpoint.
    pub issuer: String,
    /// The base URL of the control API.
    pub control: String,
    /// The mail servers.
    pub mail: MailAddresses,
}

/// A running provider; dropping it closes the web side, [`Sandbox::stop`] closes everything and waits.
pub struct Sandbox {
    addresses: Addresses,
    tls: TlsAuthority,
    provider: Arc<ProviderState>,
    mail_server: SandboxMailServer,
    web: JoinSet<()>,
    stop: DropGuard,
}

impl Sandbox {
    /// Makes the certificates, keys, mailboxes and clients and starts every server.
    pub fn start(
        settings: Settings,
        clock: Arc<dyn Clock>,
    ) -> BoxFuture<'static, Result<Self, SandboxError>> {
        Box::pin(async move {
            let host = host::choose(&settings).map_err(SandboxError::Host)?;
            let tls = TlsAuthority::generate(&host).map_err(SandboxError::Tls)?;
            let (listener, oauth) =
                listen(SocketAddr::new(settings.bind, settings.oauth_port)).await?;
            let issuer = host::url(&host, oauth.port(), settings.https);
            let provider = Arc::new(make_provider(&settings, clock, issuer.clone())?);
            let parts = MailParts {
                store: provider.mail.clone(),
                tokens: provider.tokens.clone(),
                faults: provider.faults.clone(),
                tls: tls.clone(),
            };
            let mail_server =
                SandboxMailServer::start(&settings, parts).map_err(SandboxError::Mail)?;
            let addresses = Addresses {
                host,
                oauth,
                control: format!("{issuer}/control"),
                issuer,
                mail: mail_server.addresses(),
            };
            let desk = Arc::new(Desk {
                provider: Arc::clone(&provider),
                addresses: addresses.clone(),
                ca_pem: tls.ca_pem().to_owned(),
            });
            let router = oauth::router(Arc::clone(&provider))
                .merge(control::router(desk))
                .layer(from_fn(honour_cuts));
            let acceptor = settings
                .https
                .then(|| TlsAcceptor::from(tls.server_config()));
            let stop = CancellationToken::new();
            let mut web = JoinSet::new();
            web.spawn(serve(
                FrontDoor::new(listener, acceptor),
                router,
                stop.clone(),
            ));
            info!(
                issuer = addresses.issuer,
                "Sandbox provider started; no real mailbox is involved"
            );
            Ok(Self {
                addresses,
                tls,
                provider,
                mail_server,
                web,
                stop: stop.drop_guard(),
            })
        })
    }

    /// Returns where it listens.
    pub const fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Returns the authority's certificate, which clients must trust.
    pub fn ca_pem(&self) -> &str {
        self.tls.ca_pem()
    }

    /// Returns the tokens.
    pub fn tokens(&self) -> &TokenBook {
        &self.provider.tokens
    }

    /// Returns the faults that wait.
    pub fn faults(&self) -> &FaultBook {
        &self.provider.faults
    }

    /// Returns the mail of every mailbox.
    pub fn mail(&self) -> &MailStore {
        &self.provider.mail
    }

    /// Returns what the authorisation server did so far.
    pub fn oauth_counters(&self) -> OAuthCounters {
        self.provider.counters.read()
    }

    /// Registers an OAuth client, in place of one with the same id.
    pub fn register_client(&self, client: ClientSettings) -> Result<(), InvalidRedirectUri> {
        self.provider.clients.register(client)
    }

    /// Sets what a client may do in its own name, and its key.
    pub fn register_application(&self, application: ApplicationSettings) {
        self.provider.applications.register(application);
    }

    /// Releases what stalls, closes every listener and connection and waits for them.
    pub async fn stop(mut self) {
        self.provider.faults.clear();
        drop(self.stop);
        self.mail_server.stop().await;
        let all = async { while self.web.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_LIMIT, all).await.is_err() {
            info!("Sandbox stopped with connections still open");
        }
    }
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Sandbox")
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

fn make_provider(
    settings: &Settings,
    clock: Arc<dyn Clock>,
    base_url: String,
) -> Result<ProviderState, SandboxError> {
    let clients = ClientBook::default();
    for client in &settings.clients {
        clients
            .register(client.clone())
            .map_err(SandboxError::Client)?;
    }
    let applications = oauth::ApplicationBook::default();
    for application in &settings.applications {
        applications.register(application.clone());
    }
    let mail = MailStore::new(Arc::clone(&clock));
    for mailbox in &settings.mailboxes {
        mail.create(&mailbox.address, &mailbox.password)
            .map_err(|source| SandboxError::Mailbox {
                address: mailbox.address.clone(),
                source,
            })?;
    }
    let tokens = TokenBook::new(
        Arc::clone(&clock),
        settings.personality,
        settings.access_token_seconds,
    );
    Ok(ProviderState {
        personality: settings.personality,
        auto_consent: settings.auto_consent,
        ask_password: settings.ask_password,
        base_url,
        clock,
        tokens,
        faults: FaultBook::new(),
        mail,
        clients,
        applications,
        codes: oauth::CodeBook::default(),
        consents: oauth::ConsentBook::default(),
        counters: oauth::AtomicCounters::default(),
        key: SigningKey::generate().map_err(SandboxError::Key)?,
    })
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), SandboxError> {
    let failed = |source| SandboxError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

async fn serve(door: FrontDoor, router: Router, stop: CancellationToken) {
    let service = router.into_make_service_with_connect_info::<CutSwitch>();
    let served = axum::serve(door, service).with_graceful_shutdown(stop.cancelled_owned());
    if let Err(error) = served.await {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "OAuth server ended"
        );
    }
}
