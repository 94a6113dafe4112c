//! The redirect URI: where providers send people back to.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use axum::http::header::SET_COOKIE;
use axum::response::{IntoResponse, Redirect, Response};
use mailmesh_secrets::{SecretString, sha256, verify_hash};
use mailmesh_store::sign_in::{self, SignIn};
use tracing::{Instrument, field, info_span, instrument};
use url::form_urlencoded;

use crate::context::ServiceContext;
use crate::failure::SignInFailure;
use crate::page::Page;
use crate::sign_in::{ProviderAnswer, finish, log};

pub(crate) async fn receive_query(
    State(app): State<Arc<ServiceContext>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    receive(app, None, query.unwrap_or_default().as_bytes(), &headers).await
}

pub(crate) async fn receive_form(
    State(app): State<Arc<ServiceContext>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    receive(app, None, &body, &headers).await
}

/// At the redirect URI of one client configuration.
pub(crate) async fn receive_own_query(
    State(app): State<Arc<ServiceContext>>,
    Path(key): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let query = query.unwrap_or_default();
    receive(app, Some(key), query.as_bytes(), &headers).await
}

pub(crate) async fn receive_own_form(
    State(app): State<Arc<ServiceContext>>,
    Path(key): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    receive(app, Some(key), &body, &headers).await
}

#[instrument(name = "callback.receive", skip_all)]
async fn receive(
    app: Arc<ServiceContext>,
    redirect_key: Option<String>,
    fields: &[u8],
    headers: &HeaderMap,
) -> Response {
    let fields = CallbackFields::parse(fields);
    let sign_in = match consume(&app, &fields, headers).await {
        Ok(sign_in) => sign_in,
        Err(failure) => {
            app.metrics.count(failure.kind());
            log(&failure);
            return failure.page().into_response();
        }
    };
    let id = sign_in.id;
    let span = info_span!(
        "callback.finish",
        sign_in.id = %id,
        account.id = field::Empty,
        account.key = field::Empty,
    );
    let ending = {
        let app = Arc::clone(&app);
        async move { finish(&app, &sign_in, fields.into_answer(redirect_key)).await }
    };
    // The code is spent once it is sent: a browser that goes away must not cost its tokens.
    let ended = app.endings.spawn(ending.instrument(span)).await;
    let page = ended.unwrap_or_else(|_| SignInFailure::UnknownState.page());
    leave(&app, id, page)
}

/// Consumes the state first, so that each is tried once, whatever else is wrong.
async fn consume(
    app: &ServiceContext,
    fields: &CallbackFields,
    headers: &HeaderMap,
) -> Result<SignIn, SignInFailure> {
    let state = fields.state.as_deref().ok_or(SignInFailure::UnknownState)?;
    let now = app.replica.clock.now();
    let mut tx = app.replica.database.begin().await?;
    let sign_in = sign_in::consume(&mut tx, &sha256(state.as_bytes()), now).await?;
    tx.commit().await?;
    let sign_in = sign_in.ok_or(SignInFailure::UnknownState)?;
    let browser = app.jar.browser(headers, sign_in.id);
    let browser = browser.ok_or(SignInFailure::OtherBrowser)?;
    if verify_hash(&browser, &sign_in.browser_hash) {
        Ok(sign_in)
    } else {
        Err(SignInFailure::OtherBrowser)
    }
}

/// Sends the browser to a URL without code and state, with the result in a cookie.
fn leave(app: &ServiceContext, id: mailmesh_domain::SignInId, page: Page) -> Response {
    let sealed = page.seal(id, &app.keys);
    let Some(cookie) = sealed.and_then(|sealed| app.jar.set_result(&sealed)) else {
        return page.into_response();
    };
    let path = app.public.url.path().trim_end_matches('/');
    let mut response = Redirect::to(&format!("{path}/connected/{id}")).into_response();
    response.headers_mut().insert(SET_COOKIE, cookie);
    response
}

/// The fields of an answer; one that comes twice counts for none, since it is not clear which.
struct CallbackFields {
    state: Option<String>,
    code: Option<SecretString>,
    error: Option<String>,
    description: Option<String>,
    issuer: Option<String>,
}

impl CallbackFields {
    fn parse(bytes: &[u8]) -> Self {
        let get = |name: &str| {
            let mut found = form_urlencoded::parse(bytes).filter(|(found, _)| found == name);
            let value = found.next().map(|(_, value)| value.into_owned());
            value.filter(|value| found.next().is_none() && !value.is_empty())
        };
        Self {
            state: get("state"),
            code: get("code").map(SecretString::from),
            error: get("error"),
            description: get("error_description"),
            issuer: get("iss"),
        }
    }

    fn into_answer(self, redirect_key: Option<String>) -> ProviderAnswer {
        ProviderAnswer {
            redirect_key,
            code: self.code,
            error: self.error,
            description: self.description,
            issuer: self.issuer,
        }
    }
}

#[cfg(test)]
mod tests {
    use mailmesh_secrets::ExposeSecret;

    use super::*;

    #[test]
    fn a_field_that_comes_twice_counts_for_none() {
        let fields =
            CallbackFields::parse(b"state=a&state=b&code=x%2Fy&iss=&error_description=no+way");

        assert_eq!(fields.state, None);
        assert_eq!(fields.code.unwrap().expose_secret(), "x/y");
        assert_eq!(fields.issuer, None);
        assert_eq!(fields.description.as_deref(), Some("no way"));
    }
}
