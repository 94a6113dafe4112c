use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use mailmesh_secrets::{ExposeSecret, SecretString};

/// Writes a key to a new file that its owner alone can read.
pub(crate) fn write(file: &Path, key: &SecretString) -> std::io::Result<()> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)?;
    writeln!(file, "{}", key.expose_secret())?;
    file.sync_all()
}
