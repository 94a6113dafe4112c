use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use crate::folder::DataFolder;
use crate::supervised::{Launch, StopSignal, Supervised, stop_left_behind};
use crate::{EmbeddedError, PostgresBinaries, Progress};

mod cluster;

use cluster::Cluster;

const NAME: &str = "Postgres";
const STOP_PATIENCE: Duration = Duration::from_secs(30);
const ATTEMPTS: u32 = 6;

/// How a Postgres shall run.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// Holds the data, the password, the port and the log.
    pub data_dir: PathBuf,
    /// The port on 127.0.0.1; 0 takes the one used before on this folder, else a free one.
    pub port: u16,
    /// Where the log goes; by default `postgres.log` in the data folder.
    pub log_file: Option<PathBuf>,
    /// How many connections all processes may open together.
    pub max_connections: u32,
    /// Whether commits wait for the disk. Without, a power cut may destroy the data: for tests alone.
    pub durable: bool,
    /// Further settings, such as `("work_mem", "8MB")`.
    pub settings: Vec<(String, String)>,
    /// How long the server may take until it answers; after a crash it first replays its log.
    pub ready_within: Duration,
}

impl PostgresOptions {
    /// Returns durable defaults for this folder.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            port: 0,
            log_file: None,
            max_connections: 100,
            durable: true,
            settings: Vec::new(),
            ready_within: Duration::from_mins(2),
        }
    }
}

/// A running Postgres on 127.0.0.1 alone; stops when dropped.
#[derive(Debug)]
pub struct Postgres {
    binaries: PostgresBinaries,
    options: PostgresOptions,
    port: u16,
    // Before the folder, so that the server is told to stop before the lock is given up.
    server: Supervised,
    cluster: Cluster,
    folder: DataFolder,
}

impl Postgres {
    /// Sets up the data folder if it is empty, starts the server and waits until it answers.
    ///
    /// # Errors
    ///
    /// Fails when the folder is in use, cannot be written or belongs to another major version, the port is
    /// taken, or the server does not come up.
    pub async fn start(
        binaries: PostgresBinaries,
        options: PostgresOptions,
        progress: &dyn Progress,
    ) -> Result<Self, EmbeddedError> {
        let folder = DataFolder::open(&options.data_dir)?;
        let cluster = Cluster::open(folder.path(), progress)?;
        if cluster::major_of(&options.data_dir).is_none() {
            // Before the set-up, which takes seconds. On a folder in use the port may still be that of a server left behind.
            folder.choose_port(options.port, NAME)?;
        }
        let binaries = cluster.ensure_set_up(&binaries, progress).await?;
        let (server, port) = run(&binaries, &options, &folder, &cluster, options.port).await?;
        Ok(Self {
            binaries,
            options,
            port,
            server,
            cluster,
            folder,
        })
    }

    /// Returns the major version that wrote a data folder, if one did.
    pub fn major_of(data_dir: &Path) -> Option<u32> {
        cluster::major_of(data_dir)
    }

    /// Returns the URL of the database `mailmesh`, with the password.
    pub fn url(&self) -> SecretString {
        let password = self.cluster.password().expose_secret();
        format!(
            "postgres://mailmesh:{password}@127.0.0.1:{}/mailmesh",
            self.port
        )
        .into()
    }

    /// Returns the port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the process id of the server's first process.
    pub fn pid(&self) -> i32 {
        self.server.pid()
    }

    /// Waits until the server has ended, which it does only when stopped or broken.
    pub async fn exited(&mut self) -> ExitStatus {
        self.server.exited().await
    }

    /// Stops the server at once and cleanly, whoever is connected; it is killed after 30 seconds.
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
    /// Fails as [`Postgres::start`] does.
    pub async fn restart(&mut self) -> Result<(), EmbeddedError> {
        self.stop().await;
        let (server, _same) = run(
            &self.binaries,
            &self.options,
            &self.folder,
            &self.cluster,
            self.port,
        )
        .await?;
        self.server = server;
        Ok(())
    }
}

async fn run(
    binaries: &PostgresBinaries,
    options: &PostgresOptions,
    folder: &DataFolder,
    cluster: &Cluster,
    asked_port: u16,
) -> Result<(Supervised, u16), EmbeddedError> {
    stop_left_behind(
        NAME,
        cluster.running_pid(),
        cluster.data(),
        StopSignal::Interrupt,
    )
    .await?;
    cluster.remove_stale_pid_file()?;

    let mut attempt = 1;
    loop {
        let port = folder.choose_port(asked_port, NAME)?;
        let mut server = Supervised::launch(Launch {
            name: NAME,
            program: binaries.bin_dir().join("postgres"),
            arguments: arguments(options, cluster, port),
            log_file: options
                .log_file
                .clone()
                .unwrap_or_else(|| folder.path().join("postgres.log")),
            user: cluster.user().copied(),
            stop: StopSignal::Interrupt,
        })
        .await?;
        let pid = server.pid();
        match server
            .ready_on_any_thread(options.ready_within, || {
                std::future::ready(cluster.is_ready(pid))
            })
            .await
        {
            Ok(()) => {
                folder.remember_port(port)?;
                return Ok((server, port));
            }
            // Another process may have bound the port since we looked; or the backends of a killed
            // server have not yet noticed, and still hold its shared memory.
            Err(EmbeddedError::Exited { .. }) if attempt < ATTEMPTS => {
                attempt += 1;
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
            Err(error) => {
                server.kill().await;
                return Err(error);
            }
        }
    }
}

/// Small, because it shares a machine with the mesh, and durable.
fn arguments(options: &PostgresOptions, cluster: &Cluster, port: u16) -> Vec<OsString> {
    let switch = |on: bool| if on { "on" } else { "off" }.to_owned();
    let own = [
        ("listen_addresses", "127.0.0.1".to_owned()),
        ("port", port.to_string()),
        ("unix_socket_directories", String::new()),
        ("max_connections", options.max_connections.to_string()),
        ("shared_buffers", "64MB".to_owned()),
        ("max_wal_size", "512MB".to_owned()),
        ("fsync", switch(options.durable)),
        ("full_page_writes", switch(options.durable)),
        ("synchronous_commit", switch(options.durable)),
        ("timezone", "UTC".to_owned()),
        ("log_timezone", "UTC".to_owned()),
        ("log_checkpoints", "off".to_owned()),
        ("jit", "off".to_owned()),
        ("max_wal_senders", "0".to_owned()),
        ("wal_level", "minimal".to_owned()),
        ("huge_pages", "off".to_owned()),
    ];
    let given = options
        .settings
        .iter()
        .map(|(name, value)| (name.as_str(), value.clone()));
    let mut arguments = vec![OsString::from("-D"), cluster.data().as_os_str().to_owned()];
    for (name, value) in own.into_iter().chain(given) {
        arguments.push("-c".into());
        arguments.push(format!("{name}={value}").into());
    }
    arguments
}
