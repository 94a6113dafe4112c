//! A mesh and its administration, called over HTTP.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use mailmesh_admin::{Config, Service};
use mailmesh_domain::SystemClock;
use mailmesh_replica::{Connections, PublicSettings};
use mailmesh_secrets::{ExposeSecret, SecretString};
use mailmesh_testkit::{MeshBase, Running};
use reqwest::Method;
use serde_json::{Value, json};

pub(crate) struct World {
    pub(crate) base: MeshBase,
    pub(crate) url: String,
    pub(crate) first_key: SecretString,
    http: reqwest::Client,
    service: Running,
}

/// What the API answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    pub(crate) fn success(self) -> Result<Value> {
        ensure!(
            (200..300).contains(&self.status),
            "{}: {}",
            self.status,
            self.text
        );
        Ok(self.json())
    }

    pub(crate) fn code(&self) -> String {
        let json = self.json();
        let code = json.pointer("/error/code").and_then(Value::as_str);
        code.unwrap_or_default().to_owned()
    }

    /// Returns the paths of the fields at fault, in order.
    pub(crate) fn fields(&self) -> Vec<String> {
        let json = self.json();
        let fields = json.pointer("/error/fields").and_then(Value::as_array);
        let paths = fields.into_iter().flatten();
        paths
            .filter_map(|field| Some(field.get("path")?.as_str()?.to_owned()))
            .collect()
    }
}

pub(crate) async fn base() -> Result<MeshBase> {
    MeshBase::fresh(Arc::new(SystemClock)).await
}

pub(crate) async fn build(base: &MeshBase, config: Config) -> Result<Service> {
    let public = PublicSettings {
        url: "https://mail.example.com/mesh".parse()?,
        redirect_path: "/oauth/callback".to_owned(),
    };
    let (database, bus) = (base.database.clone(), base.bus.clone());
    let connections = Connections { database, bus };
    let (key, clock) = (base.keys.sealing_key(), Arc::clone(&base.clock));
    Service::build(config, public, key, &connections, clock).await
}

pub(crate) fn anywhere() -> Config {
    Config {
        listen: ([127, 0, 0, 1], 0).into(),
        ..Config::default()
    }
}

impl World {
    pub(crate) async fn new() -> Result<Self> {
        let base = base().await?;
        let service = build(&base, anywhere()).await?;
        Ok(Self {
            base,
            first_key: service.first_key().context("no first key")?,
            url: format!("http://{}", service.address()),
            http: reqwest::Client::builder().no_proxy().build()?,
            service: Running::start(|stop| service.run(stop)),
        })
    }

    /// Calls as the first administrator.
    pub(crate) async fn call(&self, method: Method, path: &str, body: &Value) -> Result<Answer> {
        let key = self.first_key.expose_secret();
        self.call_as(Some(key), method, path, body).await
    }

    /// Calls with a key or none; a body that is null is not sent.
    pub(crate) async fn call_as(
        &self,
        key: Option<&str>,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<Answer> {
        let mut request = self.request(key, method, path);
        if !body.is_null() {
            request = request.json(body);
        }
        self.send(request).await
    }

    pub(crate) fn request(
        &self,
        key: Option<&str>,
        method: Method,
        path: &str,
    ) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        match key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> Result<Answer> {
        let answer = request.send().await?;
        Ok(Answer {
            status: answer.status().as_u16(),
            headers: answer.headers().clone(),
            text: answer.text().await?,
        })
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        self.call(Method::GET, path, &Value::Null).await?.success()
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Result<Answer> {
        self.call(Method::POST, path, &body).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Result<Answer> {
        self.call(Method::PATCH, path, &body).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Result<Answer> {
        self.call(Method::DELETE, path, &Value::Null).await
    }

    pub(crate) async fn key_of(&self, role: &str) -> Result<String> {
        let made = self
            .post("/v1/api-keys", json!({"name": role, "role": role}))
            .await?
            .success()?;
        let key = made.get("key").and_then(Value::as_str);
        Ok(key.context("no key")?.to_owned())
    }

    pub(crate) async fn google(&self) -> Result<Value> {
        let client = json!({
            "key": "google",
            "profile": "google",
            "client_id": "id",
            "client_secret": "a secret",
        });
        let made = self.post("/v1/client-configurations", client).await?;
        made.success()
    }

    pub(crate) async fn account(&self, key: &str, protocol: &str) -> Result<Value> {
        let account = json!({
            "key": key,
            "protocol": protocol,
            "login": "support@example.com",
            "client_configuration": "google",
        });
        self.post("/v1/accounts", account).await?.success()
    }

    /// Stops the service and fails if it did not end well.
    pub(crate) async fn finish(self) -> Result<()> {
        self.service.stop().await
    }
}
