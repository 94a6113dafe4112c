use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use mailmesh_secrets::{ExposeSecret as _, SecretString};
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, timeout, timeout_at};

use super::error::CommitError;
use super::reply::{Reply, ReplyBuilder};
use super::wire_error::WireError;
use crate::connection::MailStream;
use crate::spoken::spoken;

/// Maximum bytes of a reply line. RFC 5321 §4.5.3.1.5 allows 512; Exchange writes longer ones.
const MAX_LINE: usize = 4 * 1024;

/// State of a connection on which nothing is expected.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PendingInput {
    Nothing,
    Input,
    Closed,
}

/// A stream with bounded replies and bounded waits.
#[derive(Debug)]
pub(super) struct Wire {
    stream: MailStream,
    input: BytesMut,
    output: Vec<u8>,
    /// A reply has come, so that this is an SMTP server.
    has_greeted: bool,
}

impl Wire {
    pub(super) fn new(stream: MailStream) -> Self {
        Self {
            stream,
            input: BytesMut::new(),
            output: Vec::new(),
            has_greeted: false,
        }
    }

    /// Gives the stream back for the TLS handshake; `None` when there is input that was not asked for.
    pub(super) fn into_stream(self) -> Option<MailStream> {
        self.input.is_empty().then_some(self.stream)
    }

    /// Adds one command, without its line end, to what [`Self::send_queued`] sends.
    pub(super) fn queue(&mut self, parts: &[&str]) {
        for part in parts {
            self.output.extend_from_slice(part.as_bytes());
        }
        self.output.extend_from_slice(b"\r\n");
    }

    /// Sends all queued commands in one write.
    pub(super) async fn send_queued(&mut self, limit: Duration) -> Result<(), WireError> {
        // Input before our command is no reply to it: every later reply would be matched to the wrong command.
        if !self.input.is_empty() {
            return Err(WireError::Unsolicited);
        }
        let output = std::mem::take(&mut self.output);
        let result = self.write(&output, limit).await;
        self.output = output;
        self.output.clear();
        result?;
        self.flush(limit).await
    }

    /// Sends one command and waits for its reply.
    pub(super) async fn command(
        &mut self,
        parts: &[&str],
        limit: Duration,
    ) -> Result<Reply, WireError> {
        self.queue(parts);
        self.send_queued(limit).await?;
        self.reply(limit).await
    }

    /// Sends a line that holds a secret, which never enters the reused buffer, and waits for its reply.
    pub(super) async fn secret_command(
        &mut self,
        line: &str,
        limit: Duration,
    ) -> Result<Reply, WireError> {
        if !self.input.is_empty() {
            return Err(WireError::Unsolicited);
        }
        let line = SecretString::from(format!("{line}\r\n"));
        self.write(line.expose_secret().as_bytes(), limit).await?;
        self.flush(limit).await?;
        self.reply(limit).await
    }

    pub(super) async fn write(&mut self, bytes: &[u8], limit: Duration) -> Result<(), WireError> {
        bounded(limit, self.stream.write_all(bytes)).await
    }

    pub(super) async fn flush(&mut self, limit: Duration) -> Result<(), WireError> {
        bounded(limit, self.stream.flush()).await
    }

    /// Sends the final dot, and nothing of it any more once `latest` is over.
    pub(super) async fn send_dot(&mut self, latest: Instant) -> Result<(), CommitError> {
        send_dot(&mut self.stream, latest).await
    }

    /// Waits for one whole reply within `limit`, however slowly its bytes come.
    pub(super) async fn reply(&mut self, limit: Duration) -> Result<Reply, WireError> {
        let deadline = Instant::now() + limit;
        let mut builder = ReplyBuilder::default();
        loop {
            while let Some(line) = self.take_line()? {
                match builder.push(line.trim_ascii_end()) {
                    Ok(Some(reply)) => {
                        self.has_greeted = true;
                        return Ok(reply);
                    }
                    Ok(None) => {}
                    Err(WireError::NotAReply) if !self.has_greeted => {
                        return Err(not_a_reply(&line));
                    }
                    Err(error) => return Err(error),
                }
            }
            self.input.reserve(1024);
            match timeout_at(deadline, self.stream.read_buf(&mut self.input)).await {
                Err(_) => return Err(WireError::TimedOut),
                Ok(Ok(0)) => return Err(WireError::Closed),
                Ok(Ok(_)) => {}
                Ok(Err(source)) => return Err(closed_or_io(source)),
            }
        }
    }

    /// Looks, without waiting, whether the server spoke or hung up.
    pub(super) async fn pending(&mut self) -> PendingInput {
        if !self.input.is_empty() {
            return PendingInput::Input;
        }
        self.input.reserve(1024);
        // A time limit of zero would look only at what the runtime already knows; the yield lets it ask the system.
        tokio::select! {
            biased;
            read = self.stream.read_buf(&mut self.input) => match read {
                Ok(1..) => PendingInput::Input,
                Ok(0) | Err(_) => PendingInput::Closed,
            },
            () = tokio::task::yield_now() => PendingInput::Nothing,
        }
    }

