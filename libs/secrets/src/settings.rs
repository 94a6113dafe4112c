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
    #[error("{} holds no key; restore it from its copy (`mailmesh keys` makes one for a new mesh)", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: KeyFileError,
    },
    /// What the public key seals, none of the private ones opens.
    #[error("{} holds none of the keys that {} opens with: both come from the same `mailmesh keys`", sealing.display(), opening.display())]
    Pair {
        /// The file of the public key.
        sealing: PathBuf,
        /// The file of the private keys.
        opening: PathBuf,
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

    /// Checks that what the public key seals can be opened, where both files are named.
    ///
    /// # Errors
    /// When one of the files cannot be read, or they belong to different keys.
    pub fn check_pair(&self) -> Result<(), KeysError> {
        let (Some(opening), Some(sealing)) = (&self.opening_key_file, &self.sealing_key_file)
        else {
            return Ok(());
        };
        let key_id = self.sealing_key()?.key_id();
        if self.opening_keys()?.key_ids().contains(&key_id) {
            return Ok(());
        }
        Err(KeysError::Pair {
            sealing: sealing.clone(),
            opening: opening.clone(),
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
