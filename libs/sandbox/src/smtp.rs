//! The SMTP submission server: sign-in only over TLS, mail only after sign-in, a pipelined group answered in one write.
//!
//! Three local parts are refused whatever their domain, so that a client can be tried without scripting faults:
//! `refuse@…` with `550 5.1.1`, `full@…` with `452 4.2.2`, `later@…` with `450 4.2.1`. Bare CR or LF in a mail is refused
//! with `554 5.6.11`: a client that sends it could be used for smuggling. No `Received` field is added, so what arrives
//! is byte for byte what was submitted.

mod content;
mod envelope;
mod sign_in;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::fault::Fault;
use crate::mailbox::Mailbox;
use crate::server::bytes::trim_line_end;
use crate::server::site::Site;
use crate::server::wire::{ConnectionEnd, Strike, Wire, take_fault};
use crate::settings::Personality;
use content::{Content, ReceivedContent};
use envelope::{Envelope, parse_recipient, parse_sender};

const SIZE: usize = 35_882_577;
/// RFC 4954's bound for a response, and room for the command before it.
const LINE_BYTES: usize = 12_288 + 512;
/// RFC 5321 says 512 with CRLF; extensions add to it.
const COMMAND_BYTES: usize = 2_048;
const HANDSHAKE: Duration = Duration::from_secs(30);

struct Session {
    site: Arc<Site>,
    wire: Option<Wire>,
    account: Option<Arc<Mailbox>>,
    is_greeted: bool,
    envelope: Option<Envelope>,
    failed_sign_ins: u8,
}

/// Serves one connection to its end.
pub(crate) async fn serve(site: &Arc<Site>, wire: Wire) {
    let mut session = Session {
        site: Arc::clone(site),
        wire: Some(wire),
        account: None,
        is_greeted: false,
        envelope: None,
        failed_sign_ins: 0,
    };
    if session.run().await.is_err()
        && let Some(wire) = &mut session.wire
    {
        // The connection is over either way; this only tries to deliver the last words.
        wire.flush().await.ok();
    }
}

impl Session {
    fn wire(&mut self) -> Result<&mut Wire, ConnectionEnd> {
        self.wire.as_mut().ok_or(ConnectionEnd::Broken)
    }

    fn reply(&mut self, line: &str) -> Result<(), ConnectionEnd> {
        self.wire()?.say(format_args!("{line}\r\n"));
        Ok(())
    }

    async fn strike(&mut self, point: &str) -> Result<Strike, ConnectionEnd> {
        let (site, account) = (Arc::clone(&self.site), self.account.clone());
        let address = account.as_ref().map(|mailbox| &*mailbox.address);
        self.wire()?.strike(&site, point, address, "").await
    }

    async fn run(&mut self) -> Result<(), ConnectionEnd> {
        if self.strike("smtp.greeting").await? == Strike::Passed {
            self.reply(match self.site.personality {
                Personality::Google => "220 smtp.sandbox.test ESMTP - gsmtp",
                Personality::Microsoft => {
                    "220 smtp.sandbox.test Microsoft ESMTP MAIL Service ready"
                }
                Personality::Standard => "220 smtp.sandbox.test ESMTP mailmesh sandbox",
            })?;
        }
        loop {
            let wire = self.wire()?;
            if wire.input.is_empty() {
                wire.flush().await?;
                wire.rest();
            }
            match wire.read_line(LINE_BYTES).await? {
                Some(line) => self.obey(&line).await?,
                None => self.reply("500 5.5.2 Line too long")?,
            }
        }
    }

