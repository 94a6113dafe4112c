//! HTTP with limits on what a peer can take: connections, the time and size of a header, silence, and answers that it does not
//! take. `axum::serve` has none of these: it gives hyper neither a timer nor settings.

mod places;
mod socket;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use futures_util::future::BoxFuture;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use places::{PeerPlace, Peers};
use socket::TimedSocket;

/// Maximum bytes of a request's line and header; a longer one is answered with 431.
const HEADER_BYTES: usize = 32 * 1024;
/// Pause after a failure to accept, as when the process has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// What the peers of a server may take.
#[derive(Debug, Clone, Copy)]
pub struct ServeLimits {
    /// Connections at the same time; further ones wait to be accepted.
    pub connections: usize,
    /// Connections at the same time from one address (of IPv6: one /64 network); further ones are closed at once.
    pub connections_per_peer: Option<usize>,
    /// Time for a whole header, and so for the first byte of the next request of a connection.
    pub header_timeout: Duration,
    /// A connection from which nothing was read for so long is closed. Must be longer than the handling of a request: hyper
    /// reads while a request is handled, too.
    pub idle_timeout: Option<Duration>,
    /// A connection whose peer takes less than 4 KiB of an answer in so long is closed.
    pub stall_timeout: Duration,
}

impl Default for ServeLimits {
    fn default() -> Self {
        Self {
            connections: 512,
            connections_per_peer: None,
            header_timeout: Duration::from_secs(20),
            idle_timeout: None,
            stall_timeout: Duration::from_secs(30),
        }
    }
}

/// Serves until `stop`, and then until the requests in hand have ended.
///
/// # Errors
/// None at present: a failure to accept is tried again.
pub fn serve(
    listener: TcpListener,
    app: Router,
    limits: ServeLimits,
    stop: CancellationToken,
) -> BoxFuture<'static, io::Result<()>> {
    Box::pin(async move {
        let server = HttpServer {
            listener,
            places: Arc::new(Semaphore::new(limits.connections)),
            peers: Peers::new(limits.connections_per_peer),
        };
        let app = app.layer(from_fn(limit_header));
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(ended) = connections.join_next() => note(ended),
                (stream, place) = server.accept() => {
                    connections.spawn(answer(stream, app.clone(), limits, (place, stop.clone())));
                }
            }
        }
        drop(server);
        while let Some(ended) = connections.join_next().await {
            note(ended);
        }
        Ok(())
    })
}

/// hyper looks at its own limit between reads, and may have read twice as much by then.
async fn limit_header(request: Request, next: Next) -> Response {
    let lines = request.headers().iter();
    // With ": " and the line's end.
    let bytes: usize = lines
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum();
    let line = request.uri().path_and_query();
    let line = line.map_or(0, |target| target.as_str().len());
    if bytes + line > HEADER_BYTES {
        return StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE.into_response();
    }
    next.run(request).await
}

struct HttpServer {
    listener: TcpListener,
    places: Arc<Semaphore>,
    peers: Peers,
}

type ConnectionPermits = (OwnedSemaphorePermit, PeerPlace);

impl HttpServer {
    async fn accept(&self) -> (TcpStream, ConnectionPermits) {
        loop {
            let Ok(place) = Arc::clone(&self.places).acquire_owned().await else {
                std::future::pending::<()>().await;
                continue;
            };
            match self.listener.accept().await {
                Ok((stream, address)) => {
                    if let Some(peer) = self.peers.admit(address.ip()) {
                        return (stream, (place, peer));
                    }
                    debug!("A peer has as many connections as it may have");
                }
                Err(error) if is_of_connection(&error) => {}
                Err(error) => {
                    warn!(%error, "No connection can be accepted for now");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// The peer was gone before it was accepted.
fn is_of_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
    )
}

async fn answer(
    stream: TcpStream,
    app: Router,
    limits: ServeLimits,
    (place, stop): (ConnectionPermits, CancellationToken),
) {
    let socket = TimedSocket::new(stream, limits.idle_timeout, limits.stall_timeout);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(HEADER_BYTES)
        .serve_connection(TokioIo::new(socket), TowerToHyperService::new(app));
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(
            error = &error as &dyn std::error::Error,
            "A connection broke"
        );
    }
    drop(place);
}

fn note(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        error!(
            error = &error as &dyn std::error::Error,
            "Answering a connection panicked"
        );
    }
}
