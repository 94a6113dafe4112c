use mailmesh_domain::Encryption;
use tokio::time::Instant;

use super::capability::Capabilities;
use super::error::Pop3Error;
use super::limit::Pop3Limits;
use super::reply::Reply;
use super::sign_in::{Greeting, SignInAttempt};
use super::stage::Stage;
use super::wire::Wire;
use crate::spoken::spoken;
use crate::{Credentials, MailStream, Server};

/// Maximum lines of the reply to CAPA.
const MOST_CAPABILITIES: usize = 200;

/// Connects, protects the connection, and signs in.
pub(super) async fn connect(
    server: &Server,
    credentials: &Credentials,
    limits: &Pop3Limits,
) -> Result<(Wire, Capabilities), Pop3Error> {
    server.check(credentials).map_err(Pop3Error::Connect)?;
    let stream = MailStream::open(server, limits.timeouts.connect)
        .await
        .map_err(Pop3Error::Connect)?;
    let mut wire = Wire::new(stream, limits.line_bytes);
    let greeting = greet(&mut wire, limits).await?;
    if server.encryption == Encryption::StartTls {
        wire = start_tls(wire, server, limits).await?;
    }
    // Only after TLS: a reply in the clear could be forged (RFC 2595 §4).
    let offered = ask_capabilities(&mut wire, limits).await?;
    if matches!(credentials, Credentials::None) {
        return Ok((wire, offered));
    }
    let sign_in = SignInAttempt {
        wire: &mut wire,
        server,
        greeting,
        offered: &offered,
        limit: limits.timeouts.sign_in,
    };
    sign_in.run(credentials).await?;
    // Lists change with the sign-in, the wait between sign-ins among them (RFC 2449 §6.5).
    let offered = ask_capabilities(&mut wire, limits).await?;
    Ok((wire, offered))
}

async fn greet(wire: &mut Wire, limits: &Pop3Limits) -> Result<Greeting, Pop3Error> {
    let stage = Stage::Greeting;
    let line = wire
        .line(stage, Instant::now() + limits.timeouts.sign_in)
        .await?;
    match Reply::parse(&line) {
        Some(Reply::Ok(text)) => Ok(Greeting {
            is_exchange: String::from_utf8_lossy(&text).contains("Microsoft Exchange"),
        }),
        Some(Reply::Refused(refusal)) => Err(Pop3Error::Refused { stage, refusal }),
        _ => Err(
            spoken(&line).map_or(Pop3Error::Unreadable { stage }, |spoken| {
                Pop3Error::OtherProtocol { spoken }
            }),
        ),
    }
}

async fn start_tls(
    mut wire: Wire,
    server: &Server,
    limits: &Pop3Limits,
) -> Result<Wire, Pop3Error> {
    let stage = Stage::StartTls;
    match wire.command(stage, "STLS", limits.timeouts.sign_in).await? {
        Reply::Ok(_) => {}
        Reply::Refused(refusal) => return Err(Pop3Error::Refused { stage, refusal }),
        Reply::Continue(_) => return Err(Pop3Error::Unreadable { stage }),
    }
    // Bytes that came in the clear after the reply would be read as if TLS had protected them.
    let stream = wire.into_stream().ok_or(Pop3Error::StartTlsTampered)?;
    let stream = stream
        .start_tls(server, limits.timeouts.connect)
        .await
        .map_err(Pop3Error::Connect)?;
    Ok(Wire::new(stream, limits.line_bytes))
}

/// Asks for the capabilities; a refusal of CAPA counts as an empty list, as RFC 1939 has no such command.
async fn ask_capabilities(wire: &mut Wire, limits: &Pop3Limits) -> Result<Capabilities, Pop3Error> {
    let stage = Stage::Capability;
    let limit = limits.timeouts.sign_in;
    let mut offered = Capabilities::default();
    match wire.command(stage, "CAPA", limit).await? {
        Reply::Ok(_) => {}
        Reply::Refused(_) => return Ok(offered),
        Reply::Continue(_) => return Err(Pop3Error::Unreadable { stage }),
    }
    let deadline = Instant::now() + limit;
    for _ in 0..=MOST_CAPABILITIES {
        match wire.listed_line(stage, deadline).await? {
            Some(line) => offered.add(&line),
            None => return Ok(offered),
        }
    }
    Err(Pop3Error::Excess {
        stage,
        what: "capabilities",
        limit: MOST_CAPABILITIES,
    })
}