    /// Closes TLS and TCP; the peer may be gone already.
    pub(super) async fn close(&mut self, limit: Duration) {
        if bounded(limit, self.stream.shutdown()).await.is_err() {
            tracing::trace!("The connection was closed without a clean shutdown");
        }
    }

    fn take_line(&mut self) -> Result<Option<BytesMut>, WireError> {
        match self.input.iter().position(|byte| *byte == b'\n') {
            Some(at) if at < MAX_LINE => Ok(Some(self.input.split_to(at + 1))),
            None if self.input.len() < MAX_LINE => Ok(None),
            _ => Err(WireError::LineTooLong),
        }
    }
}

/// A process that was suspended wakes to a stream that is writable again, so the clock is checked before each write
/// instead of by a timer beside it. Before the last write part of the dot is still here and is dropped with the
/// connection: the server surely does not have it.
async fn send_dot<S: AsyncWrite + Unpin>(
    stream: &mut S,
    latest: Instant,
) -> Result<(), CommitError> {
    let mut rest: &[u8] = b".\r\n";
    let hand_over = poll_fn(|context| {
        while !rest.is_empty() {
            check_clock(latest)?;
            let taken = ready!(Pin::new(&mut *stream).poll_write(context, rest));
            // The system did not take the dot whole.
            let taken = taken.map_err(|source| unsent(closed_or_io(source)))?;
            if taken == 0 {
                return Poll::Ready(Err(unsent(WireError::Closed)));
            }
            rest = rest.get(taken..).unwrap_or_default();
        }
        check_clock(latest)?;
        let flushed = ready!(Pin::new(&mut *stream).poll_flush(context));
        Poll::Ready(flushed.map_err(|source| CommitError::uncertain(closed_or_io(source))))
    });
    match timeout_at(latest, hand_over).await {
        Ok(done) => done,
        Err(_) => Err(unsent(WireError::TimedOut)),
    }
}

fn check_clock(latest: Instant) -> Result<(), CommitError> {
    if Instant::now() > latest {
        return Err(unsent(WireError::TimedOut));
    }
    Ok(())
}

const fn unsent(source: WireError) -> CommitError {
    CommitError::Unsent { source }
}

async fn bounded(
    limit: Duration,
    step: impl Future<Output = std::io::Result<()>>,
) -> Result<(), WireError> {
    match timeout(limit, step).await {
        Err(_) => Err(WireError::TimedOut),
        Ok(Ok(())) => Ok(()),
        Ok(Err(source)) => Err(closed_or_io(source)),
    }
}

fn not_a_reply(line: &[u8]) -> WireError {
    spoken(line).map_or(WireError::NotAReply, |spoken| WireError::OtherProtocol {
        spoken,
    })
}

/// A server that leaves out TLS's `close_notify` has closed the connection all the same.
fn closed_or_io(source: std::io::Error) -> WireError {
    match source.kind() {
        std::io::ErrorKind::UnexpectedEof => WireError::Closed,
        _ => WireError::Io { source },
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{BufWriter, DuplexStream, duplex};

    use super::*;

    const BEFORE: &[u8] = b"text";

    /// Sends the dot into a stream whose buffers are full, in a process that then stands still until
    /// `latest` is over and the peer has read all it was sent; returns that and what follows.
    async fn dot_after_standstill<S: AsyncWrite + Unpin>(
        mut stream: S,
        mut peer: DuplexStream,
    ) -> (Result<(), CommitError>, Vec<u8>) {
        let latest = Instant::now() + Duration::from_millis(20);
        let sending = async {
            let sent = send_dot(&mut stream, latest).await;
            drop(stream);
            sent
        };
        let standing_still = async {
            std::thread::sleep(Duration::from_millis(50));
            let mut heard = Vec::new();
            peer.read_to_end(&mut heard).await.unwrap();
            heard
        };
        tokio::join!(sending, standing_still)
    }

    #[tokio::test]
    async fn dot_that_the_system_did_not_take_in_time_is_never_sent() {
        let (mut stream, peer) = duplex(BEFORE.len());
        stream.write_all(BEFORE).await.unwrap();

        let (sent, heard) = dot_after_standstill(stream, peer).await;

        assert!(matches!(sent, Err(CommitError::Unsent { .. })), "{sent:?}");
        assert_eq!(heard, BEFORE);
    }

    /// As in TLS, which takes all and keeps what the system has no room for.
    #[tokio::test]
    async fn dot_that_waits_in_a_buffer_goes_with_the_connection() {
        let (mut stream, peer) = duplex(BEFORE.len());
        stream.write_all(BEFORE).await.unwrap();

        let (sent, heard) = dot_after_standstill(BufWriter::new(stream), peer).await;

        assert!(matches!(sent, Err(CommitError::Unsent { .. })), "{sent:?}");
        assert_eq!(heard, BEFORE);
    }

    #[tokio::test]
    async fn dot_is_sent_whole_where_there_is_room_in_time() {
        let (mut stream, mut peer) = duplex(1);
        let latest = Instant::now() + Duration::from_secs(20);
        let mut heard = [0; 3];

        let (sent, read) = tokio::join!(send_dot(&mut stream, latest), peer.read_exact(&mut heard));

        sent.unwrap();
        read.unwrap();
        assert_eq!(&heard, b".\r\n");
    }
}
