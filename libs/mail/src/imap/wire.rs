use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::guard::{Bounds, Guard, GuardError};
use crate::MailStream;

/// Buffer of a read while a command runs: one TLS record.
const BUSY_READ: usize = 16 * 1024;
/// Buffer of a read while the session is idle.
const IDLE_READ: usize = 512;

/// The connection, cut into whole responses that were checked for size.
#[derive(Debug)]
pub(super) struct Wire {
    stream: MailStream,
    buffer: BytesMut,
    guard: Guard,
    read_bytes: usize,
}

impl Wire {
    pub(super) fn new(stream: MailStream, bounds: Bounds) -> Self {
        Self {
            stream,
            buffer: BytesMut::new(),
            guard: Guard::new(bounds),
            read_bytes: BUSY_READ,
        }
    }

    pub(super) const fn set_bounds(&mut self, bounds: Bounds) {
        self.guard.set_bounds(bounds);
    }

    /// Gives the read buffer back while the session only waits.
    pub(super) fn set_idle(&mut self, is_idle: bool) {
        self.read_bytes = if is_idle { IDLE_READ } else { BUSY_READ };
        if is_idle && self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
    }

    /// Returns whether bytes were read that belong to no response yet.
    pub(super) fn has_leftover(&self) -> bool {
        !self.buffer.is_empty()
    }

    pub(super) fn into_stream(self) -> MailStream {
        self.stream
    }

    /// Returns the next complete response if it was read already.
    pub(super) fn take_response(&mut self) -> Result<Option<Bytes>, GuardError> {
        let length = self.guard.advance(&self.buffer)?;
        Ok(length.map(|length| self.buffer.split_to(length).freeze()))
    }

    /// Reads what the server sent; giving up half-way loses nothing.
    pub(super) async fn fill(&mut self) -> io::Result<()> {
        let missing = self.guard.missing(self.buffer.len());
        self.buffer.reserve(missing.max(self.read_bytes));
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    /// Returns what was sent before the literal that was refused last, whose bytes are next for [`Self::read_raw`].
    pub(super) fn take_head(&mut self) -> Bytes {
        let length = self.guard.pass_refused_literal();
        self.buffer.split_to(length.min(self.buffer.len())).freeze()
    }

    /// Reads bytes of a literal, at least one and at most so many.
    pub(super) async fn read_raw(&mut self, most: usize) -> io::Result<Bytes> {
        if self.buffer.is_empty() {
            self.buffer.reserve(self.read_bytes);
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let bytes = most.min(self.buffer.len());
        Ok(self.buffer.split_to(bytes).freeze())
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    pub(super) async fn shutdown(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }
}
