use std::time::Duration;

use tokio::time::Instant;

use super::connection::{Connection, State};
use super::content::{BLOCK, DotStuffed, is_wire_ready};
use super::error::{CommitError, SmtpError, UncertainCause};
use super::reply::Reply;
use super::transaction::{Transaction, left, parameters};
use super::verdict::Phase;
use super::wire::PendingInput;
use super::wire_error::WireError;
use crate::message::Envelope;
use crate::transport::RecipientResult;

/// Time limit for the reply of a server that stopped reading content.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How far a mail came before its final dot.
#[derive(Debug)]
pub enum SmtpPreparation<'a> {
    /// The server has the content and waits for the dot.
    Ready(PreparedDelivery<'a>),
    /// No recipient was accepted; nothing was sent and the connection can go on.
    Refused(Vec<RecipientResult>),
}

/// A mail that the server has but for its final dot. Dropped, it stays unsent and the connection unusable.
#[derive(Debug)]
pub struct PreparedDelivery<'a> {
    connection: &'a mut Connection,
    recipients: Vec<RecipientResult>,
}

impl PreparedDelivery<'_> {
    /// Returns each recipient's result; at least one is accepted.
    pub fn recipients(&self) -> &[RecipientResult] {
        &self.recipients
    }

    pub(super) fn take_recipients(&mut self) -> Vec<RecipientResult> {
        std::mem::take(&mut self.recipients)
    }

    /// Sends the final dot and waits for the verdict on the mail.
    ///
    /// Refused and unsent are certain. After the dot, silence and a broken connection are not (RFC 1047).
    pub async fn commit(self) -> Result<Reply, CommitError> {
        self.commit_before(None).await
    }

    /// As [`PreparedDelivery::commit`], but lets the mail go unsent once `latest` is over: the clock is looked
    /// at right before each try to hand the dot to the system.
    pub async fn commit_before(self, latest: Option<Instant>) -> Result<Reply, CommitError> {
        let connection = self.connection;
        connection.check_before_dot().await?;
        let limit = connection.timeouts.commit;
        let latest = latest.unwrap_or_else(|| Instant::now() + limit);
        connection.wire.send_dot(latest).await?;
        let reply = connection
            .wire
            .reply(limit)
            .await
            .map_err(CommitError::uncertain)?;
        connection.conclude(reply)
    }

    /// Closes the connection without the dot: the mail is surely unsent.
    pub async fn abandon(self) {
        self.connection.wire.close(LAST_WORDS).await;
    }
}

impl Connection {
    /// Fails if the server has replied or closed the connection: before the dot it has not accepted the mail.
    async fn check_before_dot(&mut self) -> Result<(), CommitError> {
        match self.wire.pending().await {
            PendingInput::Nothing => Ok(()),
            PendingInput::Closed => Err(CommitError::Unsent {
                source: WireError::Closed,
            }),
            PendingInput::Input => match self.wire.reply(LAST_WORDS).await {
                Ok(reply) if !reply.is_positive() => Err(CommitError::Refused { reply }),
                Ok(_) => Err(CommitError::Unsent {
                    source: WireError::Unsolicited,
                }),
                Err(source) => Err(CommitError::Unsent { source }),
            },
        }
    }

    fn conclude(&mut self, reply: Reply) -> Result<Reply, CommitError> {
        match reply.code() {
            200..=299 => {
                self.state = State::Ready;
                Ok(reply)
            }
            // A shutdown or an idle timer may cut in after the mail was queued; only a reason that concerns this mail
            // (address, mailbox, content, policy such as Gmail's rate limits) is the answer to the dot.
            421 if !reply
                .enhanced()
                .is_some_and(|code| matches!(code.subject, 1 | 2 | 6 | 7)) =>
            {
                Err(CommitError::Uncertain {
                    source: UncertainCause::Reply { reply },
                })
            }
            // RFC 5321 §4.2.5: after any 4yz or 5yz the server has no responsibility for the mail.
            400..=599 => {
                if reply.code() != 421 {
                    self.state = State::Ready;
                }
                Err(CommitError::Refused { reply })
            }
            _ => Err(CommitError::Uncertain {
                source: UncertainCause::Reply { reply },
            }),
        }
    }

    /// Hands over envelope and content, all but the final dot. Any failure in here is a mail surely unsent.
    pub async fn prepare(
        &mut self,
        envelope: &Envelope,
        raw: &[u8],
    ) -> Result<SmtpPreparation<'_>, SmtpError> {
        let bytes = raw.len() as u64;
        if let Some(limit) = self.capabilities.size().filter(|limit| bytes > *limit) {
            return Err(SmtpError::TooLarge { bytes, limit });
        }
        self.check_idle().await?;
        let must_reset = std::mem::replace(&mut self.state, State::Broken) == State::Open;
        self.mails = self.mails.saturating_add(1);
        let deadline = Instant::now() + self.timeouts.transaction;
        let mut opened = Transaction::new(self, envelope, must_reset, deadline)
            .open(raw)
            .await?;
        if opened.may_be_of_parameters()
            && !self.refuses_parameters
            && !parameters(&self.capabilities, raw).is_empty()
        {
            self.refuses_parameters = true;
            opened = Transaction::new(self, envelope, true, deadline)
                .open(raw)
                .await?;
        }
        let is_waiting = opened.is_waiting();
        if !is_waiting {
            self.state = State::Open;
        }
        if let Some(reply) = opened.mail_refusal {
            return Err(SmtpError::refused(Phase::Mail, reply));
        }
        // Also after a 354 although no recipient was accepted: only a final dot would end it, as an empty mail.
        if !opened.results.iter().any(RecipientResult::is_accepted) {
            return Ok(SmtpPreparation::Refused(opened.results));
        }
        match opened.data {
            Some(reply) if !is_waiting => {
                if reply.is_positive() || reply.code() < 400 {
                    self.state = State::Broken;
                }
                Err(SmtpError::refused(Phase::Data, reply))
            }
            _ => {
                self.send_content(raw, deadline).await?;
                Ok(SmtpPreparation::Ready(PreparedDelivery {
                    connection: self,
                    recipients: opened.results,
                }))
            }
        }
    }

    async fn send_content(&mut self, raw: &[u8], deadline: Instant) -> Result<(), SmtpError> {
        let Err(source) = self.write_content(raw, deadline).await else {
            return Ok(());
        };
        match self.wire.reply(LAST_WORDS).await {
            Ok(reply) if !reply.is_positive() => Err(SmtpError::refused(Phase::Content, reply)),
            _ => Err(SmtpError::wire(Phase::Content)(source)),
        }
    }

    async fn write_content(&mut self, raw: &[u8], deadline: Instant) -> Result<(), WireError> {
        let block_limit = self.timeouts.block;
        let limit = || block_limit.min(left(deadline));
        if is_wire_ready(raw) {
            for block in raw.chunks(BLOCK) {
                self.wire.write(block, limit()).await?;
            }
        } else {
            let mut stuffed = DotStuffed::new(raw);
            let mut block = Vec::with_capacity(raw.len().min(BLOCK) + 64);
            let mut is_more = true;
            while is_more {
                is_more = stuffed.fill(&mut block);
                self.wire.write(&block, limit()).await?;
                block.clear();
            }
        }
        self.wire.flush(limit()).await
    }
}
