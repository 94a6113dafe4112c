//! Serving HTTP. Connections that fall silent can be closed: hyper's own limit needs a timer, which `axum::serve` does
//! not give it.

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

/// Serves until `stop`, and then until the requests in hand have ended. A connection on which nothing was read for
/// `longest_silence` is closed: that has to be longer than a request may take, as hyper listens while it is answered, too.
///
/// # Errors
/// When the listener fails.
pub fn serve(
    listener: TcpListener,
    app: Router,
    longest_silence: Option<Duration>,
    stop: CancellationToken,
) -> BoxFuture<'static, io::Result<()>> {
    let listener = ImpatientListener {
        inner: listener,
        longest_silence,
    };
    let server = axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned());
    Box::pin(server.into_future())
}

/// Accepts connections that must not be silent for long.
#[derive(Debug)]
struct ImpatientListener {
    inner: TcpListener,
    longest_silence: Option<Duration>,
}

/// A connection that fails once nothing was read for too long.
#[derive(Debug)]
struct Impatient<S> {
    inner: S,
    silence: Option<Silence>,
}

#[derive(Debug)]
struct Silence {
    longest: Duration,
    end: Pin<Box<Sleep>>,
}

impl<S> Impatient<S> {
    fn new(inner: S, longest_silence: Option<Duration>) -> Self {
        let silence = longest_silence.map(|longest| Silence {
            longest,
            end: Box::pin(sleep(longest)),
        });
        Self { inner, silence }
    }
}

impl Listener for ImpatientListener {
    type Io = Impatient<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.inner).await;
        (Impatient::new(stream, self.longest_silence), address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Impatient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.inner).poll_read(context, buffer);
        let Some(Silence { longest, end }) = &mut self.silence else {
            return read;
        };
        if read.is_ready() {
            end.as_mut().reset(Instant::now() + *longest);
            return read;
        }
        end.as_mut()
            .poll(context)
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Impatient<S> {
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

    const LONGEST_SILENCE: Duration = Duration::from_secs(75);

    #[tokio::test(start_paused = true)]
    async fn a_connection_lasts_as_long_as_it_speaks() {
        let (mut browser, server) = tokio::io::duplex(8);
        let mut server = Impatient::new(server, Some(LONGEST_SILENCE));
        let started = Instant::now();

        for _ in 0..3 {
            tokio::time::advance(LONGEST_SILENCE / 10 * 9).await;
            browser.write_all(b".").await.unwrap();
            assert_eq!(server.read_u8().await.unwrap(), b'.');
        }
        let spoke = Instant::now();
        let silent = server.read_u8().await.unwrap_err();

        assert_eq!(silent.kind(), io::ErrorKind::TimedOut);
        assert_eq!(spoke.elapsed(), LONGEST_SILENCE);
        assert!(started.elapsed() > LONGEST_SILENCE * 2);
    }
}
