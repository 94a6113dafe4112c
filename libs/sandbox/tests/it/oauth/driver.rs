use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mailmesh_domain::{Clock, ManualClock, SystemClock};
use mailmesh_sandbox::{ClientSettings, MailboxSettings, Personality, Sandbox, Settings};
use reqwest::header::{HeaderMap, LOCATION};
use serde_json::Value;
use url::Url;

pub(crate) type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

pub(crate) const ANN: &str = "ann@sandbox.test";
pub(crate) const SECRET: &str = "s&cret +1";
pub(crate) const REDIRECT: &str = "http://127.0.0.1:9/receiveTokenAuthentication.htm?from=sandbox";
pub(crate) const VERIFIER: &str = "a-verifier-that-is-at-least-forty-three-characters-long";

/// A sandbox and a client without a browser.
pub(crate) struct Driver {
    pub(crate) sandbox: Sandbox,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) http: reqwest::Client,
}

/// An answer of the token endpoint or one of its neighbours.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn text(&self, field: &str) -> Outcome<String> {
        let value = self.body.get(field).and_then(Value::as_str);
        value
            .map(str::to_owned)
            .ok_or_else(|| format!("no {field} in {self:?}").into())
    }
}

pub(crate) fn settings(personality: Personality) -> Settings {
    Settings {
        personality,
        mailboxes: ["ann@sandbox.test", "bob@sandbox.test"]
            .map(|address| MailboxSettings {
                address: address.to_owned(),
                password: "open sesame".to_owned(),
            })
            .to_vec(),
        clients: vec![
            ClientSettings {
                client_id: "mesh".to_owned(),
                client_secret: SECRET.to_owned(),
                redirect_uris: vec![REDIRECT.to_owned()],
            },
            ClientSettings {
                client_id: "phone".to_owned(),
                client_secret: String::new(),
                redirect_uris: vec![REDIRECT.to_owned()],
            },
        ],
        ..Settings::default()
    }
}

pub(crate) fn challenge(verifier: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, verifier.as_bytes());
    URL_SAFE_NO_PAD.encode(digest)
}

/// Puts `changes` over `base`; an empty value takes a field away.
pub(crate) fn overlay(base: &[(&str, &str)], changes: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut fields: Vec<(String, String)> = base
        .iter()
        .filter(|(name, _)| !changes.iter().any(|(changed, _)| changed == name))
        .chain(changes.iter().filter(|(_, value)| !value.is_empty()))
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    fields.retain(|(_, value)| !value.is_empty());
    fields
}

impl Driver {
    pub(crate) async fn start(personality: Personality) -> Outcome<Self> {
        Self::start_with(settings(personality)).await
    }

