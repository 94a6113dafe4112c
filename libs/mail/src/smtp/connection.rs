use std::time::Duration;

use super::capability::{Capabilities, Extension};
use super::connect::connect;
use super::error::SmtpError;
use super::settings::{SmtpSettings, SmtpTimeouts};
use super::verdict::Phase;
use super::wire::{PendingInput, Wire};
use super::wire_error::WireError;
use crate::pipelining::PipeliningRecord;
use crate::{Credentials, Server};
use futures_util::future::BoxFuture;
use tokio::time::Instant;

/// Time limit for QUIT, on whose reply nothing depends.
const GOODBYE: Duration = Duration::from_secs(2);

/// Our knowledge of the server's state before the next command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// No mail is under way.
    Ready,
    /// A refused mail is still open in the server; RSET goes with the next one.
    Open,
    /// Unknown, or closed.
    Broken,
}

/// A signed-in connection, which sends one mail after the other.
#[derive(Debug)]
pub struct Connection {
    pub(super) wire: Wire,
    pub(super) capabilities: Capabilities,
    pub(super) timeouts: SmtpTimeouts,
    host: String,
    pipelining: PipeliningRecord,
    pub(super) state: State,
    pub(super) mails: u32,
    /// The server has refused a parameter of MAIL that it announces.
    pub(super) refuses_parameters: bool,
}

impl Connection {
    /// Connects and signs in.
    pub fn connect<'a>(
        server: &'a Server,
        credentials: &'a Credentials,
        settings: &'a SmtpSettings,
    ) -> BoxFuture<'a, Result<Self, SmtpError>> {
        Box::pin(async move {
            let (wire, capabilities) = connect(server, credentials, settings).await?;
            Ok(Self {
                wire,
                capabilities,
                timeouts: settings.timeouts,
                host: server.host.clone(),
                pipelining: settings.pipelining.clone(),
                state: State::Ready,
                mails: 0,
                refuses_parameters: false,
            })
        })
    }

    /// Returns whether the commands of a mail may go in one write.
    pub(super) fn may_pipeline(&self) -> bool {
        self.capabilities.has(Extension::Pipelining)
            && self.pipelining.allows(&self.host, Instant::now())
    }

    /// Notes that the session broke over commands that went in one write.
    pub(super) fn note_broken_pipelining(&self) {
        tracing::debug!(
            "The session broke while commands were pipelined; they go one at a time for a while"
        );
        self.pipelining.note_break(&self.host, Instant::now());
    }

    /// Returns what the server can do.
    pub const fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// Returns whether another mail can be sent on this connection.
    pub fn is_reusable(&self) -> bool {
        let has_room = self
            .capabilities
            .max_mails()
            .is_none_or(|most| self.mails < most);
        self.state != State::Broken && has_room
    }

    /// Drops a mail that was refused half-way; the next mail would do it too.
    pub async fn reset(&mut self) -> Result<(), SmtpError> {
        self.keep_house("RSET").await
    }

    /// Checks that the server answers.
    pub async fn noop(&mut self) -> Result<(), SmtpError> {
        self.keep_house("NOOP").await
    }

    /// Sends QUIT, without waiting long for the answer.
    pub fn quit(mut self) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            if self.state == State::Broken {
                return;
            }
            if let Err(error) = self.wire.command(&["QUIT"], GOODBYE).await {
                tracing::trace!(
                    error = &error as &dyn std::error::Error,
                    "The server did not say good-bye"
                );
            }
            self.wire.close(GOODBYE).await;
        })
    }

    async fn keep_house(&mut self, command: &str) -> Result<(), SmtpError> {
        self.check_idle().await?;
        let before = std::mem::replace(&mut self.state, State::Broken);
        let reply = self
            .wire
            .command(&[command], self.timeouts.command)
            .await
            .map_err(SmtpError::wire(Phase::Housekeeping))?;
        if !reply.is_positive() {
            return Err(SmtpError::refused(Phase::Housekeeping, reply));
        }
        // RFC 5321 §4.1.1.5: RSET drops the mail under way; NOOP changes nothing (§4.1.1.9).
        self.state = if command == "RSET" {
            State::Ready
        } else {
            before
        };
        Ok(())
    }

    /// Finds out whether the server hung up meanwhile, as Gmail and Exchange do after minutes.
    pub(super) async fn check_idle(&mut self) -> Result<(), SmtpError> {
        if self.state == State::Broken {
            return Err(SmtpError::Unusable);
        }
        let pending = self.wire.pending().await;
        if pending == PendingInput::Nothing {
            return Ok(());
        }
        self.state = State::Broken;
        if pending == PendingInput::Closed {
            return Err(SmtpError::ClosedWhileIdle);
        }
        match self.wire.reply(GOODBYE).await {
            Ok(reply) if reply.code() == 421 => Err(SmtpError::ClosedWhileIdle),
            Ok(_) => Err(SmtpError::wire(Phase::Housekeeping)(WireError::Unsolicited)),
            Err(source) => Err(SmtpError::wire(Phase::Housekeeping)(source)),
        }
    }
}
