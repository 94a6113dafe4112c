//! NATS and Postgres as child processes of this one, their data in one folder.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mailmesh_embedded::{
    Cache, EmbeddedError, Locator, Nats, NatsOptions, Postgres, PostgresOptions, find_nats,
    find_postgres,
};
use mailmesh_runtime::{Lifecycle, Unavailable};
use mailmesh_store::PostgresSettings;

use crate::config::{Config, Given};
use crate::console::warn;

/// Interval of checking whether the services have ended, after which the servers stop.
const LOOK: Duration = Duration::from_millis(20);
const MAX_CONNECTIONS: u32 = 16;
/// The default port of NATS clients.
const NATS_PORT: u16 = 4222;

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
        _ => hint,
    }
}

/// Ports of the servers of a new folder; later starts keep them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ports {
    /// The default one of clients, if it is free.
    Usual,
    /// Any that are free.
    Any,
}

/// The servers that this process runs itself.
#[derive(Debug)]
pub(crate) struct Servers {
    nats: Option<Nats>,
    postgres: Option<Postgres>,
}

/// Starts the servers that were not given, both at once, and puts their URLs into the configuration.
pub(crate) async fn start(
    folder: &Path,
    ports: Ports,
    source: &Source,
    given: &Given,
    config: &mut Config,
) -> Result<Servers, EmbeddedError> {
    let (nats, postgres) = tokio::try_join!(
        async {
            if given.has_nats() {
                return Ok(None);
            }
            let nats = start_nats(folder.join("nats"), ports, source.locator());
            nats.await.map(Some)
        },
        async {
            if given.has_postgres() {
                return Ok(None);
            }
            let postgres = start_postgres(folder.join("postgres"), source.locator());
            postgres.await.map(Some)
        },
    )?;
    if let Some(nats) = &nats {
        config.nats.url = nats.url();
    }
    if let Some(postgres) = &postgres {
        config.postgres = Some(PostgresSettings::of_url(postgres.url(), MAX_CONNECTIONS));
    }
    Ok(Servers { nats, postgres })
}

async fn start_nats(
    folder: PathBuf,
    ports: Ports,
    locator: Locator,
) -> Result<Nats, EmbeddedError> {
    let binary = find_nats(&locator, &progress).await?;
    let is_new = !folder.exists();
    let mut options = NatsOptions::new(folder);
    if ports == Ports::Usual && is_new && is_free(NATS_PORT) {
        options.port = NATS_PORT;
    }
    Nats::start(binary, options).await
}

fn is_free(port: u16) -> bool {
    std::net::TcpListener::bind(("127.0.0.1", port)).is_ok()
}

async fn start_postgres(folder: PathBuf, mut locator: Locator) -> Result<Postgres, EmbeddedError> {
    locator.postgres_major = Postgres::major_of(&folder);
    let binaries = find_postgres(&locator, &progress).await?;
    Postgres::start(binaries, PostgresOptions::new(folder), &progress).await
}

fn progress(line: &str) {
    warn(line);
}

impl Servers {
    /// Watches the servers as a task of the process: one that ends by itself stops it; when the
    /// process stops, they run on until every other task has ended, so that each can still record what it did.
    pub(crate) fn spawn(self, lifecycle: &Lifecycle) {
        let Self {
            mut nats,
            mut postgres,
        } = self;
        let process = lifecycle.clone();
        lifecycle.spawn("servers", async move {
            let gone = tokio::select! {
                () = process.stopping() => None,
                status = ended(&mut nats, Nats::exited) => Some(("nats-server", status)),
                status = ended(&mut postgres, Postgres::exited) => Some(("Postgres", status)),
            };
            if let Some((server, status)) = &gone {
warn(format!(
                    "{server} has ended by itself ({status}), and mailmesh ends with it: start it again"
                ));
                process.stop();
            }
            others_ended(&process).await;
            if let Some(nats) = &mut nats {
                nats.stop().await;
            }
            if let Some(postgres) = &mut postgres {
                postgres.stop().await;
            }
            match gone {
                Some((server, status)) => Err(anyhow::anyhow!("{server} ended: {status}")),
                None => Ok(()),
            }
        });
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

async fn ended<S>(
    server: &mut Option<S>,
    exited: impl AsyncFnOnce(&mut S) -> std::process::ExitStatus,
) -> std::process::ExitStatus {
    match server {
        Some(server) => exited(server).await,
        None => std::future::pending().await,
    }
}
