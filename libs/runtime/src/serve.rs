//! HTTP with an idle timeout. hyper's own header timeout needs a timer, which `axum::serve` does not give it, and `axum::serve`
//! has no setting for one.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::CancellationToken;

/// Serves until `stop`, and then until the requests in hand have ended. Closes a connection from which nothing was read for
/// `idle_timeout`, which must be longer than the handling of a request: hyper reads while a request is handled, too.
///
/// # Errors
/// When the listener fails.
pub fn serve(
    listener: TcpListener,
    app: Router,
    idle_timeout: Option<Duration>,
    stop: CancellationToken,
) -> BoxFuture<'static, io::Result<()>> {
    let listener = IdleTimeoutListener {
        inner: listener,
        idle_timeout,
    };
    let server = axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned());
    Box::pin(server.into_future())
}

/// Accepts connections with an idle timeout.
#[derive(Debug)]
struct IdleTimeoutListener {
    inner: TcpListener,
    idle_timeout: Option<Duration>,
}

/// A connection whose reads fail with `TimedOut` once nothing was read for the idle timeout.
#[derive(Debug)]
struct IdleTimeout<S> {
    inner: S,
    timer: Option<IdleTimer>,
}

#[derive(Debug)]
struct IdleTimer {
    timeout: Duration,
    end: Pin<Box<Sleep>>,
}

impl<S> IdleTimeout<S> {
    fn new(inner: S, idle_timeout: Option<Duration>) -> Self {
        let timer = idle_timeout.map(|timeout| IdleTimer {
            timeout,
            end: Box::pin(sleep(timeout)),
        });
        Self { inner, timer }
    }
}

impl Listener for IdleTimeoutListener {
    type Io = IdleTimeout<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.inner).await;
        (IdleTimeout::new(stream, self.idle_timeout), address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for IdleTimeout<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.inner).poll_read(context, buffer);
        let Some(IdleTimer { timeout, end }) = &mut self.timer else {
            return read;
        };
        if read.is_ready() {
            end.as_mut().reset(Instant::now() + *timeout);
            return read;
        }
        end.as_mut()
            .poll(context)
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for IdleTimeout<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const IDLE_TIMEOUT: Duration = Duration::from_secs(75);

    #[tokio::test(start_paused = true)]
    async fn connection_is_closed_only_after_the_idle_timeout_without_a_read() {
        let (mut browser, server) = tokio::io::duplex(8);
        let mut server = IdleTimeout::new(server, Some(IDLE_TIMEOUT));
        let started = Instant::now();

        for _ in 0..3 {
            tokio::time::advance(IDLE_TIMEOUT / 10 * 9).await;
            browser.write_all(b".").await.unwrap();
            assert_eq!(server.read_u8().await.unwrap(), b'.');
        }
        let spoke = Instant::now();
        let silent = server.read_u8().await.unwrap_err();

        assert_eq!(silent.kind(), io::ErrorKind::TimedOut);
        assert_eq!(spoke.elapsed(), IDLE_TIMEOUT);
        assert!(started.elapsed() > IDLE_TIMEOUT * 2);
    }
}
