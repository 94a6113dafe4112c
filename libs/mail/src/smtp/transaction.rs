use std::time::Duration;

use tokio::time::Instant;

use super::capability::{Capabilities, Extension};
use super::connection::Connection;
use super::error::SmtpError;
use super::reply::Reply;
use super::verdict::{Phase, is_too_many_recipients, judge};
use crate::message::Envelope;
use crate::transport::{RecipientRefusal, RecipientResult};

/// Maximum RCPTs in one pipelined group: RFC 2920 §3.1 warns of a deadlock when replies fill the socket buffers while the
/// client still writes.
const GROUP: usize = 100;

/// MAIL, RCPT and DATA of one mail.
pub(super) struct Transaction<'a> {
    connection: &'a mut Connection,
    envelope: &'a Envelope,
    parameters: String,
    must_reset: bool,
    deadline: Instant,
}

/// Replies to them.
#[derive(Debug, Default)]
pub(super) struct TransactionReplies {
    pub(super) mail_refusal: Option<Reply>,
    pub(super) results: Vec<RecipientResult>,
    pub(super) data: Option<Reply>,
}

impl TransactionReplies {
    /// Returns whether the server waits for the content.
    pub(super) fn is_waiting(&self) -> bool {
        let data = self.data.as_ref();
        data.is_some_and(|reply| reply.code() == 354)
    }

    /// Returns whether MAIL may have been refused for what follows its address: there are servers that announce SIZE or
    /// 8BITMIME and do not know their parameters (RFC 5321 §3.3 has them answer 555, and some say 501 or 504).
    pub(super) fn may_be_of_parameters(&self) -> bool {
        let refusal = self.mail_refusal.as_ref();
        !self.is_waiting() && refusal.is_some_and(|reply| matches!(reply.code(), 501 | 504 | 555))
    }
}

impl<'a> Transaction<'a> {
    pub(super) const fn new(
        connection: &'a mut Connection,
        envelope: &'a Envelope,
        must_reset: bool,
        deadline: Instant,
    ) -> Self {
        Self {
            connection,
            envelope,
            parameters: String::new(),
            must_reset,
            deadline,
        }
    }

    pub(super) async fn open(mut self, raw: &[u8]) -> Result<TransactionReplies, SmtpError> {
        if !self.connection.refuses_parameters {
            self.parameters = parameters(&self.connection.capabilities, raw);
        }
        let mut opened = TransactionReplies::default();
        if self.connection.may_pipeline() {
            let opening = self.in_groups(&mut opened).await;
            if matches!(opening, Err(SmtpError::Wire { .. })) {
                self.connection.note_broken_pipelining();
            }
            opening?;
        } else {
            self.one_by_one(&mut opened).await?;
        }
        Ok(opened)
    }

    async fn in_groups(&mut self, opened: &mut TransactionReplies) -> Result<(), SmtpError> {
        let envelope = self.envelope;
        let mut groups = envelope.recipients().chunks(GROUP).peekable();
        let mut is_first = true;
        while let Some(group) = groups.next() {
            let is_last = groups.peek().is_none();
            if is_first {
                self.queue_mail();
            }
            for recipient in group {
                self.queue_recipient(recipient);
            }
            if is_last {
                // RFC 2920 §3.1: DATA may only be the last command of a group.
                self.connection.wire.queue(&["DATA"]);
            }
            self.send().await?;
            if is_first {
                self.read_mail(opened).await?;
            }
            for recipient in group {
                self.read_recipient(opened, recipient).await?;
            }
            if is_last {
                opened.data = Some(self.answer(Phase::Data).await?);
            }
            if opened.mail_refusal.is_some() {
                return Ok(());
            }
            is_first = false;
        }
        Ok(())
    }