    async fn obey(&mut self, line: &Bytes) -> Result<(), ConnectionEnd> {
        self.site.store.count().smtp_commands.increase();
        let Ok(text) = std::str::from_utf8(trim_line_end(line)) else {
            return self.reply("500 5.5.2 Not UTF-8");
        };
        let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
        let rest = rest.trim();
        let is = |name: &str| verb.eq_ignore_ascii_case(name);
        if is("AUTH") {
            return Box::pin(self.authenticate(rest, line.len())).await;
        }
        if line.len() > COMMAND_BYTES {
            return self.reply("500 5.5.2 Line too long");
        }
        if is("MAIL") {
            self.mail(rest).await
        } else if is("RCPT") {
            self.recipient(rest).await
        } else if is("DATA") {
            self.data().await
        } else if is("RSET") {
            self.envelope = None;
            self.reply("250 2.0.0 OK")
        } else if is("NOOP") {
            self.reply("250 2.0.0 OK")
        } else if is("EHLO") {
            self.hello(rest).await
        } else if is("HELO") {
            self.is_greeted = true;
            self.envelope = None;
            self.reply("250 smtp.sandbox.test")
        } else if is("STARTTLS") {
            Box::pin(self.start_tls()).await
        } else if is("VRFY") {
            self.reply("252 2.1.5 Send some mail and see")
        } else if is("QUIT") {
            self.quit().await
        } else {
            self.reply("502 5.5.1 Unrecognized command")
        }
    }

    async fn hello(&mut self, name: &str) -> Result<(), ConnectionEnd> {
        if self.strike("smtp.ehlo").await? == Strike::Answered {
            return Ok(());
        }
        if name.is_empty() || name.contains(' ') {
            return self.reply("501 5.5.4 Say who you are");
        }
        self.is_greeted = true;
        self.envelope = None;
        let sign_in = if !self.wire()?.is_secure() {
            "STARTTLS"
        } else if self.site.personality == Personality::Microsoft {
            "AUTH LOGIN PLAIN XOAUTH2"
        } else {
            "AUTH LOGIN PLAIN XOAUTH2 OAUTHBEARER"
        };
        self.wire()?.say(format_args!(
            "250-smtp.sandbox.test at your service\r\n250-SIZE {SIZE}\r\n250-8BITMIME\r\n250-{sign_in}\r\n\
             250-ENHANCEDSTATUSCODES\r\n250-PIPELINING\r\n250 SMTPUTF8\r\n"
        ));
        Ok(())
    }

    async fn start_tls(&mut self) -> Result<(), ConnectionEnd> {
        if self.wire()?.is_secure() {
            return self.reply("503 5.5.1 TLS is on already");
        }
        if self.strike("smtp.starttls").await? == Strike::Answered {
            return Ok(());
        }
        let mut wire = self.wire.take().ok_or(ConnectionEnd::Broken)?;
        wire.put(b"220 2.0.0 Ready to start TLS\r\n");
        wire.flush().await?;
        let secured = tokio::time::timeout(HANDSHAKE, wire.start_tls(&self.site)).await;
        self.wire = Some(secured.map_err(|_| ConnectionEnd::ByUs)??);
        // RFC 3207 4.2: what was said before TLS counts for nothing.
        self.is_greeted = false;
        self.envelope = None;
        Ok(())
    }

    async fn quit(&mut self) -> Result<(), ConnectionEnd> {
        if self.strike("smtp.quit").await? == Strike::Passed {
            self.reply("221 2.0.0 Goodbye")?;
        }
        Err(ConnectionEnd::ByUs)
    }

    async fn mail(&mut self, rest: &str) -> Result<(), ConnectionEnd> {
        if self.strike("smtp.mail").await? == Strike::Answered {
            return Ok(());
        }
        if !self.is_greeted {
            return self.reply("503 5.5.1 EHLO first");
        }
        let Some(account) = &self.account else {
            return self.reply(match self.site.personality {
                Personality::Microsoft => "530 5.7.57 Client not authenticated to send mail",
                Personality::Google | Personality::Standard => "530 5.7.0 Authentication Required",
            });
        };
        if self.envelope.is_some() {
            return self.reply("503 5.5.1 Sender already given");
        }
        let envelope = match parse_sender(rest, SIZE) {
            Ok(envelope) => envelope,
            Err(refusal) => return self.reply(refusal),
        };
        let is_own =
            envelope.sender.is_empty() || envelope.sender.eq_ignore_ascii_case(&account.address);
        if !is_own && !self.site.allows_any_sender {
            return self.reply("553 5.7.1 Sender address not owned by the signed-in account");
        }
        self.envelope = Some(envelope);
        self.reply("250 2.1.0 OK")
    }

