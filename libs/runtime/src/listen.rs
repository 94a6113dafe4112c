use std::net::SocketAddr;

use tokio::net::TcpListener;

/// The address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} for {purpose}: free it or set {setting} to another address")]
pub struct ListenError {
    pub address: SocketAddr,
    /// What it was to serve.
    pub purpose: &'static str,
    /// The setting that names it.
    pub setting: &'static str,
    #[source]
    pub source: std::io::Error,
}

/// Opens a listener; an error names the setting to change.
pub async fn listen(
    address: SocketAddr,
    purpose: &'static str,
    setting: &'static str,
) -> Result<TcpListener, ListenError> {
    let opened = TcpListener::bind(address).await;
    opened.map_err(|source| ListenError {
        address,
        purpose,
        setting,
        source,
    })
}
