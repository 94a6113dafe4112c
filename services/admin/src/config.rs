use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

/// The section `[admin]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the API and the page are served. Plain HTTP: keep it on this machine, or put a TLS proxy before it.
    pub listen: SocketAddr,
    /// Where the first administrator's key is written, readable by this user alone.
    pub first_key_file: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: ([127, 0, 0, 1], 8025).into(),
            first_key_file: None,
        }
    }
}
