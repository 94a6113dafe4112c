use tokio::time::Instant;

use super::error::Pop3Error;
use super::limit::{Pop3Limits, Pop3Timeouts};
use super::reply::{ErrReply, Reply};
use super::stage::Stage;
use super::unstuff::Unstuffer;
use super::wire::{Patience, Wire};

/// What is passed over at once.
const PASSED_BYTES: usize = 16 * 1024;

/// A mail that is being read.
#[derive(Debug)]
pub(super) struct Retrieval {
    pub(super) ordinal: u64,
    /// How much of the mail was read.
    pub(super) offset: u64,
    /// It was asked for once more, as it had ended too early.
    pub(super) is_repeated: bool,
    unstuffer: Unstuffer,
}

impl Retrieval {
    /// Asks for a mail; the refusal, if there is one, may be about this mail alone.
    pub(super) async fn start(
        wire: &mut Wire,
        timeouts: &Pop3Timeouts,
        ordinal: u64,
        number: u32,
    ) -> Result<Result<Self, ErrReply>, Pop3Error> {
        let stage = Stage::Retrieve;
        let command = format!("RETR {number}");
        match wire.command(stage, &command, timeouts.command).await? {
            Reply::Ok(_) => Ok(Ok(Self {
                ordinal,
                offset: 0,
                is_repeated: false,
                unstuffer: Unstuffer::default(),
            })),
            Reply::Refused(refusal) => Ok(Err(refusal)),
            Reply::Continue(_) => Err(Pop3Error::Unreadable { stage }),
        }
    }

    /// Returns whether the whole mail was read, so that the session can take another command.
    pub(super) fn is_ended(&self) -> bool {
        self.unstuffer.is_ended()
    }

    /// Reads up to `bytes` more; fewer mean that the mail ends there.
    pub(super) async fn read(
        &mut self,
        wire: &mut Wire,
        timeouts: &Pop3Timeouts,
        bytes: usize,
    ) -> Result<Vec<u8>, Pop3Error> {
        let mut slice = Vec::new();
        self.read_into(wire, timeouts, &mut slice, bytes).await?;
        // It may wait long for its turn.
        slice.shrink_to_fit();
        Ok(slice)
    }

    /// Passes over what lies before `offset`.
    pub(super) async fn pass_to(
        &mut self,
        wire: &mut Wire,
        timeouts: &Pop3Timeouts,
        offset: u64,
    ) -> Result<(), Pop3Error> {
        let mut passed = Vec::new();
        while self.offset < offset && !self.is_ended() {
            let left = usize::try_from(offset - self.offset).unwrap_or(usize::MAX);
            passed.clear();
            self.read_into(wire, timeouts, &mut passed, left.min(PASSED_BYTES))
                .await?;
        }
        Ok(())
    }

    /// Passes over the rest of a mail that was given up, if that is not too much.
    pub(super) async fn drain(
        &mut self,
        wire: &mut Wire,
        limits: &Pop3Limits,
    ) -> Result<(), Pop3Error> {
        let end = self.offset.saturating_add(limits.drain_bytes);
        let draining = self.pass_to(wire, &limits.timeouts, end);
        let drained = tokio::time::timeout(limits.timeouts.fetch_mail, draining).await;
        drained.map_err(|_| Pop3Error::UnfinishedMail)??;
        if self.is_ended() {
            Ok(())
        } else {
            Err(Pop3Error::UnfinishedMail)
        }
    }

    async fn read_into(
        &mut self,
        wire: &mut Wire,
        timeouts: &Pop3Timeouts,
        output: &mut Vec<u8>,
        bytes: usize,
    ) -> Result<(), Pop3Error> {
        let patience = Patience {
            deadline: Instant::now() + timeouts.fetch_mail,
            silence: timeouts.silence,
        };
        let before = output.len();
        wire.read_mail(&mut self.unstuffer, output, bytes, patience)
            .await?;
        let read = u64::try_from(output.len() - before).unwrap_or(u64::MAX);
        self.offset = self.offset.saturating_add(read);
        Ok(())
    }
}
