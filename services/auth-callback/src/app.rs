use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use mailmesh_replica::{Providers, PublicSettings, Replica};
use mailmesh_secrets::OpeningKeys;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use tower_http::catch_panic::CatchPanicLayer;

use crate::cookie::Jar;
use crate::metric::Metrics;
use crate::obstacle::Obstacle;
use crate::page::{Page, Tone, protect};
use crate::routes::{callback, connect, connected};

/// A form post of a provider holds a code and a state.
const BODY_LIMIT: usize = 32 * 1024;
/// Each may wait for a provider and a mail server.
const MOST_REQUESTS: usize = 128;
const CALLBACK_PATHS: [&str; 2] = ["/oauth/callback", "/receiveTokenAuthentication.htm"];

/// What all requests share.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) replica: Replica,
    pub(crate) keys: OpeningKeys,
    pub(crate) providers: Providers,
    pub(crate) public: PublicSettings,
    pub(crate) jar: Jar,
    pub(crate) metrics: Metrics,
    /// Sign-ins that are being ended, whether or not somebody still waits for the page.
    pub(crate) endings: TaskTracker,
    room: Semaphore,
}

impl App {
    pub(crate) fn new(replica: Replica, keys: OpeningKeys, public: PublicSettings) -> Self {
        Self {
            providers: Providers::new(keys.clone(), public.redirect_uri()),
            jar: Jar {
                is_secure: public.url.scheme() == "https",
            },
            metrics: Metrics::new(),
            endings: TaskTracker::new(),
            room: Semaphore::new(MOST_REQUESTS),
            replica,
            keys,
            public,
        }
    }
}

/// Returns the routes, without opening a socket.
pub(crate) fn app(state: Arc<App>) -> Router {
    let mut routes = Router::new()
        .route("/connect/{link}", get(connect::follow_link).head(look))
        .route("/connected/{sign_in}", get(connected::show_result));
    for path in callback_paths(&state.public.redirect_path) {
        let callback: MethodRouter<Arc<App>> = get(callback::receive_query)
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
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(from_fn_with_state(Arc::clone(&state), make_room))
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

async fn make_room(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    match app.room.try_acquire() {
        Ok(_place) => next.run(request).await,
        Err(_) => Obstacle::Busy.page().into_response(),
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
