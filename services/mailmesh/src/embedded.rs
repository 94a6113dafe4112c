//! NATS and Postgres as child processes of this one, their data in one folder.

use std::cell::OnceCell;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use mailmesh_bus::MESH_ACCOUNT;
use mailmesh_embedded::{
    Cache, EmbeddedError, Locator, Nats, NatsOptions, Postgres, PostgresOptions, find_nats,
    find_postgres,
};
use mailmesh_runtime::{Lifecycle, Unavailable};
use mailmesh_secrets::SecretString;
use mailmesh_store::PostgresSettings;

use crate::config::{Config, GivenServers};
use crate::console::warn;
use crate::nats_lock::NatsLock;

/// Interval of checking whether the services have ended, after which the servers stop.
const LOOK: Duration = Duration::from_millis(20);
/// Of one process on the embedded Postgres, for what is not done as one of the services.
const MAX_CONNECTIONS: u32 = 4;
/// All services of `up`, with room for the other commands.
const SERVER_CONNECTIONS: u32 = 120;
/// The default port of NATS clients.
const NATS_PORT: u16 = 4222;
/// A server that ends more often in this time has a cause that a restart does not cure, such as a full disk.
const MOST_RESTARTS: usize = 5;
const RESTARTS_WITHIN: Duration = Duration::from_mins(10);
const NATS: &str = "nats-server";
const POSTGRES: &str = "Postgres";

/// Where servers come from.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Source {
    /// The folder that keeps fetched servers [default: ~/.cache/mailmesh, or /var/cache/mailmesh for root].
    #[arg(long)]
    cache: Option<PathBuf>,
}

impl Source {
    fn locator(&self) -> Locator {
        Locator::new(self.cache.as_ref().map_or_else(Cache::of_user, Cache::new))
    }
}

/// What to do about servers that cannot be started, kept until the log shows what happened.
#[derive(Debug)]
pub(crate) struct Advice {
    takes_urls: bool,
    hint: OnceCell<String>,
}

impl Advice {
    /// For a command that uses running servers when it is given their URLs, or one that does not.
    pub(crate) const fn new(takes_urls: bool) -> Self {
        Self {
            takes_urls,
            hint: OnceCell::new(),
        }
    }

    /// Keeps the advice for this error, and marks the error as unavailable (exit code 69).
    pub(crate) fn on(&self, error: anyhow::Error) -> anyhow::Error {
        let Some(embedded) = error.downcast_ref::<EmbeddedError>() else {
            return error;
        };
        self.hint.get_or_init(|| hint(embedded, self.takes_urls));
        Unavailable::new(error).into()
    }

    pub(crate) fn print_hint(&self) {
        if let Some(hint) = self.hint.get() {
            warn(format!("hint: {hint}"));
        }
    }
}

fn hint(error: &EmbeddedError, takes_urls: bool) -> String {
    let hint = error.hint();
    match error {
        EmbeddedError::NotFound {
            fetch: Some(cause), ..
        } if matches!(**cause, EmbeddedError::File { .. }) => format!("{hint} with --cache"),
        EmbeddedError::NotFound { server, .. } if takes_urls => {
            let variable = match *server {
                "Postgres" => "MAILMESH_POSTGRES__URL",
                _ => "MAILMESH_NATS__URL",
            };
            format!("{hint}; or set {variable} to a {server} that runs already")
        }
        EmbeddedError::Fetched { .. } => format!("{hint} (--cache)"),
        EmbeddedError::PortTaken { server: NATS, .. } => format!("{hint} (--nats-port)"),
        EmbeddedError::PortTaken { .. } => format!("{hint} (--postgres-port)"),
        _ => hint,
    }
}

/// Ports of the servers on 127.0.0.1. 0 takes the one that the folder remembers, else a free one; a port that was asked for is
/// remembered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Ports {
    pub(crate) nats: u16,
    pub(crate) postgres: u16,
    /// Whether the NATS of a new folder takes the default port of clients, if that is free.
    pub(crate) prefers_usual: bool,
}

