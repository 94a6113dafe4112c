use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::key::{KeyFileError, OpeningKeys, SealingKey};

/// The section `[keys]`: where the keys lie that seal and open secrets.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeySettings {
    /// The private keys, newest first: for every service but `admin`.
    pub opening_key_file: Option<PathBuf>,
    /// The public key: all that `admin` needs.
    pub sealing_key_file: Option<PathBuf>,
}

/// A file with a secret or key is missing or unreadable.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// Neither the value nor its file is given.
    #[error("{setting} is not set")]
    Missing { setting: &'static str },
    /// The file cannot be read.
    #[error("cannot read {}, named by {setting}", path.display())]
    Read {
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file does not hold a key.
    #[error("{} holds no key; make one with: mailmesh keys", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: KeyFileError,
    },
}

impl KeySettings {
    /// Reads the private keys.
    ///
    /// # Errors
    /// When the file is not named, not readable or holds no key.
    pub fn opening_keys(&self) -> Result<OpeningKeys, KeysError> {
        let setting = "keys.opening_key_file";
        let path = self.opening_key_file.as_deref();
        let path = path.ok_or(KeysError::Missing { setting })?;
        OpeningKeys::parse(&read_secret(path, setting)?).map_err(|source| KeysError::Content {
            path: path.to_owned(),
            source,
        })
    }

    /// Reads the public key.
    ///
    /// # Errors
    /// When the file is not named, not readable or holds no key.
    pub fn sealing_key(&self) -> Result<SealingKey, KeysError> {
        let setting = "keys.sealing_key_file";
        let path = self.sealing_key_file.as_deref();
        let path = path.ok_or(KeysError::Missing { setting })?;
        let text = read_secret(path, setting)?;
        SealingKey::parse(text.expose_secret()).map_err(|source| KeysError::Content {
            path: path.to_owned(),
            source,
        })
    }
}

/// Reads a file that holds nothing but a secret; `setting` names it in the error.
///
/// # Errors
/// [`KeysError::Read`] when it cannot be read as UTF-8.
pub fn read_secret(path: &Path, setting: &'static str) -> Result<SecretString, KeysError> {
    let text = std::fs::read_to_string(path).map_err(|source| KeysError::Read {
        setting,
        path: path.to_owned(),
        source,
    })?;
    Ok(SecretString::from(text))
}
