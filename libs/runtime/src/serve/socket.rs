//! A connection that gives up on a peer that says nothing, or takes nothing.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// A peer that took less than this within the stall timeout has made no progress: a byte now and then would hold an answer
/// in memory for ever.
const PROGRESS_BYTES: usize = 4 * 1024;

/// A connection whose reads fail with `TimedOut` once nothing was read for the idle timeout, and whose writes do once the peer
/// has taken nothing worth mention for the stall timeout.
#[derive(Debug)]
pub(super) struct TimedSocket<S> {
    inner: S,
    idle: Option<Timer>,
    stall: Timer,
    /// Whether the peer has to take something before more can be written.
    is_stalled: bool,
    /// Since the stall timer was set.
    written_bytes: usize,
}

#[derive(Debug)]
struct Timer {
    timeout: Duration,
    end: Pin<Box<Sleep>>,
}

impl Timer {
    fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            end: Box::pin(sleep(timeout)),
        }
    }

    fn restart(&mut self) {
        self.end.as_mut().reset(Instant::now() + self.timeout);
    }

    fn poll_end<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        ready!(self.end.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S> TimedSocket<S> {
    pub(super) fn new(inner: S, idle_timeout: Option<Duration>, stall_timeout: Duration) -> Self {
        Self {
            inner,
            idle: idle_timeout.map(Timer::new),
            stall: Timer::new(stall_timeout),
            is_stalled: false,
            written_bytes: 0,
        }
    }

    fn watch_write(
        &mut self,
        written: Poll<io::Result<usize>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(result) = written {
            if let Ok(bytes) = &result {
                self.written_bytes = self.written_bytes.saturating_add(*bytes);
                if self.written_bytes >= PROGRESS_BYTES {
                    self.is_stalled = false;
                }
            }
            return Poll::Ready(result);
        }
        if !self.is_stalled {
            self.is_stalled = true;
            self.written_bytes = 0;
            self.stall.restart();
        }
        self.stall.poll_end(context)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for TimedSocket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.inner).poll_read(context, buffer);
        let Some(idle) = &mut self.idle else {
            return read;
        };
        if read.is_ready() {
            idle.restart();
            return read;
        }
        idle.poll_end(context)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TimedSocket<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.watch_write(written, context)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Asked for once all that there was is written.
        self.is_stalled = false;
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
        let written = Pin::new(&mut self.inner).poll_write_vectored(context, bytes);
        self.watch_write(written, context)
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
    const STALL_TIMEOUT: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn connection_is_closed_only_after_the_idle_timeout_without_a_read() {
        let (mut browser, server) = tokio::io::duplex(8);
        let mut server = TimedSocket::new(server, Some(IDLE_TIMEOUT), STALL_TIMEOUT);
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

    #[tokio::test(start_paused = true)]
    async fn reader_that_takes_a_byte_now_and_then_is_given_up() {
        let (mut browser, server) = tokio::io::duplex(8);
        let mut server = TimedSocket::new(server, None, STALL_TIMEOUT);
        let started = Instant::now();
        let answer = vec![b'x'; 20_000];
        let reading = async {
            loop {
                sleep(STALL_TIMEOUT / 10).await;
                browser.read_u8().await.unwrap();
            }
        };

        let written = tokio::select! {
            () = reading => unreachable!(),
            written = server.write_all(&answer) => written,
        };

        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(started.elapsed(), STALL_TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn reader_that_goes_on_is_waited_for_however_long_it_takes() {
        let (mut browser, server) = tokio::io::duplex(4_096);
        let mut server = TimedSocket::new(server, None, STALL_TIMEOUT);
        let answer = vec![b'x'; 40_960];
        let reading = async {
            let mut taken = vec![0; 8_192];
            let mut total = 0;
            while total < 40_960 {
                sleep(STALL_TIMEOUT / 10 * 4).await;
                total += browser.read(&mut taken).await.unwrap();
            }
            total
        };

        let (total, written) = tokio::join!(reading, server.write_all(&answer));

        written.unwrap();
        assert_eq!(total, 40_960);
    }
}
