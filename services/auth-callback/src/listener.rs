//! Connections that fall silent are closed. hyper's own limit needs a timer, which `axum::serve` does
//! not give it.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, Sleep, sleep};

/// Longer than a request may take: hyper listens while it is answered, too.
const LONGEST_SILENCE: Duration = Duration::from_secs(75);

/// Accepts connections that must not be silent for long.
#[derive(Debug)]
pub(crate) struct ImpatientListener {
    pub(crate) inner: TcpListener,
}

/// A connection that fails once nothing was read for too long.
#[derive(Debug)]
pub(crate) struct Impatient<S> {
    inner: S,
    silence: Pin<Box<Sleep>>,
}

impl<S> Impatient<S> {
    fn new(inner: S) -> Self {
        Self {
            inner,
            silence: Box::pin(sleep(LONGEST_SILENCE)),
        }
    }
}

impl Listener for ImpatientListener {
    type Io = Impatient<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.inner).await;
        (Impatient::new(stream), address)
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
        if read.is_ready() {
            self.silence
                .as_mut()
                .reset(Instant::now() + LONGEST_SILENCE);
            return read;
        }
        self.silence
            .as_mut()
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

    #[tokio::test(start_paused = true)]
    async fn a_connection_lasts_as_long_as_it_speaks() {
        let (mut browser, server) = tokio::io::duplex(8);
        let mut server = Impatient::new(server);
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
