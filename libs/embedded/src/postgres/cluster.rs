use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::cache::hex;
use crate::folder::{let_pass, write_private};
use crate::probe::last_lines;
use crate::supervised::command_line_contains;
use crate::user::ServerUser;
use crate::{EmbeddedError, PostgresBinaries, Progress};

const ELSEWHERE: &str = "/var/lib/mailmesh";
const SET_UP_LIMIT: Duration = Duration::from_mins(2);

/// The folder that belongs to Postgres's own user: its data and the password.
#[derive(Debug)]
pub(super) struct Cluster {
    data: PathBuf,
    password: SecretString,
    user: Option<ServerUser>,
}

impl Cluster {
    /// Opens `cluster` in the data folder, creating it and the password if needed.
    pub(super) fn open(folder: &Path, progress: &dyn Progress) -> Result<Self, EmbeddedError> {
        let link = folder.join("cluster");
        let user = ServerUser::choose(Some(&link))?;
        if user.is_some() {
            let_pass(folder)?;
        }
        if !link.exists() {
            create_home(folder, &link, user, progress)?;
        }
        // Postgres is given the path without links: its own checks want a real folder.
        let home = link
            .canonicalize()
            .map_err(EmbeddedError::file("find", &link))?;
        let password = load_password(&home.join("password"))?;
        Ok(Self {
            data: home.join("data"),
            password,
            user,
        })
    }

    pub(super) fn data(&self) -> &Path {
        &self.data
    }

    pub(super) fn password(&self) -> &SecretString {
        &self.password
    }

    pub(super) fn user(&self) -> Option<&ServerUser> {
        self.user.as_ref()
    }

    /// Runs `initdb` if there is no data yet; returns the installation to use.
    pub(super) async fn ensure_set_up(
        &self,
        binaries: &PostgresBinaries,
        progress: &dyn Progress,
    ) -> Result<PostgresBinaries, EmbeddedError> {
        if let Some(folder) = read_major(&self.data) {
            return binaries
                .candidates()
                .find(|candidate| candidate.major() == folder)
                .cloned()
                .ok_or(EmbeddedError::OtherMajor {
                    folder,
                    found: binaries.major(),
                });
        }
        let mut failure = EmbeddedError::SetUp {
            output: "no installation to try".to_owned(),
        };
        for candidate in binaries.candidates() {
            progress.step(&format!(
                "Setting up a database with Postgres {}",
                candidate.major()
            ));
            match self.set_up(candidate).await {
                Ok(()) => return Ok(candidate.clone()),
                Err(error) => {
                    progress.step(&format!(
                        "{} cannot set it up",
                        candidate.bin_dir().display()
                    ));
                    tracing::warn!(folder = %candidate.bin_dir().display(), error = %error, "Postgres installation is of no use");
                    failure = error;
                }
            }
        }
        Err(failure)
    }

    /// Works in a folder of another name, so that one left half done by a crash is never taken for data.
    async fn set_up(&self, binaries: &PostgresBinaries) -> Result<(), EmbeddedError> {
        let unfinished = self.data.with_file_name("data.unfinished");
        match fs::remove_dir_all(&unfinished) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(EmbeddedError::file("remove", &unfinished)(error));
            }
            _ => {}
        }
        let password_file = self.data.with_file_name("password.initdb");
        write_for(&password_file, self.password.expose_secret(), self.user)?;
        let mut initdb = Command::new(binaries.bin_dir().join("initdb"));
        initdb
            .args([
                "-U",
                "mailmesh",
                "-A",
                "scram-sha-256",
                "-E",
                "UTF8",
                "--locale=C",
                "--no-instructions",
                "-D",
            ])
            .arg(&unfinished)
            .arg("--pwfile")
            .arg(&password_file);
        let done = self.run(initdb, "").await;
        fs::remove_file(&password_file).map_err(EmbeddedError::file("remove", &password_file))?;
        done?;

        let mut single = Command::new(binaries.bin_dir().join("postgres"));
        single
            .args(["--single", "-j", "-D"])
            .arg(&unfinished)
            .arg("postgres");
        self.run(single, "CREATE DATABASE mailmesh;\n\n").await?;
        fs::rename(&unfinished, &self.data).map_err(EmbeddedError::file("rename", &unfinished))
    }

    async fn run(&self, mut command: Command, input: &str) -> Result<(), EmbeddedError> {
        let failed = |output: &str| EmbeddedError::SetUp {
            output: output.to_owned(),
        };
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("LC_ALL", "C")
            .current_dir("/");
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        if let Some(user) = self.user {
            command.uid(user.uid).gid(user.gid);
        }
        let work = async {
            let mut child = command.spawn()?;
            if let Some(mut stdin) = child.stdin.take() {
                stdin.write_all(input.as_bytes()).await?;
            }
            child.wait_with_output().await
        };
        let output = tokio::time::timeout(SET_UP_LIMIT, work)
            .await
            .map_err(|_elapsed| failed("it took more than two minutes"))?
            .map_err(|error| failed(&error.to_string()))?;
        if output.status.success() {
            return Ok(());
        }
        Err(failed(&last_lines(&output.stderr, 6)))
    }

    /// Returns the process that holds the data, as Postgres itself noted it.
    pub(super) fn running_pid(&self) -> Option<i32> {
        read_line(&self.pid_file(), 0)?.parse().ok()
    }

    /// Returns whether the server of this process id accepts connections: it says so in its own file.
    pub(super) fn is_ready(&self, pid: i32) -> bool {
        self.running_pid() == Some(pid)
            && read_line(&self.pid_file(), 7).as_deref() == Some("ready")
    }

    /// Removes the file of a server that is gone: its process id may be another program's by now, and
    /// Postgres would then refuse to start. Where it is a Postgres, it decides for itself.
    pub(super) fn remove_stale_pid_file(&self) -> Result<(), EmbeddedError> {
        if self
            .running_pid()
            .is_some_and(|pid| command_line_contains(pid, "postgres"))
        {
            return Ok(());
        }
        let path = self.pid_file();
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(EmbeddedError::file("remove", &path)(error))
            }
            _ => Ok(()),
        }
    }

    fn pid_file(&self) -> PathBuf {
        self.data.join("postmaster.pid")
    }
}

