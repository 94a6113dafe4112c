use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use crate::EmbeddedError;
use crate::port::{free_port, is_free};
use crate::probe::last_lines;
use crate::user::user_name;

const LOCK: &str = "mailmesh.lock";
const LOG_KEPT_BYTES: u64 = 10 * 1024 * 1024;

/// A data folder that no other process uses as long as this value lives.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    lock: File,
}

impl DataFolder {
    /// Creates the folder if needed, locks it for this process, and closes it to everybody else (mode 0700).
    ///
    /// # Errors
    ///
    /// Fails when another process uses it, when it is another user's, and when it cannot be written. Into another
    /// user's folder nothing is written, even if we could: as root we would leave files that its owner cannot use.
    pub fn open(path: &Path) -> Result<Self, EmbeddedError> {
        refuse_of_others(path)?;
        fs::create_dir_all(path).map_err(EmbeddedError::file("create the data folder", path))?;
        let path = path
            .canonicalize()
            .map_err(EmbeddedError::file("find the data folder", path))?;
        let lock_path = path.join(LOCK);
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&lock_path)
            .map_err(EmbeddedError::file("write into the data folder", &path))?;
        match lock.try_lock() {
            Ok(()) => {
                let folder = Self { path, lock };
                set_mode(&folder.path, 0o700)?;
                Ok(folder)
            }
            Err(TryLockError::WouldBlock) => Err(EmbeddedError::FolderInUse { path }),
            Err(TryLockError::Error(source)) => Err(EmbeddedError::File {
                action: "lock",
                path: lock_path,
                source,
            }),
        }
    }

    /// Returns the folder's absolute path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the port that was asked for, else the remembered one if it is free, else a new one.
    pub(crate) fn choose_port(
        &self,
        asked: u16,
        server: &'static str,
    ) -> Result<u16, EmbeddedError> {
        if asked != 0 {
            return if is_free(asked) {
                Ok(asked)
            } else {
                let port = asked;
                Err(EmbeddedError::PortTaken { server, port })
            };
        }
        Ok(self
            .remembered_port()
            .filter(|port| is_free(*port))
            .unwrap_or_else(free_port))
    }

    fn remembered_port(&self) -> Option<u16> {
        fs::read_to_string(self.path.join("port"))
            .ok()?
            .trim()
            .parse()
            .ok()
    }

    pub(crate) fn remember_port(&self, port: u16) -> Result<(), EmbeddedError> {
        let path = self.path.join("port");
        fs::write(&path, format!("{port}\n")).map_err(EmbeddedError::file("write", &path))
    }
}

/// Lets other users pass through a data folder and one around it: what they look for must have a name that they know and a
/// mode that admits them. For root's Postgres, which runs as somebody else.
pub(crate) fn let_pass(folder: &Path) -> Result<(), EmbeddedError> {
    let around = folder.parent().filter(|path| path.join(LOCK).exists());
    for path in around.into_iter().chain([folder]) {
        set_mode(path, 0o711)?;
    }
    Ok(())
}

fn set_mode(path: &Path, mode: u32) -> Result<(), EmbeddedError> {
    let found = fs::metadata(path).map_err(EmbeddedError::file("look at", path))?;
    let user = rustix::process::geteuid().as_raw();
    // A group's folder is for its owner to close.
    if found.mode() & 0o777 == mode || found.uid() != user {
        return Ok(());
    }
    fs::set_permissions(path, Permissions::from_mode(mode))
        .map_err(EmbeddedError::file("set the mode of", path))
}

/// Replaces a file in one step with one that its owner alone can read: a crash leaves the old one or the new one.
pub(crate) fn write_private(
    path: &Path,
    content: &str,
    own: impl FnOnce(&Path) -> std::io::Result<()>,
) -> Result<(), EmbeddedError> {
    let unfinished = path.with_extension("unfinished");
    let write = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&unfinished)?;
        file.write_all(content.as_bytes())?;
        file.sync_all()?;
        own(&unfinished)?;
        fs::rename(&unfinished, path)
    };
    write().map_err(EmbeddedError::file("write", path))
}

/// A folder that was used before is its user's; a new one is ours if we own it, or are let in as one of a group.
fn refuse_of_others(path: &Path) -> Result<(), EmbeddedError> {
    let user = rustix::process::geteuid().as_raw();
    let owner_of = |path: &Path| fs::metadata(path).ok().map(|metadata| metadata.uid());
    let owner = match (owner_of(&path.join(LOCK)), owner_of(path)) {
        (Some(user_before), _) => user_before,
        (None, Some(owner))
            if user == 0 || access(path, Access::WRITE_OK | Access::EXEC_OK).is_err() =>
        {
            owner
        }
        _ => user,
    };
    if owner == user {
        return Ok(());
    }
    Err(EmbeddedError::NotOurs {
        path: path.to_owned(),
        owner: user_name(owner),
        user: user_name(user),
    })
}

impl Drop for DataFolder {
    fn drop(&mut self) {
        // Closing is not enough: a child that was just forked holds a copy until it runs its program.
        self.lock.unlock().ok();
    }
}

/// Opens a log for appending; one that has grown large becomes `<name>.1` first.
pub(crate) fn open_log(path: &Path) -> Result<File, EmbeddedError> {
    if fs::metadata(path).is_ok_and(|metadata| metadata.len() > LOG_KEPT_BYTES) {
        let mut old = path.as_os_str().to_owned();
        old.push(".1");
        fs::rename(path, &old).map_err(EmbeddedError::file("rename", path))?;
    }
    OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .map_err(EmbeddedError::file("write the log", path))
}

/// Returns the end of a log, on one line.
pub(crate) fn log_tail(path: &Path) -> String {
    fs::read(path).map_or_else(|_| "(no log)".to_owned(), |bytes| last_lines(&bytes, 6))
}