    async fn one_by_one(&mut self, opened: &mut TransactionReplies) -> Result<(), SmtpError> {
        if self.must_reset {
            self.connection.wire.queue(&["RSET"]);
            self.send().await?;
            self.read_reset().await?;
            self.must_reset = false;
        }
        self.queue_mail();
        self.send().await?;
        self.read_mail(opened).await?;
        if opened.mail_refusal.is_some() {
            return Ok(());
        }
        let envelope = self.envelope;
        for recipient in envelope.recipients() {
            self.queue_recipient(recipient);
            self.send().await?;
            self.read_recipient(opened, recipient).await?;
        }
        // RFC 5321 §3.3: for no recipient a server answers 503 or 554, which says nothing of the mail.
        if opened.results.iter().any(RecipientResult::is_accepted) {
            self.connection.wire.queue(&["DATA"]);
            self.send().await?;
            opened.data = Some(self.answer(Phase::Data).await?);
        }
        Ok(())
    }

    fn queue_mail(&mut self) {
        let wire = &mut self.connection.wire;
        if self.must_reset {
            wire.queue(&["RSET"]);
        }
        let from = self.envelope.from().unwrap_or_default();
        wire.queue(&["MAIL FROM:<", from, ">", &self.parameters]);
    }

    fn queue_recipient(&mut self, recipient: &str) {
        self.connection.wire.queue(&["RCPT TO:<", recipient, ">"]);
    }

    async fn send(&mut self) -> Result<(), SmtpError> {
        let limit = self.connection.timeouts.command.min(left(self.deadline));
        self.connection
            .wire
            .send_queued(limit)
            .await
            .map_err(SmtpError::wire(Phase::Mail))
    }

    async fn read_reset(&mut self) -> Result<(), SmtpError> {
        let reply = self.answer(Phase::Housekeeping).await?;
        if reply.is_positive() {
            return Ok(());
        }
        Err(SmtpError::refused(Phase::Housekeeping, reply))
    }

    async fn read_mail(&mut self, opened: &mut TransactionReplies) -> Result<(), SmtpError> {
        if self.must_reset {
            self.read_reset().await?;
        }
        let reply = self.answer(Phase::Mail).await?;
        opened.mail_refusal = (!reply.is_positive()).then_some(reply);
        Ok(())
    }

    async fn read_recipient(
        &mut self,
        opened: &mut TransactionReplies,
        recipient: &str,
    ) -> Result<(), SmtpError> {
        let reply = self.answer(Phase::Recipient).await?;
        opened.results.push(result(recipient, &reply));
        Ok(())
    }

    /// Reads one reply; 421 ends the session whatever it answers.
    async fn answer(&mut self, phase: Phase) -> Result<Reply, SmtpError> {
        let limit = self.connection.timeouts.command.min(left(self.deadline));
        let reply = self
            .connection
            .wire
            .reply(limit)
            .await
            .map_err(SmtpError::wire(phase))?;
        if reply.code() == 421 {
            return Err(SmtpError::refused(phase, reply));
        }
        Ok(reply)
    }
}

/// Returns the parameters of MAIL.
pub(super) fn parameters(capabilities: &Capabilities, raw: &[u8]) -> String {
    let mut parameters = String::new();
    if capabilities.size().is_some() {
        parameters = format!(" SIZE={}", raw.len());
    }
    // Without 8BITMIME (RFC 6152) the octets are sent all the same, as mail programs do: most servers pass them on.
    if capabilities.has(Extension::EightBitMime) && !raw.is_ascii() {
        parameters.push_str(" BODY=8BITMIME");
    }
    parameters
}

fn result(recipient: &str, reply: &Reply) -> RecipientResult {
    let refusal = || {
        let (diagnosis, scope) = judge(Phase::Recipient, reply);
        RecipientRefusal {
            code: reply.status(),
            diagnosis,
            scope,
            is_over_the_number: is_too_many_recipients(reply),
        }
    };
    RecipientResult {
        address: recipient.to_owned(),
        reply: reply.to_string(),
        refusal: (!reply.is_positive()).then(refusal),
    }
}

/// Returns the time left until `deadline`.
pub(super) fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}
