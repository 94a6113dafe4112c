use std::net::{Ipv4Addr, SocketAddr};

use mailmesh_oauth::ForwardProxy;
use serde::Deserialize;

/// The section `[auth_callback]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where browsers are answered, most often through a proxy that ends TLS.
    pub listen: SocketAddr,
    /// The way to providers, where there is no direct one. Mail servers are reached directly.
    pub proxy_url: Option<ForwardProxy>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8026)),
            proxy_url: None,
        }
    }
}