/// Data folder of a mesh, and the sources and ports of its servers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EmbeddedSettings<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) ports: Ports,
    pub(crate) servers: &'a Source,
}

/// The servers that this process runs itself.
#[derive(Debug)]
pub(crate) struct Servers {
    nats: Option<Nats>,
    postgres: Option<Postgres>,
    /// The address of NATS for business systems, with their password; none if another server is used.
    pub(crate) clients_url: Option<SecretString>,
}

/// Starts the servers that were not given, both at once, and puts their URLs into the configuration.
pub(crate) async fn start(
    place: EmbeddedSettings<'_>,
    given: &GivenServers,
    config: &mut Config,
) -> anyhow::Result<Servers> {
    let EmbeddedSettings {
        folder,
        ports,
        servers: source,
    } = place;
    let lock = NatsLock::ensure(folder)?;
    let users = lock.config(&config.nats.prefix);
    let (nats, postgres) = tokio::try_join!(
        async {
            if given.has_nats() {
                return Ok(None);
            }
            let nats = start_nats(folder.join("nats"), ports, users, source.locator());
            nats.await.map(Some)
        },
        async {
            if given.has_postgres() {
                return Ok(None);
            }
            let folder = folder.join("postgres");
            let postgres = start_postgres(folder, ports.postgres, source.locator());
            postgres.await.map(Some)
        },
    )?;
    if let Some(nats) = &nats {
        lock.apply(&mut config.nats, &nats.url());
    }
    if let Some(postgres) = &postgres {
        config.postgres = Some(PostgresSettings::of_url(postgres.url(), MAX_CONNECTIONS));
    }
    Ok(Servers {
        clients_url: nats.as_ref().map(|nats| lock.clients_url(&nats.url())),
        nats,
        postgres,
    })
}

async fn start_nats(
    folder: PathBuf,
    ports: Ports,
    users: String,
    locator: Locator,
) -> Result<Nats, EmbeddedError> {
    let binary = find_nats(&locator, &progress).await?;
    let is_new = !folder.exists();
    let mut options = NatsOptions::new(folder);
    options.port = ports.nats;
    options.extra_config = users;
    options.account = Some(MESH_ACCOUNT.to_owned());
    if options.port == 0 && ports.prefers_usual && is_new && is_free(NATS_PORT) {
        options.port = NATS_PORT;
        match Nats::start(binary.clone(), options.clone()).await {
            // Somebody else was quicker.
            Err(EmbeddedError::PortTaken { .. }) => options.port = 0,
            started => return started,
        }
    }
    Nats::start(binary, options).await
}

fn is_free(port: u16) -> bool {
    std::net::TcpListener::bind(("127.0.0.1", port)).is_ok()
}

async fn start_postgres(
    folder: PathBuf,
    port: u16,
    mut locator: Locator,
) -> Result<Postgres, EmbeddedError> {
    locator.postgres_major = Postgres::major_of(&folder);
    let binaries = find_postgres(&locator, &progress).await?;
    let options = PostgresOptions {
        port,
        max_connections: SERVER_CONNECTIONS,
        ..PostgresOptions::new(folder)
    };
    Postgres::start(binaries, options, &progress).await
}

fn progress(line: &str) {
    warn(line);
}

impl Servers {
    /// Returns the port of Postgres, if it is our own.
    pub(crate) fn postgres_port(&self) -> Option<u16> {
        self.postgres.as_ref().map(Postgres::port)
    }

