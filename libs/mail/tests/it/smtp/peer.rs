use std::error::Error;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use mailmesh_domain::Encryption;
use mailmesh_mail::smtp::{Connection, SmtpError, SmtpSettings, SmtpTimeouts};
use mailmesh_mail::{Credentials, PipeliningRecord, Server, client_config};
use mailmesh_secrets::SecretString;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

pub(super) type TestResult<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// The server's side of one connection.
pub(super) struct Peer {
    stream: Box<dyn Stream>,
    input: Vec<u8>,
}

impl Peer {
    /// Sends lines, each with its line end.
    pub(super) async fn say(&mut self, lines: &str) -> TestResult {
        let mut wire = lines.replace('\n', "\r\n");
        wire.push_str("\r\n");
        self.send(wire.as_bytes()).await
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) -> TestResult {
        self.stream.write_all(bytes).await?;
        Ok(self.stream.flush().await?)
    }

    /// Reads one line; `None` at the end.
    pub(super) async fn hear(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(at) = self.input.windows(2).position(|pair| pair == b"\r\n") {
                let line: Vec<u8> = self.input.drain(..at + 2).take(at).collect();
                return Ok(Some(String::from_utf8_lossy(&line).into_owned()));
            }
            if self.read().await? == 0 {
                return Ok(None);
            }
        }
    }

    async fn read(&mut self) -> io::Result<usize> {
        self.input.reserve(8 * 1024);
        match self.stream.read_buf(&mut self.input).await {
            // A client that drops its connection may reset it.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(0),
            // TLS without close_notify.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
            other => other,
        }
    }

    /// Returns what has arrived by now, after at least one read.
    pub(super) async fn burst(&mut self) -> TestResult<String> {
        if self.input.is_empty() {
            self.read().await?;
        }
        Ok(String::from_utf8(std::mem::take(&mut self.input))?)
    }

    pub(super) async fn expect(&mut self, start: &str) -> TestResult<String> {
        let line = self
            .hear()
            .await?
            .ok_or_else(|| format!("closed instead of {start}"))?;
        match line.strip_prefix(start) {
            Some(rest) => Ok(rest.to_owned()),
            None => Err(format!("heard {line:?} instead of {start}").into()),
        }
    }

    pub(super) async fn answer(&mut self, start: &str, lines: &str) -> TestResult {
        self.expect(start).await?;
        self.say(lines).await
    }

    /// Reads content to its final dot and returns it as it was on the wire, without the dot; `None` when cut short.
    pub(super) async fn content(&mut self) -> TestResult<Option<String>> {
        let mut content = String::new();
        while let Some(line) = self.hear().await? {
            if line == "." {
                return Ok(Some(content));
            }
            content.push_str(&line);
            content.push_str("\r\n");
        }
        Ok(None)
    }

    pub(super) async fn is_closed(&mut self) -> TestResult<bool> {
        Ok(self.hear().await?.is_none())
    }

    /// Ends our side of the stream and goes on reading.
    pub(super) async fn finish(&mut self) -> TestResult {
        Ok(self.stream.shutdown().await?)
    }

    pub(super) async fn greet(&mut self, capabilities: &str) -> TestResult {
        self.say("220 mx.test ready").await?;
        self.answer("EHLO ", &format!("250-mx.test{capabilities}\n250 HELP"))
            .await
    }

    /// Goes on under TLS.
    pub(super) async fn secure(self) -> TestResult<Self> {
        let acceptor = TlsAcceptor::from(Arc::clone(&tls()?.server));
        Ok(Self {
            stream: Box::new(acceptor.accept(self.stream).await?),
            input: Vec::new(),
        })
    }
}

struct Tls {
    server: Arc<rustls::ServerConfig>,
    client: Arc<rustls::ClientConfig>,
}

fn tls() -> TestResult<&'static Tls> {
    static TLS: OnceLock<Tls> = OnceLock::new();

    if let Some(tls) = TLS.get() {
        return Ok(tls);
    }
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)?;
    let client = client_config(Some(&made.cert.pem()))?;
    Ok(TLS.get_or_init(|| Tls {
        server: Arc::new(server),
        client,
    }))
}

/// Runs a scripted server beside a client, each to its end.
pub(super) async fn play<T>(
    encryption: Encryption,
    script: impl AsyncFnOnce(Peer) -> TestResult,
    client: impl AsyncFnOnce(Server) -> T,
) -> TestResult<T> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let server = Server {
        addresses: mailmesh_domain::AddressRule::Any,
        host: "localhost".to_owned(),
        port: listener.local_addr()?.port(),
        encryption,
        tls: Arc::clone(&tls()?.client),
    };
    let serve = async {
        let (stream, _) = listener.accept().await?;
        // Replies to pipelined commands would wait for each other's acknowledgement.
        stream.set_nodelay(true)?;
        let peer = Peer {
            stream: Box::new(stream),
            input: Vec::new(),
        };
        let peer = if encryption == Encryption::Tls {
            peer.secure().await?
        } else {
            peer
        };
        script(peer).await
    };
    let both = async { tokio::join!(serve, client(server)) };
    // Both may be slow on a busy machine; this ends what hangs.
    let (script_result, result) = timeout(Duration::from_mins(2), both).await?;
    script_result?;
    Ok(result)
}

/// Plain, without credentials: what most tests about delivery need.
pub(super) async fn play_plain<T>(
    script: impl AsyncFnOnce(Peer) -> TestResult,
    client: impl AsyncFnOnce(Connection) -> TestResult<T>,
) -> TestResult<T> {
    play(Encryption::None, script, async |server| {
        let connection = connect(&server, &Credentials::None).await?;
        client(connection).await
    })
    .await?
}

pub(super) async fn connect(
    server: &Server,
    credentials: &Credentials,
) -> Result<Connection, SmtpError> {
    Connection::connect(server, credentials, &impatient()).await
}

/// Short where a test waits for it to pass.
pub(super) fn impatient() -> SmtpSettings {
    SmtpSettings {
        ehlo_name: "client.test".to_owned(),
        timeouts: SmtpTimeouts {
            connect: Duration::from_secs(5),
            command: Duration::from_millis(700),
            block: Duration::from_secs(5),
            transaction: Duration::from_secs(2),
            commit: Duration::from_millis(700),
        },
        pipelining: PipeliningRecord::default(),
    }
}

/// For what a busy machine may be slow at.
pub(super) fn patient() -> SmtpSettings {
    let limit = Duration::from_mins(1);
    SmtpSettings {
        timeouts: SmtpTimeouts {
            connect: limit,
            command: limit,
            block: limit,
            transaction: limit,
            commit: limit,
        },
        ..impatient()
    }
}

pub(super) fn token(length: usize) -> Credentials {
    Credentials::OAuth2 {
        login: "jane@example.com".to_owned(),
        access_token: SecretString::from("t".repeat(length)),
    }
}
