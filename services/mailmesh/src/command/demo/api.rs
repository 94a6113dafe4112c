//! The admin API, as an operator's script would call it.

use anyhow::{Context, bail};
use mailmesh_secrets::{ExposeSecret, SecretString};
use reqwest::Method;
use serde_json::Value;

/// A caller with a key.
#[derive(Debug)]
pub(super) struct AdminApi {
    http: reqwest::Client,
    url: String,
    key: SecretString,
}

impl AdminApi {
    pub(super) fn try_new(url: &str, key: SecretString) -> anyhow::Result<Self> {
        Ok(Self {
            http: reqwest::Client::builder().build()?,
            url: url.to_owned(),
            key,
        })
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.call(Method::POST, path, Some(body)).await
    }

    pub(super) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.call(Method::GET, path, None).await
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let mut request = self
            .http
            .request(method, format!("{}{path}", self.url))
            .bearer_auth(self.key.expose_secret());
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.with_context(|| path.to_owned())?;
        let status = answer.status();
        let value: Value = answer.json().await.with_context(|| path.to_owned())?;
        if !status.is_success() {
            bail!("{path} answered {status}: {value}");
        }
        Ok(value)
    }
}
