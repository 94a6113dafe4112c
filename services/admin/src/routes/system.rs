use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use mailmesh_store::{outbox, replica};
use serde::Serialize;

use crate::access::Viewer;
use crate::context::SharedContext;
use crate::error::ApiError;

#[derive(Debug, Serialize)]
pub(super) struct SystemView {
    version: &'static str,
    public_url: String,
    /// Without a key: of the one client configuration that uses it.
    redirect_uri: String,
    /// Of all others, each with its key in place of `<key>`.
    own_redirect_uri: String,
    /// How many replicas of each service live.
    replicas: BTreeMap<String, i64>,
    /// Events that are committed and not yet published.
    events_waiting: i64,
    /// How far this machine's clock is ahead of the database's.
    clock_ahead_seconds: f64,
}

pub(super) async fn read(
    _: Viewer,
    State(app): State<SharedContext>,
) -> Result<Json<SystemView>, ApiError> {
    let mut tx = app.begin().await?;
    let replicas = replica::count_alive(&mut tx).await?;
    let events_waiting = outbox::count(&mut tx).await?;
    drop(tx);
    let database_now = app.replica.database.ping().await?;
    let ahead = app.now() - database_now;
    Ok(Json(SystemView {
        version: env!("CARGO_PKG_VERSION"),
        public_url: app.public.url.to_string(),
        redirect_uri: app.public.redirect_uri().to_string(),
        own_redirect_uri: format!("{}<key>", app.public.own_redirect_uri("")),
        replicas: replicas.into_iter().collect(),
        events_waiting,
        clock_ahead_seconds: ahead.as_seconds_f64(),
    }))
}
