//! Passwords that mailmesh makes itself and keeps with the data, each in a file for its owner alone.

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Context, ensure};
use mailmesh_secrets::{ExposeSecret, SecretString, random_token};

/// 192 bits.
const PASSWORD_BYTES: usize = 24;

/// Returns the password of this name; makes it, and the folder, where there is none.
///
/// It has letters, digits, `-` and `_` alone, so that it can stand in a URL and in quotes.
pub(crate) fn ensure(folder: &Path, name: &str) -> anyhow::Result<SecretString> {
    make_folder(folder)?;
    let path = folder.join(name);
    if !path.exists() {
        let password = random_token(PASSWORD_BYTES);
        write_file(&path, 0o600, &format!("{}\n", password.expose_secret()))?;
    }
    let text = std::fs::read_to_string(&path);
    let text = text.with_context(|| format!("cannot read {}", path.display()))?;
    let password = text.trim();
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    ensure!(
        !password.is_empty() && password.bytes().all(is_allowed),
        "{} holds no password; remove it to have a new one made",
        path.display()
    );
    Ok(SecretString::from(password))
}

/// Makes a folder that its owner alone can enter.
pub(crate) fn make_folder(folder: &Path) -> anyhow::Result<()> {
    let made = std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder);
    made.with_context(|| format!("cannot make {}", folder.display()))
}

/// Replaces a file in one step, so that a crash leaves the old one or the new one.
pub(crate) fn write_file(path: &Path, mode: u32, text: &str) -> anyhow::Result<()> {
    let draft = path.with_extension("new");
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(&draft)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())
                .and_then(|()| file.sync_all())
        })
        .and_then(|()| std::fs::rename(&draft, path));
    written.with_context(|| format!("cannot write {}", path.display()))
}
