use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mailmesh_secrets::{ExposeSecret, KeyFileError, OpeningKeys, SealingKey, SecretString};
use mailmesh_store::DatabaseSettings;
use serde::Deserialize;
use url::Url;

/// The section `[postgres]`.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostgresSettings {
    /// `postgres://user:password@host:port/database`; or `url_file`.
    #[serde(default)]
    url: Option<SecretText>,
    /// A file with the URL.
    #[serde(default)]
    url_file: Option<PathBuf>,
    /// A file with the private CA of the server.
    #[serde(default)]
    ca_file: Option<PathBuf>,
    /// At most so many connections in this process.
    #[serde(default = "default_max_connections")]
    max_connections: u32,
    /// How long to wait for a free connection.
    #[serde(default = "default_acquire_timeout_seconds")]
    acquire_timeout_seconds: u64,
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

/// A file with a secret or key is missing or unreadable.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// Neither the value nor its file is given.
    #[error("{setting} is not set")]
    Missing {
        /// The setting.
        setting: &'static str,
    },
    /// The file cannot be read.
    #[error("cannot read {}, named by {setting}", path.display())]
    Read {
        /// The setting.
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

impl PostgresSettings {
    /// Returns settings for a URL that the program itself knows.
    pub fn of_url(url: SecretString, max_connections: u32) -> Self {
        Self {
            url: Some(SecretText(url)),
            url_file: None,
            ca_file: None,
            max_connections,
            acquire_timeout_seconds: default_acquire_timeout_seconds(),
        }
    }

    /// Reads the URL file, if one is named.
    ///
    /// # Errors
    /// When neither a URL nor a readable file is given.
    pub fn resolve(&self) -> Result<DatabaseSettings, KeysError> {
        let url = match (&self.url, &self.url_file) {
            (Some(SecretText(url)), _) => url.clone(),
            (None, Some(path)) => {
                let text = read(path, "postgres.url_file")?;
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

/// The section `[keys]`: where the keys lie that seal and open secrets.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeySettings {
    /// The private keys, newest first: for every service but `admin`.
    pub opening_key_file: Option<PathBuf>,
    /// The public key: all that `admin` needs.
    pub sealing_key_file: Option<PathBuf>,
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
        OpeningKeys::parse(&read(path, setting)?).map_err(|source| KeysError::Content {
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
        let text = read(path, setting)?;
        SealingKey::parse(text.expose_secret()).map_err(|source| KeysError::Content {
            path: path.to_owned(),
            source,
        })
    }
}

/// The section `[public]`: how browsers reach `auth-callback`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublicSettings {
    /// The base URL, as registered at the providers; never taken from a request.
    pub url: Url,
    /// The path of the redirect URI.
    #[serde(default = "default_redirect_path")]
    pub redirect_path: String,
}

fn default_redirect_path() -> String {
    "/oauth/callback".to_owned()
}

impl PublicSettings {
    /// Returns the redirect URI to register at each provider.
    pub fn redirect_uri(&self) -> Url {
        self.page(&self.redirect_path)
    }

    /// Returns the one-time link that starts a sign-in.
    pub fn connect_url(&self, link: &str) -> Url {
        self.page(&format!("/connect/{link}"))
    }

    fn page(&self, path: &str) -> Url {
        let mut url = self.url.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}{path}"));
        url.set_query(None);
        url
    }
}

fn read(path: &Path, setting: &'static str) -> Result<SecretString, KeysError> {
    let text = std::fs::read_to_string(path).map_err(|source| KeysError::Read {
        setting,
        path: path.to_owned(),
        source,
    })?;
    Ok(SecretString::from(text))
}
