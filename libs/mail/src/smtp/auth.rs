use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mailmesh_secrets::{ExposeSecret as _, SecretString};

use super::capability::Capabilities;
use super::error::SmtpError;
use super::reply::Reply;
use super::verdict::Phase;
use super::wire::Wire;
use super::wire_error::WireError;
use crate::{Credentials, Server, credentials};

/// RFC 4954 §4.1: a longer `AUTH` line, its line end included, has to go in two steps. Dovecot answers such a line with
/// 500, Gmail with 555.
const MAX_INLINE: usize = 512;

/// Signs in with the best mechanism that the server offers.
pub(super) async fn sign_in(
    wire: &mut Wire,
    capabilities: &Capabilities,
    server: &Server,
    credentials: &Credentials,
    limit: Duration,
) -> Result<(), SmtpError> {
    let mut dialogue = Dialogue { wire, limit };
    match credentials {
        Credentials::None => Ok(()),
        Credentials::OAuth2 {
            login,
            access_token,
        } => {
            let secret = access_token.expose_secret();
            let reply = oauth2(&mut dialogue, capabilities, server, login, access_token).await?;
            finish(reply, &[secret], true)
        }
        Credentials::Password { login, password } => {
            let secret = password.expose_secret();
            let reply = with_password(&mut dialogue, capabilities, login, password).await?;
            finish(reply, &[secret], false)
        }
    }
}

fn finish(mut reply: Reply, secrets: &[&str], is_oauth2: bool) -> Result<(), SmtpError> {
    if reply.code() == 235 {
        return Ok(());
    }
    reply.redact(secrets);
    Err(SmtpError::refused_sign_in(reply, is_oauth2))
}

/// OAUTHBEARER is the standard, XOAUTH2 what Exchange has alone.
async fn oauth2(
    dialogue: &mut Dialogue<'_>,
    capabilities: &Capabilities,
    server: &Server,
    login: &str,
    token: &SecretString,
) -> Result<Reply, SmtpError> {
    let has_xoauth2 = capabilities.has_mechanism("XOAUTH2");
    if capabilities.has_mechanism("OAUTHBEARER") {
        let blob = credentials::oauthbearer(login, &server.host, server.port, token)
            .map_err(|source| SmtpError::Credentials { source })?;
        // A lone 0x01 ends the exchange after a challenge (RFC 7628 §3.2.3).
        let reply = dialogue.respond("OAUTHBEARER", &blob, "AQ==").await?;
        if !(has_xoauth2 && is_not_understood(&reply)) {
            return Ok(reply);
        }
    }
    if !has_xoauth2 {
        return Err(no_mechanism(capabilities));
    }
    let blob =
        credentials::xoauth2(login, token).map_err(|source| SmtpError::Credentials { source })?;
    dialogue.respond("XOAUTH2", &blob, "").await
}

async fn with_password(
    dialogue: &mut Dialogue<'_>,
    capabilities: &Capabilities,
    login: &str,
    password: &SecretString,
) -> Result<Reply, SmtpError> {
    let blob =
        credentials::plain(login, password).map_err(|source| SmtpError::Credentials { source })?;
    if capabilities.has_mechanism("PLAIN") {
        let reply = dialogue.respond("PLAIN", &blob, "*").await?;
        if !(capabilities.has_mechanism("LOGIN") && is_not_understood(&reply)) {
            return Ok(reply);
        }
    }
    if !capabilities.has_mechanism("LOGIN") {
        return Err(no_mechanism(capabilities));
    }
    let mut reply = dialogue.send("AUTH LOGIN").await?;
    for secret in [login, password.expose_secret()] {
        if reply.code() != 334 {
            return Ok(reply);
        }
        let line = SecretString::from(STANDARD.encode(secret));
        reply = dialogue.send(line.expose_secret()).await?;
        reply.redact(&[line.expose_secret()]);
    }
    Ok(reply)
}

fn no_mechanism(capabilities: &Capabilities) -> SmtpError {
    let offered = capabilities.mechanisms().join(" ");
    SmtpError::NoMechanism {
        offered: if offered.is_empty() {
            "nothing".to_owned()
        } else {
            offered
        },
    }
}

/// The server does not know the form or the mechanism, and has not looked at the secret.
fn is_not_understood(reply: &Reply) -> bool {
    matches!(reply.code(), 500..=504)
}

struct Dialogue<'a> {
    wire: &'a mut Wire,
    limit: Duration,
}

impl Dialogue<'_> {
    async fn send(&mut self, line: &str) -> Result<Reply, SmtpError> {
        self.wire
            .secret_command(line, self.limit)
            .await
            .map_err(SmtpError::wire(Phase::Auth))
    }

    /// Runs a mechanism with one client response, inline where it fits.
    async fn respond(
        &mut self,
        mechanism: &str,
        blob: &SecretString,
        after_challenge: &str,
    ) -> Result<Reply, SmtpError> {
        let blob = blob.expose_secret();
        let inline = SecretString::from(format!("AUTH {mechanism} {blob}"));
        let mut reply = if inline.expose_secret().len() + 2 <= MAX_INLINE {
            self.send(inline.expose_secret()).await?
        } else {
            let reply = self.send(&format!("AUTH {mechanism}")).await?;
            if reply.code() == 334 {
                self.send(blob).await?
            } else if is_not_understood(&reply) {
                // GreenMail takes a response inline only, however long.
                self.send(inline.expose_secret()).await?
            } else {
                reply
            }
        };
        if reply.code() == 334 {
            // The challenge is the reason, in JSON; it has to be answered before the server refuses.
            reply = self.send(after_challenge).await?;
        }
        if reply.code() == 334 {
            return Err(SmtpError::wire(Phase::Auth)(WireError::Unsolicited));
        }
        reply.redact(&[blob]);
        Ok(reply)
    }
}
