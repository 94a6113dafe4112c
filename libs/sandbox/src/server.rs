//! Listeners of the mail servers and what their sessions share.

pub(crate) mod bytes;
pub(crate) mod sasl;
pub(crate) mod site;
pub(crate) mod wire;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::certificate::TlsAuthority;
use crate::fault::FaultBook;
use crate::mailbox::MailStore;
use crate::settings::Settings;
use crate::token::TokenBook;
use site::{Level, Site};
use wire::{Stream, Wire};

/// Thousands of clients may connect in one burst.
const BACKLOG: u32 = 4_096;
const HANDSHAKE: Duration = Duration::from_secs(30);
/// Accepting fails when the process is out of file descriptors: wait for some to be closed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Why the mail servers could not start.
#[derive(Debug, thiserror::Error)]
pub enum MailServerError {
    /// A port could not be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
}

/// Where the mail servers listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MailAddresses {
    /// IMAP with TLS from the first byte.
    pub imap_tls: SocketAddr,
    /// Plain IMAP with STARTTLS.
    pub imap: SocketAddr,
    /// POP3 with TLS from the first byte.
    pub pop3_tls: SocketAddr,
    /// Plain POP3 with STLS.
    pub pop3: SocketAddr,
    /// Submission with TLS from the first byte.
    pub smtp_tls: SocketAddr,
    /// Plain submission with STARTTLS.
    pub smtp: SocketAddr,
}

/// The state that the mail servers work on.
#[derive(Debug, Clone)]
pub struct MailParts {
    pub store: MailStore,
    /// The access tokens.
    pub tokens: TokenBook,
    /// The faults that wait.
    pub faults: FaultBook,
    /// The certificate to show.
    pub tls: TlsAuthority,
}

#[derive(Debug, Clone, Copy)]
enum Service {
    Imap,
    Pop3,
    Smtp,
}

/// Running IMAP, POP3 and SMTP servers.
pub struct SandboxMailServer {
    addresses: MailAddresses,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl SandboxMailServer {
    /// Listens and serves until [`SandboxMailServer::stop`]; must be called inside a tokio runtime.
    pub fn start(settings: &Settings, parts: MailParts) -> Result<Self, MailServerError> {
        let bind = |port| listen(SocketAddr::new(settings.bind, port));
        let (imap_tls, imap) = (bind(settings.imap_tls_port)?, bind(settings.imap_port)?);
        let (pop3_tls, pop3) = (bind(settings.pop3_tls_port)?, bind(settings.pop3_port)?);
        let (smtp_tls, smtp) = (bind(settings.smtp_tls_port)?, bind(settings.smtp_port)?);
        let addresses = MailAddresses {
            imap_tls: imap_tls.1,
            imap: imap.1,
            pop3_tls: pop3_tls.1,
            pop3: pop3.1,
            smtp_tls: smtp_tls.1,
            smtp: smtp.1,
        };
        parts.store.set_sent_copy(settings.auto_sent_copy);
        let site = Arc::new(Site {
            store: parts.store,
            tokens: parts.tokens,
            faults: parts.faults,
            personality: settings.personality,
            allows_any_sender: settings.allow_any_sender,
            acceptor: TlsAcceptor::from(parts.tls.server_config()),
        });
        let server = Self {
            addresses,
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        server.serve(imap_tls.0, &site, Service::Imap, true);
        server.serve(imap.0, &site, Service::Imap, false);
        server.serve(pop3_tls.0, &site, Service::Pop3, true);
        server.serve(pop3.0, &site, Service::Pop3, false);
        server.serve(smtp_tls.0, &site, Service::Smtp, true);
        server.serve(smtp.0, &site, Service::Smtp, false);
        Ok(server)
    }

    /// Returns where it listens.
    pub const fn addresses(&self) -> MailAddresses {
        self.addresses
    }

    /// Closes every listener and connection and waits until all are gone; dropping closes without waiting.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn serve(&self, listener: TcpListener, site: &Arc<Site>, service: Service, is_tls: bool) {
        let (tasks, stop, site) = (self.tasks.clone(), self.stop.clone(), Arc::clone(site));
        self.tasks.spawn(async move {
            while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
                let Ok((socket, _)) = accepted else {
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                };
                let (site, stop) = (Arc::clone(&site), stop.clone());
                tasks.spawn(async move {
                    let session = attend(site, service, socket, is_tls);
                    stop.run_until_cancelled(session).await;
                });
            }
        });
    }
}

fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), MailServerError> {
    let open = || {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let listener = socket.listen(BACKLOG)?;
        let bound = listener.local_addr()?;
        Ok((listener, bound))
    };
    open().map_err(|source| MailServerError::Listen { address, source })
}

async fn attend(site: Arc<Site>, service: Service, socket: TcpStream, is_tls: bool) {
    // Small replies must not wait for each other's acknowledgement; without it they are only slower.
    socket.set_nodelay(true).ok();
    let counters = site.store.count();
    let (connected, open) = match service {
        Service::Imap => (&counters.imap_connected, &counters.imap_connections),
        Service::Pop3 => (&counters.pop3_connected, &counters.pop3_connections),
        Service::Smtp => (&counters.smtp_connected, &counters.smtp_connections),
    };
    connected.increase();
    let _level = Level::raise(open);
    let stream = if is_tls {
        match tokio::time::timeout(HANDSHAKE, site.acceptor.accept(socket)).await {
            Ok(Ok(stream)) => Stream::Tls(Box::new(stream)),
            Ok(Err(_)) | Err(_) => return,
        }
    } else {
        Stream::Plain(socket)
    };
    let wire = Wire::new(stream);
    match service {
        Service::Imap => crate::imap::serve(&site, wire).await,
        Service::Pop3 => crate::pop3::serve(&site, wire).await,
        Service::Smtp => crate::smtp::serve(&site, wire).await,
    }
}

impl Drop for SandboxMailServer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl fmt::Debug for SandboxMailServer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SandboxMailServer")
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}
