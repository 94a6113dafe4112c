pub(crate) mod callback;
pub(crate) mod connect;
pub(crate) mod connected;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use mailmesh_domain::FailureCause;
use mailmesh_oauth::OWN_REDIRECT_PATH;
use tokio::time::timeout;
use tower_http::catch_panic::CatchPanicLayer;

use crate::context::ServiceContext;
use crate::failure::SignInFailure;
use crate::page::{Page, Tone, protect};

/// A form post of a provider holds a code and a state.
const BODY_LIMIT: usize = 32 * 1024;
const BODY_TIME: Duration = Duration::from_secs(10);
/// How long a browser waits for its page; a sign-in that is being ended goes on without it.
const REQUEST_TIME: Duration = Duration::from_mins(1);
const CALLBACK_PATHS: [&str; 2] = ["/oauth/callback", "/receiveTokenAuthentication.htm"];

/// Returns the routes, without opening a socket.
pub(crate) fn app(state: Arc<ServiceContext>) -> Router {
    let mut routes = Router::new()
        .route("/connect/{link}", get(connect::follow_link).head(look))
        .route("/connected/{sign_in}", get(connected::show_result));
    routes = routes.route(
        &format!("{OWN_REDIRECT_PATH}{{key}}"),
        get(callback::receive_own_query)
            .post(callback::receive_own_form)
            .head(look),
    );
    for path in callback_paths(&state.public.redirect_path) {
        let callback: MethodRouter<Arc<ServiceContext>> = get(callback::receive_query)
            .post(callback::receive_form)
            .head(look);
        routes = routes.route(path, callback);
    }
    // A proxy may pass the path of the public URL on or cut it off.
    let base = state.public.url.path().trim_end_matches('/');
    let routes = if base.is_empty() {
        routes
    } else {
        routes.clone().nest(base, routes)
    };
    routes
        .fallback(nothing_here)
        .layer(from_fn(limit_time))
        .layer(from_fn_with_state(Arc::clone(&state), make_room))
        // Outside of the room: a body that never comes must not take a place.
        .layer(from_fn(read_body))
        .layer(CatchPanicLayer::custom(|_| {
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }))
        .layer(map_response(async |mut response: Response| {
            protect(response.headers_mut());
            response
        }))
        .with_state(state)
}

fn callback_paths(configured: &str) -> Vec<&str> {
    let mut paths = CALLBACK_PATHS.to_vec();
    if configured.starts_with('/') && !paths.contains(&configured) {
        paths.push(configured);
    }
    paths
}

async fn read_body(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    match timeout(BODY_TIME, to_bytes(body, BODY_LIMIT)).await {
        Ok(Ok(bytes)) => {
            next.run(Request::from_parts(parts, Body::from(bytes)))
                .await
        }
        Ok(Err(_)) => StatusCode::PAYLOAD_TOO_LARGE.into_response(),
        Err(_) => StatusCode::REQUEST_TIMEOUT.into_response(),
    }
}

async fn limit_time(request: Request, next: Next) -> Response {
    within_time(next.run(request)).await
}

async fn within_time(answer: impl Future<Output = Response>) -> Response {
    let answer = timeout(REQUEST_TIME, answer).await;
    answer.unwrap_or_else(|_| takes_too_long().into_response())
}

fn takes_too_long() -> Page {
    Page::new(
        504,
        Tone::Attention,
        "This takes too long",
        "The provider or the mail server has not answered for a minute.",
    )
    .act_on(FailureCause::SignInSlow)
}

async fn make_room(
    State(app): State<Arc<ServiceContext>>,
    request: Request,
    next: Next,
) -> Response {
    match app.room.try_acquire() {
        Ok(_place) => next.run(request).await,
        Err(_) => SignInFailure::Busy.page().into_response(),
    }
}

/// Mail scanners look before people come: that must neither start a sign-in nor consume a state.
async fn look() -> StatusCode {
    StatusCode::NO_CONTENT
}

async fn nothing_here() -> Page {
    Page::new(
        404,
        Tone::Attention,
        "There is nothing here",
        "Mailboxes are connected with a link that your administrator gives you.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_browser_does_not_wait_for_ever() {
        let answer = within_time(std::future::pending()).await;

        assert_eq!(answer.status(), StatusCode::GATEWAY_TIMEOUT);
    }
}
