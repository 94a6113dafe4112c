use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::TcpStream;

use crate::cache::hex;
use crate::folder::{DataFolder, write_private};
use crate::supervised::{Launch, StopSignal, Supervised, stop_left_behind};
use crate::{EmbeddedError, NatsBinary};

const NAME: &str = "nats-server";
const STOP_PATIENCE: Duration = Duration::from_secs(20);
const ATTEMPTS: u32 = 4;

/// How a nats-server shall run.
#[derive(Clone)]
pub struct NatsOptions {
    /// Holds JetStream's files, the configuration, the port and the log.
    pub data_dir: PathBuf,
    /// The port on 127.0.0.1; 0 takes the one used before on this folder, else a free one.
    pub port: u16,
    /// Where the log goes; by default `nats.log` in the data folder.
    pub log_file: Option<PathBuf>,
    /// The largest message.
    pub max_payload_bytes: u32,
    /// How much JetStream may store; `None` leaves it to the server: three quarters of the free disk.
    pub max_store_bytes: Option<u64>,
    /// Whether JetStream syncs each message to disk before it acknowledges it. Without, a power cut
    /// may lose what was acknowledged in the last moments; a crash of the server alone loses nothing.
    pub sync_always: bool,
    /// The account of `extra_config` that holds the streams. Those of a folder that had no accounts yet are moved there.
    pub account: Option<String>,
    /// Appended to the configuration file, which its owner alone can read: users and their passwords go here.
    pub extra_config: String,
    /// How long the server may take until it answers; it first reads what is stored.
    pub ready_within: Duration,
}

impl NatsOptions {
    /// Returns durable defaults for this folder.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            port: 0,
            log_file: None,
            max_payload_bytes: 8 * 1024 * 1024,
            max_store_bytes: None,
            sync_always: true,
            account: None,
            extra_config: String::new(),
            ready_within: Duration::from_mins(1),
        }
    }
}

impl fmt::Debug for NatsOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("NatsOptions")
            .field("data_dir", &self.data_dir)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

/// A running nats-server with JetStream, on 127.0.0.1 alone; stops when dropped.
#[derive(Debug)]
pub struct Nats {
    binary: NatsBinary,
    options: NatsOptions,
    port: u16,
    // Before the folder, so that the server is told to stop before the lock is given up.
    server: Supervised,
    folder: DataFolder,
}

impl Nats {
    /// Starts the server and waits until it answers.
    ///
    /// # Errors
    ///
    /// Fails when the folder is in use or cannot be written, the port is taken, or the server does not come up.
    pub async fn start(binary: NatsBinary, options: NatsOptions) -> Result<Self, EmbeddedError> {
        let folder = DataFolder::open(&options.data_dir)?;
        let (server, port) = run(&binary, &options, &folder, options.port).await?;
        Ok(Self {
            binary,
            options,
            port,
            server,
            folder,
        })
    }

    /// Returns the URL, such as `nats://127.0.0.1:4222`.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Returns the port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the server's process id.
    pub fn pid(&self) -> i32 {
        self.server.pid()
    }

    /// Waits until the server has ended, which it does only when stopped or broken.
    pub async fn exited(&mut self) -> ExitStatus {
        self.server.exited().await
    }

    /// Stops the server; it is killed if it takes more than 20 seconds.
    pub async fn stop(&mut self) {
        self.server.stop(STOP_PATIENCE).await;
    }

    /// Kills the server as a crash would.
    pub async fn kill(&mut self) {
        self.server.kill().await;
    }

    /// Starts the server again on the same port and data, after stopping it if it still runs.
    ///
    /// # Errors
    ///
    /// Fails as [`Nats::start`] does.
    pub async fn restart(&mut self) -> Result<(), EmbeddedError> {
        self.stop().await;
        let (server, _same) = run(&self.binary, &self.options, &self.folder, self.port).await?;
        self.server = server;
        Ok(())
    }
}

