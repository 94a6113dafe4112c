use futures_util::future::BoxFuture;
use mailmesh_domain::{Direction, FailureCause, Protocol};

use crate::imap::{ImapLimits, ImapSource, Session};
use crate::pop3::{Pop3Limits, Pop3Source};
use crate::smtp::SmtpTransport;
use crate::source::{Farewell, MailSource};
use crate::source_error::SourceError;
use crate::transport::{MailTransport, Scope, TransportFailure, TransportSettings};
use crate::{Credentials, Server};

/// A mail server, and what is wanted of it.
#[derive(Debug, Clone)]
pub struct Endpoint {
    pub protocol: Protocol,
    /// Beside the protocol, as some protocols can do both (Graph).
    pub direction: Direction,
    pub server: Server,
}

/// Connects and signs in to read mail.
pub fn connect_source<'a>(
    endpoint: &'a Endpoint,
    credentials: &'a Credentials,
) -> BoxFuture<'a, Result<Box<dyn MailSource>, SourceError>> {
    Box::pin(async move {
        let server = &endpoint.server;
        match endpoint.protocol {
            Protocol::Imap => {
                let limits = ImapLimits::default();
                let session = Session::connect(server, credentials, limits).await?;
                let source: Box<dyn MailSource> = Box::new(ImapSource::new(session));
                Ok(source)
            }
            Protocol::Pop3 => {
                let limits = Pop3Limits::default();
                let source = Pop3Source::connect(server, credentials, limits).await?;
                let source: Box<dyn MailSource> = Box::new(source);
                Ok(source)
            }
            protocol @ Protocol::Smtp => Err(SourceError::CannotRead { protocol }),
        }
    })
}

/// Connects, signs in and opens the folder of sent mail; `None` where there is none that can be searched.
pub fn connect_sent<'a>(
    endpoint: &'a Endpoint,
    credentials: &'a Credentials,
) -> BoxFuture<'a, Result<Option<Box<dyn MailSource>>, SourceError>> {
    Box::pin(async move {
        // A session of POP3 would lock the inbox for nothing (RFC 1939 §4).
        if !endpoint.protocol.has_folders() {
            return Ok(None);
        }
        let mut source = connect_source(endpoint, credentials).await?;
        if source.open_sent().await? {
            return Ok(Some(source));
        }
        source.close(Farewell::Abandon).await;
        Ok(None)
    })
}

/// Connects and signs in to send mail.
pub fn connect_transport<'a>(
    endpoint: &'a Endpoint,
    credentials: &'a Credentials,
    settings: &'a TransportSettings,
) -> BoxFuture<'a, Result<Box<dyn MailTransport>, TransportFailure>> {
    Box::pin(async move {
        match endpoint.protocol {
            Protocol::Smtp => {
                let connecting = SmtpTransport::connect(&endpoint.server, credentials, settings);
                let transport: Box<dyn MailTransport> = Box::new(connecting.await?);
                Ok(transport)
            }
            protocol @ (Protocol::Imap | Protocol::Pop3) => Err(cannot_send(protocol)),
        }
    })
}

fn cannot_send(protocol: Protocol) -> TransportFailure {
    let what = format!("{protocol} reads mail and sends none");
    TransportFailure::new(what, FailureCause::ProtocolUnfit, Scope::Account)
}
