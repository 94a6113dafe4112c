use std::fmt::Arguments;
use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::bytes::{find_byte, put};
use super::site::Site;
use crate::fault::Fault;

/// An idle connection holds this much to read into; a busy one up to [`BUSY_READ`].
const IDLE_READ: usize = 512;
const BUSY_READ: usize = 64 * 1_024;
/// Output is sent when it reaches this, or when there is nothing left to read.
const FULL_OUTPUT: usize = 64 * 1_024;
/// Buffers above this are given back once they are empty.
const KEPT: usize = 4 * 1_024;
/// What a client may send into a stalled session before it is cut.
const STALLED_INPUT: usize = 256 * 1_024;

/// Why a session is over.
#[derive(Debug)]
pub(crate) enum ConnectionEnd {
    ByPeer,
    ByUs,
    Broken,
}

impl From<io::Error> for ConnectionEnd {
    fn from(_: io::Error) -> Self {
        Self::Broken
    }
}

/// What a fault did to the step it struck.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strike {
    /// Nothing: the step goes on.
    Passed,
    /// It answered in place of the step.
    Answered,
}

pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    async fn read(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read_buf(buffer).await,
            Self::Tls(stream) => stream.read_buf(buffer).await,
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.write_all(bytes).await,
            Self::Tls(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
        }
    }
}

/// A connection with its buffers. Replies gather until there is nothing more to read, so a pipelined group of
/// commands is answered in one write.
pub(crate) struct Wire {
    stream: Stream,
    pub(crate) input: BytesMut,
    pub(crate) output: BytesMut,
    read_size: usize,
}

impl Wire {
    pub(crate) fn new(stream: Stream) -> Self {
        Self {
            stream,
            input: BytesMut::new(),
            output: BytesMut::new(),
            read_size: IDLE_READ,
        }
    }

    pub(crate) const fn is_secure(&self) -> bool {
        matches!(self.stream, Stream::Tls(_))
    }

    /// Sends what is due and reads more. Cancelling loses nothing that was read; with output due it may send some of it
    /// twice, so flush before racing this against something else.
    pub(crate) async fn fill(&mut self) -> Result<(), ConnectionEnd> {
        self.flush().await?;
        if self.input.is_empty() && self.input.capacity() > KEPT && self.read_size == IDLE_READ {
            self.input = BytesMut::new();
        }
        self.input.reserve(self.read_size);
        let spare = self.input.capacity() - self.input.len();
        let read = self.stream.read(&mut self.input).await?;
        if read == 0 {
            return Err(ConnectionEnd::ByPeer);
        }
        self.read_size = if read >= spare {
            (self.read_size * 4).min(BUSY_READ)
        } else if read < IDLE_READ {
            IDLE_READ
        } else {
            self.read_size
        };
        Ok(())
    }

    pub(crate) async fn flush(&mut self) -> Result<(), ConnectionEnd> {
        if self.output.is_empty() {
            return Ok(());
        }
        self.stream.write(&self.output).await?;
        if self.output.capacity() > FULL_OUTPUT + KEPT {
            self.output = BytesMut::new();
        }
        self.output.clear();
        Ok(())
    }

    pub(crate) async fn flush_when_full(&mut self) -> Result<(), ConnectionEnd> {
        if self.output.len() < FULL_OUTPUT {
            return Ok(());
        }
        self.flush().await
    }

    /// Gives back what is not needed while nothing happens.
    pub(crate) fn rest(&mut self) {
        if self.output.is_empty() && self.output.capacity() > KEPT {
            self.output = BytesMut::new();
        }
        if self.input.is_empty() && self.input.capacity() > KEPT {
            self.input = BytesMut::new();
        }
        self.read_size = IDLE_READ;
    }

    /// Prepares for much input at once.
    pub(crate) const fn expect_bulk(&mut self) {
        self.read_size = BUSY_READ;
    }

    pub(crate) fn say(&mut self, text: Arguments<'_>) {
        put(&mut self.output, text);
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) {
        self.output.extend_from_slice(bytes);
    }

    /// Sends shared bytes; large ones go out as they are, without being copied.
    pub(crate) async fn put_shared(&mut self, bytes: &Bytes) -> Result<(), ConnectionEnd> {
        if bytes.len() < FULL_OUTPUT {
            self.put(bytes);
            return Ok(());
        }
        self.flush().await?;
        self.stream.write(bytes).await?;
        Ok(())
    }

