//! A person at a browser, played by the program: follows a sign-in link, consents at the sandbox's
//! page, and comes back with the last page. For demos and tests.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::{Certificate, Client, Response, redirect};
use url::Url;

const MOST_STEPS: usize = 12;
const STEP_LIMIT: Duration = Duration::from_secs(30);

/// A browser with its own cookies.
#[derive(Debug)]
pub struct Visitor {
    http: Client,
    cookies: BTreeMap<(String, String), String>,
}

/// The page at which a visit ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastPage {
    /// Its address, without the query.
    pub url: String,
    pub status: u16,
    pub html: String,
}

/// A visit did not come to a page.
#[derive(Debug, thiserror::Error)]
pub enum VisitError {
    /// The CA certificate cannot be used, or the client not be built.
    #[error("the browser cannot be set up")]
    SetUp(#[source] reqwest::Error),
    #[error("{host} did not answer")]
    Silent {
        /// The page's host.
        host: String,
        #[source]
        source: reqwest::Error,
    },
    /// A redirect leads nowhere.
    #[error("{host} redirects to no address")]
    BadRedirect {
        /// The page's host.
        host: String,
    },
    /// Redirects do not end.
    #[error("the visit did not end after {MOST_STEPS} pages")]
    Endless,
}

impl Visitor {
    /// Opens a browser that trusts these certificates besides the system's.
    ///
    /// # Errors
    /// When the certificates cannot be used.
    pub fn try_new(ca_pem: Option<&str>) -> Result<Self, VisitError> {
        let mut builder = Client::builder()
            .redirect(redirect::Policy::none())
            .timeout(STEP_LIMIT);
        if let Some(pem) = ca_pem {
            let certificates =
                Certificate::from_pem_bundle(pem.as_bytes()).map_err(VisitError::SetUp)?;
            builder = builder.tls_certs_merge(certificates);
        }
        Ok(Self {
            http: builder.build().map_err(VisitError::SetUp)?,
            cookies: BTreeMap::new(),
        })
    }

    /// Follows a link to its last page; at the sandbox's consent page, `mailbox` approves or denies.
    ///
    /// # Errors
    /// [`VisitError`] when a page does not answer.
    pub async fn sign_in(
        &mut self,
        link: &Url,
        mailbox: &str,
        approves: bool,
    ) -> Result<LastPage, VisitError> {
        let mut url = link.clone();
        let mut answer = self.get(&url).await?;
        for _ in 0..MOST_STEPS {
            if let Some(location) = answer.headers().get(LOCATION) {
                let next = location.to_str().ok().and_then(|text| url.join(text).ok());
                url = next.ok_or_else(|| VisitError::BadRedirect { host: host(&url) })?;
                answer = self.get(&url).await?;
            } else if is_consent_page(&url) && answer.status().is_success() {
                answer = self.decide(&url, mailbox, approves).await?;
                // Unless it redirects, the provider shows a page of its own.
                if !answer.headers().contains_key(LOCATION) {
                    return last_page(&url, answer).await;
                }
            } else {
                return last_page(&url, answer).await;
            }
        }
        Err(VisitError::Endless)
    }

    /// Asks for one page, with the cookies of its host, and follows nothing.
    ///
    /// # Errors
    /// [`VisitError::Silent`] when it does not answer.
    pub async fn get(&mut self, url: &Url) -> Result<Response, VisitError> {
        let request = self.http.get(url.clone());
        self.send(url, request).await
    }

    async fn decide(
        &mut self,
        url: &Url,
        mailbox: &str,
        approves: bool,
    ) -> Result<Response, VisitError> {
        let mut form: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        let decision = if approves { "approve" } else { "deny" };
        form.push(("mailbox".to_owned(), mailbox.to_owned()));
        form.push(("decision".to_owned(), decision.to_owned()));
        let mut target = url.clone();
        target.set_query(None);
        let request = self.http.post(target.clone()).form(&form);
        self.send(&target, request).await
    }

    async fn send(
        &mut self,
        url: &Url,
        request: reqwest::RequestBuilder,
    ) -> Result<Response, VisitError> {
        let host = host(url);
        let mine = self.cookies.iter().filter(|((of, _), _)| *of == host);
        let cookies: Vec<String> = mine
            .map(|((_, name), value)| format!("{name}={value}"))
            .collect();
        let request = if cookies.is_empty() {
            request
        } else {
            request.header(COOKIE, cookies.join("; "))
        };
        let answer = request.send().await.map_err(|source| VisitError::Silent {
            host: host.clone(),
            source: source.without_url(),
        })?;
        for cookie in answer.headers().get_all(SET_COOKIE) {
            let pair = cookie.to_str().unwrap_or_default().split(';').next();
            if let Some((name, value)) = pair.and_then(|pair| pair.split_once('=')) {
                self.cookies
                    .insert((host.clone(), name.trim().to_owned()), value.to_owned());
            }
        }
        Ok(answer)
    }
}

fn is_consent_page(url: &Url) -> bool {
    url.path().ends_with("/authorize") && url.query().is_some()
}

fn host(url: &Url) -> String {
    let port = url.port_or_known_default().unwrap_or_default();
    format!("{}:{port}", url.host_str().unwrap_or_default())
}

async fn last_page(url: &Url, answer: Response) -> Result<LastPage, VisitError> {
    let mut shown = url.clone();
    shown.set_query(None);
    let status = answer.status().as_u16();
    let html = answer.text().await.map_err(|source| VisitError::Silent {
        host: host(url),
        source: source.without_url(),
    })?;
    Ok(LastPage {
        url: shown.to_string(),
        status,
        html,
    })
}
