use std::time::Duration;

use mailmesh_secrets::{ExposeSecret as _, SecretString};

use super::capability::Capabilities;
use super::error::Pop3Error;
use super::reply::{ErrReply, Reply};
use super::stage::{Mechanism, Stage};
use super::verdict::{is_form_refused, is_mechanism_refused};
use super::wire::Wire;
use crate::credentials::{oauthbearer, plain, refusal_status, xoauth2};
use crate::{Credentials, InvalidCredentials, Server};

/// RFC 2449 §4: the longest command, its line end included. RFC 5034 §4: what would be longer goes in two lines.
const MAX_INLINE: usize = 255;
/// Exchange Online, since July 2025, of the token alone.
const LONGEST_TOKEN_AT_EXCHANGE: usize = 4096;
/// Maximum challenges of one sign-in, against servers that never end it.
const MOST_CHALLENGES: usize = 4;

/// Identity of the server by its greeting, as far as it matters to a sign-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Greeting {
    /// Exchange closes the connection over a token that comes with its command, whatever the length.
    pub(super) is_exchange: bool,
}

/// One attempt to sign in.
#[derive(Debug)]
pub(super) struct SignInAttempt<'a> {
    pub(super) wire: &'a mut Wire,
    pub(super) server: &'a Server,
    pub(super) greeting: Greeting,
    pub(super) offered: &'a Capabilities,
    pub(super) limit: Duration,
}

/// Whether the secret goes with the command or on a second line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    OneLine,
    TwoLines,
}

