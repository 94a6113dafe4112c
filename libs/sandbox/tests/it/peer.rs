//! A client on a raw socket: says what it is told and shows what comes back, byte for byte.

use std::error::Error;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mailmesh_domain::SystemClock;
use mailmesh_sandbox::{GrantRequest, MailboxSettings, Personality, Sandbox, Settings};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

pub(crate) type TestResult<Value = ()> = Result<Value, Box<dyn Error>>;

pub(crate) const ALICE: &str = "alice@sandbox.test";
pub(crate) const BOB: &str = "bob@sandbox.test";
pub(crate) const PASSWORD: &str = "let me in";
const PATIENCE: Duration = Duration::from_secs(20);

/// Starts a provider with Alice and Bob.
pub(crate) async fn start(personality: Personality) -> TestResult<Sandbox> {
    let mailboxes = [ALICE, BOB].map(|address| MailboxSettings {
        address: address.to_owned(),
        password: PASSWORD.to_owned(),
    });
    let settings = Settings {
        personality,
        mailboxes: mailboxes.into(),
        ..Settings::default()
    };
    Ok(Sandbox::start(settings, Arc::new(SystemClock)).await?)
}

/// Issues an access token that opens all protocols at every provider.
pub(crate) fn issue_token(sandbox: &Sandbox, address: &str) -> String {
    let scopes = [
        "https://mail.google.com/",
        "https://outlook.office.com/IMAP.AccessAsUser.All",
        "https://outlook.office.com/POP.AccessAsUser.All",
        "https://outlook.office.com/SMTP.Send",
    ];
    let request = GrantRequest {
        address: address.to_owned(),
        client_id: "test".to_owned(),
        scopes: scopes.map(str::to_owned).into(),
        offline: false,
    };
    sandbox.tokens().issue(&request).access_token
}

/// Returns a connector that trusts this authority alone.
pub(crate) fn trusting(ca_pem: &str) -> TestResult<TlsConnector> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca_pem.as_bytes())?)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<Any: AsyncRead + AsyncWrite + Unpin + Send> Stream for Any {}

/// One connection, as a client sees it.
pub(crate) struct Peer {
    stream: Box<dyn Stream>,
    pending: Vec<u8>,
}

impl Peer {
    pub(crate) async fn plain(address: SocketAddr) -> TestResult<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream: Box::new(stream),
            pending: Vec::new(),
        })
    }

    pub(crate) async fn tls(address: SocketAddr, ca_pem: &str) -> TestResult<Self> {
        Self::plain(address).await?.start_tls(ca_pem).await
    }

    pub(crate) async fn start_tls(self, ca_pem: &str) -> TestResult<Self> {
        let name = ServerName::try_from("localhost")?;
        let connector = trusting(ca_pem)?;
        let stream = timeout(PATIENCE, connector.connect(name, self.stream)).await??;
        Ok(Self {
            stream: Box::new(stream),
            pending: Vec::new(),
        })
    }

    pub(crate) async fn send(&mut self, text: impl AsRef<[u8]>) -> TestResult {
        self.stream.write_all(text.as_ref()).await?;
        self.stream.flush().await?;
        Ok(())
    }

    /// Reads some bytes; none means that the server closed.
    async fn read_more(&mut self) -> TestResult<usize> {
        let mut chunk = vec![0; 16 * 1_024];
        // A server that drops the connection says no TLS goodbye: that is an end too.
        let read = timeout(PATIENCE, self.stream.read(&mut chunk))
            .await?
            .unwrap_or_default();
        self.pending.extend(chunk.iter().take(read));
        Ok(read)
    }

    /// Reads a line without its end; `None` when the server closed instead.
    pub(crate) async fn find_line(&mut self) -> TestResult<Option<String>> {
        loop {
            if let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.pending.drain(..=end).collect();
                let line = String::from_utf8(line)?;
                return Ok(Some(line.trim_end_matches("\r\n").to_owned()));
            }
            if self.read_more().await? == 0 {
                return Ok(None);
            }
        }
    }

    pub(crate) async fn line(&mut self) -> TestResult<String> {
        let line = self.find_line().await?;
        line.ok_or_else(|| "the server closed".into())
    }

    pub(crate) async fn bytes(&mut self, count: usize) -> TestResult<String> {
        while self.pending.len() < count {
            if self.read_more().await? == 0 {
                return Err("the server closed".into());
            }
        }
        Ok(String::from_utf8(self.pending.drain(..count).collect())?)
    }

    /// Reads whatever comes until the server closes.
    pub(crate) async fn rest(&mut self) -> TestResult<String> {
        while self.read_more().await? > 0 {}
        Ok(String::from_utf8(std::mem::take(&mut self.pending))?)
    }

    /// Waits for the end; returns whether it was a TCP reset.
    pub(crate) async fn is_reset(&mut self) -> TestResult<bool> {
        let mut chunk = vec![0; 16 * 1_024];
        loop {
            match timeout(PATIENCE, self.stream.read(&mut chunk)).await? {
                Ok(0) => return Ok(false),
                Ok(_) => {}
                Err(error) => return Ok(error.kind() == ErrorKind::ConnectionReset),
            }
        }
    }

    /// Returns what came in one read, when nothing is pending.
    pub(crate) async fn burst(&mut self) -> TestResult<String> {
        if self.pending.is_empty() {
            self.read_more().await?;
        }
        Ok(String::from_utf8(std::mem::take(&mut self.pending))?)
    }

    /// Sends an IMAP command under the tag `a` and returns all lines up to its tagged one.
    pub(crate) async fn command(&mut self, command: &str) -> TestResult<Vec<String>> {
        self.send(format!("a {command}\r\n")).await?;
        self.tagged().await
    }

    /// Returns all lines up to the tagged one.
    pub(crate) async fn tagged(&mut self) -> TestResult<Vec<String>> {
        let mut lines = Vec::new();
        loop {
            let line = self.line().await?;
            let is_last = line.starts_with("a ");
            lines.push(line);
            if is_last {
                return Ok(lines);
            }
        }
    }

    /// Sends a POP3 command and returns the first line of its answer.
    pub(crate) async fn ask(&mut self, command: &str) -> TestResult<String> {
        self.send(format!("{command}\r\n")).await?;
        self.line().await
    }

    /// Sends a POP3 command and returns the lines between the first and the dot, as they are.
    pub(crate) async fn ask_lines(&mut self, command: &str) -> TestResult<Vec<String>> {
        let first = self.ask(command).await?;
        if !first.starts_with("+OK") {
            return Err(first.into());
        }
        let mut lines = Vec::new();
        loop {
            match self.line().await?.as_str() {
                "." => return Ok(lines),
                line => lines.push(line.to_owned()),
            }
        }
    }

    /// Sends an SMTP command and returns the last line of its reply.
    pub(crate) async fn smtp(&mut self, command: &str) -> TestResult<String> {
        self.send(format!("{command}\r\n")).await?;
        self.reply().await
    }

    /// Returns the last line of the next SMTP reply.
    pub(crate) async fn reply(&mut self) -> TestResult<String> {
        loop {
            let line = self.line().await?;
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(line);
            }
        }
    }
}

