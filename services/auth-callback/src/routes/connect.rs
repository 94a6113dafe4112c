//! `GET /connect/{link}`: the one-time link that starts a sign-in.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::header::SET_COOKIE;
use axum::response::{IntoResponse, Redirect, Response};
use mailmesh_domain::SignInId;
use mailmesh_oauth::{AuthorizeRequest, Pkce, Provider, authorize_url};
use mailmesh_secrets::{ExposeSecret, SecretString, random_token, sha256};
use mailmesh_store::account::{self, Account};
use mailmesh_store::client_configuration::{self, ClientConfiguration};
use mailmesh_store::sign_in::{self, SignIn, Start};
use mailmesh_store::{Tx, grant};
use tracing::{info, instrument};
use url::Url;

use crate::context::ServiceContext;
use crate::failure::SignInFailure;
use crate::sign_in::{load_account, log, provider_of};

#[instrument(name = "connect.follow_link", skip_all)]
pub(crate) async fn follow_link(
    State(app): State<Arc<ServiceContext>>,
    Path(link): Path<String>,
) -> Response {
    match start_sign_in(&app, &link).await {
        Ok(response) => response,
        Err(failure) => {
            log(&failure);
            failure.page().into_response()
        }
    }
}

async fn start_sign_in(app: &ServiceContext, link: &str) -> Result<Response, SignInFailure> {
    let link = load_link(app, link).await?;
    let provider = provider_of(app, &link.client).await?;
    let browser = random_token(32);
    let url = record_start(app, &link, &provider, &browser).await?;
    info!(sign_in.id = %link.id, account.id = %link.account.id, account.key = %link.account.key, "A sign-in was started");
    let mut response = Redirect::to(url.as_str()).into_response();
    let path = provider.client.redirect_uri.path();
    let cookie = app
        .jar
        .set_browser(link.id, &browser, path, is_posted(&provider));
    if let Some(cookie) = cookie {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    Ok(response)
}

/// A link that may be followed.
struct UsableLink {
    id: SignInId,
    account: Account,
    client: ClientConfiguration,
}

async fn load_link(app: &ServiceContext, link: &str) -> Result<UsableLink, SignInFailure> {
    let hash = sha256(link.as_bytes());
    let mut tx = app.replica.database.begin().await?;
    let Some((id, account)) = sign_in::find_link(&mut tx, &hash, app.replica.clock.now()).await?
    else {
        return Err(judge_dead_link(&mut tx, &hash).await?);
    };
    let (account, client) = load_account(&mut tx, account).await?;
    if client.is_redirect_shared
        && client_configuration::has_shared_redirect_besides(&mut tx, client.id).await?
    {
        return Err(SignInFailure::SharedRedirect {
            own: app.public.own_redirect_uri(client.key.as_str()).into(),
        });
    }
    Ok(UsableLink {
        id,
        account,
        client,
    })
}

/// Whoever follows a used link most often looks whether the sign-in worked.
async fn judge_dead_link(tx: &mut Tx, hash: &[u8; 32]) -> Result<SignInFailure, SignInFailure> {
    let Some(account) = sign_in::find_account_of_link(tx, hash).await? else {
        return Ok(SignInFailure::UnknownLink);
    };
    let account = account::list_without_passwords(tx, &[account]).await?.pop();
    let Some(grant) = account.and_then(|account| account.grant_id) else {
        return Ok(SignInFailure::UsedLink);
    };
    let grant = grant::list_by_ids(tx, &[grant]).await?.pop();
    let is_connected = grant.is_some_and(|grant| grant.account_state().is_none());
    Ok(if is_connected {
        SignInFailure::Connected
    } else {
        SignInFailure::UsedLink
    })
}

async fn record_start(
    app: &ServiceContext,
    link: &UsableLink,
    provider: &Provider,
    browser: &SecretString,
) -> Result<Url, SignInFailure> {
    let (state, nonce, pkce) = (random_token(32), random_token(24), Pkce::generate());
    let key = app.keys.sealing_key();
    let verifier = key.seal(&pkce.verifier, &SignIn::verifier_context(link.id))?;
    let now = app.replica.clock.now();
    let start = Start {
        state_hash: &sha256(state.expose_secret().as_bytes()),
        browser_hash: &sha256(browser.expose_secret().as_bytes()),
        nonce: nonce.expose_secret(),
        verifier: &verifier,
        client: (link.client.id, link.client.updated_at),
    };
    let mut tx = app.replica.database.begin().await?;
    sign_in::start(&mut tx, link.id, &start, now).await?;
    let protocols = account::list_protocols(&mut tx, &link.account).await?;
    tx.commit().await?;
    let request = AuthorizeRequest {
        state: state.expose_secret(),
        nonce: Some(nonce.expose_secret()),
        challenge: &pkce.challenge,
        login_hint: Some(&link.account.login),
    };
    Ok(authorize_url(
        &provider.endpoints,
        &provider.client.for_protocols(&protocols),
        &request,
    ))
}

fn is_posted(provider: &Provider) -> bool {
    let mut extra = provider.client.extra_authorize.iter();
    let in_extra = extra.any(|(name, value)| name == "response_mode" && value == "form_post");
    let mut query = provider.endpoints.authorize.query_pairs();
    in_extra || query.any(|(name, value)| name == "response_mode" && value == "form_post")
}
