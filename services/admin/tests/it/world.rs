//! A mesh and its administration, called over HTTP.

use std::sync::Arc;

use anyhow::{Context, Result};
use mailmesh_accounts::Connections;
use mailmesh_admin::{Config, Service};
use mailmesh_domain::SystemClock;
use mailmesh_oauth::PublicSettings;
use mailmesh_secrets::SecretString;
use mailmesh_store::ServiceRole;
use mailmesh_testkit::{Api, ApiResponse, MeshBase, RunningReplica};
use reqwest::Method;
use serde_json::{Value, json};

pub(crate) struct World {
    pub(crate) base: MeshBase,
    pub(crate) api: Api,
    pub(crate) address: std::net::SocketAddr,
    service: RunningReplica,
}

pub(crate) async fn base() -> Result<MeshBase> {
    MeshBase::fresh(Arc::new(SystemClock)).await
}

pub(crate) async fn build(base: &MeshBase, config: Config) -> Result<Service> {
    let public = PublicSettings {
        url: "https://mail.example.com/mesh".parse()?,
        redirect_path: "/oauth/callback".to_owned(),
    };
    let (database, bus) = base.connections_of(ServiceRole::Admin).await?;
    let connections = Connections::new(database, bus);
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
        let first_key = service.first_key().context("no first key")?;
        let url = format!("http://{}", service.address());
        Ok(Self {
            base,
            api: Api::try_new(&url, Some(first_key))?,
            address: service.address(),
            service: RunningReplica::start(|lifecycle| service.start(lifecycle)),
        })
    }

    /// Calls as the first administrator.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<ApiResponse> {
        let body = (!body.is_null()).then_some(body);
        self.api.call(method, path, body).await
    }

    /// Calls with a key or none; a body that is null is not sent.
    pub(crate) async fn call_as(
        &self,
        key: Option<&str>,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<ApiResponse> {
        let api = self.api.with_key(key.map(SecretString::from));
        let body = (!body.is_null()).then_some(body);
        api.call(method, path, body).await
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        self.call(Method::GET, path, &Value::Null).await?.success()
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Result<ApiResponse> {
        self.call(Method::POST, path, &body).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Result<ApiResponse> {
        self.call(Method::PATCH, path, &body).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Result<ApiResponse> {
        self.call(Method::DELETE, path, &Value::Null).await
    }

    pub(crate) async fn key_of(&self, role: &str) -> Result<String> {
        let made = self
            .post(
                "/v1/api-keys",
                json!({"name": role, "role": role, "raw_mail": true}),
            )
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