    /// Watches the servers as a task of the process: one that ends by itself is started again, a bounded number of times, and
    /// then the process ends with it. When the process stops, they run on until every other task has ended, so that each can
    /// still record what it did.
    pub(crate) fn spawn(mut self, lifecycle: &Lifecycle) {
        let process = lifecycle.clone();
        lifecycle.spawn("servers", async move {
            let watched = tokio::select! {
                () = process.stopping() => Ok(()),
                failure = self.keep_running() => Err(failure),
            };
            if watched.is_err() {
                process.stop();
            }
            others_ended(&process).await;
            if let Some(nats) = &mut self.nats {
                nats.stop().await;
            }
            if let Some(postgres) = &mut self.postgres {
                postgres.stop().await;
            }
            watched
        });
    }

    /// Starts servers again as they end; returns when one has ended too often, or does not start.
    async fn keep_running(&mut self) -> anyhow::Error {
        let mut restarts = Restarts::default();
        loop {
            let (server, status) = tokio::select! {
                status = nats_ended(&mut self.nats) => (NATS, status),
                status = postgres_ended(&mut self.postgres) => (POSTGRES, status),
            };
            let Some(number) = restarts.next(Instant::now()) else {
                warn(format!(
                    "{server} has ended by itself ({status}) once more, and mailmesh ends with it: read its log in the data folder"
                ));
                return anyhow::anyhow!("{server} ended: {status}");
            };
            warn(format!(
                "{server} has ended by itself ({status}) and is started again ({number} of {MOST_RESTARTS})"
            ));
            if let Err(error) = self.restart(server).await {
                warn(format!("{server} does not start again: {}", error.hint()));
                return error.into();
            }
            warn(format!("{server} runs again"));
        }
    }

    async fn restart(&mut self, server: &'static str) -> Result<(), EmbeddedError> {
        match (&mut self.nats, &mut self.postgres) {
            (Some(nats), _) if server == NATS => nats.restart().await,
            (_, Some(postgres)) if server == POSTGRES => postgres.restart().await,
            _ => Ok(()),
        }
    }
}

/// When servers were started again lately, both together.
#[derive(Debug, Default)]
struct Restarts(VecDeque<Instant>);

impl Restarts {
    /// Returns the number of one more restart; none if there were too many.
    fn next(&mut self, now: Instant) -> Option<usize> {
        self.0
            .retain(|at| now.saturating_duration_since(*at) < RESTARTS_WITHIN);
        if self.0.len() >= MOST_RESTARTS {
            return None;
        }
        self.0.push_back(now);
        Some(self.0.len())
    }
}

/// Names of the tasks that stop last, since all others depend on them.
const SERVERS: [&str; 2] = ["/servers", "/sandbox"];
const CONNECTION: &str = "/bus";

/// Waits until every task has ended but the servers.
pub(crate) async fn others_ended(process: &Lifecycle) {
    let is_server = |name: &str| SERVERS.iter().any(|server| name.ends_with(server));
    all_ended_but(process, is_server).await;
}

/// Waits until every task has ended but the servers and the connection to them.
pub(crate) async fn services_ended(process: &Lifecycle) {
    let is_last = |name: &str| {
        name.ends_with(CONNECTION) || SERVERS.iter().any(|server| name.ends_with(server))
    };
    all_ended_but(process, is_last).await;
}

async fn all_ended_but(process: &Lifecycle, is_kept: impl Fn(&str) -> bool) {
    while process.running().iter().any(|name| !is_kept(name)) {
        tokio::time::sleep(LOOK).await;
    }
}

async fn nats_ended(server: &mut Option<Nats>) -> ExitStatus {
    match server {
        Some(server) => server.exited().await,
        None => std::future::pending().await,
    }
}

async fn postgres_ended(server: &mut Option<Postgres>) -> ExitStatus {
    match server {
        Some(server) => server.exited().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restarts_are_bounded_within_a_time() {
        let begin = Instant::now();
        let mut restarts = Restarts::default();

        for number in 1..=MOST_RESTARTS {
            assert_eq!(restarts.next(begin), Some(number));
        }
        assert_eq!(restarts.next(begin), None);
        assert_eq!(restarts.next(begin + RESTARTS_WITHIN), Some(1));
    }
}