impl SignInAttempt<'_> {
    /// Signs in with the best mechanism that the server offers.
    pub(super) async fn run(mut self, credentials: &Credentials) -> Result<(), Pop3Error> {
        match credentials {
            Credentials::None => Ok(()),
            Credentials::OAuth2 {
                login,
                access_token,
            } => self.with_token(login, access_token).await,
            Credentials::Password { login, password } => {
                let blob = plain(login, password).map_err(Pop3Error::Credentials)?;
                if self.offered.has_mechanism("PLAIN") {
                    let result = self.authenticate(Mechanism::Plain, &blob).await;
                    if !is_mechanism_unknown(&result) {
                        return result;
                    }
                }
                self.user_and_pass(login, password).await
            }
        }
    }

    async fn with_token(&mut self, login: &str, token: &SecretString) -> Result<(), Pop3Error> {
        let bytes = token.expose_secret().len();
        if self.greeting.is_exchange && bytes > LONGEST_TOKEN_AT_EXCHANGE {
            return Err(Pop3Error::TokenTooLong {
                bytes,
                limit: LONGEST_TOKEN_AT_EXCHANGE,
            });
        }
        let xoauth2 = xoauth2(login, token).map_err(Pop3Error::Credentials)?;
        if self.offered.has_mechanism("OAUTHBEARER") {
            let blob = oauthbearer(login, &self.server.host, self.server.port, token)
                .map_err(Pop3Error::Credentials)?;
            let result = self.authenticate(Mechanism::OAuthBearer, &blob).await;
            if !(is_mechanism_unknown(&result) && self.offered.has_mechanism("XOAUTH2")) {
                return result;
            }
        }
        // Some servers accept XOAUTH2 without announcing it, so it is tried once.
        self.authenticate(Mechanism::XOAuth2, &xoauth2).await
    }

    /// RFC 1939 §7. A server that does not want passwords refuses the name already.
    async fn user_and_pass(
        &mut self,
        login: &str,
        password: &SecretString,
    ) -> Result<(), Pop3Error> {
        let secret = password.expose_secret();
        if !login.is_ascii() {
            return Err(Pop3Error::Credentials(InvalidCredentials::Login));
        }
        if !secret.is_ascii() {
            return Err(Pop3Error::Credentials(InvalidCredentials::Secret));
        }
        for line in [format!("USER {login}"), format!("PASS {secret}")] {
            match self.send(&SecretString::from(line)).await? {
                Reply::Ok(_) => {}
                Reply::Refused(refusal) => {
                    return Err(self.refused(Mechanism::UserPass, refusal, None));
                }
                Reply::Continue(_) => return Err(unreadable()),
            }
        }
        Ok(())
    }

    async fn authenticate(
        &mut self,
        mechanism: Mechanism,
        blob: &SecretString,
    ) -> Result<(), Pop3Error> {
        let is_short = inline(mechanism, blob).expose_secret().len() + 2 <= MAX_INLINE;
        let (first, second) = if is_short && !self.greeting.is_exchange {
            (Form::OneLine, Form::TwoLines)
        } else {
            (Form::TwoLines, Form::OneLine)
        };
        let result = self.in_form(first, mechanism, blob).await;
        if self.greeting.is_exchange || !is_mechanism_unknown(&result) {
            return result;
        }
        // Servers that know one form alone refuse the other without a look at the secret.
        self.in_form(second, mechanism, blob).await
    }

    async fn in_form(
        &mut self,
        form: Form,
        mechanism: Mechanism,
        blob: &SecretString,
    ) -> Result<(), Pop3Error> {
        if form == Form::TwoLines {
            return self.in_two_lines(mechanism, blob).await;
        }
        match self.send(&inline(mechanism, blob)).await? {
            Reply::Refused(refusal) if is_form_refused(&refusal) => {
                Err(self.mechanism_refused(mechanism, refusal))
            }
            reply => self.finish(mechanism, blob, reply).await,
        }
    }

    async fn in_two_lines(
        &mut self,
        mechanism: Mechanism,
        blob: &SecretString,
    ) -> Result<(), Pop3Error> {
        let command = SecretString::from(format!("AUTH {mechanism}"));
        match self.send(&command).await? {
            // Some answer `+OK` where `+` is due, and many add a text to it.
            Reply::Ok(_) | Reply::Continue(_) => {}
            Reply::Refused(refusal) => {
                return Err(self.mechanism_refused(mechanism, refusal));
            }
        }
        let reply = self.send(blob).await?;
        self.finish(mechanism, blob, reply).await
    }

    /// Answers challenges until the server has decided.
    async fn finish(
        &mut self,
        mechanism: Mechanism,
        blob: &SecretString,
        mut reply: Reply,
    ) -> Result<(), Pop3Error> {
        let mut status = None;
        for challenges in 0..=MOST_CHALLENGES {
            let challenge = match reply {
                Reply::Ok(_) => return Ok(()),
                Reply::Refused(refusal) => return Err(self.refused(mechanism, refusal, status)),
                Reply::Continue(challenge) => challenge,
            };
            let answer = match mechanism {
                // The server overlooked the secret that came with the command, and asks for it.
                _ if challenges == 0 && challenge.is_empty() => blob.clone(),
                // It waits for an answer to the challenge before it refuses (RFC 7628 §3.2.3).
                Mechanism::OAuthBearer => SecretString::from("AQ=="),
                Mechanism::XOAuth2 => SecretString::from(""),
                Mechanism::Plain | Mechanism::UserPass => SecretString::from("*"),
            };
            status = status.or_else(|| refusal_status(&challenge));
            reply = self.send(&answer).await?;
        }
        Err(unreadable())
    }

    async fn send(&mut self, line: &SecretString) -> Result<Reply, Pop3Error> {
        let mut reply = self
            .wire
            .secret_command(Stage::SignIn, line, self.limit)
            .await?;
        if let Reply::Refused(refusal) = &mut reply {
            refusal.text.hide(secret_of(line.expose_secret()));
        }
        Ok(reply)
    }

    fn mechanism_refused(&self, mechanism: Mechanism, refusal: ErrReply) -> Pop3Error {
        Pop3Error::MechanismRefused {
            mechanism,
            refusal,
            login_delay: self.offered.login_delay(),
        }
    }

    fn refused(
        &self,
        mechanism: Mechanism,
        refusal: ErrReply,
        challenge_status: Option<String>,
    ) -> Pop3Error {
        Pop3Error::SignInRefused {
            mechanism,
            refusal,
            challenge_status,
            login_delay: self.offered.login_delay(),
        }
    }
}

/// The server does not have what it offers, or not in this form, and has not looked at the secret. After a challenge or
/// a code it has, and another try would count as another failure.
fn is_mechanism_unknown(result: &Result<(), Pop3Error>) -> bool {
    match result {
        Err(Pop3Error::MechanismRefused { refusal, .. }) => is_mechanism_refused(refusal),
        _ => false,
    }
}

fn inline(mechanism: Mechanism, blob: &SecretString) -> SecretString {
    SecretString::from(format!("AUTH {mechanism} {}", blob.expose_secret()))
}

/// Returns the part of a line that must not appear in errors when a server echoes it.
fn secret_of(line: &str) -> &str {
    if let Some(response) = line.strip_prefix("AUTH ") {
        return response.split_once(' ').map_or("", |(_, blob)| blob);
    }
    let password = line.strip_prefix("PASS ");
    password.or(line.strip_prefix("USER ")).unwrap_or(line)
}

const fn unreadable() -> Pop3Error {
    Pop3Error::Unreadable {
        stage: Stage::SignIn,
    }
}