/// Opens POP3 over TLS and reads the greeting.
pub(crate) async fn open_pop3(sandbox: &Sandbox) -> TestResult<Peer> {
    let address = sandbox.addresses().mail.pop3_tls;
    let mut peer = Peer::tls(address, sandbox.ca_pem()).await?;
    peer.line().await?;
    Ok(peer)
}

/// Opens POP3 and signs in by password.
pub(crate) async fn open_maildrop(sandbox: &Sandbox, address: &str) -> TestResult<Peer> {
    let mut peer = open_pop3(sandbox).await?;
    peer.ask(&format!("USER {address}")).await?;
    let reply = peer.ask(&format!("PASS {PASSWORD}")).await?;
    if reply.starts_with("+OK") {
        Ok(peer)
    } else {
        Err(reply.into())
    }
}

/// Opens IMAP over TLS and reads the greeting.
pub(crate) async fn open_imap(sandbox: &Sandbox) -> TestResult<Peer> {
    let address = sandbox.addresses().mail.imap_tls;
    let mut peer = Peer::tls(address, sandbox.ca_pem()).await?;
    peer.line().await?;
    Ok(peer)
}

/// Opens IMAP, signs in by password and selects INBOX.
pub(crate) async fn open_inbox(sandbox: &Sandbox, address: &str) -> TestResult<Peer> {
    let mut peer = open_imap(sandbox).await?;
    expect_ok(
        &peer
            .command(&format!("LOGIN {address} \"{PASSWORD}\""))
            .await?,
    )?;
    expect_ok(&peer.command("SELECT INBOX").await?)?;
    Ok(peer)
}

/// Opens submission over TLS, greets and signs in by password.
pub(crate) async fn open_smtp(sandbox: &Sandbox, address: &str) -> TestResult<Peer> {
    let mut peer = greet_smtp(sandbox).await?;
    let response = encode(&format!("\0{address}\0{PASSWORD}"));
    let reply = peer.smtp(&format!("AUTH PLAIN {response}")).await?;
    if reply.starts_with("235") {
        Ok(peer)
    } else {
        Err(reply.into())
    }
}

/// Opens submission over TLS and greets.
pub(crate) async fn greet_smtp(sandbox: &Sandbox) -> TestResult<Peer> {
    let address = sandbox.addresses().mail.smtp_tls;
    let mut peer = Peer::tls(address, sandbox.ca_pem()).await?;
    peer.reply().await?;
    peer.smtp("EHLO client.test").await?;
    Ok(peer)
}

pub(crate) fn expect_ok(lines: &[String]) -> TestResult {
    match lines.last() {
        Some(line) if line.starts_with("a OK") => Ok(()),
        _ => Err(format!("not OK: {lines:?}").into()),
    }
}

/// Waits until something that other tasks do has happened.
pub(crate) async fn eventually(is_so: impl Fn() -> bool) -> TestResult {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    Ok(timeout(PATIENCE, waiting).await?)
}

pub(crate) fn encode(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

pub(crate) fn xoauth2(address: &str, token: &str) -> String {
    encode(&format!("user={address}\x01auth=Bearer {token}\x01\x01"))
}