pub(super) fn major_of(data_dir: &Path) -> Option<u32> {
    read_major(&data_dir.join("cluster/data"))
}

fn read_major(data: &Path) -> Option<u32> {
    read_line(&data.join("PG_VERSION"), 0)?.parse().ok()
}

fn read_line(path: &Path, index: usize) -> Option<String> {
    Some(
        fs::read_to_string(path)
            .ok()?
            .lines()
            .nth(index)?
            .trim()
            .to_owned(),
    )
}

/// Creates the folder as a link if Postgres's user could not enter it here.
fn create_home(
    folder: &Path,
    link: &Path,
    user: Option<ServerUser>,
    progress: &dyn Progress,
) -> Result<(), EmbeddedError> {
    let Some(user) = user else {
        return create_private_folder(link, None);
    };
    if user.can_enter(folder) {
        return create_private_folder(link, Some(user));
    }
    let home = Path::new(ELSEWHERE).join(format!("postgres-{}", random_hex()?));
    fs::create_dir_all(ELSEWHERE).map_err(EmbeddedError::file("create", Path::new(ELSEWHERE)))?;
    create_private_folder(&home, Some(user))?;
    // Left by a home that was removed by hand.
    fs::remove_file(link).ok();
    symlink(&home, link).map_err(EmbeddedError::file("create", link))?;
    progress.step(&format!(
        "Postgres cannot run as root, and only root can enter {}: its files are in {}",
        folder.display(),
        home.display()
    ));
    Ok(())
}

fn create_private_folder(path: &Path, user: Option<ServerUser>) -> Result<(), EmbeddedError> {
    DirBuilder::new()
        .mode(0o700)
        .create(path)
        .map_err(EmbeddedError::file("create", path))?;
    if let Some(user) = user {
        chown(path, Some(user.uid), Some(user.gid))
            .map_err(EmbeddedError::file("give away", path))?;
    }
    Ok(())
}

fn load_password(path: &Path) -> Result<SecretString, EmbeddedError> {
    match fs::read_to_string(path) {
        Ok(password) => Ok(password.trim().to_owned().into()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let password = random_hex()?;
            write_for(path, &password, None)?;
            Ok(password.into())
        }
        Err(error) => Err(EmbeddedError::file("read", path)(error)),
    }
}

/// Writes a file that belongs to Postgres's user, if that is another than ours.
fn write_for(path: &Path, content: &str, user: Option<ServerUser>) -> Result<(), EmbeddedError> {
    write_private(path, content, |file| match user {
        Some(user) => chown(file, Some(user.uid), Some(user.gid)),
        None => Ok(()),
    })
}

fn random_hex() -> Result<String, EmbeddedError> {
    let mut bytes = [0; 24];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_unspecified| EmbeddedError::SetUp {
        output: "the system gave no randomness".to_owned(),
    })?;
    Ok(hex(&bytes))
}
