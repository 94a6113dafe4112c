use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use mailmesh_domain::{ClientConfigurationId, Direction, Flow, Key, TokenEndpointAuth};
use mailmesh_events::Problem;
use mailmesh_oauth::profile::Profile;
use mailmesh_store::account::{self, Account};
use mailmesh_store::client_configuration::{self as store, ClientConfiguration};
use mailmesh_store::grant;
use serde::Serialize;
use time::OffsetDateTime;
use tracing::info;

use crate::access::{Administrator, Viewer};
use crate::client_configuration::{ClientContext, ClientInput, changed_destinations, validate};
use crate::context::{ServiceContext, SharedContext};
use crate::error::ApiError;
use crate::extract::{JsonBody, PathKey};

const WHAT: &str = "client configuration";

#[derive(Debug, Serialize)]
struct ClientView {
    key: Key,
    name: String,
    profile: String,
    flow: Flow,
    #[serde(skip_serializing_if = "Option::is_none")]
    base_url: Option<String>,
    client_id: String,
    has_client_secret: bool,
    has_private_key: bool,
    certificate_pem: Option<String>,
    token_endpoint_auth: Option<TokenEndpointAuth>,
    issuer: Option<String>,
    authorize_url: Option<String>,
    token_url: Option<String>,
    userinfo_url: Option<String>,
    jwks_url: Option<String>,
    scopes: Vec<String>,
    identity_claim: Option<String>,
    extra_authorize_parameters: BTreeMap<String, String>,
    ca_pem: Option<String>,
    #[serde(flatten)]
    directions: Directions,
    own_redirect_uri: bool,
    /// To be registered at the provider, where people sign in.
    #[serde(skip_serializing_if = "Option::is_none")]
    redirect_uri: Option<String>,
    /// Why the provider refuses the client as a whole, if it does.
    refusal: Option<Problem>,
    accounts: i64,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    updated_at: OffsetDateTime,
}

