use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{LINE_BYTES, Session};
use crate::server::bytes::trim_line_end;
use crate::server::sasl::{self, Mechanism, Purpose, SaslProof, SaslRefusal};
use crate::server::wire::{ConnectionEnd, Strike};
use crate::settings::Personality;

/// RFC 4954: a longer line must use the two-step form, and the large providers insist.
const INLINE_BYTES: usize = 512;
const FAILED_SIGN_INS: u8 = 3;

impl Session {
    pub(super) async fn authenticate(
        &mut self,
        rest: &str,
        line_bytes: usize,
    ) -> Result<(), ConnectionEnd> {
        let is_strict = self.site.personality != Personality::Standard;
        if is_strict && line_bytes > INLINE_BYTES {
            return self.reply("500 5.5.2 Line too long");
        }
        if !self.wire()?.is_secure() {
            return self.reply("530 5.7.0 Must issue a STARTTLS command first");
        }
        if !self.is_greeted || self.account.is_some() || self.envelope.is_some() {
            return self.reply("503 5.5.1 AUTH not permitted now");
        }
        let (name, initial) = rest.split_once(' ').unwrap_or((rest, ""));
        let mechanism = Mechanism::find(name.as_bytes())
            .filter(|mechanism| mechanism.is_offered(self.site.personality));
        let Some(mechanism) = mechanism else {
            return self.reply("504 5.5.4 Unrecognized authentication type");
        };
        let proof = if mechanism == Mechanism::Login {
            self.ask_for_login(initial).await?
        } else {
            let response = self.answer_or_ask(initial, "").await?;
            response.and_then(|decoded| sasl::read_proof(mechanism, &decoded))
        };
        self.settle(mechanism, proof).await
    }

    async fn ask_for_login(
        &mut self,
        initial: &str,
    ) -> Result<Result<SaslProof, SaslRefusal>, ConnectionEnd> {
        let user = self.answer_or_ask(initial, "Username:").await?;
        let Ok(user) = user else {
            return Ok(Err(SaslRefusal::Malformed));
        };
        let password = self.answer_or_ask("", "Password:").await?;
        Ok(password.and_then(|password| {
            let text = |bytes| String::from_utf8(bytes).map_err(|_| SaslRefusal::Malformed);
            Ok(SaslProof {
                user: text(user)?,
                secret: text(password)?,
                mechanism: Mechanism::Login,
            })
        }))
    }

    /// Decodes the response that came with the command, or asks for it.
    async fn answer_or_ask(
        &mut self,
        initial: &str,
        question: &str,
    ) -> Result<Result<Vec<u8>, SaslRefusal>, ConnectionEnd> {
        if !initial.is_empty() {
            return Ok(sasl::decode(initial.as_bytes()));
        }
        self.ask(&STANDARD.encode(question)).await
    }

    async fn ask(&mut self, question: &str) -> Result<Result<Vec<u8>, SaslRefusal>, ConnectionEnd> {
        let wire = self.wire()?;
        wire.say(format_args!("334 {question}\r\n"));
        Ok(match wire.read_line(LINE_BYTES).await? {
            Some(line) => sasl::decode(trim_line_end(&line)),
            None => Err(SaslRefusal::Malformed),
        })
    }

    async fn settle(
        &mut self,
        mechanism: Mechanism,
        proof: Result<SaslProof, SaslRefusal>,
    ) -> Result<(), ConnectionEnd> {
        let site = Arc::clone(&self.site);
        let user = proof.as_ref().ok().map(|proof| proof.user.clone());
        let wire = self.wire()?;
        let strike = wire.strike(&site, "smtp.auth", user.as_deref(), "").await?;
        if strike == Strike::Answered {
            return Ok(());
        }
        let refusal = match proof.and_then(|proof| sasl::judge(&site, &proof, Purpose::Smtp)) {
            Ok(mailbox) => {
                self.account = Some(mailbox);
                site.store.count().smtp_sign_ins.increase();
                return self.reply("235 2.7.0 Accepted");
            }
            Err(refusal) => refusal,
        };
        site.store.count().smtp_refused.increase();
        if let Some(challenge) = sasl::challenge(site.personality, mechanism, refusal) {
            // The client owes an answer of no content; what it says changes nothing.
            self.ask(&challenge).await?.ok();
        }
        self.refuse(refusal)
    }

    fn refuse(&mut self, refusal: SaslRefusal) -> Result<(), ConnectionEnd> {
        self.failed_sign_ins += 1;
        if self.failed_sign_ins >= FAILED_SIGN_INS {
            self.reply("421 4.7.0 Too many failed sign-ins")?;
            return Err(ConnectionEnd::ByUs);
        }
        self.reply(match (self.site.personality, refusal) {
            (_, SaslRefusal::Malformed) => "501 5.5.2 Cannot decode the response",
            (Personality::Google, _) => "535 5.7.8 Username and Password not accepted",
            (Personality::Microsoft, _) => "535 5.7.3 Authentication unsuccessful [SANDBOX]",
            (Personality::Standard, _) => "535 5.7.8 Authentication credentials invalid",
        })
    }
}