    async fn recipient(&mut self, rest: &str) -> Result<(), ConnectionEnd> {
        if self.strike("smtp.rcpt").await? == Strike::Answered {
            return Ok(());
        }
        let limit = match self.site.personality {
            Personality::Google => 100,
            Personality::Microsoft | Personality::Standard => 500,
        };
        let Some(envelope) = &mut self.envelope else {
            return self.reply("503 5.5.1 MAIL first");
        };
        let recipient = match parse_recipient(rest, envelope.allows_utf8) {
            Ok(recipient) => recipient,
            Err(refusal) => return self.reply(refusal),
        };
        if envelope.recipients.len() >= limit {
            return self.reply("452 4.5.3 Too many recipients");
        }
        envelope.recipients.push(recipient);
        self.reply("250 2.1.5 OK")
    }

    async fn data(&mut self) -> Result<(), ConnectionEnd> {
        if self.strike("smtp.data").await? == Strike::Answered {
            return Ok(());
        }
        let envelope = match self.envelope.take() {
            None => return self.reply("503 5.5.1 MAIL first"),
            Some(envelope) if envelope.recipients.is_empty() => {
                self.envelope = Some(envelope);
                return self.reply("554 5.5.1 No valid recipients");
            }
            Some(envelope) => envelope,
        };
        self.reply("354 Go ahead")?;
        let content = self.receive(&envelope).await?;
        if self.strike("smtp.final_dot").await? == Strike::Answered {
            return Ok(());
        }
        let id = match content.finish() {
            ReceivedContent::Kept(raw) => self.store(envelope, raw),
            ReceivedContent::Counted(bytes) => self.site.store.sink(bytes),
            ReceivedContent::TooLarge => {
                return self.reply("552 5.3.4 Message exceeds the maximum size");
            }
            ReceivedContent::BareLineEnd => {
                return self.reply("554 5.6.11 Bare CR or LF in the message");
            }
        };
        if self.strike("smtp.after_final_dot").await? == Strike::Answered {
            return Ok(());
        }
        self.wire()?
            .say(format_args!("250 2.0.0 OK queued as {id}\r\n"));
        Ok(())
    }

    fn store(&self, envelope: Envelope, raw: Bytes) -> u64 {
        let account = self
            .account
            .as_ref()
            .map(|mailbox| &*mailbox.address)
            .unwrap_or_default();
        let Envelope {
            sender, recipients, ..
        } = envelope;
        self.site.store.submit(account, &sender, recipients, raw)
    }

    async fn receive(&mut self, envelope: &Envelope) -> Result<Content, ConnectionEnd> {
        let site = Arc::clone(&self.site);
        let mut content = Content::new(SIZE, envelope.size, !site.store.is_sink());
        let fault = {
            let address = self.account.as_ref().map(|mailbox| &*mailbox.address);
            take_fault(&site, "smtp.content", address)
        };
        let wire = self.wire()?;
        wire.expect_bulk();
        if let Some(fault) = fault {
            // In the middle of the content: some of it has arrived.
            wire.fill().await?;
            match fault {
                Fault::Cut => return Err(ConnectionEnd::ByUs),
                Fault::Reset => return Err(wire.reset()),
                Fault::Stall { seconds } => wire.stall(&site, seconds).await?,
                Fault::Reply { .. } | Fault::Status { .. } | Fault::HugeLiteral { .. } => {}
            }
        }
        while !content.take(&mut wire.input) {
            wire.fill().await?;
        }
        Ok(content)
    }
}
