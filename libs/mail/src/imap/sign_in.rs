use std::time::Duration;

use futures_util::future::BoxFuture;
use mailmesh_domain::Encryption;
use mailmesh_secrets::{ExposeSecret as _, SecretString};
use tokio::time::Instant;

use super::capability::{Capabilities, Capability};
use super::command::MatchedReply;
use super::error::{ImapError, Mechanism, RefusalStatus, Stage};
use super::limit::ImapLimits;
use super::name::quote;
use super::reply::{Reply, Status, StatusResponse};
use super::session::Session;
use crate::credentials::{oauthbearer, plain, refusal_status, xoauth2};
use crate::spoken::spoken;
use crate::{Credentials, InvalidCredentials, MailStream, Server};

/// Sent because some servers (163.com, QQ) open no folder without an ID command (RFC 2971).
const ID: &str = concat!(
    r#"ID ("name" "mailmesh" "version" ""#,
    env!("CARGO_PKG_VERSION"),
    r#"")"#
);

/// Maximum challenges of one sign-in, against servers that never end it.
const MOST_CHALLENGES: usize = 4;

impl Session {
    /// Connects, protects the connection, and signs in.
    pub fn connect<'a>(
        server: &'a Server,
        credentials: &'a Credentials,
        limits: ImapLimits,
    ) -> BoxFuture<'a, Result<Self, ImapError>> {
        Box::pin(async move {
            server.check(credentials).map_err(ImapError::Connect)?;
            let stream = MailStream::open(server, limits.timeouts.connect)
                .await
                .map_err(ImapError::Connect)?;
            let mut session = Self::new(stream, limits);
            let mut is_signed_in = session.read_greeting().await?;
            if server.encryption == Encryption::StartTls {
                if is_signed_in {
                    return Err(ImapError::PreAuthBeforeTls);
                }
                session = session.start_tls(server).await?;
            }
            // RFC 3501 §7.1: many servers send the list with the greeting, and then need not be asked.
            if session.capabilities.is_none() {
                session.run(Stage::Capability, "CAPABILITY").await?;
            }
            if matches!(credentials, Credentials::None) {
                is_signed_in = true;
            }
            if !is_signed_in {
                // Lists change with the sign-in: MOVE and others show up only after it.
                session.sign_in(server, credentials).await?;
                if session.capabilities.is_none() {
                    session.run(Stage::Capability, "CAPABILITY").await?;
                }
            }
            session.identify().await?;
            Ok(session)
        })
    }

    /// Reads the first line; returns whether the server signed us in by itself.
    async fn read_greeting(&mut self) -> Result<bool, ImapError> {
        let stage = Stage::Greeting;
        let deadline = Instant::now() + self.command_limit(stage);
        self.is_ready = false;
        let frame = self.next_frame(stage, deadline, Duration::MAX).await?;
        let Reply::Status(outcome) = Reply::read(&frame) else {
            // Its text may be anything's that listens there, and errors are shown to people who could not read it otherwise.
            let text = crate::ServerText::default();
            return Err(
                spoken(&frame).map_or(ImapError::Unreadable { stage, text }, |spoken| {
                    ImapError::OtherProtocol { spoken }
                }),
            );
        };
        if let Some(list) = outcome.argument("CAPABILITY") {
            self.capabilities = Some(Capabilities::read(list));
        }
        match outcome.status {
            Status::Ok | Status::PreAuth => {
                self.is_ready = true;
                Ok(outcome.status == Status::PreAuth)
            }
            Status::No | Status::Bad | Status::Bye => Err(ImapError::Bye {
                stage,
                code: outcome.code_name(),
                text: outcome.text,
            }),
        }
    }

    async fn start_tls(mut self, server: &Server) -> Result<Self, ImapError> {
        self.run(Stage::StartTls, "STARTTLS").await?;
        // Bytes that came in the clear after the reply would be read as if TLS had protected them (the NO STARTTLS
        // attacks); capabilities from before the handshake are dropped for the same reason (RFC 3501 §6.2.1).
        if self.wire.has_leftover() {
            return Err(ImapError::StartTlsTampered);
        }
        let limits = self.limits;
        let stream = self
            .wire
            .into_stream()
            .start_tls(server, limits.timeouts.connect)
            .await
            .map_err(ImapError::Connect)?;
        Ok(Self::new(stream, limits))
    }

    async fn sign_in(
        &mut self,
        server: &Server,
        credentials: &Credentials,
    ) -> Result<(), ImapError> {
        let offered = self.capabilities();
        match credentials {
            Credentials::None => Ok(()),
            Credentials::OAuth2 {
                login,
                access_token,
            } => {
                // The standard first (RFC 7628). Gmail and Yahoo offer both, Exchange and Yandex XOAUTH2 alone.
                if offered.has(Capability::AuthOAuthBearer) {
                    let blob = oauthbearer(login, &server.host, server.port, access_token)
                        .map_err(ImapError::Credentials)?;
                    let result = self.authenticate(Mechanism::OAuthBearer, &blob).await;
                    if !is_not_understood(&result) {
                        return result;
                    }
                    self.capabilities = Some(offered);
                }
                // Some servers accept XOAUTH2 without announcing it, so it is tried once.
                let blob = xoauth2(login, access_token).map_err(ImapError::Credentials)?;
                self.authenticate(Mechanism::XOAuth2, &blob).await
            }
            Credentials::Password { login, password } => {
                self.with_password(offered, login, password).await
            }
        }
    }

    async fn with_password(
        &mut self,
        offered: Capabilities,
        login: &str,
        password: &SecretString,
    ) -> Result<(), ImapError> {
        let blob = plain(login, password).map_err(ImapError::Credentials)?;
        // RFC 3501 §6.2.3: where LOGINDISABLED is announced, LOGIN must not be sent.
        let may_log_in = !offered.has(Capability::LoginDisabled);
        if offered.has(Capability::AuthPlain) {
            let result = self.authenticate(Mechanism::Plain, &blob).await;
            // LOGIN carries ASCII alone.
            let fits = login.is_ascii() && password.expose_secret().is_ascii();
            if !(may_log_in && fits && is_not_understood(&result)) {
                return result;
            }
        }
        if !may_log_in {
            return Err(ImapError::NoMechanism);
        }
        self.capabilities = Some(offered);
        let result = self.log_in(login, password).await;
        if offered.has(Capability::AuthPlain) || !is_not_understood(&result) {
            return result;
        }
        // Some servers accept PLAIN without announcing it, so it is tried once.
        self.capabilities = Some(offered);
        self.authenticate(Mechanism::Plain, &blob).await
    }

    async fn log_in(&mut self, login: &str, password: &SecretString) -> Result<(), ImapError> {
        let password = password.expose_secret();
        if !login.is_ascii() {
            return Err(ImapError::Credentials(InvalidCredentials::Login));
        }
        if !password.is_ascii() {
            return Err(ImapError::Credentials(InvalidCredentials::Secret));
        }
        let command = SecretString::from(format!("LOGIN {} {}", quote(login), quote(password)));
        self.capabilities = None;
        self.run(Stage::SignIn, command.expose_secret())
            .await
            .map(drop)
            .map_err(|error| sign_in_refused(error, Mechanism::Login, None))
    }

    async fn authenticate(
        &mut self,
        mechanism: Mechanism,
        blob: &SecretString,
    ) -> Result<(), ImapError> {
        let stage = Stage::SignIn;
        // RFC 4959: an initial response is for servers that announce SASL-IR; GreenMail takes no other form.
        let is_inline = self.capabilities().has(Capability::SaslIr);
        let command = SecretString::from(if is_inline {
            format!("AUTHENTICATE {mechanism} {}", blob.expose_secret())
        } else {
            format!("AUTHENTICATE {mechanism}")
        });
        self.capabilities = None;
        let deadline = Instant::now() + self.command_limit(stage);
        let running = self.start(stage, command.expose_secret()).await?;

        let mut exchange = Exchange::new(mechanism, is_inline);
        loop {
            let reply = self.next_reply(stage, deadline).await?;
            match self.settle(&running, reply) {
                MatchedReply::Done(outcome) => {
                    return outcome.map(drop).map_err(|error| {
                        sign_in_refused(error, mechanism, exchange.challenge_status)
                    });
                }
                MatchedReply::Data(Reply::Continue(challenge)) => match exchange.answer(&challenge)
                {
                    Some(ChallengeResponse::Blob) => {
                        let line = SecretString::from(format!("{}\r\n", blob.expose_secret()));
                        self.send(stage, line.expose_secret().as_bytes()).await?;
                    }
                    Some(ChallengeResponse::Acknowledge(line)) => self.send(stage, line).await?,
                    None => return Err(ImapError::TimedOut { stage }),
                },
                MatchedReply::Data(_) => {}
            }
        }
    }

    async fn identify(&mut self) -> Result<(), ImapError> {
        if !self.capabilities().has(Capability::Id) {
            return Ok(());
        }
        match self.run(Stage::Id, ID).await {
            Ok(StatusResponse { .. }) => Ok(()),
            // ID is optional: its refusal does not end the session.
            Err(error) if error.is_session_healthy() => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// The server does not know the mechanism or the form of its command, and has not looked at the secret.
fn is_not_understood(result: &Result<(), ImapError>) -> bool {
    match result {
        Err(error) => error.is_sign_in_not_understood(),
        Ok(()) => false,
    }
}

/// The client's side of a SASL exchange.
#[derive(Debug)]
struct Exchange {
    mechanism: Mechanism,
    is_blob_sent: bool,
    challenges: usize,
    challenge_status: Option<String>,
}

#[derive(Debug)]
enum ChallengeResponse {
    Blob,
    Acknowledge(&'static [u8]),
}

impl Exchange {
    const fn new(mechanism: Mechanism, is_blob_sent: bool) -> Self {
        Self {
            mechanism,
            is_blob_sent,
            challenges: 0,
            challenge_status: None,
        }
    }

    /// Returns what a challenge is to be answered with; `None` if it is one too many.
    fn answer(&mut self, challenge: &[u8]) -> Option<ChallengeResponse> {
        self.challenges += 1;
        if self.challenges > MOST_CHALLENGES {
            return None;
        }
        // An empty challenge to a response that went inline: the server ignored it and asks.
        if !self.is_blob_sent || (self.challenges == 1 && challenge.is_empty()) {
            self.is_blob_sent = true;
            return Some(ChallengeResponse::Blob);
        }
        // The error challenge; the server waits for an answer before it says NO.
        self.challenge_status = refusal_status(challenge);
        Some(ChallengeResponse::Acknowledge(match self.mechanism {
            // RFC 7628 §3.2.3: a lone 0x01. Google wants an empty line for XOAUTH2; `*` gives the exchange up
            // (RFC 3501 §6.2.2).
            Mechanism::OAuthBearer => b"AQ==\r\n",
            Mechanism::XOAuth2 => b"\r\n",
            Mechanism::Plain | Mechanism::Login => b"*\r\n",
        }))
    }
}

fn sign_in_refused(
    error: ImapError,
    mechanism: Mechanism,
    challenge_status: Option<String>,
) -> ImapError {
    match error {
        ImapError::Refused {
            refusal,
            code,
            text,
            ..
        } => ImapError::SignInRefused {
            mechanism,
            // A refused bearer token may be tagged BAD after its challenge was acknowledged.
            refusal: if challenge_status.is_some() {
                RefusalStatus::No
            } else {
                refusal
            },
            code,
            text,
            challenge_status,
        },
        other => other,
    }
}
