use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use mailmesh_domain::{AddressRule, ClientConfigurationId, NetworkSettings};
use mailmesh_secrets::OpenError;
use time::OffsetDateTime;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::warn;
use url::Url;

use crate::client::Client;
use crate::client_key::ClientKeyError;
use crate::endpoints::Endpoints;
use crate::error::OAuthError;
use crate::http::{HttpClient, HttpSettings, HttpSetupError};
use crate::profile::UnknownProfile;
use crate::proxy::ForwardProxy;
use crate::registration::Registration;

/// TTL of cached metadata.
const KEEP: Duration = Duration::from_hours(1);
/// By how much the TTL is extended while a caller reloads metadata, and when the provider does not answer.
const KEEP_ON: Duration = Duration::from_mins(1);

/// Each holds connections; more than so many sets of hosts are left only by changed configurations.
const MOST_HTTP_CLIENTS: usize = 256;

/// A provider and our registration there, ready to be asked.
#[derive(Debug)]
pub struct Provider {
    /// The way to it.
    pub http: HttpClient,
    pub endpoints: Endpoints,
    /// Our registration, its secret opened.
    pub client: Client,
}

/// A client configuration whose secret is open.
#[derive(Debug, Clone)]
pub struct RegisteredClient {
    /// What cached metadata is kept under.
    pub id: ClientConfigurationId,
    /// Its name in the log.
    pub key: String,
    /// When it was last changed: metadata cached before that is not used.
    pub changed_at: OffsetDateTime,
    /// The private CA of the provider, as PEM.
    pub ca_pem: Option<String>,
    /// Where the provider sends people back to; to the shared redirect URI when absent.
    pub redirect_uri: Option<Url>,
    /// What was registered.
    pub registration: Registration,
}

/// What the administrator vouches for, in one client configuration or several.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Trust {
    ca_pem: Option<String>,
    hosts: Vec<String>,
}

/// Turns client configurations into providers, and caches their metadata.
#[derive(Debug)]
pub struct Providers {
    redirect_uri: Url,
    proxy: Option<ForwardProxy>,
    keep: Duration,
    addresses: AddressRule,
    https: Mutex<HashMap<Trust, HttpClient>>,
    known: Mutex<HashMap<ClientConfigurationId, CachedProvider>>,
}

#[derive(Debug)]
struct CachedProvider {
    configured_at: OffsetDateTime,
    believed_until: Instant,
    provider: Arc<Provider>,
}

/// A client configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// The client secret does not open with our keys.
    #[error("the client secret cannot be opened")]
    Secret(#[from] OpenError),
    /// The private key opens and is none that signs.
    #[error("the private key cannot be used: it {0}")]
    Key(ClientKeyError),
    /// The profile is none of this release's.
    #[error("the profile is not known")]
    Profile(#[from] UnknownProfile),
    /// A stored URL is none.
    #[error("{field} is no URL")]
    BadUrl { field: &'static str },
    /// The private CA cannot be used.
    #[error("the HTTP client cannot be set up")]
    Http(#[from] HttpSetupError),
    /// The provider's endpoints were not found.
    #[error("the provider's endpoints were not found")]
    Discovery(#[from] OAuthError),
}

impl Providers {
    /// Starts with an empty cache.
    pub fn new(redirect_uri: Url) -> Self {
        Self {
            redirect_uri,
            proxy: None,
            addresses: AddressRule::public(&NetworkSettings::default()),
            keep: KEEP,
            https: Mutex::default(),
            known: Mutex::default(),
        }
    }

    /// Asks by way of a forward proxy.
    #[must_use]
    pub fn through(self, proxy: Option<ForwardProxy>) -> Self {
        Self { proxy, ..self }
    }

    /// Sets the networks beside the public ones that hosts may lie in which no administrator has named.
    #[must_use]
    pub fn allowing(self, network: &NetworkSettings) -> Self {
        Self {
            addresses: AddressRule::public(network),
            ..self
        }
    }

    /// Replaces how long what a provider said of itself is believed.
    #[must_use]
    pub fn believing_for(self, keep: Duration) -> Self {
        Self { keep, ..self }
    }

    /// Returns the provider of a client configuration, discovering it when it is new, changed, or
    /// was found long ago. One whose metadata is down for now stays as it was found.
    ///
    /// # Errors
    /// [`ProviderError`]; nothing is kept then, so the next call tries again.
    pub fn get<'a>(
        &'a self,
        registered: &'a RegisteredClient,
    ) -> BoxFuture<'a, Result<Arc<Provider>, ProviderError>> {
        Box::pin(async move {
            let (known, is_fresh) = self.find_known(registered).await.unzip();
            if let (Some(known), Some(true)) = (&known, is_fresh) {
                return Ok(Arc::clone(known));
            }
            match (self.find(registered).await, known) {
                (Ok(provider), _) => {
                    let found = CachedProvider {
                        configured_at: registered.changed_at,
                        believed_until: Instant::now() + self.keep,
                        provider: Arc::clone(&provider),
                    };
                    self.known.lock().await.insert(registered.id, found);
                    Ok(provider)
                }
                (Err(ProviderError::Discovery(error)), Some(known))
                    if error.verdict().is_retryable() =>
                {
                    warn!(
                        error = &error as &dyn std::error::Error,
                        client.key = registered.key,
                        "The provider's metadata cannot be had; what it said before is believed"
                    );
                    Ok(known)
                }
                (Err(error), _) => {
                    self.known.lock().await.remove(&registered.id);
                    Err(error)
                }
            }
        })
    }

    /// Returns what is known, and whether it need not be asked for again. Only one caller is told to:
    /// the others need not wait for it.
    async fn find_known(&self, registered: &RegisteredClient) -> Option<(Arc<Provider>, bool)> {
        let mut known = self.known.lock().await;
        let known = known
            .get_mut(&registered.id)
            .filter(|known| known.configured_at == registered.changed_at)?;
        let now = Instant::now();
        let is_fresh = now < known.believed_until;
        if !is_fresh {
            known.believed_until = now + KEEP_ON;
        }
        Some((Arc::clone(&known.provider), is_fresh))
    }

    async fn find(&self, registered: &RegisteredClient) -> Result<Arc<Provider>, ProviderError> {
        let http = self.http(registered).await?;
        let redirect_uri = registered
            .redirect_uri
            .as_ref()
            .unwrap_or(&self.redirect_uri);
        let resolved = registered.registration.resolve(&http, redirect_uri);
        let (endpoints, client) = resolved.await?;
        Ok(Arc::new(Provider {
            http,
            endpoints,
            client,
        }))
    }

    async fn http(&self, registered: &RegisteredClient) -> Result<HttpClient, HttpSetupError> {
        let trust = Trust {
            ca_pem: registered.ca_pem.clone(),
            hosts: registered.registration.named_hosts(),
        };
        let mut https = self.https.lock().await;
        if let Some(http) = https.get(&trust) {
            return Ok(http.clone());
        }
        let http = HttpClient::try_new(&HttpSettings {
            extra_ca_pem: trust.ca_pem.clone(),
            proxy: self.proxy.clone(),
            addresses: self.addresses.clone(),
            trusted_hosts: trust.hosts.clone(),
            ..HttpSettings::default()
        })?;
        if https.len() >= MOST_HTTP_CLIENTS {
            https.clear();
        }
        https.insert(trust, http.clone());
        Ok(http)
    }
}
