use std::fs::{self, File, TryLockError};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::digest;

use crate::{EmbeddedError, Progress};

/// The folder that keeps what was fetched, shared by all processes of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache {
    dir: PathBuf,
}

impl Cache {
    /// Keeps fetched files in this folder.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// Keeps fetched files where this user's caches lie; for root in `/var/cache`, because Postgres
    /// then runs as a user who cannot look into root's home.
    pub fn of_user() -> Self {
        if rustix::process::geteuid().is_root() {
            return Self::new("/var/cache/mailmesh");
        }
        let base = std::env::var_os("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .filter(|folder| folder.is_absolute())
            .or_else(|| std::env::home_dir().map(|home| home.join(".cache")))
            .filter(|folder| folder.is_absolute())
            .unwrap_or_else(std::env::temp_dir);
        Self::new(base.join("mailmesh"))
    }

    /// Returns the folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Returns the entry of that name, made by `make` in a temporary folder if it is not there yet;
    /// concurrent processes wait for the first.
    ///
    /// # Errors
    ///
    /// Fails when the folder cannot be written, or as `make` does.
    pub async fn entry<M>(
        &self,
        name: &str,
        progress: &dyn Progress,
        make: M,
    ) -> Result<PathBuf, EmbeddedError>
    where
        M: AsyncFnOnce(&Path) -> Result<(), EmbeddedError>,
    {
        let entry = self.dir.join(name);
        if entry.exists() {
            return Ok(entry);
        }
        fs::create_dir_all(&self.dir)
            .map_err(EmbeddedError::file("create the cache folder", &self.dir))?;
        let _lock = self.lock(name, progress).await?;
        if entry.exists() {
            return Ok(entry);
        }
        // Only the holder of the lock writes here, so what lies here was left by one that died.
        let unfinished = self.dir.join(format!("{name}.unfinished"));
        remove_folder(&unfinished)?;
        fs::create_dir(&unfinished).map_err(EmbeddedError::file("create", &unfinished))?;
        if let Err(error) = make(&unfinished).await {
            remove_folder(&unfinished)?;
            return Err(error);
        }
        fs::rename(&unfinished, &entry).map_err(EmbeddedError::file("rename", &unfinished))?;
        Ok(entry)
    }

    async fn lock(&self, name: &str, progress: &dyn Progress) -> Result<File, EmbeddedError> {
        let path = self.dir.join(format!("{name}.lock"));
        let file = File::create(&path).map_err(EmbeddedError::file("create", &path))?;
        let mut told = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) => {
                    if !told {
                        progress.step(&format!("Waiting for another process to fetch {name}"));
                        told = true;
                    }
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                Err(TryLockError::Error(source)) => {
                    return Err(EmbeddedError::File {
                        action: "lock",
                        path,
                        source,
                    });
                }
            }
        }
    }
}

fn remove_folder(path: &Path) -> Result<(), EmbeddedError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(EmbeddedError::file("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// Checks that a file has the pinned SHA-256, given in hexadecimal.
///
/// # Errors
///
/// Fails when it has another one or cannot be read.
pub fn verify_sha256(path: &Path, pinned: &str) -> Result<(), EmbeddedError> {
    let mut file = File::open(path).map_err(EmbeddedError::file("open", path))?;
    let mut context = digest::Context::new(&digest::SHA256);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = file
            .read(&mut buffer)
            .map_err(EmbeddedError::file("read", path))?;
        if read == 0 {
            break;
        }
        context.update(buffer.get(..read).unwrap_or_default());
    }
    let found = hex(context.finish().as_ref());
    if found == pinned {
        return Ok(());
    }
    Err(EmbeddedError::WrongHash {
        path: path.to_owned(),
        pinned: pinned.to_owned(),
        found,
    })
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0x0f]);
    digits
        .filter_map(|digit| char::from_digit(u32::from(digit), 16))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_written_in_hexadecimal() {
        assert_eq!(hex(&[0, 1, 0x7f, 0xff]), "00017fff");
    }

    #[test]
    fn a_file_with_another_hash_is_refused() {
        let path = std::env::temp_dir().join(format!("mailmesh-hash-{}", std::process::id()));
        fs::write(&path, "abc").unwrap();

        let right = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert!(verify_sha256(&path, right).is_ok());
        let error = verify_sha256(&path, &right.replace('b', "c")).unwrap_err();
        assert!(matches!(error, EmbeddedError::WrongHash { .. }), "{error}");
        fs::remove_file(&path).unwrap();
    }
}
