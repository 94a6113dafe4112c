use std::net::{Ipv4Addr, SocketAddr};

use serde::Deserialize;

/// The section `[auth_callback]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where browsers are answered, most often through a proxy that ends TLS.
    pub listen: SocketAddr,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8026)),
        }
    }
}