    pub(crate) async fn start_with(settings: Settings) -> Outcome<Self> {
        let clock = Arc::new(ManualClock::starting_at(SystemClock.now()));
        let sandbox = Sandbox::start(settings, Arc::clone(&clock) as Arc<dyn Clock>).await?;
        let authority = reqwest::Certificate::from_pem(sandbox.ca_pem().as_bytes())?;
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .tls_certs_merge([authority])
            .build()?;
        Ok(Self {
            sandbox,
            clock,
            http,
        })
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.sandbox.addresses().issuer)
    }

    /// Returns a complete authorisation request, changed as asked.
    pub(crate) fn request(changes: &[(&str, &str)]) -> Vec<(String, String)> {
        let challenge = challenge(VERIFIER);
        let base = [
            ("client_id", "mesh"),
            ("redirect_uri", REDIRECT),
            ("response_type", "code"),
            ("scope", "openid email mail"),
            ("state", "st/ate+1"),
            ("nonce", "n-1"),
            ("code_challenge", challenge.as_str()),
            ("code_challenge_method", "S256"),
        ];
        overlay(&base, changes)
    }

    /// Opens the page; returns its status, where it leads and its text.
    pub(crate) async fn open(
        &self,
        changes: &[(&str, &str)],
    ) -> Outcome<(u16, Option<Url>, String)> {
        let mut url = Url::parse(&self.url("/authorize"))?;
        url.query_pairs_mut()
            .extend_pairs(Self::request(changes).iter());
        read_page(self.http.get(url).send().await?).await
    }

    /// Posts the page's form with the owner's decision.
    pub(crate) async fn decide(
        &self,
        changes: &[(&str, &str)],
    ) -> Outcome<(u16, Option<Url>, String)> {
        let decision = [("mailbox", ANN), ("decision", "approve")];
        let mut form = overlay(&decision, changes);
        let request = Self::request(changes);
        form.extend(
            request
                .into_iter()
                .filter(|(name, _)| name != "mailbox" && name != "decision"),
        );
        let response = self
            .http
            .post(self.url("/authorize"))
            .form(&form)
            .send()
            .await?;
        read_page(response).await
    }

    /// Consents and returns the parameters sent back to the client.
    pub(crate) async fn consent(
        &self,
        changes: &[(&str, &str)],
    ) -> Outcome<HashMap<String, String>> {
        let (status, location, page) = self.decide(changes).await?;
        let location = location.ok_or_else(|| format!("no redirect: {status} {page}"))?;
        Ok(location.query_pairs().into_owned().collect())
    }

    pub(crate) async fn code(&self, changes: &[(&str, &str)]) -> Outcome<String> {
        let mut sent = self.consent(changes).await?;
        sent.remove("code")
            .ok_or_else(|| format!("no code: {sent:?}").into())
    }

    /// Redeems a code, with the fields changed as asked.
    pub(crate) async fn exchange(&self, code: &str, changes: &[(&str, &str)]) -> Outcome<Answer> {
        let base = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", REDIRECT),
            ("client_id", "mesh"),
            ("client_secret", SECRET),
            ("code_verifier", VERIFIER),
        ];
        self.post("/token", &overlay(&base, changes)).await
    }

    /// Goes the whole way from consent to tokens.
    pub(crate) async fn sign_in(&self, changes: &[(&str, &str)]) -> Outcome<Answer> {
        let code = self.code(changes).await?;
        self.exchange(&code, &[]).await
    }

    pub(crate) async fn refresh(&self, token: &str, changes: &[(&str, &str)]) -> Outcome<Answer> {
        let base = [
            ("grant_type", "refresh_token"),
            ("refresh_token", token),
            ("client_id", "mesh"),
            ("client_secret", SECRET),
        ];
        self.post("/token", &overlay(&base, changes)).await
    }

    pub(crate) async fn post(&self, path: &str, form: &[(String, String)]) -> Outcome<Answer> {
        let request = self.http.post(self.url(path)).form(form);
        read_answer(request.send().await?).await
    }

    pub(crate) async fn userinfo(&self, token: &str) -> Outcome<Answer> {
        let request = self.http.get(self.url("/userinfo")).bearer_auth(token);
        read_answer(request.send().await?).await
    }

    /// Calls the control API.
    pub(crate) async fn control(&self, method: &str, path: &str, body: Value) -> Outcome<Answer> {
        let url = format!("{}{path}", self.sandbox.addresses().control);
        let request = self.http.request(method.parse()?, url);
        let request = if body.is_null() {
            request
        } else {
            request.json(&body)
        };
        read_answer(request.send().await?).await
    }
}

async fn read_page(response: reqwest::Response) -> Outcome<(u16, Option<Url>, String)> {
    let status = response.status().as_u16();
    let location = match response.headers().get(LOCATION) {
        Some(value) => Some(Url::parse(value.to_str()?)?),
        None => None,
    };
    Ok((status, location, response.text().await?))
}

pub(crate) async fn read_answer(response: reqwest::Response) -> Outcome<Answer> {
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    let text = response.text().await?;
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Ok(Answer {
        status,
        headers,
        body,
    })
}
