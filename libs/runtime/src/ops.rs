use std::collections::BTreeMap;
use std::net::SocketAddr;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use prometheus::{Encoder, Registry, TextEncoder};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::lifecycle::Lifecycle;
use crate::listen::{ListenError, listen};
use crate::serve::{ServeLimits, serve};

/// A scraper and a prober need two each.
const MOST_CONNECTIONS: usize = 64;

/// Where health and metrics are served.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OpsSettings {
    /// The address; port 0 takes any.
    pub listen: SocketAddr,
}

impl Default for OpsSettings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 9464)),
        }
    }
}

/// `/live`, `/ready` and `/metrics`.
#[derive(Debug)]
pub struct OpsServer {
    listener: TcpListener,
    address: SocketAddr,
    state: OpsState,
}

#[derive(Debug, Clone)]
struct OpsState {
    lifecycle: Lifecycle,
    registry: Registry,
    started: CancellationToken,
}

#[derive(Serialize)]
struct Readiness {
    ready: bool,
    failing: BTreeMap<String, String>,
}

impl OpsServer {
    /// Opens the address. Until [`OpsServer::started`] is cancelled, `/ready` says that the process is starting.
    pub async fn bind(
        settings: &OpsSettings,
        lifecycle: &Lifecycle,
        registry: Registry,
    ) -> Result<Self, ListenError> {
        let setting = "ops.listen (MAILMESH_OPS__LISTEN)";
        let listener = listen(settings.listen, "health and metrics", setting).await?;
        let address = listener.local_addr().unwrap_or(settings.listen);
        Ok(Self {
            listener,
            address,
            state: OpsState {
                lifecycle: lifecycle.clone(),
                registry,
                started: CancellationToken::new(),
            },
        })
    }

    /// Returns the address it listens on.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns what says that the process has started: cancel it then.
    pub fn started(&self) -> CancellationToken {
        self.state.started.clone()
    }

    /// Serves until the runtime ends: also while the process stops, when `/ready` has to say no.
    pub async fn serve(self) {
        info!(ops.address = %self.address, "Serving /live, /ready and /metrics");
        let never = CancellationToken::new();
        let limits = ServeLimits {
            connections: MOST_CONNECTIONS,
            ..ServeLimits::default()
        };
        if let Err(error) = serve(self.listener, app(self.state), limits, never).await {
            error!(%error, "Health and metrics are not served any more");
        }
    }
}

fn app(state: OpsState) -> Router {
    Router::new()
        .route("/live", get(async || "alive\n"))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .with_state(state)
}

async fn ready(State(state): State<OpsState>) -> (StatusCode, Json<Readiness>) {
    let mut failing = state.lifecycle.checks().failing().await;
    if !state.started.is_cancelled() {
        failing.insert("process".to_owned(), "is starting".to_owned());
    }
    if state.lifecycle.is_stopping() {
        failing.insert("process".to_owned(), "is stopping".to_owned());
    }
    let ready = failing.is_empty();
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(Readiness { ready, failing }))
}

async fn metrics(State(state): State<OpsState>) -> Response {
    let encoder = TextEncoder::new();
    let mut text = Vec::new();
    match encoder.encode(&state.registry.gather(), &mut text) {
        Ok(()) => {
            let kind = encoder.format_type().to_owned();
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => {
            error!(%error, "Metrics cannot be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
