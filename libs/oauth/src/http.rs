use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::http::header::{AUTHORIZATION, CONTENT_TYPE};
use ::http::{HeaderMap, HeaderValue, Request, StatusCode};
use mailmesh_domain::AddressRule;
use mailmesh_secrets::{ExposeSecret, SecretString};
use url::{Host, Url};

use crate::body;
use crate::error::OAuthError;
use crate::key_cache::KeyCache;
use crate::operation::Operation;
use crate::proxy::ForwardProxy;
use crate::refusal::ProviderRefusal;
use crate::resolver::Resolver;

/// The most bytes that are read of any answer.
pub const BODY_LIMIT: usize = 1024 * 1024;
const LOOPBACK: &str = "localhost,.localhost,127.0.0.0/8,::1";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How to reach providers.
#[derive(Clone)]
pub struct HttpSettings {
    /// Certificates of private authorities, in PEM, trusted besides the system's.
    pub extra_ca_pem: Option<String>,
    /// How long one request may take, from name lookup to last byte.
    pub timeout: Duration,
    /// A forward proxy for all requests but those to this machine; proxy variables of the environment
    /// are ignored.
    pub proxy: Option<ForwardProxy>,
    /// Where hosts may lie that no administrator has named.
    pub addresses: AddressRule,
    /// Hosts that an administrator has named: they may be anywhere.
    pub trusted_hosts: Vec<String>,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            extra_ca_pem: None,
            timeout: Duration::from_secs(20),
            proxy: None,
            addresses: AddressRule::Any,
            trusted_hosts: Vec::new(),
        }
    }
}

impl fmt::Debug for HttpSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("HttpSettings")
            .field("extra_ca_pem", &self.extra_ca_pem.is_some())
            .field("timeout", &self.timeout)
            .field("proxy", &self.proxy)
            .field("addresses", &self.addresses)
            .field("trusted_hosts", &self.trusted_hosts)
            .finish()
    }
}

