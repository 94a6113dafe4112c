use mailmesh_domain::Encryption;

use super::auth::sign_in;
use super::capability::{Capabilities, Extension};
use super::error::SmtpError;
use super::settings::SmtpSettings;
use super::verdict::Phase;
use super::wire::Wire;
use crate::connection::MailStream;
use crate::{Credentials, Server};

/// Connects, protects the connection as the server asks for, and signs in.
pub(super) async fn connect(
    server: &Server,
    credentials: &Credentials,
    settings: &SmtpSettings,
) -> Result<(Wire, Capabilities), SmtpError> {
    if !is_ehlo_name(&settings.ehlo_name) {
        return Err(SmtpError::InvalidEhloName);
    }
    let connect_error = |source| SmtpError::Connect { source };
    server.check(credentials).map_err(connect_error)?;
    let limits = &settings.timeouts;
    let stream = MailStream::open(server, limits.connect)
        .await
        .map_err(connect_error)?;
    let mut wire = Wire::new(stream);
    let greeting = wire
        .reply(limits.command)
        .await
        .map_err(SmtpError::wire(Phase::Greeting))?;
    if greeting.code() != 220 {
        return Err(SmtpError::refused(Phase::Greeting, greeting));
    }
    let mut capabilities = hello(&mut wire, settings).await?;
    if server.encryption == Encryption::StartTls {
        wire = start_tls(wire, &capabilities, server, settings).await?;
        // RFC 3207 §4.2: the reply to the EHLO in the clear is discarded, since it could be forged.
        capabilities = hello(&mut wire, settings).await?;
    }
    sign_in(
        &mut wire,
        &capabilities,
        server,
        credentials,
        limits.command,
    )
    .await?;
    Ok((wire, capabilities))
}

fn is_ehlo_name(name: &str) -> bool {
    (1..=255).contains(&name.len())
        && name.bytes().all(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b':' | b'[' | b']')
        })
}

async fn hello(wire: &mut Wire, settings: &SmtpSettings) -> Result<Capabilities, SmtpError> {
    let limit = settings.timeouts.command;
    let name = settings.ehlo_name.as_str();
    let reply = wire
        .command(&["EHLO ", name], limit)
        .await
        .map_err(SmtpError::wire(Phase::Hello))?;
    if reply.is_positive() {
        return Ok(Capabilities::read(&reply));
    }
    // RFC 5321 §3.2: HELO to a server that does not know EHLO.
    if !matches!(reply.code(), 500 | 502 | 504) {
        return Err(SmtpError::refused(Phase::Hello, reply));
    }
    let reply = wire
        .command(&["HELO ", name], limit)
        .await
        .map_err(SmtpError::wire(Phase::Hello))?;
    if reply.is_positive() {
        Ok(Capabilities::default())
    } else {
        Err(SmtpError::refused(Phase::Hello, reply))
    }
}

async fn start_tls(
    mut wire: Wire,
    capabilities: &Capabilities,
    server: &Server,
    settings: &SmtpSettings,
) -> Result<Wire, SmtpError> {
    // RFC 3207 §6: a man in the middle can delete the line that announces it, so there is no going on in the clear.
    if !capabilities.has(Extension::StartTls) {
        return Err(SmtpError::StartTlsMissing);
    }
    let limits = &settings.timeouts;
    let reply = wire
        .command(&["STARTTLS"], limits.command)
        .await
        .map_err(SmtpError::wire(Phase::StartTls))?;
    if reply.code() != 220 {
        return Err(SmtpError::refused(Phase::StartTls, reply));
    }
    let stream = wire.into_stream().ok_or(SmtpError::StartTlsInjected)?;
    let stream = stream
        .start_tls(server, limits.connect)
        .await
        .map_err(|source| SmtpError::Connect { source })?;
    Ok(Wire::new(stream))
}
