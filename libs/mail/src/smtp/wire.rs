use std::time::Duration;

use bytes::BytesMut;
use mailmesh_secrets::{ExposeSecret as _, SecretString};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout, timeout_at};

use super::error::WireError;
use super::reply::{Reply, ReplyBuilder};
use crate::connection::Connection as Stream;

/// RFC 5321 allows 512; Exchange writes longer ones.
const MAX_LINE: usize = 4 * 1024;

/// What an idle connection has to say.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pending {
    Nothing,
    Input,
    Closed,
}

/// A stream with bounded replies and bounded waits.
#[derive(Debug)]
pub(super) struct Wire {
    stream: Stream,
    input: BytesMut,
    output: Vec<u8>,
}

impl Wire {
    pub(super) fn new(stream: Stream) -> Self {
        Self {
            stream,
            input: BytesMut::new(),
            output: Vec::new(),
        }
    }

    /// Gives the stream back for the TLS handshake; `None` when there is input that was not asked for.
    pub(super) fn into_stream(self) -> Option<Stream> {
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
        // A reply that is already here answers nothing of ours: all later ones would be taken for their neighbours'.
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

    /// Waits for one whole reply, however slowly its bytes drip.
    pub(super) async fn reply(&mut self, limit: Duration) -> Result<Reply, WireError> {
        let deadline = Instant::now() + limit;
        let mut builder = ReplyBuilder::default();
        loop {
            while let Some(line) = self.take_line()? {
                if let Some(reply) = builder.push(line.trim_ascii_end())? {
                    return Ok(reply);
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
    pub(super) async fn pending(&mut self) -> Pending {
        if !self.input.is_empty() {
            return Pending::Input;
        }
        self.input.reserve(1024);
        // A time limit of zero would look only at what the runtime already knows; the yield lets it ask the system.
        tokio::select! {
            biased;
            read = self.stream.read_buf(&mut self.input) => match read {
                Ok(1..) => Pending::Input,
                Ok(0) | Err(_) => Pending::Closed,
            },
            () = tokio::task::yield_now() => Pending::Nothing,
        }
    }

    /// Says good-bye at the transport level; the peer may be gone already.
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

/// A server that leaves out TLS's `close_notify` has closed the connection all the same.
fn closed_or_io(source: std::io::Error) -> WireError {
    match source.kind() {
        std::io::ErrorKind::UnexpectedEof => WireError::Closed,
        _ => WireError::Io { source },
    }
}
