//! Connections to mail servers: TCP, implicit TLS, and the handshake after STARTTLS.

mod error;
mod stream;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use mailmesh_domain::{AddressRule, Encryption};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;

pub use error::{CertificateProblem, ConnectError, ConnectStage};
pub use stream::MailStream;

use crate::Credentials;

/// Where a mail server is and how it is to be reached.
#[derive(Clone)]
pub struct Server {
    /// The host name or address, also checked against the certificate.
    pub host: String,
    pub port: u16,
    /// How the connection is protected.
    pub encryption: Encryption,
    /// Shared TLS settings.
    pub tls: Arc<ClientConfig>,
    /// Which of the host's addresses may be connected to.
    pub addresses: AddressRule,
}

impl fmt::Debug for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Server")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("encryption", &self.encryption)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Returns whether the server is on this machine by its name.
    pub fn is_loopback(&self) -> bool {
        let host = self.host.trim_matches(['[', ']']);
        host.eq_ignore_ascii_case("localhost")
            || host
                .parse::<IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    }

    /// Refuses to send a token or password over an unprotected connection to another machine.
    pub fn check(&self, credentials: &Credentials) -> Result<(), ConnectError> {
        if self.encryption != Encryption::None || self.is_loopback() {
            return Ok(());
        }
        match credentials {
            Credentials::OAuth2 { .. } => Err(ConnectError::TokenInClear),
            Credentials::Password { .. } => Err(ConnectError::PasswordInClear),
            Credentials::None => Ok(()),
        }
    }
}

/// Opens a TCP connection within `limit`, trying the host's addresses one after the other.
pub async fn connect_tcp(server: &Server, limit: Duration) -> Result<TcpStream, ConnectError> {
    let deadline = Instant::now() + limit;
    let host = server.host.trim_matches(['[', ']']);
    let addresses: Vec<SocketAddr> = timeout_at(deadline, lookup_host((host, server.port)))
        .await
        .map_err(|_| ConnectError::TimedOut {
            stage: ConnectStage::Resolve,
        })?
        .map_err(|source| ConnectError::Resolve { source })?
        .collect();
    // What is checked is what is connected to: a second look-up could bring another address.
    let found = addresses.len();
    let rule = &server.addresses;
    let permitted = addresses
        .into_iter()
        .filter(|address| rule.permits(address.ip()));
    let addresses: Vec<SocketAddr> = permitted.collect();

    let mut last = if addresses.len() < found {
        ConnectError::NotPublic
    } else {
        ConnectError::NoAddress
    };
    let mut left = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
    for address in addresses {
        // A black-holed first address (often IPv6) must leave time for the next.
        let share = deadline.saturating_duration_since(Instant::now()) / left.max(1);
        left = left.saturating_sub(1);
        match timeout(share, connect_address(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(source)) => last = ConnectError::Tcp { source },
            Err(_) => {
                last = ConnectError::TimedOut {
                    stage: ConnectStage::Tcp,
                }
            }
        }
    }
    Err(last)
}

async fn connect_address(address: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_keepalive(true)?;
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl MailStream {
    /// Connects, with TLS from the first byte if the server wants that, within `limit`.
    ///
    /// For `Encryption::StartTls` the stream is still in the clear: ask for STARTTLS, make sure
    /// that nothing but the reply was read, then call [`MailStream::start_tls`].
    pub async fn open(server: &Server, limit: Duration) -> Result<Self, ConnectError> {
        let deadline = Instant::now() + limit;
        let stream = connect_tcp(server, limit).await?;
        match server.encryption {
            Encryption::Tls => handshake(stream, server, deadline).await,
            Encryption::StartTls | Encryption::None => Ok(Self::Plain(stream)),
        }
    }

    /// Runs the TLS handshake on a plain connection within `limit`; a protected one is returned as it is.
    pub async fn start_tls(self, server: &Server, limit: Duration) -> Result<Self, ConnectError> {
        match self {
            Self::Plain(stream) => handshake(stream, server, Instant::now() + limit).await,
            Self::Tls(_) => Ok(self),
        }
    }
}

async fn handshake(
    stream: TcpStream,
    server: &Server,
    deadline: Instant,
) -> Result<MailStream, ConnectError> {
    let host = server.host.trim_matches(['[', ']']).to_owned();
    let name = ServerName::try_from(host).map_err(|_| ConnectError::InvalidHost)?;
    let connector = TlsConnector::from(Arc::clone(&server.tls));
    match timeout_at(deadline, connector.connect(name, stream)).await {
        Ok(Ok(stream)) => Ok(MailStream::Tls(Box::new(stream))),
        Ok(Err(source)) => Err(ConnectError::from_handshake(source)),
        Err(_) => Err(ConnectError::TimedOut {
            stage: ConnectStage::Handshake,
        }),
    }
}