#[derive(Debug, Serialize)]
struct Directions {
    inbound: bool,
    outbound: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct ClientList {
    client_configurations: Vec<ClientView>,
}

pub(super) async fn list(
    _: Viewer,
    State(app): State<SharedContext>,
) -> Result<Json<ClientList>, ApiError> {
    let mut tx = app.begin().await?;
    let clients = store::list(&mut tx).await?;
    let counts = account::count_by_client(&mut tx).await?;
    let views = clients.into_iter().map(|client| {
        let count = counts.iter().find(|(id, _)| *id == client.id);
        view(&app, client, count.map_or(0, |(_, count)| *count))
    });
    Ok(Json(ClientList {
        client_configurations: views.collect(),
    }))
}

pub(super) async fn create(
    _: Administrator,
    State(app): State<SharedContext>,
    JsonBody(input, faults): JsonBody<ClientInput>,
) -> Result<Response, ApiError> {
    let mut tx = app.begin().await?;
    let id = ClientConfigurationId::generate(&*app.replica.clock);
    let context = ClientContext {
        id,
        now: app.now(),
        current: None,
        sealing_key: &app.sealing_key,
        is_redirect_taken: store::has_shared_redirect_besides(&mut tx, id).await?,
    };
    let client = validate(input, faults, &context)?;
    let inserted = store::insert(&mut tx, &client).await;
    inserted.map_err(|error| ApiError::on_insert(error, client.key.as_str()))?;
    app.commit(tx).await?;
    info!(client.key = %client.key, "Client configuration created");
    let location = [(
        header::LOCATION,
        format!("/v1/client-configurations/{}", client.key),
    )];
    Ok((StatusCode::CREATED, location, Json(view(&app, client, 0))).into_response())
}

pub(super) async fn read(
    _: Viewer,
    State(app): State<SharedContext>,
    PathKey(key): PathKey,
) -> Result<Response, ApiError> {
    let mut tx = app.begin().await?;
    let client = store::find_by_key(&mut tx, &key).await?;
    let client = client.ok_or(ApiError::NotFound { what: WHAT })?;
    let accounts = account::list_by_client(&mut tx, client.id).await?;
    Ok(Json(view(&app, client, count(&accounts))).into_response())
}

pub(super) async fn change(
    _: Administrator,
    State(app): State<SharedContext>,
    PathKey(key): PathKey,
    JsonBody(input, faults): JsonBody<ClientInput>,
) -> Result<Response, ApiError> {
    let mut tx = app.begin().await?;
    let current = store::find_for_update(&mut tx, &key).await?;
    let current = current.ok_or(ApiError::NotFound { what: WHAT })?;
    let context = ClientContext {
        id: current.id,
        now: app.now(),
        current: Some(&current),
        sealing_key: &app.sealing_key,
        is_redirect_taken: store::has_shared_redirect_besides(&mut tx, current.id).await?,
    };
    let client = validate(input, faults, &context)?;
    let accounts = account::list_by_client(&mut tx, client.id).await?;
    refuse_lost_direction(&client, &accounts)?;
    store::update(&mut tx, &client).await?;
    // Other scopes of an application need no person: they are asked for at once.
    let is_asked_anew = client.flow.is_app() && client.scopes != current.scopes;
    if is_asked_anew || !changed_destinations(&current, &client).is_empty() {
        let grants = grant::recheck_origins(&mut tx, client.id, app.now()).await?;
        info!(client.key = %client.key, grants, "Grants of a changed client configuration are looked at");
    }
    app.commit(tx).await?;
    info!(client.key = %client.key, "Client configuration changed");
    Ok(Json(view(&app, client, count(&accounts))).into_response())
}

pub(super) async fn remove(
    _: Administrator,
    State(app): State<SharedContext>,
    PathKey(key): PathKey,
) -> Result<StatusCode, ApiError> {
    let mut tx = app.begin().await?;
    let client = store::find_for_update(&mut tx, &key).await?;
    let client = client.ok_or(ApiError::NotFound { what: WHAT })?;
    let accounts = account::list_by_client(&mut tx, client.id).await?;
    if !accounts.is_empty() {
        return Err(ApiError::conflict(
            format!("accounts use it: {}", names(accounts.iter())),
            "Delete these accounts or give them another client configuration first.",
        ));
    }
    store::delete(&mut tx, client.id).await?;
    app.commit(tx).await?;
    info!(client.key = %key, "Client configuration deleted");
    Ok(StatusCode::NO_CONTENT)
}

fn refuse_lost_direction(
    client: &ClientConfiguration,
    accounts: &[Account],
) -> Result<(), ApiError> {
    for (direction, is_usable) in [
        (Direction::Inbound, client.is_inbound),
        (Direction::Outbound, client.is_outbound),
    ] {
        let used_by = accounts.iter().filter(|a| a.direction == direction);
        if !is_usable && used_by.clone().next().is_some() {
            return Err(ApiError::conflict(
                format!("{direction} accounts use it: {}", names(used_by)),
                "Delete these accounts or give them another client configuration first.",
            ));
        }
    }
    Ok(())
}

/// Names a few; hundreds would help nobody.
fn names<'a>(accounts: impl Iterator<Item = &'a Account>) -> String {
    let keys: Vec<&str> = accounts.map(|account| account.key.as_str()).collect();
    match keys.split_at_checked(10) {
        Some((few, further)) if !further.is_empty() => {
            format!("{} and {} more", few.join(", "), further.len())
        }
        _ => keys.join(", "),
    }
}

fn count(accounts: &[Account]) -> i64 {
    i64::try_from(accounts.len()).unwrap_or(i64::MAX)
}

fn view(app: &ServiceContext, client: ClientConfiguration, accounts: i64) -> ClientView {
    let profile = client.profile.parse();
    let is_microsoft = profile.is_ok_and(|profile: Profile| profile.is_microsoft());
    let redirect_uri = if client.is_redirect_shared {
        app.public.redirect_uri()
    } else {
        app.public.own_redirect_uri(client.key.as_str())
    };
    ClientView {
        key: client.key,
        name: client.name,
        base_url: client.issuer.clone().filter(|_| is_microsoft),
        profile: client.profile,
        flow: client.flow,
        client_id: client.client_id,
        has_client_secret: client.client_secret.is_set(),
        has_private_key: client.private_key.is_set(),
        certificate_pem: client.certificate_pem,
        token_endpoint_auth: client.token_endpoint_auth,
        issuer: client.issuer,
        authorize_url: client.authorize_url,
        token_url: client.token_url,
        userinfo_url: client.userinfo_url,
        jwks_url: client.jwks_url,
        scopes: client.scopes,
        identity_claim: client.identity_claim,
        extra_authorize_parameters: client.extra_authorize_parameters,
        ca_pem: client.ca_pem,
        directions: Directions {
            inbound: client.is_inbound,
            outbound: client.is_outbound,
        },
        own_redirect_uri: !client.is_redirect_shared,
        redirect_uri: (!client.flow.is_app()).then(|| redirect_uri.to_string()),
        refusal: client.refusal,
        accounts,
        created_at: client.created_at,
        updated_at: client.updated_at,
    }
}
