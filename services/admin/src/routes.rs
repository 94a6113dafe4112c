//! Every path of the API, and what goes around all of them.

mod account;
mod api_key;
mod client_configuration;
mod mail;
mod outbox;
mod sign_in;
mod system;

use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::{HeaderName, HeaderValue, header};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::trace::TraceLayer;
use tracing::field::Empty;
use tracing::{Span, info_span};

use crate::context::SharedContext;
use crate::error::ApiError;
use crate::extract::BODY_LIMIT_BYTES;
use crate::page;

const TIMEOUT: Duration = Duration::from_secs(30);

/// Returns the whole service, without opening a socket.
pub(crate) fn router(app: SharedContext) -> Router {
    let clients = get(client_configuration::list).post(client_configuration::create);
    let client = get(client_configuration::read)
        .patch(client_configuration::change)
        .delete(client_configuration::remove);
    let account = get(account::read)
        .patch(account::change)
        .delete(account::remove);
    let set = |name: HeaderName, value| {
        SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value))
    };
    // The error logs itself when it becomes a response.
    let trace = TraceLayer::new_for_http()
        .make_span_with(span)
        .on_failure(());
    Router::new()
        .route("/", get(page::show))
        .route("/v1/client-configurations", clients)
        .route("/v1/client-configurations/{key}", client)
        .route("/v1/accounts", get(account::list).post(account::create))
        .route("/v1/accounts/{key}", account)
        .route("/v1/accounts/{key}/sign-in", post(sign_in::create))
        .route("/v1/mails/{id}/raw", get(mail::raw))
        .route("/v1/mails/{id}/attachments/{part}", get(mail::attachment))
        .route("/v1/outbox", get(outbox::list))
        .route("/v1/outbox/{id}", get(outbox::read))
        .route("/v1/outbox/{id}/decision", post(outbox::decide))
        .route("/v1/outbox/{id}/cancel", post(outbox::cancel))
        .route("/v1/api-keys", get(api_key::list).post(api_key::create))
        .route("/v1/api-keys/{id}", axum::routing::delete(api_key::revoke))
        .route("/v1/system", get(system::read))
        .fallback(async || ApiError::UnknownPath)
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .layer(DefaultBodyLimit::max(BODY_LIMIT_BYTES))
        .layer(middleware::from_fn(limit_time))
        .layer(CatchPanicLayer::custom(|_| given_up()))
        .layer(set(header::CACHE_CONTROL, "no-store"))
        .layer(set(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(set(header::REFERRER_POLICY, "no-referrer"))
        .layer(set(
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'; sandbox",
        ))
        .layer(trace)
        .with_state(app)
}

/// Bounds how long an answer takes to begin; a raw mail may then flow for longer.
async fn limit_time(request: Request, next: Next) -> Response {
    let answer = tokio::time::timeout(TIMEOUT, next.run(request)).await;
    answer.unwrap_or_else(|_| ApiError::TimedOut.into_response())
}

fn given_up() -> Response {
    ApiError::GivenUp.into_response()
}

/// Names the route, not the path: keys and ids stand in the handlers' own logs, where they are meant.
fn span(request: &Request) -> Span {
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or("unknown", MatchedPath::as_str);
    info_span!("http", method = %request.method(), route, actor = Empty)
}
