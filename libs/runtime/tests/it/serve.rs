//! What a peer can take of a server, over real sockets.

use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::routing::get;
use mailmesh_runtime::{ServeLimits, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(20);
const REQUEST: &str = "GET / HTTP/1.1\r\nHost: mesh\r\n\r\n";
const LARGE_BYTES: usize = 16 * 1024 * 1024;

struct Served {
    address: std::net::SocketAddr,
    stop: CancellationToken,
    server: JoinSet<std::io::Result<()>>,
}

impl Served {
    async fn start(limits: ServeLimits) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let app = Router::new()
            .route("/", get(async || "fine"))
            .route("/large", get(async || vec![b'x'; LARGE_BYTES]));
        let stop = CancellationToken::new();
        let mut server = JoinSet::new();
        server.spawn(serve(listener, app, limits, stop.clone()));
        Ok(Self {
            address,
            stop,
            server,
        })
    }

    async fn say(&self, words: &str) -> Result<TcpStream> {
        let mut socket = TcpStream::connect(self.address).await?;
        socket.write_all(words.as_bytes()).await?;
        Ok(socket)
    }

    /// Returns whether a request is answered well.
    async fn answers(&self) -> Result<()> {
        let mut socket = self.say(REQUEST).await?;
        let answer = head(&mut socket).await?;
        anyhow::ensure!(answer == "HTTP/1.1 200", "{answer:?}");
        Ok(())
    }

    async fn finish(mut self) -> Result<()> {
        self.stop.cancel();
        let ended = timeout(PATIENCE, self.server.join_next()).await?;
        Ok(ended.context("it has ended")???)
    }
}

/// Returns the first words of an answer; empty when the connection was closed.
async fn head(socket: &mut TcpStream) -> Result<String> {
    let mut answer = [0; 12];
    let read = timeout(PATIENCE, socket.read(&mut answer)).await?;
    let read = read.unwrap_or_default();
    Ok(String::from_utf8_lossy(answer.get(..read).unwrap_or_default()).into_owned())
}

#[tokio::test]
async fn header_that_does_not_come_to_an_end_closes_the_connection() -> Result<()> {
    let limits = ServeLimits {
        header_timeout: Duration::from_millis(500),
        ..ServeLimits::default()
    };
    let served = Served::start(limits).await?;
    let mut silent = served.say("").await?;
    let mut slow = served.say("GET / HTTP/1.1\r\nHost: me").await?;
    let begun = Instant::now();
    let dripping = async {
        // Each octet in time, and never the last one.
        while slow.write_all(b"x").await.is_ok() && begun.elapsed() < PATIENCE {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, dripping).await?;

    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(head(&mut silent).await?, "");
    served.answers().await?;
    served.finish().await
}

#[tokio::test]
async fn header_of_more_than_32_kib_is_refused_and_a_large_one_is_taken() -> Result<()> {
    let served = Served::start(ServeLimits::default()).await?;
    let request = |bytes: usize| {
        let filler = "x".repeat(bytes);
        format!("GET / HTTP/1.1\r\nHost: mesh\r\nX-Long: {filler}\r\n\r\n")
    };

    let mut large = served.say(&request(30 * 1024)).await?;
    let mut too_large = served.say(&request(40 * 1024)).await?;

    assert_eq!(head(&mut large).await?, "HTTP/1.1 200");
    assert_eq!(head(&mut too_large).await?, "HTTP/1.1 431");
    served.finish().await
}

#[tokio::test]
async fn further_connections_wait_and_those_of_one_peer_are_closed() -> Result<()> {
    let limits = ServeLimits {
        connections: 3,
        connections_per_peer: Some(2),
        ..ServeLimits::default()
    };
    let served = Served::start(limits).await?;
    let mut standing = Vec::new();
    for _ in 0..2 {
        let mut socket = served.say(REQUEST).await?;
        assert_eq!(head(&mut socket).await?, "HTTP/1.1 200");
        standing.push(socket);
    }

    let mut third = served.say(REQUEST).await?;
    assert_eq!(head(&mut third).await?, "");
    standing.pop();

    timeout(PATIENCE, async {
        while served.answers().await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await?;
    drop(standing);
    served.finish().await
}

#[tokio::test]
async fn connections_beyond_the_total_wait_for_a_place() -> Result<()> {
    let limits = ServeLimits {
        connections: 1,
        header_timeout: PATIENCE,
        ..ServeLimits::default()
    };
    let served = Served::start(limits).await?;
    let mut first = served.say(REQUEST).await?;
    assert_eq!(head(&mut first).await?, "HTTP/1.1 200");

    let mut second = served.say(REQUEST).await?;
    let early = timeout(Duration::from_millis(300), head(&mut second)).await;
    drop(first);

    assert!(early.is_err(), "{early:?}");
    assert_eq!(head(&mut second).await?, "HTTP/1.1 200");
    drop(second);
    served.finish().await
}

#[tokio::test]
async fn reader_that_takes_nothing_is_cut_off() -> Result<()> {
    let limits = ServeLimits {
        connections: 1,
        stall_timeout: Duration::from_millis(500),
        ..ServeLimits::default()
    };
    let served = Served::start(limits).await?;
    let mut stalled = served
        .say("GET /large HTTP/1.1\r\nHost: mesh\r\n\r\n")
        .await?;

    // Takes the only place until it is cut off.
    served.answers().await?;

    let mut taken = Vec::new();
    let rest = timeout(PATIENCE, stalled.read_to_end(&mut taken)).await?;
    assert!(
        rest.is_err() || taken.len() < LARGE_BYTES,
        "{}",
        taken.len()
    );
    served.finish().await
}
