use std::fmt;
use std::io;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use mailmesh_secrets::{ExposeSecret as _, SecretString};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout, timeout_at};

use super::error::Pop3Error;
use super::reply::Reply;
use super::stage::Stage;
use super::unstuff::Unstuffer;
use crate::MailStream;

/// What is read from the stream at once.
const READ_BYTES: usize = 16 * 1024;

/// How long one read of a mail may take: the whole until a deadline, and a pause within it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    pub(super) deadline: Instant,
    pub(super) silence: Duration,
}

/// A stream with bounded lines and bounded waits.
pub(super) struct Wire {
    stream: MailStream,
    input: BytesMut,
    line_bytes: usize,
}

/// Without its input, which is people's mail.
impl fmt::Debug for Wire {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Wire").finish_non_exhaustive()
    }
}

impl Wire {
    pub(super) fn new(stream: MailStream, line_bytes: usize) -> Self {
        Self {
            stream,
            input: BytesMut::new(),
            line_bytes,
        }
    }

    /// Gives the stream back for the TLS handshake; `None` when there is input that was not asked for.
    pub(super) fn into_stream(self) -> Option<MailStream> {
        self.input.is_empty().then_some(self.stream)
    }

    /// Sends one command, without its line end, and waits for the first line of its reply.
    pub(super) async fn command(
        &mut self,
        stage: Stage,
        command: &str,
        limit: Duration,
    ) -> Result<Reply, Pop3Error> {
        self.secret_command(stage, &SecretString::from(command), limit)
            .await
    }

    /// Sends a line that may hold a secret, and waits for the first line of its reply.
    pub(super) async fn secret_command(
        &mut self,
        stage: Stage,
        line: &SecretString,
        limit: Duration,
    ) -> Result<Reply, Pop3Error> {
        // Input before our command is no reply to it: every later reply would be matched to the wrong command.
        if !self.input.is_empty() {
            return Err(Pop3Error::Unsolicited { stage });
        }
        let line = SecretString::from(format!("{}\r\n", line.expose_secret()));
        let sending = async {
            self.stream
                .write_all(line.expose_secret().as_bytes())
                .await?;
            self.stream.flush().await
        };
        match timeout(limit, sending).await {
            Err(_) => return Err(Pop3Error::TimedOut { stage }),
            Ok(sent) => sent.map_err(|source| Pop3Error::ConnectionLost { stage, source })?,
        }
        self.reply(stage, limit).await
    }

    /// Waits for the first line of a reply.
    pub(super) async fn reply(
        &mut self,
        stage: Stage,
        limit: Duration,
    ) -> Result<Reply, Pop3Error> {
        let line = self.line(stage, Instant::now() + limit).await?;
        Reply::parse(&line).ok_or(Pop3Error::Unreadable { stage })
    }

    /// Waits for one line and returns it without its end, which may be a bare LF: that is safe where no mail is read.
    pub(super) async fn line(
        &mut self,
        stage: Stage,
        deadline: Instant,
    ) -> Result<BytesMut, Pop3Error> {
        let mut searched = 0;
        loop {
            let unsearched = self.input.get(searched..).unwrap_or_default();
            let found = unsearched.iter().position(|byte| *byte == b'\n');
            let length = found.map_or(self.input.len(), |at| searched + at);
            if length > self.line_bytes {
                return Err(Pop3Error::Excess {
                    stage,
                    what: "bytes in a line",
                    limit: self.line_bytes,
                });
            }
            if found.is_some() {
                let mut line = self.input.split_to(length);
                self.input.advance(1);
                if line.last() == Some(&b'\r') {
                    line.truncate(line.len() - 1);
                }
                return Ok(line);
            }
            searched = length;
            self.fill(stage, deadline).await?;
        }
    }

    /// Waits for one line of a listing; `None` after its last.
    pub(super) async fn listed_line(
        &mut self,
        stage: Stage,
        deadline: Instant,
    ) -> Result<Option<BytesMut>, Pop3Error> {
        let mut line = self.line(stage, deadline).await?;
        // RFC 1939 §3: a line that begins with a dot has one more.
        if line.first() == Some(&b'.') {
            line.advance(1);
            if line.is_empty() {
                return Ok(None);
            }
        }
        Ok(Some(line))
    }

    /// Reads of a mail up to `room` bytes into `output`, or to its end.
    pub(super) async fn read_mail(
        &mut self,
        unstuffer: &mut Unstuffer,
        output: &mut Vec<u8>,
        room: usize,
        patience: Patience,
    ) -> Result<(), Pop3Error> {
        let full = output.len().saturating_add(room);
        loop {
            let left = full.saturating_sub(output.len());
            self.make_room(output, left);
            let taken = unstuffer.read(&self.input, output, left);
            self.input.advance(taken);
            if unstuffer.is_ended() || output.len() >= full {
                return Ok(());
            }
            let pause = Instant::now() + patience.silence;
            let filled = self
                .fill(Stage::Retrieve, pause.min(patience.deadline))
                .await;
            if matches!(filled, Err(Pop3Error::TimedOut { .. })) && ends_with_bare_lf(output) {
                return Err(Pop3Error::BareLineFeeds);
            }
            filled?;
        }
    }

    /// Grows `output` for what has come, but never beyond what it is to hold, as it would grow by itself.
    fn make_room(&self, output: &mut Vec<u8>, left: usize) {
        // With what has come, a CR that was held back may turn out to be content.
        let needed = self.input.len().saturating_add(1).min(left);
        if output.capacity() - output.len() < needed {
            output.reserve_exact(output.capacity().min(left).max(needed));
        }
    }

    /// Closes TLS and TCP; the peer may be gone already.
    pub(super) async fn shutdown(&mut self, limit: Duration) {
        if !matches!(timeout(limit, self.stream.shutdown()).await, Ok(Ok(()))) {
            tracing::trace!("The connection was closed without a clean shutdown");
        }
    }

    async fn fill(&mut self, stage: Stage, deadline: Instant) -> Result<(), Pop3Error> {
        // A time limit does not end a read that is always ready.
        if Instant::now() >= deadline {
            return Err(Pop3Error::TimedOut { stage });
        }
        self.input.reserve(READ_BYTES);
        let read = timeout_at(deadline, self.stream.read_buf(&mut self.input)).await;
        match read.map_err(|_| Pop3Error::TimedOut { stage })? {
            Ok(1..) => Ok(()),
            Ok(0) => Err(Pop3Error::ConnectionLost {
                stage,
                source: io::ErrorKind::UnexpectedEof.into(),
            }),
            Err(source) => Err(Pop3Error::ConnectionLost { stage, source }),
        }
    }
}

/// Returns whether a mail after which nothing comes has ended for a server whose lines end in LF alone. It is no end to us, as
/// a mail's author could write it.
fn ends_with_bare_lf(mail: &[u8]) -> bool {
    let Some(before) = mail
        .strip_suffix(b".\r\n")
        .or_else(|| mail.strip_suffix(b".\n"))
    else {
        return false;
    };
    before.ends_with(b"\n")
}
