use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use super::answer::{CommandAnswer, CommandProblem};
use super::parse::Parser;
use super::{FAILED_SIGN_INS, Session, SignedInMailbox};
use crate::mailbox::Mailbox;
use crate::server::bytes::trim_line_end;
use crate::server::sasl::{self, Mechanism, Purpose, SaslProof, SaslRefusal};
use crate::server::wire::{ConnectionEnd, Strike};
use crate::settings::Personality;

/// RFC 4954's bound for a response, which IMAP servers keep too.
const RESPONSE_BYTES: usize = 12_288;
const HANDSHAKE: Duration = Duration::from_secs(30);
const CLEAR_TEXT: &str = "[PRIVACYREQUIRED] Sign in over TLS only";

impl Session {
    pub(super) async fn start_tls(&mut self, tag: &str) -> Result<CommandAnswer, CommandProblem> {
        if self.wire()?.is_secure() {
            return Ok(CommandAnswer::Bad("TLS is on already".into()));
        }
        if self.strike("imap.starttls", tag).await? == Strike::Answered {
            return Ok(CommandAnswer::Sent);
        }
        let mut wire = self.wire.take().ok_or(ConnectionEnd::Broken)?;
        wire.say(format_args!("{tag} OK Begin TLS\r\n"));
        wire.flush().await?;
        let secured = tokio::time::timeout(HANDSHAKE, wire.start_tls(&self.site)).await;
        self.wire = Some(secured.map_err(|_| ConnectionEnd::ByUs)??);
        Ok(CommandAnswer::Sent)
    }

    pub(super) async fn authenticate(
        &mut self,
        tag: &str,
        parser: &mut Parser,
    ) -> Result<CommandAnswer, CommandProblem> {
        let name = parser.word()?;
        let initial = if parser.is_at_end() {
            None
        } else {
            Some(parser.astring()?)
        };
        if !self.wire()?.is_secure() {
            return Ok(CommandAnswer::No(CLEAR_TEXT.into()));
        }
        let personality = self.site.personality;
        let mechanism = Mechanism::find(name.as_bytes())
            .filter(|it| *it != Mechanism::Login && it.is_offered(personality));
        let Some(mechanism) = mechanism else {
            return Ok(CommandAnswer::No(
                "Unsupported authentication mechanism".into(),
            ));
        };
        let response = if let Some(response) = initial {
            response
        } else {
            self.wire()?.put(b"+ \r\n");
            self.read_response().await?
        };
        if &*response == b"*" {
            return Ok(CommandAnswer::Bad("Authentication cancelled".into()));
        }
        let proof =
            sasl::decode(&response).and_then(|decoded| sasl::read_proof(mechanism, &decoded));
        self.settle(tag, mechanism, proof).await
    }

    pub(super) async fn log_in(
        &mut self,
        tag: &str,
        parser: &mut Parser,
    ) -> Result<CommandAnswer, CommandProblem> {
        let proof = SaslProof {
            user: parser.string()?,
            secret: parser.string()?,
            mechanism: Mechanism::Login,
        };
        if !self.wire()?.is_secure() {
            return Ok(CommandAnswer::No(CLEAR_TEXT.into()));
        }
        self.settle(tag, Mechanism::Login, Ok(proof)).await
    }

    async fn read_response(&mut self) -> Result<bytes::Bytes, ConnectionEnd> {
        let line = self.wire()?.read_line(RESPONSE_BYTES).await?;
        let line = line.unwrap_or_default();
        Ok(line.slice_ref(trim_line_end(&line)))
    }

    async fn settle(
        &mut self,
        tag: &str,
        mechanism: Mechanism,
        proof: Result<SaslProof, SaslRefusal>,
    ) -> Result<CommandAnswer, CommandProblem> {
        let site = Arc::clone(&self.site);
        let user = proof.as_ref().ok().map(|proof| proof.user.clone());
        let strike = self
            .wire()?
            .strike(&site, "imap.authenticate", user.as_deref(), tag)
            .await?;
        if strike == Strike::Answered {
            return Ok(CommandAnswer::Sent);
        }
        let judged = proof.and_then(|proof| sasl::judge(&site, &proof, Purpose::Imap));
        match judged {
            Ok(mailbox) => Ok(self.welcome(mailbox, true)),
            Err(SaslRefusal::OtherMailbox) if site.personality == Personality::Microsoft => {
                match user.and_then(|user| site.store.find(&user)) {
                    Some(mailbox) => Ok(self.welcome(mailbox, false)),
                    None => self.refuse(mechanism, SaslRefusal::Invalid).await,
                }
            }
            Err(refusal) => self.refuse(mechanism, refusal).await,
        }
    }

    fn welcome(&mut self, mailbox: Arc<Mailbox>, is_connected: bool) -> CommandAnswer {
        self.account = Some(SignedInMailbox {
            epoch: mailbox.epoch(),
            mailbox,
            is_connected,
        });
        self.site.store.count().imap_sign_ins.increase();
        match self.site.personality {
            Personality::Microsoft => CommandAnswer::Ok("AUTHENTICATE completed.".into()),
            Personality::Google | Personality::Standard => CommandAnswer::Ok(Cow::Owned(format!(
                "[CAPABILITY {}] Signed in",
                self.capabilities()
            ))),
        }
    }

    async fn refuse(
        &mut self,
        mechanism: Mechanism,
        refusal: SaslRefusal,
    ) -> Result<CommandAnswer, CommandProblem> {
        self.site.store.count().imap_refused.increase();
        self.failed_sign_ins += 1;
        if let Some(challenge) = sasl::challenge(self.site.personality, mechanism, refusal) {
            self.wire()?.say(format_args!("+ {challenge}\r\n"));
            // The client owes an answer of no content; a session that never sends it hangs, as everywhere.
            self.read_response().await?;
        }
        if self.failed_sign_ins >= FAILED_SIGN_INS {
            self.wire()?.put(b"* BYE Too many failed sign-ins\r\n");
            return Err(ConnectionEnd::ByUs.into());
        }
        Ok(CommandAnswer::No(match self.site.personality {
            Personality::Google => "[AUTHENTICATIONFAILED] Invalid credentials (Failure)".into(),
            Personality::Microsoft => "AUTHENTICATE failed.".into(),
            Personality::Standard => "[AUTHENTICATIONFAILED] Authentication failed".into(),
        }))
    }
}