/// The HTTP client could not be built.
#[derive(Debug, thiserror::Error)]
pub enum HttpSetupError {
    /// The private authorities' PEM cannot be read.
    #[error("certificates of private authorities cannot be read")]
    Certificates(#[source] reqwest::Error),
    /// The private authorities' PEM holds no certificate.
    #[error("the PEM text of private authorities holds no certificate")]
    NoCertificate,
    /// The proxy's URL cannot be used.
    #[error("proxy URL cannot be used")]
    Proxy(#[source] reqwest::Error),
    /// TLS could not be set up, most often because the machine has no root certificates.
    #[error("HTTP client cannot be built")]
    Build(#[source] reqwest::Error),
}

/// Speaks HTTP to providers within time and size limits; caches their key sets. Clones share it.
#[derive(Clone)]
pub struct HttpClient {
    inner: reqwest::Client,
    resolver: Arc<Resolver>,
    pub(crate) keys: KeyCache,
}

impl HttpClient {
    /// Builds a client; opens no connection.
    ///
    /// # Errors
    /// [`HttpSetupError`] when certificates or proxy cannot be used.
    pub fn try_new(settings: &HttpSettings) -> Result<Self, HttpSetupError> {
        let mut trusted = settings.trusted_hosts.clone();
        trusted.extend(settings.proxy.iter().filter_map(ForwardProxy::host));
        let resolver = Arc::new(Resolver::new(settings.addresses.clone(), trusted));
        let mut builder = reqwest::Client::builder()
            .dns_resolver(Arc::clone(&resolver))
            .user_agent(concat!("mailmesh/", env!("CARGO_PKG_VERSION")))
            // A 307 would have codes, tokens and secrets sent on to wherever it points.
            .redirect(reqwest::redirect::Policy::none())
            // A refresh sent twice may cost the whole family of tokens: trying again is decided above.
            .retry(reqwest::retry::never())
            .connect_timeout(settings.timeout.min(CONNECT_TIMEOUT))
            .timeout(settings.timeout)
            .tls_version_min(reqwest::tls::Version::TLS_1_2)
            // Else the environment's proxy would be used, even for what goes to this machine in clear.
            .no_proxy();
        if let Some(pem) = &settings.extra_ca_pem {
            let certificates = reqwest::Certificate::from_pem_bundle(pem.as_bytes())
                .map_err(HttpSetupError::Certificates)?;
            if certificates.is_empty() {
                return Err(HttpSetupError::NoCertificate);
            }
            builder = builder.tls_certs_merge(certificates);
        }
        if let Some(proxy) = &settings.proxy {
            // What may go without TLS to this machine must not travel to a proxy.
            let proxy = reqwest::Proxy::all(proxy.url())
                .map_err(|error| HttpSetupError::Proxy(error.without_url()))?
                .no_proxy(reqwest::NoProxy::from_string(LOOPBACK));
            builder = builder.proxy(proxy);
        }
        Ok(Self {
            inner: builder.build().map_err(HttpSetupError::Build)?,
            resolver,
            keys: KeyCache::default(),
        })
    }

    /// Fetches a JSON document.
    pub(crate) async fn get(
        &self,
        operation: Operation,
        url: &Url,
        bearer: Option<&SecretString>,
    ) -> Result<serde_json::Value, OAuthError> {
        let mut request = Request::get(url.as_str()).header("accept", "application/json");
        if let Some(token) = bearer {
            request = request.header(AUTHORIZATION, format!("Bearer {}", token.expose_secret()));
        }
        let request = request
            .body(Vec::new())
            .map_err(|_| OAuthError::unreadable(operation, "request cannot be built"))?;
        let answer = self.send(operation, request, &[]).await?;
        serde_json::from_slice(answer.body())
            .map_err(|_| OAuthError::unreadable(operation, "answer is no JSON"))
    }

    /// Sends a request and returns a successful answer; every other one is an error. `secrets` is
    /// what the body holds, so that an echo of it can be kept out of the error.
    pub(crate) async fn send(
        &self,
        operation: Operation,
        mut request: Request<Vec<u8>>,
        secrets: &[&SecretString],
    ) -> Result<::http::Response<Vec<u8>>, OAuthError> {
        let mut credentials = None;
        if let Some(value) = request.headers_mut().get_mut(AUTHORIZATION) {
            value.set_sensitive(true);
            let text = value.to_str().unwrap_or_default();
            credentials = text
                .split_once(' ')
                .map(|(_, text)| SecretString::from(text));
        }
        let request = reqwest::Request::try_from(request)
            .map_err(|_| OAuthError::unreadable(operation, "request cannot be built"))?;
        if !is_protected(request.url()) {
            return Err(OAuthError::Unprotected { operation });
        }
        // An address is not looked up, so the resolver never sees it.
        if !self.resolver.permits(request.url()) {
            return Err(OAuthError::NotPublic { operation });
        }
        let answer = self.inner.execute(request).await;
        let answer = answer.map_err(|error| OAuthError::from_transport(operation, error))?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        if status.is_redirection() {
            let status = status.as_u16();
            return Err(OAuthError::Redirected { operation, status });
        }
        let body = read_body(operation, answer).await?;
        let content_type = headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        let body = body::to_json(content_type, &body).into_owned();
        if !status.is_success() || body::is_disguised_error(&body) {
            let secrets: Vec<_> = secrets.iter().copied().chain(&credentials).collect();
            let refusal =
                ProviderRefusal::from_answer(operation, status, &headers, &body, &secrets);
            return Err(OAuthError::Refused(Box::new(refusal)));
        }
        Ok(accepted(status, &headers, body))
    }
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("HttpClient").finish_non_exhaustive()
    }
}

/// Returns whether secrets may be sent there: TLS, or no network at all.
pub fn is_protected(url: &Url) -> bool {
    match url.scheme() {
        "https" => url.has_host(),
        "http" => match url.host() {
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        },
        _ => false,
    }
}

async fn read_body(
    operation: Operation,
    mut answer: reqwest::Response,
) -> Result<Vec<u8>, OAuthError> {
    let mut body = Vec::new();
    loop {
        let chunk = answer.chunk().await;
        match chunk.map_err(|error| OAuthError::from_transport(operation, error))? {
            Some(chunk) if body.len() + chunk.len() > BODY_LIMIT => {
                return Err(OAuthError::TooLarge {
                    operation,
                    limit: BODY_LIMIT,
                });
            }
            Some(chunk) => body.extend_from_slice(&chunk),
            None => return Ok(body),
        }
    }
}

// The protocol crate wants exactly 200 and a JSON content type; some providers send 201, or JSON
// as text, or a form that was turned into JSON. Whether it is JSON the parser finds out.
fn accepted(status: StatusCode, headers: &HeaderMap, body: Vec<u8>) -> ::http::Response<Vec<u8>> {
    tracing::trace!(
        status = status.as_u16(),
        bytes = body.len(),
        headers = headers.len(),
        "Provider answered"
    );
    let mut answer = ::http::Response::new(body);
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}
