use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use mailmesh_secrets::{ExposeSecret, KeysError, SecretString, read_secret};
use serde::Deserialize;

use crate::DatabaseSettings;

/// The section `[postgres]`.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostgresSettings {
    /// `postgres://user:password@host:port/database`; or `url_file`.
    #[serde(default)]
    url: Option<SecretText>,
    #[serde(default)]
    url_file: Option<PathBuf>,
    /// A file with the private CA of the server.
    #[serde(default)]
    ca_file: Option<PathBuf>,
    /// Maximum connections of this process.
    #[serde(default = "default_max_connections")]
    max_connections: u32,
    /// How long to wait for a free connection.
    #[serde(default = "default_acquire_timeout_seconds")]
    acquire_timeout_seconds: u64,
    /// How long to wait at start for a server that is starting itself.
    #[serde(default = "default_connect_wait_seconds")]
    connect_wait_seconds: u64,
}

#[derive(Clone, Deserialize)]
#[serde(from = "String")]
struct SecretText(SecretString);

impl From<String> for SecretText {
    fn from(text: String) -> Self {
        Self(SecretString::from(text))
    }
}

const fn default_max_connections() -> u32 {
    8
}

const fn default_acquire_timeout_seconds() -> u64 {
    15
}

const fn default_connect_wait_seconds() -> u64 {
    15
}

impl fmt::Debug for PostgresSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PostgresSettings")
            .field("url_file", &self.url_file)
            .field("ca_file", &self.ca_file)
            .field("max_connections", &self.max_connections)
            .finish_non_exhaustive()
    }
}

impl PostgresSettings {
    /// Returns settings for a URL that the program itself knows.
    pub fn of_url(url: SecretString, max_connections: u32) -> Self {
        Self {
            url: Some(SecretText(url)),
            url_file: None,
            ca_file: None,
            max_connections,
            acquire_timeout_seconds: default_acquire_timeout_seconds(),
            connect_wait_seconds: default_connect_wait_seconds(),
        }
    }

    /// Returns how long to wait at start for a server that is starting itself.
    pub const fn connect_wait(&self) -> Duration {
        Duration::from_secs(self.connect_wait_seconds)
    }

    /// Reads the URL file, if one is named.
    ///
    /// # Errors
    /// When neither a URL nor a readable file is given.
    pub fn resolve(&self) -> Result<DatabaseSettings, KeysError> {
        let url = match (&self.url, &self.url_file) {
            (Some(SecretText(url)), _) => url.clone(),
            (None, Some(path)) => {
                let text = read_secret(path, "postgres.url_file")?;
                SecretString::from(text.expose_secret().trim().to_owned())
            }
            (None, None) => {
                return Err(KeysError::Missing {
                    setting: "postgres.url",
                });
            }
        };
        Ok(DatabaseSettings {
            url,
            max_connections: self.max_connections,
            acquire_timeout: Duration::from_secs(self.acquire_timeout_seconds),
            ca_file: self.ca_file.clone(),
        })
    }
}
