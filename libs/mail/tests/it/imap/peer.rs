//! A server that follows a script, and a client that talks to it.

use std::error::Error;
use std::io;
use std::time::Duration;

use mailmesh_domain::Encryption;
use mailmesh_mail::imap::{ImapLimits, ImapTimeouts, SelectMode, Session};
use mailmesh_mail::{Credentials, Server, client_config};
use mailmesh_secrets::SecretString;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

pub(crate) type TestResult<T = ()> = Result<T, Box<dyn Error>>;

/// Longer than any test should take; a hanging script fails instead of waiting for ever.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

pub(crate) struct Peer<S = TcpStream> {
    pub(crate) stream: S,
}

impl<S: Stream> Peer<S> {
    pub(crate) const fn new(stream: S) -> Self {
        Self { stream }
    }

    pub(crate) async fn say(&mut self, text: &str) -> io::Result<()> {
        self.stream.write_all(text.as_bytes()).await?;
        self.stream.flush().await
    }

    /// Reads one line without its CRLF; empty at the end of the stream.
    pub(crate) async fn hear(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            if self.stream.read(&mut byte).await? == 0 {
                break;
            }
            line.extend_from_slice(&byte);
        }
        Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
    }

    /// Hears a command, which must be this one, and returns its tag.
    pub(crate) async fn expect(&mut self, command: &str) -> io::Result<String> {
        let line = self.hear().await?;
        match line.split_once(' ') {
            Some((tag, heard)) if heard == command => Ok(tag.to_owned()),
            _ => Err(io::Error::other(format!(
                "expected {command:?}, heard {line:?}"
            ))),
        }
    }

    /// Hears this command and answers with data (in which lines end as they are written) and `OK`.
    pub(crate) async fn answer(&mut self, command: &str, data: &str) -> io::Result<()> {
        let tag = self.expect(command).await?;
        self.say(&format!("{data}{tag} OK done\r\n")).await
    }

    /// Greets as if the client were signed in already, so that no sign-in is needed.
    pub(crate) async fn greet(&mut self, capabilities: &str) -> io::Result<()> {
        self.say(&format!(
            "* PREAUTH [CAPABILITY IMAP4rev1 {capabilities}] hello\r\n"
        ))
        .await
    }

    /// Greets and opens INBOX with some mails.
    pub(crate) async fn open(&mut self, capabilities: &str, exists: u32) -> io::Result<()> {
        self.greet(capabilities).await?;
        self.answer(
            "SELECT \"INBOX\"",
            &format!(
                "* {exists} EXISTS\r\n* OK [UIDVALIDITY 7] v\r\n* OK [UIDNEXT {}] n\r\n",
                u64::from(exists) * 10 + 1
            ),
        )
        .await
    }

    /// Waits until the client has gone.
    pub(crate) async fn wait_for_end(&mut self) -> io::Result<()> {
        while !self.hear().await?.is_empty() {}
        Ok(())
    }
}

pub(crate) fn server(port: u16, encryption: Encryption) -> TestResult<Server> {
    Ok(Server {
        addresses: mailmesh_domain::AddressRule::Any,
        host: "127.0.0.1".to_owned(),
        port,
        encryption,
        tls: client_config(None)?,
    })
}

pub(crate) fn bearer(login: &str, token: &str) -> Credentials {
    Credentials::OAuth2 {
        login: login.to_owned(),
        access_token: SecretString::from(token),
    }
}

/// Limits that let silence fail soon, yet not because the machine is busy.
pub(crate) fn hasty() -> ImapLimits {
    let short = Duration::from_secs(1);
    ImapLimits {
        timeouts: ImapTimeouts {
            sign_in: short,
            command: short,
            silence: short,
            fetch_mail: short,
            idle_answer: short,
            logout: short,
            ..ImapTimeouts::default()
        },
        ..ImapLimits::default()
    }
}

/// Runs a script and a client against each other; both must end well.
pub(crate) async fn play<T>(
    script: impl AsyncFnOnce(Peer) -> io::Result<()>,
    client: impl AsyncFnOnce(Server) -> TestResult<T>,
) -> TestResult<T> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let server = server(listener.local_addr()?.port(), Encryption::None)?;
    let peer = async {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        script(Peer::new(stream)).await
    };
    let (played, outcome) = timeout(PATIENCE, async { tokio::join!(peer, client(server)) }).await?;
    played?;
    outcome
}

/// Connects without a sign-in and opens INBOX.
pub(crate) async fn open_inbox(server: Server, limits: ImapLimits) -> TestResult<Session> {
    let mut session = Session::connect(&server, &Credentials::None, limits).await?;
    session.select("INBOX", SelectMode::ReadWrite).await?;
    Ok(session)
}