    /// Takes a whole line with its end, when one has arrived.
    pub(crate) fn take_line(&mut self) -> Option<Bytes> {
        let end = find_byte(b'\n', &self.input)?;
        Some(self.input.split_to(end + 1).freeze())
    }

    /// Reads a line with its end; `None` when it grows beyond `limit`, and then it is gone.
    pub(crate) async fn read_line(&mut self, limit: usize) -> Result<Option<Bytes>, ConnectionEnd> {
        let mut is_too_long = false;
        loop {
            if let Some(line) = self.take_line() {
                return Ok((!is_too_long && line.len() <= limit).then_some(line));
            }
            if self.input.len() > limit {
                is_too_long = true;
                self.input.clear();
            }
            self.fill().await?;
        }
    }

    /// Upgrades to TLS; whatever came before the handshake in clear text is dropped.
    pub(crate) async fn start_tls(self, site: &Site) -> Result<Self, ConnectionEnd> {
        match self.stream {
            Stream::Plain(socket) => {
                let stream = site.acceptor.accept(socket).await?;
                Ok(Self::new(Stream::Tls(Box::new(stream))))
            }
            Stream::Tls(_) => Err(ConnectionEnd::ByUs),
        }
    }

    /// Lets a fault that waits at `point` strike.
    pub(crate) async fn strike(
        &mut self,
        site: &Site,
        point: &str,
        address: Option<&str>,
        tag: &str,
    ) -> Result<Strike, ConnectionEnd> {
        match take_fault(site, point, address) {
            None => Ok(Strike::Passed),
            Some(fault) => Box::pin(self.suffer(site, fault, tag)).await,
        }
    }

    pub(crate) async fn suffer(
        &mut self,
        site: &Site,
        fault: Fault,
        tag: &str,
    ) -> Result<Strike, ConnectionEnd> {
        match fault {
            Fault::Cut => {
                self.flush().await?;
                Err(ConnectionEnd::ByUs)
            }
            Fault::Reset => {
                self.flush().await?;
                Err(self.reset())
            }
            Fault::Stall { seconds } => {
                self.flush().await?;
                self.stall(site, seconds).await?;
                Ok(Strike::Passed)
            }
            Fault::Reply { text } => {
                let is_last = self.reply(&text.replace("{tag}", tag));
                if is_last {
                    self.flush().await?;
                    return Err(ConnectionEnd::ByUs);
                }
                Ok(Strike::Answered)
            }
            Fault::Status { .. } | Fault::HugeLiteral { .. } => Ok(Strike::Passed),
        }
    }

    /// Makes the close that follows a TCP reset.
    pub(crate) fn reset(&self) -> ConnectionEnd {
        let socket = match &self.stream {
            Stream::Plain(socket) => socket,
            Stream::Tls(stream) => stream.get_ref().0,
        };
        // A socket that refuses is closed in the ordinary way.
        socket.set_zero_linger().ok();
        ConnectionEnd::Broken
    }

    fn reply(&mut self, text: &str) -> bool {
        let mut is_last = false;
        for line in text.lines() {
            is_last |= line.starts_with("421")
                || line.starts_with("* BYE")
                || (line.starts_with("-ERR") && line.contains("closed"));
            self.say(format_args!("{line}\r\n"));
        }
        is_last
    }

    /// Keeps silent for so long, or until faults are cleared; ends when the client gives up.
    pub(crate) async fn stall(
        &mut self,
        site: &Site,
        seconds: Option<u64>,
    ) -> Result<(), ConnectionEnd> {
        tokio::select! {
            () = site.faults.stall(seconds) => Ok(()),
            ended = self.wait_for_end() => Err(ended),
        }
    }

    /// Reads until the client closes.
    pub(crate) async fn wait_for_end(&mut self) -> ConnectionEnd {
        loop {
            if let Err(ended) = self.fill().await {
                return ended;
            }
            if self.input.len() > STALLED_INPUT {
                return ConnectionEnd::ByUs;
            }
        }
    }
}

/// Takes the fault that waits at `point` and counts it.
pub(crate) fn take_fault(site: &Site, point: &str, address: Option<&str>) -> Option<Fault> {
    let fault = site.faults.take(point, address)?;
    site.store.count().faults.increase();
    Some(fault)
}