async fn run(
    binary: &NatsBinary,
    options: &NatsOptions,
    folder: &DataFolder,
    asked_port: u16,
) -> Result<(Supervised, u16), EmbeddedError> {
    let config_file = folder.path().join("nats.conf");
    let left_behind = fs::read_to_string(folder.path().join("nats.pid")).ok();
    let left_behind = left_behind.and_then(|text| text.trim().parse().ok());
    stop_left_behind(NAME, left_behind, &config_file, StopSignal::Terminate).await?;
    if let Some(account) = &options.account {
        move_global_streams(&store(folder), account)?;
    }

    let mut attempt = 1;
    loop {
        let port = folder.choose_port(asked_port, NAME)?;
        let server_name = format!("mailmesh-{}", random_name());
        // It holds passwords.
        let text = configuration(options, folder, port, &server_name);
        write_private(&config_file, &text, |_| Ok(()))?;
        let mut server = Supervised::launch(Launch {
            name: NAME,
            program: binary.path().to_owned(),
            arguments: vec![OsString::from("-c"), config_file.clone().into_os_string()],
            log_file: options
                .log_file
                .clone()
                .unwrap_or_else(|| folder.path().join("nats.log")),
            user: None,
            stop: StopSignal::Terminate,
        })
        .await?;
        match server
            .ready_on_any_thread(options.ready_within, || answers(port, &server_name))
            .await
        {
            Ok(()) => {
                folder.remember_port(port)?;
                return Ok((server, port));
            }
            // Another process may have bound the port since we looked.
            Err(EmbeddedError::Exited { .. }) if attempt < ATTEMPTS => attempt += 1,
            Err(error) => {
                server.kill().await;
                return Err(error);
            }
        }
    }
}

/// The name in the greeting proves that our server answers, not one that took the port first.
async fn answers(port: u16, server_name: &str) -> bool {
    let greeting = async {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        let mut line = String::new();
        BufReader::new(stream.take(16 * 1024))
            .read_line(&mut line)
            .await?;
        Ok::<_, std::io::Error>(line)
    };
    match tokio::time::timeout(Duration::from_secs(2), greeting).await {
        Ok(Ok(line)) => line.starts_with("INFO ") && line.contains(server_name),
        _ => false,
    }
}

fn store(folder: &DataFolder) -> PathBuf {
    folder.path().join("jetstream")
}

/// Moves the streams of the account that everybody is in as long as there are no others, with their consumers.
///
/// nats-server (2.15.1) keeps an account's streams in a folder of its name, and lets nobody define `$G` to share them from there.
fn move_global_streams(store: &Path, account: &str) -> Result<(), EmbeddedError> {
    let accounts = store.join("jetstream");
    let (from, to) = (accounts.join("$G"), accounts.join(account));
    if !from.exists() || to.exists() {
        return Ok(());
    }
    fs::rename(&from, &to).map_err(EmbeddedError::file("move", &from))
}

fn configuration(
    options: &NatsOptions,
    folder: &DataFolder,
    port: u16,
    server_name: &str,
) -> String {
    let store = store(folder);
    let pid_file = folder.path().join("nats.pid");
    let mut text = format!(
        "# Written at each start.\nlisten: \"127.0.0.1:{port}\"\nserver_name: {server_name}\npid_file: {}\n\
         max_payload: {}\njetstream {{\n  store_dir: {}\n",
        quoted(&pid_file.to_string_lossy()),
        options.max_payload_bytes,
        quoted(&store.to_string_lossy()),
    );
    if options.sync_always {
        text.push_str("  sync_interval: always\n");
    }
    if let Some(bytes) = options.max_store_bytes {
        text.extend(["  max_file_store: ", &bytes.to_string(), "\n"]);
    }
    text.push_str("}\n");
    text.push_str(&options.extra_config);
    text
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn random_name() -> String {
    let mut bytes = [0; 8];
    if aws_lc_rs::rand::fill(&mut bytes).is_err() {
        return std::process::id().to_string();
    }
    hex(&bytes)
}
